"""Keras without scikit-learn and matplotlib, which it imports for wrappers and plots that no stage uses.

TensorFlow imports Keras, and so each command with TensorFlow both of them: 2 of the 7 s of processor time that this
takes (measured). They are optional to Keras. Who imports them for their own sake gets them as ever.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

_OPTIONAL = frozenset({"sklearn", "matplotlib"})


class _NothingOptional(MetaPathFinder):
    """Finds no module; refuses the optional ones for as long as Keras is being imported."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """As the import system asks every finder.

        Raises:
            ModuleNotFoundError: If Keras asks for an optional package.
        """
        # Keras sets its version where its own code ends.
        if fullname in _OPTIONAL and "keras" in sys.modules and not hasattr(sys.modules["keras"], "__version__"):
            raise ModuleNotFoundError(f"{fullname}: not imported for Keras", name=fullname)
        return None


def keep_keras_lean() -> None:
    """From now on in this process, if Keras isn't imported yet."""
    if "keras" not in sys.modules and not any(isinstance(finder, _NothingOptional) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NothingOptional())
