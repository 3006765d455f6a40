"""What is converted of MovieLens can be built by its shipped spec, with what is known of users and movies."""

from pathlib import Path
from typing import Any

import yaml

import features.specs
from pipelines.raw_logs import convert

SPEC = Path(features.specs.__file__).with_name("movielens.yaml")


def test_good_ratings_are_pairs_of_users_and_movies(build: Any, tmp_path: Path) -> None:
    archive = tmp_path / "ml-1m"
    archive.mkdir()
    users = [f"{n}::{'FM'[n % 2]}::{18 + n % 3}::{n % 5}::{n % 10}2345" for n in range(30)]
    movies = [f"{n}::Movie {n} ({1990 + n % 4})::{'Drama|War' if n % 2 else 'Drama'}" for n in range(20)]
    # Every user rates every movie once, with 1 to 5 stars: 600 ratings, 240 of them with 4 or 5.
    ratings = [f"{u}::{m}::{1 + (u + m) % 5}::{978300760 + u}" for u in range(30) for m in range(20)]
    for name, lines in (("users", users), ("movies", movies), ("ratings", ratings)):
        (archive / f"{name}.dat").write_text("\n".join(lines))
    raw = tmp_path / "raw"
    convert.main(["movielens", "--input", str(archive), "--output", str(raw)])
    built = build(tmp_path / "dataset", yaml.safe_load(SPEC.read_text()), raw=raw)
    assert built.code == 0, built.error
    assert "warning" not in built.stderr
    counts = built.manifest["counts"]
    assert (counts["lines/read"], counts["filtered/not_positive"]) == (600, 360)
    assert sum(counts[f"examples/{split}"] for split in ("train", "validation", "test")) == 240
    user = built.entities("queries")["7"]
    known = {"age": 19, "gender": "M", "occupation": "2", "region": "7"}
    assert {name: user[f"feature/{name}"] for name in known} == known
    assert built.entities("items")["7"]["feature/genres"] == ["Drama", "War"]
    assert sorted(built.vocabulary("item_genres")) == ["Drama", "War"]
    assert built.manifest["counts"]["items"] == 20
