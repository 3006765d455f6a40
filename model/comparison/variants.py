"""The variants: the paper's method, its baselines and its ablations, and what each leaves to choose."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from stage.errors import UsageError, did_you_mean

Protocol: TypeAlias = Literal["paper", "tuned"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
Settings: TypeAlias = dict[str, float | int | str | bool | None]
"""Key of the spec -> its value."""

ALPHA, DROPOUT_RATE, SSL_TEMPERATURE = "ssl.alpha", "ssl.dropout_rate", "ssl.temperature"
ID_DROPOUT = "train.item_id_dropout"
PLAIN, CFM = "plain", "cfm"
Baseline: TypeAlias = Literal["popularity", "co-occurrence"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
"""Beside the variants in every table; they have no seed and nothing to choose."""


@dataclass(frozen=True)
class Variant:
    """A model of the comparison."""

    name: str
    fixed: Settings
    """What makes it this variant."""
    chosen: tuple[str, ...] = ()
    """Keys that make a difference to it, beside those of every variant; for a peer all of its keys."""
    as_chosen_for: str | None = None
    """Another variant whose choice it takes over, with `fixed` on top; nothing is searched for it then."""
    counterpart: str | None = None
    """The same without self-supervision, where that isn't plain: its gains over this one are shown too."""
    peer: str | None = None
    """Somebody else's model, with keys of its own to choose, which a peer's program trains."""
    protocols: tuple[Protocol, ...] = PROTOCOLS
    """In which it has a row."""
    by_default: bool = True
    """Whether it is compared without being asked for."""


_ALL = (
    Variant(PLAIN, {ALPHA: 0}),
    # Its weight is a switch: there is no second loss.
    Variant("fd", {"ssl.augmentation": "feature_dropout", ALPHA: 1}, (DROPOUT_RATE,)),
    Variant("so", {"ssl.augmentation": "spread_out"}, (ALPHA, SSL_TEMPERATURE)),
    Variant("rfm", {"ssl.augmentation": "rfm"}, (ALPHA, DROPOUT_RATE, SSL_TEMPERATURE)),
    Variant(
        "rfm-no-complement",
        {"ssl.augmentation": "rfm", "ssl.complement": False},
        (ALPHA, DROPOUT_RATE, SSL_TEMPERATURE),
    ),
    Variant(CFM, {"ssl.augmentation": "cfm"}, (ALPHA, DROPOUT_RATE, SSL_TEMPERATURE)),
    Variant("cfm-no-dropout", {"ssl.augmentation": "cfm", DROPOUT_RATE: 0}, (ALPHA, SSL_TEMPERATURE)),
    Variant("no-masking", {"ssl.augmentation": "dropout"}, (ALPHA, DROPOUT_RATE, SSL_TEMPERATURE)),
    Variant("plain-no-logq", {ALPHA: 0, "train.logq": 0}, as_chosen_for="plain", protocols=("paper",)),
    Variant(
        "cfm-no-logq",
        {"ssl.augmentation": "cfm", "train.logq": 0},
        as_chosen_for="cfm",
        counterpart="plain-no-logq",
        protocols=("paper",),
    ),
)
_PEERS = (
    Variant(
        "implicit-als",
        {},
        ("als.factors", "als.regularization", "als.alpha", "als.iterations"),
        peer="als",
        protocols=("tuned",),
    ),
    Variant(
        "implicit-bpr",
        {},
        ("bpr.factors", "bpr.learning_rate", "bpr.regularization", "bpr.iterations"),
        peer="bpr",
        protocols=("tuned",),
    ),
    Variant(
        "librecommender-plain",
        {},
        ("two_tower.lr", "two_tower.temperature", "two_tower.dropout_rate"),
        peer="two_tower",
        protocols=("tuned",),
    ),
    Variant(
        "librecommender-cfm",
        {"two_tower.ssl_pattern": "cfm"},
        ("two_tower.lr", "two_tower.temperature", "two_tower.dropout_rate", "two_tower.alpha"),
        peer="two_tower",
        protocols=("tuned",),
    ),
)
_OF_SSL = (ALPHA, DROPOUT_RATE, SSL_TEMPERATURE)
_MIXED: Settings = {"train.uniform_negatives": 1024}
"""As many as a batch of the shipped specs has examples, and as their SSL task draws."""
_BEYOND_THE_PAPER: tuple[tuple[str, Settings, tuple[str, ...]], ...] = (
    ("plain-id-dropout", {ALPHA: 0}, (ID_DROPOUT,)),
    ("cfm-id-dropout", {"ssl.augmentation": "cfm"}, (*_OF_SSL, ID_DROPOUT)),
    ("plain-mixed", {ALPHA: 0, **_MIXED}, ()),
    ("plain-mixed-id-dropout", {ALPHA: 0, **_MIXED}, (ID_DROPOUT,)),
    ("cfm-mixed", {"ssl.augmentation": "cfm", **_MIXED}, _OF_SSL),
    ("cfm-head", {"ssl.augmentation": "cfm", "ssl.projection_head": 128}, _OF_SSL),
    ("cfm-warmup", {"ssl.augmentation": "cfm", "ssl.warmup_epochs": 2}, _OF_SSL),
    ("cfm-decay", {"ssl.augmentation": "cfm", "ssl.decay_epochs": 4}, _OF_SSL),
    ("cfm-per-item", {"ssl.augmentation": "cfm", "ssl.seed_per": "item"}, _OF_SSL),
    ("cfm-id-visible", {"ssl.augmentation": "cfm", "ssl.mask_id": False}, _OF_SSL),
    ("cfm-no-twins", {"ssl.augmentation": "cfm", "ssl.exclude_identical": True}, _OF_SSL),
    ("rfm-per-item", {"ssl.augmentation": "rfm", "ssl.seed_per": "item"}, _OF_SSL),
)
_COUNTERPARTS = {"cfm-id-dropout": "plain-id-dropout", "cfm-mixed": "plain-mixed"}
_NOT_BY_DEFAULT = tuple(
    Variant(name, fixed, chosen, counterpart=_COUNTERPARTS.get(name), protocols=("tuned",), by_default=False)
    for name, fixed, chosen in _BEYOND_THE_PAPER
)
VARIANTS = {variant.name: variant for variant in (*_ALL, *_NOT_BY_DEFAULT, *_PEERS)}
PEER_NAMES = [variant.name for variant in _PEERS]


def parse_variants(text: str) -> list[Variant]:
    """Variants by name, in the order of the tables; plain is always among them, since gains are over it.

    Args:
        text: Names with commas between.

    Raises:
        UsageError: If there is no such variant, or one whose choice another takes over is missing.
    """
    names = {PLAIN, *parse_names(text, option="--variants")}
    found = [variant for variant in VARIANTS.values() if variant.name in names]
    for variant in found:
        if variant.as_chosen_for is not None and variant.as_chosen_for not in names:
            raise UsageError(
                f"--variants: {variant.name} takes over what is chosen for {variant.as_chosen_for}; add it"
            )
    return found


def parse_names(text: str, *, option: str) -> list[str]:
    """Names of variants, as they are written with commas between.

    Raises:
        UsageError: If there is no such variant, naming the option.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in VARIANTS:
            raise UsageError(f"{option}: no variant '{name}'{did_you_mean(name, VARIANTS)}")
    return names


def names_on_request() -> list[str]:
    """The variants beyond the paper."""
    return [v.name for v in VARIANTS.values() if not v.by_default]


def default_names(*, peers: Collection[str] = ()) -> list[str]:
    """The variants of the paper, in the order of the tables; of other people's models the given ones."""
    return [v.name for v in VARIANTS.values() if v.by_default and (v.peer is None or v.peer in peers)]
