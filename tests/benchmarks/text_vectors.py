"""The raw log of wikispeedia-links with a vector more of each article, `text`: 128 numbers made of its words.

Latent semantic analysis of title and first paragraph, by scikit-learn: no model need be downloaded. For specs with a
feature `text: {kind: vector, size: 128}`.
"""

import argparse
import gzip
import json
import shutil
from pathlib import Path

from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

SIZE = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--raw", type=Path, required=True, help="what convert wikispeedia made")
    parser.add_argument("--output", type=Path, required=True, help="a directory that isn't there yet")
    arguments = parser.parse_args()
    shutil.copytree(arguments.raw, arguments.output, ignore=shutil.ignore_patterns("manifest.json", "items-*"))
    tables = sorted(arguments.raw.glob("items-*.jsonl.gz"))
    rows = [json.loads(line) for table in tables for line in gzip.decompress(table.read_bytes()).splitlines()]
    words = TfidfVectorizer(min_df=3, sublinear_tf=True, stop_words="english")
    weights = words.fit_transform([f"{row['title']} {row['paragraph'] or ''}" for row in rows])
    vectors = TruncatedSVD(SIZE, random_state=0).fit_transform(weights).round(6).tolist()
    with gzip.open(arguments.output / "items-00000-of-00001.jsonl.gz", "wt") as file:
        file.writelines(f"{json.dumps(row | {'text': text})}\n" for row, text in zip(rows, vectors, strict=True))


if __name__ == "__main__":
    main()
