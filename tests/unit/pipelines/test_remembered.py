"""What Beam is told of steps from memory is what it would find out."""

from typing import Any

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import userstate

from pipelines.beam.remembered import remember_answers

COUNT = userstate.ReadModifyWriteStateSpec("count", VarIntCoder())


class Numbered(beam.DoFn):
    def process(self, element: Any, count: Any = beam.DoFn.StateParam(COUNT)) -> Any:  # noqa: B008
        del element
        count.write((count.read() or 0) + 1)
        yield count.read()


class Plain(beam.DoFn):
    def process(self, element: Any) -> Any:
        yield element


@pytest.fixture(autouse=True)
def remembering() -> None:
    remember_answers()


def test_state_is_known_of_the_steps_that_have_it_alone() -> None:
    for _ in range(2):
        assert userstate.get_dofn_specs(Numbered()) == ({COUNT}, set())
        assert userstate.get_dofn_specs(Plain()) == (set(), set())
    borrowed = Plain()
    borrowed.step = Numbered().process  # type: ignore[attr-defined]
    assert userstate.get_dofn_specs(borrowed) == ({COUNT}, set())


def test_steps_with_state_run() -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        keyed = pipeline | beam.Create([("a", 1), ("a", 2), ("a", 3)])
        assert_that(keyed | beam.ParDo(Numbered()), equal_to([1, 2, 3]))
