import base64
import re

from model.reporting.training_curves import CURVES, draw_curves


def texts(picture: str) -> list[str]:
    return re.findall("<text[^>]*>([^<]*)</text>", base64.b64decode(picture.partition(",")[2]).decode())


def test_a_curve_has_a_line_for_each_model_that_has_numbers_for_it() -> None:
    plain = [{"step": step, "main_loss": 2.0, "ssl_loss": 0.0, "recall@10": None} for step in (8, 16)]
    ours = [{"step": step, "main_loss": 1.0, "ssl_loss": 3.0, "recall@10": None} for step in (8, 16)]
    drawn = draw_curves({"plain": plain, "ours": ours})
    # Nothing is drawn that nobody has, and no loss of a task that a model doesn't have.
    assert list(drawn) == [CURVES["main_loss"], CURVES["ssl_loss"]]
    named = [[text for text in texts(picture) if text in ("plain", "ours")] for picture in drawn.values()]
    assert named == [["plain", "ours"], []]
    assert draw_curves({"plain": plain}).keys() == {CURVES["main_loss"]}
