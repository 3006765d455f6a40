"""Builds in this process, and those that tests share."""

import gzip
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from exports import Sample, export_sample
from in_process import Built, run
from made_up_logs import Listening, Pages, Shop, make_listening, make_pages, make_shop

from model import train
from pipelines import build_dataset

Json = dict[str, Any]


Build = Callable[..., Built]
WriteRaw = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture(scope="session")
def build() -> Build:
    """`build(directory, spec, *flags)`: writes the spec beside `directory`, and builds into it from `raw`."""

    def built(output: Path, spec: Json, *flags: str, raw: Path | None = None) -> Built:
        path = output.parent / f"{output.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(spec, sort_keys=False))
        arguments = ["--spec", str(path), "--output", str(output), *flags]
        if raw is not None:
            arguments += ["--raw", str(raw)]
        ended = run(build_dataset.main, *arguments)
        logging.disable(logging.NOTSET)
        return Built(output, *ended)

    return built


@pytest.fixture(scope="session")
def write_raw() -> WriteRaw:
    """`write_raw(directory, {name: content})`: gzips what is named so; returns the directory."""

    def write(directory: Path, files: Mapping[str, bytes]) -> Path:
        for name, content in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            plain = name.endswith(".gz") and not content.startswith(b"\x1f\x8b")
            path.write_bytes(gzip.compress(content, mtime=0) if plain else content)
        return directory

    return write


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges, blocks, batches and chunks so small that a log of a few kilobytes has many of each."""
    monkeypatch.setattr("pipelines.aggregation.input_files.RANGE_BYTES", 3_000)
    monkeypatch.setattr("pipelines.aggregation.blocks.BLOCK_BYTES", 700)
    monkeypatch.setattr("pipelines.aggregation.batches.ROWS_PER_BATCH", 11)
    monkeypatch.setattr("pipelines.aggregation.lines_to_shuffle.MOST_ROWS_BEFORE_SHUFFLE", 13)
    monkeypatch.setattr("pipelines.beam.transform.ENTITIES_PER_BATCH", 5)
    monkeypatch.setattr("pipelines.beam.examples.EXAMPLES_PER_CHUNK", 4)


@pytest.fixture(scope="session")
def build_once(build: Build, write_raw: WriteRaw, once: Any) -> Callable[..., Built]:
    """`build_once(log, *flags)`: the dataset of a made-up log, beside its files in `raw`."""

    def run(log: Shop, *flags: str) -> Built:
        def fill(directory: Path) -> None:
            made = build(directory / "dataset", log.spec, *flags, raw=write_raw(directory / "raw", log.files))
            assert made.code == 0, made.error

        return Built(once(log.spec["name"], fill) / "dataset", 0, "", "")

    return run


@pytest.fixture(scope="session")
def shop() -> Shop:
    return make_shop()


@pytest.fixture(scope="session")
def shop_dataset(shop: Shop, build_once: Callable[..., Built]) -> Built:
    return build_once(shop, "--shards", "3")


@pytest.fixture(scope="session")
def pages() -> Pages:
    return make_pages()


@pytest.fixture(scope="session")
def pages_dataset(pages: Pages, build_once: Callable[..., Built]) -> Built:
    return build_once(pages, *pages.flags, "--shards", "2")


@pytest.fixture(scope="session")
def listening() -> Listening:
    return make_listening()


@pytest.fixture(scope="session")
def listening_dataset(listening: Listening, build_once: Callable[..., Built]) -> Built:
    return build_once(listening, "--shards", "2")


@pytest.fixture(scope="session")
def listening_model(listening_dataset: Built, once: Any) -> Path:
    def fill(directory: Path) -> None:
        train.main(["--dataset", str(listening_dataset.directory), "--output", str(directory / "model")])

    return Path(once("listening model", fill) / "model")


@pytest.fixture(scope="session")
def sample(once: Any) -> Sample:
    """A run of the sample that ships, and its export."""
    return Sample(once("sample", export_sample))
