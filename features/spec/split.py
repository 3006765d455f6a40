"""The section `split` of the spec."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from features.spec.section import Fraction, Positive, Seconds, Section, Seed


class Split(Section):
    """How lines become training, validation and test pairs."""

    method: Literal["pair_hash", "query_hash", "time"] = "pair_hash"
    """`pair_hash`: by a seeded hash of (query, item); `query_hash`: of the query, with session alone; `time`: by the
    line's timestamp."""
    validation: Fraction = 0.03
    """Share of pairs (pair_hash), or of queries (query_hash); not with time."""
    test: Fraction = 0.10
    """Share of pairs (pair_hash), or of queries (query_hash); not with time."""
    validation_start: str | None = None
    """First instant of validation (ISO 8601, UTC unless it names a zone; time)."""
    test_start: str | None = None
    """First instant of test (ISO 8601, UTC unless it names a zone; time); the option --test-start goes before it."""
    validation_seconds: Seconds | None = None
    """Validation is so long, just before the test start, where validation_start is not given (time)."""
    seed: Seed = 0
    """Of the hashes that split, choose cold items and thin the training pairs."""
    train_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training pairs that is kept; validation and test stay the same."""
    max_train_pairs_per_query: Positive | None = None
    """How many training pairs of a query are kept, the latest; null: all."""
    cold_items: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the items, by a seeded hash, that lose every training pair, so that validation and test show how new
    items are ranked. Where queries are items, no split has pairs with these as queries either."""
    repeat_consumption: bool = False
    """Keep test pairs that are also training pairs, and rank training items too; with session it is always so."""

    @property
    def asked_for(self) -> list[str]:
        """The splits that are to have pairs; by time all, since it takes no share of 0."""
        shares = {"train": 1.0, "validation": self.validation, "test": self.test}
        return [name for name, share in shares.items() if share]

    @model_validator(mode="after")
    def _leaves_training_pairs(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation + test: expected less than 1, got {self.validation + self.test:g}")
        if self.method == "time" and self.validation_start is None and self.validation_seconds is None:
            raise ValueError("expected validation_start or validation_seconds with method time")
        return self

    @model_validator(mode="after")
    def _times_go_with_time(self) -> "Split":
        for key in ("validation_start", "test_start", "validation_seconds"):
            if self.method != "time" and getattr(self, key) is not None:
                raise ValueError(f"{key}: goes with method time alone, got method {self.method}; null takes it away")
        return self

    @model_validator(mode="after")
    def _shares_go_with_hashes(self) -> "Split":
        for key, instead in (("validation", "validation_start or validation_seconds"), ("test", "test_start")):
            default = Split.model_fields[key].default
            if self.method == "time" and getattr(self, key) != default:
                raise ValueError(
                    f"{key}: goes with a split by hash alone, got method time, where {instead} says when {key} begins; "
                    f"{default:g}, the default, takes it away"
                )
        return self
