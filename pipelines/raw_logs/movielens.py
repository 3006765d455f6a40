"""MovieLens as rows: users with what is known of them, movies, and ratings.

A query is a user, an item a movie; ids are the files' own. GroupLens's ml-100k and ml-1m, and RecBole's copy of the
former, are three files each, which differ in names, order and separators. Ratings of a user or a movie that is in no
file are left out and counted, as is what can't be parsed.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pipelines.raw_logs.left_out import LeftOut
from pipelines.raw_logs.public_files import find_file, read_lines, required_file
from pipelines.raw_logs.seconds import as_seconds
from stage.errors import StageError

Row: TypeAlias = dict[str, Any]

_STARS = {"1", "2", "3", "4", "5"}
_AGE = re.compile(r"\d{1,3}")
_YEAR = re.compile(r"\((\d{4})\)")
# fmt: off
_GENRES_OF_100K = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]
# fmt: on


@dataclass(frozen=True)
class Table:
    """A file of an archive."""

    name: str
    separator: str
    columns: int
    to_row: Callable[[Sequence[str]], Row | None]
    """Its values -> the row that is written, None if one of them is none."""
    has_header: bool = False


@dataclass(frozen=True)
class Archive:
    """Files that are packed together."""

    name: str
    ratings: Table
    users: Table
    movies: Table

    @property
    def tables(self) -> tuple[Table, Table, Table]:
        """Its files."""
        return self.ratings, self.users, self.movies


def _rating(values: Sequence[str]) -> Row | None:
    user, movie, stars, seconds = values
    when = as_seconds(seconds)
    if stars not in _STARS or when is None:
        return None
    return {"query_id": user, "item_id": movie, "rating": int(stars), "timestamp": when}


def _user(*, user: str, age: str, gender: str, occupation: str, zip_code: str) -> Row | None:
    """A user; of the zip code the first character alone, since hardly two users share a whole one."""
    if not _AGE.fullmatch(age):
        return None
    return {"user_id": user, "age": int(age), "gender": gender, "occupation": occupation, "region": zip_code[:1]}


def _user_of_100k(values: Sequence[str]) -> Row | None:
    user, age, gender, occupation, zip_code = values
    return _user(user=user, age=age, gender=gender, occupation=occupation, zip_code=zip_code)


def _movie(*, movie: str, title: str, genres: list[str]) -> Row:
    """A movie; its year stands in parentheses behind most titles."""
    years = _YEAR.findall(title)
    return {"item_id": movie, "title": title, "year": int(years[-1]) if years else None, "genres": genres}


def _movie_of_100k(values: Sequence[str]) -> Row | None:
    movie, title, _release_date, _video_release_date, _url, *flags = values
    if set(flags) - {"0", "1"}:
        return None
    genres = [genre for genre, flag in zip(_GENRES_OF_100K, flags, strict=True) if flag == "1"]
    return _movie(movie=movie, title=title, genres=genres)


def _movie_of_recbole(values: Sequence[str]) -> Row:
    movie, title, year, genres = values
    return _movie(movie=movie, title=f"{title} ({year})" if year else title, genres=genres.split(" "))


ARCHIVES = (
    Archive(
        "GroupLens's ml-100k",
        ratings=Table("u.data", "\t", 4, _rating),
        users=Table("u.user", "|", 5, _user_of_100k),
        movies=Table("u.item", "|", 5 + len(_GENRES_OF_100K), _movie_of_100k),
    ),
    Archive(
        "GroupLens's ml-1m",
        ratings=Table("ratings.dat", "::", 4, _rating),
        users=Table(
            "users.dat", "::", 5, lambda v: _user(user=v[0], gender=v[1], age=v[2], occupation=v[3], zip_code=v[4])
        ),
        movies=Table("movies.dat", "::", 3, lambda v: _movie(movie=v[0], title=v[1], genres=v[2].split("|"))),
    ),
    Archive(
        "RecBole's ml-100k",
        ratings=Table("ml-100k.inter", "\t", 4, _rating, has_header=True),
        users=Table("ml-100k.user", "\t", 5, _user_of_100k, has_header=True),
        movies=Table("ml-100k.item", "\t", 4, _movie_of_recbole, has_header=True),
    ),
)
NAMES = "GroupLens's ml-100k or ml-1m, or RecBole's ml-100k"


def find_archive(directory: str) -> tuple[Archive, dict[str, str]]:
    """Which archive a directory holds, and the paths of its files, by name.

    Raises:
        StageError: If it holds none, or lacks one of its files.
    """
    for archive in ARCHIVES:
        if find_file(directory, archive.ratings.name):
            of_table = {table.name: required_file(directory, table.name, of=archive.name) for table in archive.tables}
            return archive, of_table
    if find_file(directory, "ratings.csv"):
        raise StageError(
            f"{directory}: expected {NAMES}, found ratings.csv, which needs no conversion: a spec can name "
            "it and movies.csv (docs/data.md, Ratings and clicks)"
        )
    names = ", ".join(archive.ratings.name for archive in ARCHIVES)
    raise StageError(f"{directory}: expected one of {names}, of {NAMES}, found none")


def read_rows(path: str, table: Table, *, left_out: LeftOut) -> Iterator[tuple[str, Row]]:
    """Reads a file of an archive.

    Args:
        path: The file.
        table: Which one it is.
        left_out: Counts lines with another number of values, an empty id, or a value that is none of its kind.

    Yields:
        File and line, and the row.

    Raises:
        StageError: If the file can't be read.
    """
    name = os.path.basename(path)
    for number, content in read_lines(path):
        if not content or (number == 1 and table.has_header):
            continue
        place, values = f"{name}:{number}", _text(content).split(table.separator)
        if len(values) != table.columns:
            left_out.add("malformed_line", f"{place}: expected {table.columns} values, got {len(values)}")
        elif not values[0] or (row := table.to_row(values)) is None:
            left_out.add("malformed_line", f"{place}: {table.separator.join(values)[:80]}")
        else:
            yield place, row


def _text(content: bytes) -> str:
    """A line as text: the archives are in Latin-1, copies of them in UTF-8 too."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


def entities(path: str, table: Table, *, left_out: LeftOut) -> list[Row]:
    """Users or movies, each once; repeated ones are counted.

    Raises:
        StageError: If the file can't be read.
    """
    found: dict[str, Row] = {}
    for place, row in read_rows(path, table, left_out=left_out):
        own = next(iter(row.values()))
        if own in found:
            left_out.add("repeated_id", f"{place}: {own}")
        else:
            found[own] = row
    return list(found.values())


def ratings(
    path: str, table: Table, *, users: Collection[str], movies: Collection[str], left_out: LeftOut
) -> Iterator[Row]:
    """Ratings of known movies by known users, in the order of the file.

    Raises:
        StageError: If the file can't be read.
    """
    for place, row in read_rows(path, table, left_out=left_out):
        if row["query_id"] not in users:
            left_out.add("rating_by_unknown_user", f"{place}: {row['query_id']}")
        elif row["item_id"] not in movies:
            left_out.add("rating_of_unknown_movie", f"{place}: {row['item_id']}")
        else:
            yield row
