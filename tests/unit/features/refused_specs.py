"""What is said of a shipped spec that overrides break."""

import pytest

from features.spec.file import build_spec, load_spec
from stage.errors import UsageError

TREE = load_spec("wikispeedia-links").model_dump(mode="json")


def refused(*overrides, **keys):
    with pytest.raises(UsageError) as caught:
        build_spec(TREE, overrides, source="s.yaml", **keys)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)
