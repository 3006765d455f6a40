"""What tables take, against sums by hand and against the variables themselves."""

import dataclasses

import pytest
from training_specs import Rig, training_spec

from features.spec.features import VectorFeature
from model.network.corpus import read_corpus
from model.train import main
from model.training import processors
from model.training.memory import (
    CorpusSize,
    ExamplesSize,
    TableSize,
    check_fits,
    corpus_size,
    describe,
    examples_size,
    table_sizes,
)
from stage.errors import StageError

# 60 pages, 12 words, 6 topics, each a row of 8 numbers of 4 bytes; Adam keeps two more for each.
TINY = [
    TableSize(vocabulary="page", rows=60, table=1920, slots=3840),
    TableSize(vocabulary="item_words", rows=12, table=384, slots=768),
    TableSize(vocabulary="topic", rows=6, table=192, slots=384),
]
NO_ITEMS, NO_EXAMPLES = CorpusSize(0, 0, 0), ExamplesSize()


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "rowwise_adagrad"])
def test_sizes_are_those_of_the_variables(tiny_dataset, optimizer):
    rig = Rig(tiny_dataset, f"train.optimizer={optimizer}")
    sizes = table_sizes([*tiny_dataset.query_inputs(), *tiny_dataset.features("item")], rig.spec)
    if optimizer == "adam":
        assert sizes == TINY
    state = {name: variable.numpy().nbytes for name, variable in rig.training.state().items()}
    for size in sizes:
        assert size.table == state[f"table/{size.vocabulary}"]
        assert size.slots == sum(n for name, n in state.items() if name.startswith(f"row_optimizer/{size.vocabulary}/"))


def test_a_hashed_table_takes_its_rows_and_the_hashes(tiny_dataset):
    spec = training_spec(tiny_dataset, "model.hashed_tables={page: {rows: 10, hashes: 3}}")
    sizes = table_sizes([*tiny_dataset.query_inputs(), *tiny_dataset.features("item")], spec)
    page = next(size for size in sizes if size.vocabulary == "page")
    # 10 rows of 8 numbers of 4 bytes, two slots of as many, and 3 numbers of 4 bytes for each of 60 pages.
    assert page == TableSize(vocabulary="page", rows=10, table=320, slots=640, hashes=720)
    assert (
        describe([page], NO_ITEMS, examples=NO_EXAMPLES, optimizer="adam")
        .splitlines()[0]
        .endswith("adam  +       0.0 MB for hashes")
    )
    check_fits([page], NO_ITEMS, examples=NO_EXAMPLES, host=2640, device=None)
    with pytest.raises(StageError, match=r"hash it to fewer rows by model\.hashed_tables"):
        check_fits([page], NO_ITEMS, examples=NO_EXAMPLES, host=2639, device=None)
    with pytest.raises(StageError, match="on the GPU"):
        check_fits([page], NO_ITEMS, examples=NO_EXAMPLES, host=10**9, device=1999)


def test_says_what_each_table_takes():
    page = TableSize(vocabulary="page", rows=2_000_000, table=512_000_000, slots=1_024_000_000)
    corpus = CorpusSize(2_000_000, 48_000_000, 1_024_000_000)
    lines = describe([page, TINY[2]], corpus, examples=ExamplesSize(decoding=50_100_000), optimizer="adam").splitlines()
    assert " ".join(lines[0].split()) == "page 2,000,000 rows 512.0 MB + 1,024.0 MB for adam"
    assert " ".join(lines[2].split()) == "all tables 2,000,006 rows 512.0 MB + 1,024.0 MB for adam"
    assert " ".join(lines[3].split()) == "corpus 2,000,000 items 48.0 MB + 3,072.0 MB in a validation"
    assert " ".join(lines[4].split()) == "examples while decoded 50.1 MB"
    streamed = describe(
        [page, TINY[2]], corpus, examples=ExamplesSize(streaming=2_800_000_000), optimizer="adam"
    ).splitlines()
    assert " ".join(streamed[4].split()) == "examples while read 2,800.0 MB"


@pytest.mark.parametrize(
    ("host", "device", "place", "enough"),
    [
        (14975, None, "this machine", (14976, None)),
        (7487, 10**9, "this machine", (7488, 9408)),
        (10**9, 9407, "the GPU", (None, 9408)),
    ],
)
def test_refuses_what_will_not_fit_where_somebody_knows(host, device, place, enough):
    """1,920 + 3,840 + 384 + 768 + 192 + 384 = 7,488 bytes: twice that on a host, and 1,920 more on a GPU."""
    with pytest.raises(
        StageError,
        match=rf"on {place}, .*the largest table is page with 60 rows: hash it .* build the dataset again",
    ):
        check_fits(TINY, NO_ITEMS, examples=NO_EXAMPLES, host=host, device=device)
    for of_host, of_device in (enough, (None, None)):
        check_fits(TINY, NO_ITEMS, examples=NO_EXAMPLES, host=of_host, device=of_device)


def test_the_corpus_and_its_embeddings_in_a_validation_must_fit_too(tiny_dataset):
    corpus = corpus_size(read_corpus(tiny_dataset), training_spec(tiny_dataset))
    words = sum(len(words) for words in read_corpus(tiny_dataset).features["item/words"].to_list())
    # Of 60 items page, topic and words are numbers of 8 bytes, 59 sizes of 4; each feature has 61 bounds; 8 dimensions.
    assert corpus == CorpusSize(60, 8 * (60 + 60 + words + 4 * 61) + 4 * 59, 60 * 8 * 4)
    large = CorpusSize(1000, 500, 4000)  # 500 + 12,000 beside the tables' 7,488 are 19,988
    check_fits(TINY, large, examples=NO_EXAMPLES, host=19988, device=None)
    check_fits(TINY, large, examples=NO_EXAMPLES, host=12500, device=11488)
    for host, device in ((19987, None), (12499, 11488), (12500, 11487)):
        with pytest.raises(
            StageError, match=r"the corpus and training examples need .*; 1,000 items take less by a lower last number"
        ):
            check_fits(TINY, large, examples=NO_EXAMPLES, host=host, device=device)


def test_examples_must_fit_on_the_host(tiny_dataset, monkeypatch):
    manifest = tiny_dataset.manifest
    files = [("train/a", 400), ("train/b", 501), ("train/c", 600), ("test/a", 9000)]
    files = [manifest.files[0].model_copy(update={"name": name, "size": size}) for name, size in files]
    dataset = dataclasses.replace(tiny_dataset, manifest=manifest.model_copy(update={"files": files}))
    spec = training_spec(dataset, "train.input_streams=2")
    # All 1,501 bytes are kept, twice as many while they are joined, and all are decoded at a time, 12 times as many:
    # 21,014. Of two processes each keeps half, and decodes one file at a time: 1,501 + 7,200 = 8,701. Read as needed,
    # 20 times the two largest files of a process, 22,020, or its largest, 12,000.
    for processes, room, expected in (
        (1, 0, ExamplesSize(decoding=21014)),
        (2, 0, ExamplesSize(decoding=8701)),
        (2, None, ExamplesSize(decoding=8701)),
    ):
        assert examples_size(dataset, spec, processes=processes, room=room) == expected
    one = training_spec(dataset, "train.input_streams=1")
    assert examples_size(dataset, one, processes=1, room=84055) == ExamplesSize(streaming=12000)
    assert examples_size(dataset, one, processes=1, room=-1) == ExamplesSize(streaming=12000)
    assert examples_size(dataset, one, processes=1, room=84056) == ExamplesSize(decoding=21014)
    # Of 1,501 + 99 x 10 bytes 4 for each of two threads are decoded at a time.
    monkeypatch.setattr(processors, "_processors", lambda: 2)
    small = [manifest.files[0].model_copy(update={"name": f"train/{n}", "size": 10}) for n in range(99)]
    more = dataclasses.replace(dataset, manifest=manifest.model_copy(update={"files": [*files, *small]}))
    assert examples_size(more, one, processes=1, room=10**6) == ExamplesSize(decoding=12 * 1551 + 2 * 2491)
    assert (ExamplesSize(decoding=1).keep, ExamplesSize(streaming=1).keep) == (True, False)
    for examples in (ExamplesSize(decoding=7500), ExamplesSize(streaming=7500)):
        check_fits(TINY, NO_ITEMS, examples=examples, host=22476, device=None)  # beside 14,976
        check_fits(TINY, NO_ITEMS, examples=examples, host=14988, device=9408)
        for host, device in ((22475, None), (14987, 9408)):
            with pytest.raises(StageError, match="on this machine"):
                check_fits(TINY, NO_ITEMS, examples=examples, host=host, device=device)


def test_vectors_of_examples_hardly_shrink(tiny_dataset):
    spec, manifest = tiny_dataset.spec, tiny_dataset.manifest
    sides = {
        side: part.model_copy(update={"features": part.features | {"look": VectorFeature(kind="vector", size=size)}})
        for side, part, size in (("query", spec.query, 3), ("item", spec.item, 7))
    }
    files = [("train/a", 1000, 20), ("train/b", 900, 10), ("train/c", 790, 20)]
    files = [manifest.files[0].model_copy(update={"name": name, "size": size, "records": n}) for name, size, n in files]
    dataset = dataclasses.replace(
        tiny_dataset, manifest=manifest.model_copy(update={"files": files}), spec=spec.model_copy(update=sides)
    )
    train = training_spec(dataset, "train.input_streams=1")
    # 40 bytes of vectors an example: 800, 400 and, since some are missing, 790, each 3 times; the other 200 and 500
    # bytes 12 times; and twice all 2,690 bytes. Or of the file that takes most 5 and 20 times, 12,000.
    assert examples_size(dataset, train, processes=1, room=78_999) == ExamplesSize(streaming=12_000)
    assert examples_size(dataset, train, processes=1, room=79_000) == ExamplesSize(decoding=3 * 1990 + 12 * 700 + 5380)


@pytest.mark.parametrize(
    ("corpus", "examples", "device", "first_words"),
    [
        (NO_ITEMS, NO_EXAMPLES, None, ["the"]),
        # Tables and slots take 7,488, twice that without a GPU; a validation hides behind those of a checkpoint.
        (CorpusSize(9, 0, 2496), ExamplesSize(streaming=14977), None, ["reading", "the"]),
        (CorpusSize(9, 0, 2497), ExamplesSize(decoding=14975), None, ["the", "training", "9"]),
        (NO_ITEMS, ExamplesSize(streaming=7489), 10**6, ["reading", "the"]),
        (CorpusSize(9, 0, 2496), ExamplesSize(streaming=10**6), 1, ["the", "9"]),  # no file is on a GPU
    ],
)
def test_what_takes_most_there_is_what_is_said_to_take_less_first(corpus, examples, device, first_words):
    with pytest.raises(StageError) as raised:
        check_fits(TINY, corpus, examples=examples, host=10**9 if device == 1 else 1, device=device)
    assert [remedy.split()[0] for remedy in str(raised.value).split("; ")[1:]] == first_words


def test_a_training_that_will_not_fit_is_not_started(tiny_dataset, tmp_path, capsys):
    arguments = ["--dataset", tiny_dataset.directory, "--output", str(tmp_path / "model")]
    with pytest.raises(StageError, match=r"need 1,248,000,0\d\d\.\d MB of memory on this machine"):
        main([*arguments, "--set", "model.embedding_dim=666666666666"])
    told = capsys.readouterr().err
    assert "page" in told
    size = sum(file.size for file in tiny_dataset.manifest.files if file.name.startswith("train/"))
    assert told.splitlines()[-1].split() == ["examples", "while", "decoded", f"{12 * size / 1e6:.1f}", "MB"]
    assert not (tmp_path / "model").exists()
