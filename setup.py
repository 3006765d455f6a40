"""Package metadata. In setup.py because Beam's --setup_file ships it to the workers."""

from pathlib import Path

from setuptools import find_packages, setup

TRAIN = ["keras>=3.12", "scipy>=1.15", "tensorboard>=2.19"]
SERVE = ["faiss-cpu>=1.12"]
SPARK = ["pyspark>=4.0"]
GCP = ["apache-beam[gcp]>=2.77"]
COMPARE = [*TRAIN, "matplotlib>=3.10", "optuna>=5.0"]
REPORT = [*TRAIN, "jinja2>=3.1", "matplotlib>=3.10", "scikit-learn>=1.6", "threadpoolctl>=3.5"]
DEV = [
    "codespell>=2.4",
    "hypothesis>=6.130",
    "import-linter>=2.3",
    "ir-measures>=0.4",
    "kubernetes>=35",
    "mypy>=1.18",
    "polars>=1.30",
    "pytest>=8.4",
    "pytest-xdist>=3.6",
    "ruff>=0.14",
    "scikit-learn>=1.6",
    "selenium>=4.30",
    "setuptools>=77",
    "types-PyYAML",
    "types-tqdm",
    "uv>=0.8",
]

setup(
    name="ssl-two-tower",
    version="0.1.0",
    description="Self-supervised two-tower retrieval: from raw logs to a served recommender",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["stage*", "features*", "pipelines*", "model*"]),
    package_data={"features.specs": ["*.yaml", "*.json"], "model.reporting": ["*.html", "*.css", "*.js"]},
    install_requires=[
        "apache-beam>=2.77",
        "fastavro>=1.9",
        "google-crc32c>=1.6",
        "isal>=1.7",
        "numpy>=2.2",  # the first whose savez takes allow_pickle, and doesn't store it as an array
        "orjson>=3.10",
        "pandas>=2.2.2,<2.4",  # tfx-bsl brings it and Beam imports it; the upper bound is that of Beam's extras
        "pyarrow>=17",
        "pydantic>=2.12",
        "pyyaml>=6",
        "rich>=13.9",
        "tensorflow>=2.21",
        "tensorflow-metadata>=1.21",
        "tensorflow-transform>=1.21",
        "tqdm>=4.66",
        "xxhash>=3.5",
        "zstandard>=0.23",
    ],
    extras_require={
        "train": TRAIN,
        "serve": SERVE,
        "spark": SPARK,
        "gcp": GCP,
        "compare": COMPARE,
        "report": REPORT,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["ssl-two-tower = pipelines.cli:main"]},
)
