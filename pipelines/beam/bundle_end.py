"""What a step gives when its bundle ends, which Beam wants to know the window of."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

Last: TypeAlias = WindowedValue | TaggedOutput
"""An element of the main output, or of another."""


def give_last(elements: Iterable[Any]) -> Iterator[Last]:
    """The elements as `finish_bundle` has to give them."""
    for element in elements:
        if isinstance(element, TaggedOutput):
            yield TaggedOutput(element.tag, GlobalWindows.windowed_value(element.value))
        else:
            yield GlobalWindows.windowed_value(element)
