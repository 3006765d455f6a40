"""From entities and their pairs to vocabularies and encoded halves, by a plain loop."""

import json
import math
import re
import statistics
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest

Json = dict[str, Any]


def entities(table: bytes, id_column: str, *, side: Json) -> dict[str, Json]:
    """Id -> its raw features, cleaned."""
    found = {}
    for line in table.splitlines():
        row = json.loads(line)
        features: Json = {}
        for name, feature in side["features"].items():
            value = row.get(feature.get("column", name))
            if feature["kind"] == "multivalued":
                values = [re.sub(r"[\x00-\x1f\x7f]+", " ", part) for part in value or [] if part]
                features[name] = values if value is not None else []
            elif feature["kind"] in ("categorical", "text"):
                features[name] = re.sub(r"[\x00-\x1f\x7f]+", " ", value) if value else None
            elif feature["kind"] == "numeric":
                features[name] = value
            elif feature["kind"] == "vector":
                features[name] = [struct.unpack("f", struct.pack("f", number))[0] for number in value or []]
        found[str(row[id_column])] = features
    return found


def terms_of(id_: str, row: Json, *, name: str, feature: Json) -> list[str]:
    if feature["kind"] == "id":
        return [id_]
    value = row.get(name)
    if feature["kind"] == "text":
        return grams(value, feature.get("ngrams", [1]))
    return (value or []) if feature["kind"] == "multivalued" else [value] if value else []


def grams(text: str | None, lengths: Sequence[int] = (1, 2)) -> list[str]:
    words = re.findall(r"\w+", (text or "").replace("İ", "i").lower())
    return [" ".join(words[i : i + n]) for n in lengths for i in range(len(words) - n + 1)]


def learn(
    sides: Mapping[str, dict[str, Json]], counts: Mapping[str, Counter[str]], *, spec: Json
) -> dict[str, list[str]]:
    """Vocabulary -> its terms, the most counted first, ties from the last in the alphabet on."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    rules: dict[str, Json] = {}
    shares_items = spec["sources"]["queries"] == "items"
    item_vocabularies = {f.get("vocabulary", f"item_{n}") for n, f in spec["item"]["features"].items()}
    for side, rows in sides.items():
        for name, feature in spec[side]["features"].items():
            if feature["kind"] in ("numeric", "vector"):
                continue
            vocabulary = feature.get("vocabulary", f"{side}_{name}")
            rules[vocabulary] = feature
            for id_, row in rows.items():
                if feature["kind"] == "id":
                    counted[vocabulary][id_] += counts[side][id_]
                elif side == "query" and shares_items and vocabulary in item_vocabularies:
                    continue  # the same rows stand on both sides
                else:
                    counted[vocabulary].update(dict.fromkeys(terms_of(id_, row, name=name, feature=feature), 1))
    learned = {}
    for vocabulary, counter in counted.items():
        feature = rules[vocabulary]
        least = feature.get("min_count", 0 if feature["kind"] == "id" else 1)
        ordered = sorted(((n, term) for term, n in counter.items() if n >= least), reverse=True)
        learned[vocabulary] = [term for _, term in ordered[: feature.get("top_k")]]
    return learned


def encode(id_: str, row: Json, *, side: str, spec: Json, vocabularies: Mapping[str, list[str]], scales: Json) -> Json:
    """Key -> its list, as an example holds it; keys without a value left out."""
    half: Json = {f"{side}_id": [id_.encode()]}
    for name, feature in spec[side]["features"].items():
        if feature["kind"] == "numeric":
            if row.get(name) is not None:
                mean, deviation, log = scales[name]
                half[f"{side}/{name}"] = [pytest.approx((log(row[name]) - mean) / deviation, rel=1e-5, abs=1e-6)]
            continue
        if feature["kind"] == "vector":
            if row.get(name):
                half[f"{side}/{name}"] = row[name]
            continue
        terms = vocabularies[feature.get("vocabulary", f"{side}_{name}")]
        codes = [terms.index(term) for term in terms_of(id_, row, name=name, feature=feature) if term in terms]
        if codes:
            single = feature["kind"] in ("id", "categorical")
            half[f"{side}/{name}"] = codes[: 1 if single else feature.get("max_values", 64)]
    return half


def scales_of(items: Iterable[Json], side: Json) -> Json:
    scales = {}
    for name, feature in side["features"].items():
        if feature["kind"] == "numeric":
            log: Callable[[float], float] = math.log1p if feature.get("log1p") else float
            numbers = [log(row[name]) for row in items if row.get(name) is not None]
            scales[name] = statistics.fmean(numbers), statistics.pstdev(numbers), log
    return scales
