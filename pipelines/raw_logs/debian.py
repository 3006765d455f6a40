"""A Debian Packages index as rows: which source packages need which others (the paper's app-to-app task on real data).

Query and item are source packages; an id is the source's name, without version. An interaction is the first
alternative of a Depends, Pre-Depends, Recommends or Suggests of one of the source's binary packages, where it names a
binary package of another source; its event is the kind of relation. Two binaries of one source may need the same: the
lines then repeat, as in the index, and build-dataset drops them.

Left out and counted: relations within a source, names that no package has (virtual ones among them), and what can't be
parsed. Maintainers become digests, whatever they were before: a name is a person's.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from pipelines.raw_logs.left_out import LeftOut
from pipelines.raw_logs.public_files import read_lines

Row: TypeAlias = dict[str, Any]

RELATIONS = {"Depends": "depends", "Pre-Depends": "pre_depends", "Recommends": "recommends", "Suggests": "suggests"}
"""Field of a package -> event."""
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9+.\-]*")
_BRACES = re.compile(r"([^\s,{}]*)\{([^}]*)\}")
_BETWEEN_WORDS = re.compile(r"[-_.+]+")


class Package(NamedTuple):
    """A binary package."""

    place: str
    """File and line where it starts."""
    name: str
    source: str
    fields: dict[str, str]
    """Field -> value; the lines of a longer value joined by spaces."""


def read_packages(path: str, left_out: LeftOut) -> list[Package]:
    """Reads an index: paragraphs of `Field: value`, apart by empty lines; a line that starts with a space goes on.

    Args:
        path: Packages, plain or compressed.
        left_out: Counts malformed lines, paragraphs without a package's name, and further versions of a package.

    Raises:
        StageError: If the file can't be read.
    """
    packages: dict[str, Package] = {}
    for place, fields in _paragraphs(path, left_out):
        name = fields.get("Package", "")
        if not _NAME.fullmatch(name):
            left_out.add("paragraph_without_package", place)
        elif name in packages:
            left_out.add("further_version_of_package", f"{place}: {name}")
        else:
            source = fields.get("Source", name).partition(" ")[0]
            packages[name] = Package(place, name, source, fields)
    return list(packages.values())


def _paragraphs(path: str, left_out: LeftOut) -> Iterator[tuple[str, dict[str, str]]]:
    file = os.path.basename(path)
    fields: dict[str, str] = {}
    start, last = "", ""
    for number, content in read_lines(path):
        if not content.strip():
            if fields:
                yield start, fields
            fields, last = {}, ""
            continue
        try:
            line = content.decode()
        except UnicodeDecodeError:
            left_out.add("malformed_line", f"{file}:{number}: not UTF-8")
            last = ""
            continue
        name, colon, value = line.partition(":")
        if line[0] in " \t" and last:
            fields[last] += f" {line.strip()}"
        elif line[0] not in " \t" and colon:
            if not fields:
                start = f"{file}:{number}"
            last = name
            fields[last] = value.strip()
        else:
            left_out.add("malformed_line", f"{file}:{number}: expected Field: value")
            last = ""
    if fields:
        yield start, fields


def interactions(packages: Sequence[Package], left_out: LeftOut) -> Iterator[Row]:
    """Interaction rows, in the order of the index."""
    source_of = {package.name: package.source for package in packages}
    for package in packages:
        for field, event in RELATIONS.items():
            for relation in filter(str.strip, package.fields.get(field, "").split(",")):
                place = f"{package.place}: {package.name} {field}"
                name = _NAME.match(relation.strip())
                if name is None:
                    left_out.add("malformed_relation", f"{place} {relation.strip()}")
                elif (item := source_of.get(name.group())) is None:
                    left_out.add("relation_to_unknown_package", f"{place} {name.group()}")
                elif item == package.source:
                    left_out.add("relation_within_source", f"{place} {name.group()}")
                else:
                    yield {"query_id": package.source, "item_id": item, "event": event}


def items(packages: Sequence[Package], left_out: LeftOut) -> Iterator[Row]:
    """Item rows, one per source package, by name.

    Yields:
        item_id; title (the name); section, maintainer, homepage_host (the commonest of its binaries; None if none has
        one); debtags (sorted); name_words, description_words (text; the distinct synopses of its binaries);
        installed_size (KiB, the sum of its binaries; None if none has one).
    """
    binaries: dict[str, list[Package]] = {}
    for package in packages:
        binaries.setdefault(package.source, []).append(package)
    for source in sorted(binaries):
        fields = [package.fields for package in binaries[source]]
        hosts = [_host(package, left_out) for package in binaries[source]]
        sizes = [_size(package, left_out) for package in binaries[source]]
        known_sizes = [size for size in sizes if size is not None]
        yield {
            "item_id": source,
            "title": source,
            "section": _commonest(f.get("Section") for f in fields),
            "maintainer": _commonest(_digest(f.get("Maintainer")) for f in fields),
            "homepage_host": _commonest(hosts),
            "debtags": sorted({tag for f in fields for tag in tags(f.get("Tag", ""))}),
            "name_words": _BETWEEN_WORDS.sub(" ", source).strip(),
            "description_words": ". ".join(dict.fromkeys(f["Description"] for f in fields if f.get("Description"))),
            "installed_size": sum(known_sizes) if known_sizes else None,
        }


def tags(value: str) -> list[str]:
    """Debtags of a Tag field; `use::{editing, viewing}`, as old releases write it, is two."""
    whole = _BRACES.sub(lambda m: ", ".join(m[1] + tag.strip() for tag in m[2].split(",")), value)
    return [tag for tag in (part.strip() for part in whole.split(",")) if tag]


def _commonest(values: Iterable[str | None]) -> str | None:
    """The most frequent value, the first in the alphabet of several."""
    counts = Counter(value for value in values if value)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else None


def _digest(maintainer: str | None) -> str | None:
    return hashlib.sha256(maintainer.encode()).hexdigest()[:12] if maintainer else None


def _host(package: Package, left_out: LeftOut) -> str | None:
    url = package.fields.get("Homepage")
    if not url:
        return None
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if host is None:
        left_out.add("malformed_homepage", f"{package.place}: {package.name} {url}")
    return host


def _size(package: Package, left_out: LeftOut) -> int | None:
    size = package.fields.get("Installed-Size")
    if size is None:
        return None
    if not size.isdecimal():
        left_out.add("malformed_installed_size", f"{package.place}: {package.name} {size}")
        return None
    return int(size)
