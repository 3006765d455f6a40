"""A finished model, as its readers see it."""

from dataclasses import dataclass
from functools import cached_property

from features.spec.file import spec_of
from features.spec.spec import Spec
from stage import storage
from stage.manifest import Manifest


@dataclass(frozen=True)
class FinishedModel:
    """What `train` left."""

    directory: str
    manifest: Manifest

    @classmethod
    def open(cls, directory: str, *, verify: bool = False) -> "FinishedModel":
        """Opens a model.

        Args:
            directory: Where `train` left it.
            verify: Also compare every file's SHA-256.

        Raises:
            StageError: If it is missing or incomplete.
        """
        return cls(directory, Manifest.read(directory, "model", verify=verify))

    @cached_property
    def spec(self) -> Spec:
        """What it was trained under.

        Raises:
            UsageError: If it can't be read, as one of another version.
        """
        return spec_of(self.manifest, self.directory)

    @property
    def transform_directory(self) -> str:
        """The tensorflow-transform output of its dataset."""
        return storage.join(self.directory, "transform")
