"""Airflow, in its own environment, with a home and a folder of DAGs for each worker."""

import pytest
from airflow_home import ROOT, Airflow


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Airflow with the DAG in its folder."""
    if not (ROOT / ".airflow" / ".ready").exists():
        pytest.skip("needs Airflow: make airflow")
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    (home / "dags" / "retraining").symlink_to(ROOT / "pipelines" / "retraining")
    return Airflow(home)
