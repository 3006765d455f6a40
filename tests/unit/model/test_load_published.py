from pathlib import Path

import pytest

from model.api import Retriever, StageError, load_published


def test_the_model_that_current_names_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = tmp_path / "CURRENT"
    asked = []

    def open_while_one_is_published(directory: str, *, verify: bool) -> tuple[str, bool]:
        asked.append(Path(directory).name)
        if asked == ["1"]:
            current.write_text("3\n")
        if asked[-1] != "3":
            raise StageError(f"{directory}: removed")
        return directory, verify

    monkeypatch.setattr(Retriever, "_open_whole", open_while_one_is_published)
    with pytest.raises(StageError, match="expected what publish was given as --to, found no CURRENT"):
        load_published(str(tmp_path))
    current.write_text("1\n")
    assert load_published(str(tmp_path), verify=True) == (str(tmp_path / "3"), True)
    assert asked == ["1", "3"]
    current.write_text("4\n")
    with pytest.raises(StageError, match="4: removed"):
        load_published(str(tmp_path))
    assert asked == ["1", "3", "4"]
    current.write_text("3\n")
    assert Retriever.open(str(tmp_path)) == (str(tmp_path / "3"), False)
