"""Steps that know no engine, as steps of a Beam job: what they give of a kind is an output by that name."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any, Protocol

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.aggregation.elements import Element
from pipelines.aggregation.in_threads import InThreads
from pipelines.aggregation.packing import Keyed


class Step(Protocol):
    """What holds something from one element to the next."""

    @property
    def add(self) -> Callable[..., Iterable[Any]]:
        """Takes an element; gives what has to go on."""

    def end(self) -> Iterable[Any]:
        """Gives what is left."""


def outputs(work: Callable[..., Iterable[Element]], *kinds: str, **aside: Any) -> beam.PTransform:
    """What work gives of each element, by kind.

    Args:
        work: Takes an element.
        kinds: Those that it may give.
        aside: Side inputs, by work's names for them.
    """
    return _by_kind(beam.FlatMap(_work, work, **aside), kinds)


def outputs_in_bundles(begin: Callable[[], Step], *kinds: str, **aside: Any) -> beam.PTransform:
    """As `outputs`, of a step that holds something as long as a bundle lasts.

    Args:
        begin: Begins it.
        kinds: Those that it may give.
        aside: Side inputs, by the step's names for them.
    """
    return _by_kind(beam.ParDo(InBundles(begin), **aside), kinds)


def outputs_in_threads(work: Callable[..., Iterable[Element]], *kinds: str, **aside: Any) -> beam.PTransform:
    """As `outputs`, in threads: what comes of an element may be given with a later one, or at the end."""
    return outputs_in_bundles(partial(_InThreads, work), *kinds, **aside)


class InBundles(beam.DoFn):
    """A step that is begun with each bundle, and at its end is asked for the rest."""

    def __init__(self, begin: Callable[[], Step]) -> None:
        self._begin = begin

    def start_bundle(self) -> None:
        """Begins anew."""
        self._step = self._begin()

    def process(self, element: Any, **aside: Any) -> Iterable[Any]:
        """Hands an element on."""
        return map(_tagged, self._step.add(element, **aside))

    def finish_bundle(self) -> Iterator[WindowedValue | TaggedOutput]:
        """Gives what is left, of which Beam wants to know the window."""
        for given in map(_tagged, self._step.end()):
            if isinstance(given, TaggedOutput):
                yield TaggedOutput(given.tag, GlobalWindows.windowed_value(given.value))
            else:
                yield GlobalWindows.windowed_value(given)


class _InThreads:
    def __init__(self, work: Callable[..., Iterable[Element]]) -> None:
        self._work, self._parts = work, InThreads[list[Element]]()

    def add(self, element: Any, **aside: Any) -> Iterator[Element]:
        yield from chain.from_iterable(self._parts.begin(lambda: [*self._work(element, **aside)]))

    def end(self) -> Iterator[Element]:
        return chain.from_iterable(self._parts.end())


def _work(element: Any, work: Callable[..., Iterable[Element]], **aside: Any) -> Iterable[Any]:
    return map(_tagged, work(element, **aside))


def _tagged(given: Any) -> Any:
    return TaggedOutput(*given) if isinstance(given, Element) else given


def _by_kind(step: beam.ParDo, kinds: tuple[str, ...]) -> beam.PTransform:
    return step.with_output_types(Keyed, **dict.fromkeys(kinds, Keyed)).with_outputs(*kinds)
