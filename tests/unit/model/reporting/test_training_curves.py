import base64
import re

import numpy as np
import pytest

from model.reporting.training_curves import CURVES, draw_curves


def svg(picture: str) -> str:
    return base64.b64decode(picture.partition(",")[2]).decode()


def texts(picture: str) -> list[str]:
    return re.findall("<text[^>]*>([^<]*)</text>", svg(picture))


def test_a_line_goes_through_its_steps_and_their_numbers() -> None:
    history = [{"step": 8, "main_loss": 3.0}, {"step": 16, "main_loss": 1.0}, {"step": 32, "main_loss": 2.0}]
    (picture,) = draw_curves({"ours": history}).values()
    (line,) = re.findall(r'<path d="M ([^"]*)" clip-path="[^"]*" style="[^"]*stroke-width: 1.5', svg(picture))
    across, down = np.array(line.replace("L", "").split(), float).reshape(-1, 2).T
    np.testing.assert_allclose((across - across[0]) / (across[2] - across[0]), [0, 1 / 3, 1], atol=1e-4)
    np.testing.assert_allclose((down - down[0]) / (down[1] - down[0]), [0, 1, 0.5], atol=1e-4)
    assert down[1] > down[0]  # where the loss is lower


def test_a_curve_has_a_line_for_each_model_that_has_numbers_for_it() -> None:
    plain = [{"step": step, "main_loss": 2.0, "ssl_loss": 0.0, "recall@10": None} for step in (8, 16)]
    ours = [{"step": step, "main_loss": 1.0, "ssl_loss": 3.0, "recall@10": None} for step in (8, 16)]
    drawn = draw_curves({"plain": plain, "ours": ours})
    # Nothing is drawn that nobody has, and no loss of a task that a model doesn't have.
    assert list(drawn) == [CURVES["main_loss"], CURVES["ssl_loss"]]
    named = [[text for text in texts(picture) if text in ("plain", "ours")] for picture in drawn.values()]
    assert named == [["plain", "ours"], []]
    hidden = draw_curves({"plain": plain, "_ours": ours})[CURVES["main_loss"]]
    assert [text for text in texts(hidden) if "plain" in text or "ours" in text] == ["plain", "\u200b_ours"]
    assert draw_curves({"plain": plain}).keys() == {CURVES["main_loss"]}


def test_a_name_is_shown_as_it_is_whatever_glyphs_matplotlib_has(recwarn: pytest.WarningsRecorder) -> None:
    history = [{"step": 8, "main_loss": 3.0}]
    (picture,) = draw_curves({"a$x$": history, "\u6a21\u578b": history}).values()
    assert {"a$x$", "\u6a21\u578b"} <= set(texts(picture))
    assert recwarn.list == []
