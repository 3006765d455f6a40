import fcntl

import pytest

from model.compare import main
from model.comparison.peer_environments import models_in
from model.comparison.variants import default_names
from stage.errors import StageError, UsageError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variants", "plain,cmf"], "--variants: no variant 'cmf'; did you mean 'cfm'"),
        (["--protocol", "paper,tune"], "--protocol: no protocol 'tune'; did you mean 'tuned'"),
        (["--train-fraction", "1,0"], "--train-fraction: expected shares above 0, up to 1, .* got '1,0'"),
        (["--train-fraction", "half"], "--train-fraction: expected shares"),
        (["--seeds", "0"], "argument --seeds: invalid"),
        (
            ["--variants", "plain,implicit-als"],
            r"--variants: implicit-als needs --peers, and there \.peers/implicit/bin/python",
        ),
        (["--peers", "none"], "--peers: expected implicit or librecommender in the directory none, found neither"),
        (["--set", "ssl.alhpa=1"], "ssl.alhpa: no such key; did you mean 'alpha'"),
    ],
)
def test_wrong_use_is_said_before_anything_is_started(arguments, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        main(["--spec", "debian", "--raw", "none", "--output", str(tmp_path / "out"), *arguments])
    assert not (tmp_path / "out").exists()


def test_of_two_peers_one_may_be_there(tmp_path):
    python = tmp_path / "peers/implicit/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    peers = models_in(str(tmp_path / "peers"))
    assert peers == {"als", "bpr"}
    assert default_names(peers=peers)[-2:] == ["implicit-als", "implicit-bpr"]
    options = ["--peers", str(tmp_path / "peers"), "--variants", "librecommender-cfm"]
    with pytest.raises(UsageError, match=r"librecommender-cfm needs .*/peers/librecommender/bin/python; make peers"):
        main(["--spec", "debian", "--raw", "none", "--output", str(tmp_path / "out"), *options])


def test_logs_of_users_are_refused(tmp_path):
    with pytest.raises(UsageError, match="expected one without a section session, got wikispeedia-sessions"):
        main(["--spec", "wikispeedia-sessions", "--output", str(tmp_path)])


def test_tables_of_nothing_are_an_error(tmp_path):
    with pytest.raises(StageError, match=f"^{tmp_path}/studies: expected stored trainings, found none"):
        main(["--spec", "debian", "--output", str(tmp_path), "--tables-only"])


def test_a_second_comparison_in_the_same_output_is_refused(tmp_path):
    with open(tmp_path / ".lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StageError, match=f"^{tmp_path}: another comparison works there"):
            main(["--spec", "debian", "--output", str(tmp_path), "--tables-only"])
