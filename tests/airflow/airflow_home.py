"""Airflow, in its own environment, with a home and a folder of DAGs for each test file."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VARIABLE = "SSL_TWO_TOWER_RETRAINING"


@dataclass(frozen=True)
class Airflow:
    """An installation with a database of its own."""

    home: Path

    def run(
        self, *command: str, variable: dict[str, Any] | None = None, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program of Airflow's environment.

        Args:
            command: Its name and arguments.
            variable: What the Airflow variable holds.
            stdin: What it reads.
            check: Fail if it fails.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",  # seconds, of a machine that does more
            f"AIRFLOW_VAR_{VARIABLE}": json.dumps(variable or {}),
        }
        found = subprocess.run(
            [ROOT / ".airflow" / "bin" / command[0], *command[1:]],
            env=environment,
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
        return found
