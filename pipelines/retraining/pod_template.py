"""The pod that all commands' pods are made from, as the Airflow variable has it, as far as it is read here."""

from pathlib import PurePosixPath
from posixpath import normpath

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_END_WITH_THE_POD = {"configMap", "downwardAPI", "emptyDir", "ephemeral", "image", "projected", "secret"}


class _Part(BaseModel):
    """Whether Kubernetes knows its other keys is for Kubernetes' client to say."""

    model_config = ConfigDict(frozen=True, extra="allow", alias_generator=to_camel)


class Volume(_Part):
    """A name and, as the key beside it, a kind; without one it is an emptyDir."""

    name: str

    @property
    def outlives_pods(self) -> bool:
        """Whether its files are there for the next pod too."""
        return bool((self.model_extra or {}).keys() - _END_WITH_THE_POD)


class Mount(_Part):
    """Where a container sees a volume."""

    name: str
    mount_path: str


class Container(_Part):
    """Of the first Airflow makes the one that runs a command."""

    name: str
    volume_mounts: list[Mount] = Field([])


class PodSpec(_Part):
    """What a pod consists of."""

    containers: list[Container] = Field([])
    node_selector: dict[str, str] = Field({})
    volumes: list[Volume] = Field([])


class PodTemplate(_Part):
    """As Kubernetes has it: nodeSelector, tolerations, and of its first container, called base, env and resources."""

    spec: PodSpec = PodSpec()

    @property
    def mounts(self) -> list[Mount]:
        """Of the container that runs a command."""
        return [mount for container in self.spec.containers[:1] for mount in container.volume_mounts]

    def keeps(self, path: str) -> bool:
        """Whether what a command writes there is there for the next one's pod too."""
        own = PurePosixPath(normpath(path))
        around = [mount for mount in self.mounts if own.is_relative_to(mount.mount_path)]
        innermost = max(around, key=lambda mount: len(mount.mount_path), default=None)
        return any(innermost and volume.name == innermost.name and volume.outlives_pods for volume in self.spec.volumes)
