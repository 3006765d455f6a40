"""What is told to who asks with the id of a query that an export doesn't carry: how to ask with its features."""

import json

from features.spec.features import IdFeature
from features.spec.spec import Spec
from model.serving.raw_inputs import RAW_HISTORY, feature_name, is_list, raw_keys

_FEATURES_SHOWN = 3


def instead_of_unknown(spec: Spec, near: str) -> str:
    """Advice for who asks with the id of an unknown query.

    Args:
        spec: The export's.
        near: What is said of a known id that may have been meant; empty if there is none.
    """
    shown = _members(spec)
    if not shown:
        unknown = (
            "; the model knows nothing of a new id: in the spec, give queries features, or use the section session"
        )
        return near or unknown
    if len(shown) > _FEATURES_SHOWN:
        shown[_FEATURES_SHOWN:] = ["..."]
    return f"{near}{' Or' if near else ';'} ask with its features instead, as in '{{{', '.join(shown)}}}'"


def all_features(spec: Spec, query_id: str) -> str:
    """A query as who asks with its features writes it: all of them, with dots for the values besides its id."""
    own = json.dumps(query_id, ensure_ascii=False)
    ids = [f'"{n}": {own}' for n, feature in spec.query.features.items() if isinstance(feature, IdFeature)]
    return f"'{{{', '.join([*ids, *_members(spec)])}}}'"


def _members(spec: Spec) -> list[str]:
    """What a query may be asked with besides its id, as members of a JSON object with dots for the values."""
    features = {feature_name(k): f for k, f in raw_keys(spec, "query").items() if not isinstance(f, IdFeature)}
    names = sorted(features, key=lambda name: name != RAW_HISTORY)  # else in their order
    return [f'"{name}": {"[...]" if is_list(features[name]) else "..."}' for name in names]
