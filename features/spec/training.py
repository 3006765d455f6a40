"""The sections of the spec that a training is the first to read: `model`, `ssl`, `train`."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from features.spec.section import Fraction, Positive, Section, Seed

Optimizer: TypeAlias = Literal["adam", "adagrad", "rowwise_adagrad"]
Precision: TypeAlias = Literal["float32", "bfloat16"]
"""Of products."""


class HashedTable(Section):
    """An embedding table of fewer rows than its vocabulary has terms: each is the mean of the rows it is hashed to."""

    rows: Annotated[int, Field(ge=1, lt=2**31)]
    """Rows of the table, shared by all terms."""
    hashes: Annotated[int, Field(ge=1, le=8)] = 2
    """Hash functions, and so rows a term; with 2, terms seldom share both."""


class Model(Section):
    """The two towers."""

    embedding_dim: Positive = 64
    """Width of every embedding table."""
    hidden: Annotated[list[Positive], Field(min_length=1)] = [256, 128]
    """Units of each layer; the last is the embedding that is compared."""
    normalize: bool = True
    """L2-normalise the towers' outputs: the score is the cosine; false: the inner product, of any size, for which the
    temperatures want to be searched anew."""
    hashed_tables: dict[str, HashedTable] = {}
    """Vocabulary -> its table, where one row a term is too much; a feature's own vocabulary is query_NAME, item_NAME or
    pair_NAME."""
    latest_apart: bool = True
    """With session, show the query tower a history's latest item by itself too, beside the mean of all."""


class Ssl(Section):
    """The self-supervised task on items drawn uniformly from the corpus."""

    alpha: Annotated[float, Field(ge=0)] = 0.3
    """Weight of its loss, L_self; 0: plain two-tower, without this task. The default is the paper's method; README says
    where to begin with 0."""
    augmentation: Literal["cfm", "rfm", "dropout", "spread_out", "feature_dropout"] = "cfm"
    """cfm: correlated feature masking. rfm: random feature masking, of as many features. dropout: no masking, value
    dropout alone. spread_out: both views are the item itself. feature_dropout: no L_self, the item's features are
    dropped in the main task (FD)."""
    complement: bool = True
    """The second view masks exactly what the first shows; false: it draws its own mask (rfm) or its own seed feature
    (cfm)."""
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Probability that a view drops a value of a multivalued feature, after masking."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """Of L_self; train.temperature by default."""
    batch_size: Positive | None = None
    """Items a batch; train.batch_size by default, at most the corpus."""
    seed_per: Literal["batch", "item"] = "batch"
    """Whether a batch shares one mask (cfm: one seed feature) or each item draws its own."""
    mask_id: bool = True
    """Whether the id is a feature that masks may touch; if not, both views show it."""
    mask_groups: dict[str, list[str]] | None = None
    """By hand instead of by mutual information, such as {brand: [category], price: []}: a mask is drawn from the
    features that are named, the seeds, and hides one of them with those in its list, which together may not be all."""
    exclude_identical: bool = False
    """Leave out of L_self's negatives the items whose visible features equal the item's own."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Epochs, not rounded to whole batches, in which alpha grows from 0 to its value, along a line."""
    decay_epochs: Annotated[float, Field(gt=0)] | None = None
    """Epochs, not rounded to whole batches, in which alpha falls to 0, along a line, from the first step on; by default
    it stays. Once it is 0 the task does no more work, and its loss is given as 0."""
    projection_head: Positive | None = None
    """Units of the two layers of a head that only L_self sees, above the item tower; by default L_self compares the
    tower's output, as L_main does."""

    @property
    def has_loss(self) -> bool:
        """Whether there is a self-supervised loss at all."""
        return self.alpha > 0 and self.augmentation != "feature_dropout"

    @property
    def drops_features(self) -> bool:
        """Whether the main task drops features of its items (FD)."""
        return self.alpha > 0 and self.augmentation == "feature_dropout"


class Train(Section):
    """The optimisation."""

    epochs: Positive = 12
    """Epochs at most, since patience may end it sooner. Each is rounded up to whole batches, which go on with the next
    pass, so examples that fill few batches are gone through more often."""
    seed: Seed = 0
    """Of the first weights, and of all that a training draws."""
    batch_size: Positive = 1024
    """The global batch, over all workers."""
    optimizer: Optimizer = "adam"
    """rowwise_adagrad: Adagrad with one accumulator for a row of a table instead of one for each of its numbers."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Of the optimizer, the same in every step."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Each step shrinks the weights that it moves by learning_rate * weight_decay of themselves, as AdamW does. Where
    a training takes few hundred steps, what is felt begins at about 0.1."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    """Of L_main, and of L_self too unless ssl.temperature is given."""
    precision: Precision = "float32"
    """bfloat16: products of the layers in training, and of the losses' gradients, in half the bits; faster where the
    processor has it. Weights, logits, losses and optimizer stay float32, and so does all that the model is used for."""
    learnable_temperature: bool = False
    """Train log(temperature) too, from the given value on, one for each loss; what is used is 0.01 or more."""
    logq: Fraction = 1.0
    """Strength of the correction for the items' training frequency."""
    item_id_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that L_main sees an item without its id, as it does one whose id is unknown. A cold item's is unknown
    where the id's `min_count` is 1; else it has a row of its own, which L_self trains, and
    L_main only as a uniform negative or through queries of the same vocabulary."""
    uniform_negatives: Annotated[int, Field(ge=0)] = 0
    """Items drawn uniformly from the corpus in every step, at most all of it, that join the batch's items as negatives
    of L_main (mixed negative sampling); in-batch negatives alone show rare items as seldom as the log does."""
    remove_accidental_hits: bool = True
    """A query's own item elsewhere in the batch is no negative."""
    validate_every: Positive | None = None
    """Steps between validations; an epoch by default."""
    validation_queries: Positive | None = 100_000
    """Queries whose pairs a validation ranks, as `evaluate.max_queries` is for `evaluate`; null: all."""
    checkpoint_every: Positive | None = None
    """Steps between checkpoints; by default as often as takes a hundredth of the time, and at most every 10 seconds."""
    patience: Positive | None = 3
    """Stop after so many validations without a better Recall@50; null: never."""
    input_streams: Positive = 8
    """The files form so many streams, each of which gives every batch its equal share of rows. Where they don't divide
    into so many with an example each, as those of few queries, all are one stream, which shuffles the rows of so
    many together."""

    @model_validator(mode="after")
    def _streams_share_the_batch(self) -> "Train":
        if self.batch_size % self.input_streams:
            raise ValueError(
                f"batch_size: expected a multiple of input_streams ({self.input_streams}), got {self.batch_size}"
            )
        return self
