"""The mark of tests that start Spark."""

import os
import shutil

import pytest

NEEDS_JAVA = pytest.mark.skipif(
    shutil.which("java") is None and "JAVA_HOME" not in os.environ,
    reason="Spark needs Java 17 or newer: on Debian and Ubuntu, apt-get install default-jre-headless",
)
