"""A made-up app store: items whose features depend on each other, and queries (users) with tastes.

A developer mostly keeps to one category; the category decides the tags, most words and the size; the price depends on
little. Popularity falls with rank as a power law; a tenth of the items is cold, never drawn.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.ranges import offsets

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

# fmt: off
CATEGORIES = [
    "action", "adventure", "arcade", "art", "beauty", "board", "books", "business", "card", "cars", "casino",
    "comics", "dating", "education", "events", "family", "finance", "fitness", "food", "house", "lifestyle", "maps",
    "medical", "music", "news", "parenting", "photo", "puzzle", "racing", "shopping", "social", "travel",
]
COUNTRIES = ["br", "cn", "de", "fr", "gb", "id", "in", "jp", "kr", "mx", "tr", "us"]
LANGUAGES = ["pt", "zh", "de", "fr", "en", "id", "hi", "ja", "ko", "es", "tr", "en"]
"""Of each country."""
DEVICES = ["laptop", "phone_large", "phone_small", "tablet", "tv", "watch"]
# fmt: on

COLD_SHARE = 0.1
POPULARITY_EXPONENT = 1.0
ITEMS_PER_DEVELOPER = 10
KEEPS_TO_CATEGORY = 0.9
"""Probability that an item is of its developer's main category."""
TAGS_OF_CATEGORY, TAGS_OF_ALL = 8, 16
WORDS_OF_CATEGORY, WORDS_OF_ALL = 60, 2_000
PRICES = np.array([0.0, 0.99, 1.99, 2.99, 4.99, 9.99])
TASTES = 24
"""Groups of queries that like the same three categories."""


@dataclass(frozen=True)
class Items:
    """The item table.

    Lengths: M items. The lists are one per item.
    """

    developer: Ints
    category: Ints
    """[M], into CATEGORIES."""
    tags: pa.ListArray
    title: pa.ListArray
    """Words."""
    description: pa.ListArray
    """Words."""
    price: Floats
    """[M], dollars."""
    size: Ints
    """[M], KiB."""
    popularity: Floats
    """[M], proportional to how often the item is drawn in its category; 0: cold."""

    @property
    def developers(self) -> int:
        """How many there may be."""
        return int(self.developer.max()) + 1


@dataclass(frozen=True)
class Queries:
    """The query table.

    Lengths: Q queries.
    """

    country: Ints
    """[Q], into COUNTRIES and LANGUAGES."""
    device: Ints
    """[Q], into DEVICES."""
    liked: Ints
    """[Q, 3], categories, the favourite first."""
    activity: Floats
    """[Q], proportional to how often the query interacts."""


def make_items(count: int, rng: np.random.Generator) -> Items:
    """Makes M = `count` items."""
    developers = max(1, count // ITEMS_PER_DEVELOPER)
    main_category = _draw(power_law(len(CATEGORIES), 0.5), developers, rng=rng)
    developer = _draw(power_law(developers, 0.5), count, rng=rng)
    elsewhere = rng.random(count) >= KEEPS_TO_CATEGORY
    category = np.where(elsewhere, rng.integers(len(CATEGORIES), size=count), main_category[developer])
    popularity = rng.permutation(power_law(count, POPULARITY_EXPONENT))
    popularity[rng.permutation(count)[: round(count * COLD_SHARE)]] = 0.0
    paid = rng.uniform(0.1, 0.4, size=len(CATEGORIES))[category] > rng.random(count)
    size_of_category = rng.uniform(7.0, 13.0, size=len(CATEGORIES))
    return Items(
        developer=developer,
        category=category,
        tags=_tags(category, rng),
        title=_title(developer, category, rng=rng),
        description=_description(category, rng),
        price=np.where(paid, PRICES[rng.integers(1, len(PRICES), size=count)], 0.0),
        size=np.exp(rng.normal(size_of_category[category], 0.6)).astype(np.int64) + 1,
        popularity=popularity,
    )


def make_queries(count: int, rng: np.random.Generator) -> Queries:
    """Makes Q = `count` queries. Those of one taste like the same categories and mostly live in two countries."""
    liked = np.stack([rng.permutation(len(CATEGORIES))[:3] for _ in range(TASTES)])
    homes = rng.integers(len(COUNTRIES), size=(TASTES, 2))
    taste = rng.integers(TASTES, size=count)
    at_home = rng.random(count) < 0.8
    home = homes[taste, rng.integers(2, size=count)]
    return Queries(
        country=np.where(at_home, home, rng.integers(len(COUNTRIES), size=count)),
        device=_draw(power_law(len(DEVICES), 1.0), count, rng=rng),
        liked=liked[taste],
        activity=rng.permutation(power_law(count, 0.5)),
    )


def power_law(count: int, exponent: float) -> Floats:
    """Weights rank^-exponent, [count]."""
    return np.arange(1, count + 1, dtype=np.float64) ** -exponent


def _draw(weights: Floats, count: int, *, rng: np.random.Generator) -> Ints:
    """Draws `count` indices in proportion to the weights."""
    cumulative = np.cumsum(weights)
    drawn = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    return np.minimum(drawn, len(weights) - 1)


def _tags(category: Ints, rng: np.random.Generator) -> pa.ListArray:
    """One to three tags of the category, and for every other item one of those that all categories share."""
    own = [f"{name}-{word(n)}" for name in CATEGORIES for n in range(TAGS_OF_CATEGORY)]
    shared = [f"any-{word(n)}" for n in range(TAGS_OF_ALL)]
    first = category * TAGS_OF_CATEGORY + rng.integers(TAGS_OF_CATEGORY, size=len(category))
    block = category * TAGS_OF_CATEGORY
    step = 1 + 2 * rng.integers(TAGS_OF_CATEGORY // 2, size=len(category))  # odd: the tags of an item differ
    picked = [block + (first - block + k * step) % TAGS_OF_CATEGORY for k in range(3)]
    picked.append(len(own) + rng.integers(TAGS_OF_ALL, size=len(category)))
    wanted = rng.integers(1, 4, size=len(category))
    kept = [wanted > 0, wanted > 1, wanted > 2, rng.random(len(category)) < 0.5]
    return _lists(np.stack(picked, axis=1), np.stack(kept, axis=1), vocabulary=own + shared)


def _title(developer: Ints, category: Ints, *, rng: np.random.Generator) -> pa.ListArray:
    """The developer's brand and one or two words of the category."""
    vocabulary = _words_of_categories() + [brand(n) for n in range(int(developer.max()) + 1)]
    of_developer = len(CATEGORIES) * WORDS_OF_CATEGORY + developer
    picked = np.column_stack([of_developer, *(_word_of_category(category, rng) for _ in range(2))])
    kept = np.ones_like(picked, dtype=bool)
    kept[:, 2] = rng.random(len(category)) < 0.5
    return _lists(picked, kept, vocabulary=vocabulary)


def _description(category: Ints, rng: np.random.Generator) -> pa.ListArray:
    """Six to twelve words, three in five of them of the category."""
    vocabulary = _words_of_categories() + [word(5_000 + n) for n in range(WORDS_OF_ALL)]
    columns = []
    for _ in range(12):
        general = len(CATEGORIES) * WORDS_OF_CATEGORY + _draw(power_law(WORDS_OF_ALL, 1.0), len(category), rng=rng)
        columns.append(np.where(rng.random(len(category)) < 0.6, _word_of_category(category, rng), general))
    picked = np.column_stack(columns)
    kept = np.arange(12) < rng.integers(6, 13, size=len(category))[:, None]
    return _lists(picked, kept, vocabulary=vocabulary)


def _words_of_categories() -> list[str]:
    return [word(100 + n) for n in range(len(CATEGORIES) * WORDS_OF_CATEGORY)]


def _word_of_category(category: Ints, rng: np.random.Generator) -> Ints:
    return category * WORDS_OF_CATEGORY + _draw(power_law(WORDS_OF_CATEGORY, 0.8), len(category), rng=rng)


def _lists(picked: Ints, kept: npt.NDArray[np.bool_], *, vocabulary: list[str]) -> pa.ListArray:
    """The kept entries of each row of [M, n] indices into a vocabulary, as M lists of strings."""
    bounds = offsets(kept.sum(axis=1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(bounds), pa.array(vocabulary).take(pa.array(picked[kept])))


def brand(developer: int) -> str:
    """A developer's name, which begins the titles of its items."""
    return word(10_000 + developer)


_SYLLABLES = [consonant + vowel for consonant in "bdfgjklmnprstvz" for vowel in "aeiou"]


def word(number: int) -> str:
    """A word one can say, another for each number."""
    syllables = [_SYLLABLES[number % len(_SYLLABLES)]]
    while number := number // len(_SYLLABLES):
        syllables.append(_SYLLABLES[number % len(_SYLLABLES)])
    return "".join(syllables)
