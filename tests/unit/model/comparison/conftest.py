import pytest
from made_up_pool import Pool, run_comparison


@pytest.fixture(scope="module")
def finished(tiny_dataset, tmp_path_factory):
    """The output of a whole comparison, and what was asked."""
    output, pool = tmp_path_factory.mktemp("finished"), Pool()
    run_comparison(tiny_dataset, output, pool)
    return output, pool.asked
