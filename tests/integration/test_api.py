"""What README shows of the use from Python."""

import re
from collections import Counter
from pathlib import Path

import pytest
from exports import Sample
from places import ROOT

from features.dataset import Dataset
from model.api import StageError, load_dataset, read_examples


def test_the_readme_s_python_runs(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo").symlink_to(sample.directory)
    (tmp_path / "exports").symlink_to(sample.directory / "export")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.M)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    said = capsys.readouterr().out
    counts = Counter(example["item_id"][0].decode() for example in sample.examples("train"))
    frequent = re.search(r"^3000 items, the most frequent in training: (.*)$", said, flags=re.M)
    assert frequent is not None
    assert counts[frequent.group(1)] == max(counts.values())
    assert "embeddings of items: (3000, 16)" in said
    best = sample.retriever.recommend("perl", top_k=3)
    assert f"{best[2].item_id} {best[2].title} {round(best[2].score, 3)}" in said
    assert "embeddings of queries: (1, 16)" in said


def test_a_split_is_read_once_in_batches(sample: Sample) -> None:
    dataset = load_dataset(str(sample.directory / "dataset"))
    batches = list(read_examples(dataset, "validation", batch_size=500))
    wanted = sample.examples("validation")
    assert [len(batch["query_id"]) for batch in batches[:-1]] == [500] * (len(wanted) // 500)
    for key in ("query_id", "item_id"):
        found = [one for batch in batches for one in batch[key].numpy().tolist()]
        assert sorted(found) == sorted(example[key][0] for example in wanted)
    found = sorted(tuple(tags) for batch in batches for tags in batch["item/debtags"].to_list())
    assert found == sorted(tuple(example.get("item/debtags", [])) for example in wanted)


def test_a_split_without_files_is_refused(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dataset, "example_files", lambda *_: [])
    dataset = load_dataset(str(sample.directory / "dataset"))
    with pytest.raises(StageError, match="dataset/test: expected examples, found no file"):
        read_examples(dataset, "test")
