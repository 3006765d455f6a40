"""What every command line does: exit codes, one line of error, quiet logs."""

import gc
import os
import re
import select
import signal
import subprocess
import sys

import pytest

from stage.command_line import run_command
from stage.errors import Interrupted, StageError, UsageError
from stage.parser import Parser


def test_garbage_is_collected_seldom() -> None:
    before, found = gc.get_threshold(), []
    gc.set_threshold(700, 10, 10)
    try:
        assert run_command(lambda _: found.append(gc.get_threshold()), []) == 0
    finally:
        gc.set_threshold(*before)
    assert found == [(10_000, 20, 20)]


def raising(error):
    def body(argv):
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (StageError("it broke"), 1, "error: it broke\n"),
        (UsageError("so not"), 2, "error: so not\n"),
        (Interrupted("later"), 75, "error: later\n"),
        (KeyboardInterrupt(), 75, "error: interrupted; the same command starts again where that is possible\n"),
        (FileNotFoundError(2, "No such file or directory", "/a/b"), 1, "error: /a/b: No such file or directory\n"),
        (OSError("disk is odd"), 1, "error: disk is odd\n"),
        (SystemExit(0), 0, ""),
        (SystemExit(3), 3, ""),
        (SystemExit("a text"), 1, ""),
    ],
)
def test_an_error_is_one_line_on_stderr_and_an_exit_code(capsys, error, code, message):
    assert run_command(raising(error), []) == code
    assert capsys.readouterr() == ("", message)


def test_a_command_gets_its_arguments_and_leaves_0(capsys):
    seen = []
    assert run_command(seen.append, ["--a", "b"]) == 0
    assert seen == [["--a", "b"]]
    assert capsys.readouterr() == ("", "")


def test_a_defect_of_ours_is_no_one_liner():
    with pytest.raises(ZeroDivisionError):
        run_command(raising(ZeroDivisionError()), [])


@pytest.mark.parametrize("kind", [StageError, OSError])
def test_verbose_shows_the_traceback_and_the_line(capsys, kind):
    assert run_command(raising(kind("it broke")), ["--verbose"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: it broke\n")


@pytest.mark.parametrize(
    ("arguments", "is_verbose"),
    [
        (["--verbose", "source"], True),
        (["source", "--verbose"], True),
        (["--verbose=true", "source"], True),
        (["source", "--verbose=True"], True),
        (["--verbose=false", "source"], False),
        (["source"], False),
    ],
)
def test_verbose_is_a_switch_as_templates_give_it_and_takes_no_word_for_its_value(capsys, arguments, is_verbose):
    made = Parser(prog="p", description="d", example="e")
    made.add_argument("source")
    parsed = made.parse_args(arguments)
    assert (parsed.source, parsed.verbose) == ("source", is_verbose)
    assert run_command(raising(StageError("it broke")), arguments) == 1
    assert ("Traceback" in capsys.readouterr().err) == is_verbose


@pytest.mark.parametrize(
    ("arguments", "before", "after"),
    [
        ([], {}, {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_MODULE_LOADING": "LAZY"}),
        ([], {"TF_CPP_MIN_LOG_LEVEL": "0"}, {"TF_CPP_MIN_LOG_LEVEL": "0", "CUDA_MODULE_LOADING": "LAZY"}),
        (["--verbose"], {}, {}),
    ],
)
def test_tensorflow_is_told_to_be_quiet_unless_somebody_wants_to_hear_it(monkeypatch, arguments, before, after):
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(before))
        assert run_command(lambda _: None, arguments) == 0
        found = {name: os.environ[name] for name in os.environ if name.startswith(("TF_CPP", "CUDA"))}
    assert found == after


PROGRAM = """
import logging, os, sys, time
from stage.command_line import run_process
from stage.errors import StageError

class SlowToGo:
    def __del__(self, write=os.write, sleep=time.sleep):
        write(1, b"ending\\n")
        sleep(1)

def body(argv):
    os.write(2, b"native noise\\n")
    logging.getLogger("apache_beam.x").warning("library noise")
    print("progress", file=sys.stderr)
    print("result", flush=True)
    if "wait" in argv:
        time.sleep(600)
    if "tell" in argv:
        sys.stdin.readline()
        print("to nobody", file=sys.stderr)
        print("to nobody", file=sys.stderr)
    if "fail" in argv:
        raise StageError("it broke")
    if "odd" in argv:
        raise StageError(os.fsdecode(b"dir\\xe9"))
    if "help" in argv:
        print("usage")
    if "leave" in argv or "help" in argv:
        sys.exit(0)
    if "pipe" in argv:
        read, write = os.pipe()
        os.close(read)
        os.write(write, b"to nobody")
    if "abort" in argv:
        os.abort()
    if "much" in argv:
        for _ in range(100_000):
            print("x" * 100)
    if "stop" in argv:
        raise KeyboardInterrupt
    if "end" in argv:
        sys.held = SlowToGo()

run_process(body)
"""


BUFFERED = os.environ | {"PYTHONUNBUFFERED": ""}


def start(*argv, env=None):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.getcwd(),
        env=env,
    )


def test_libraries_are_quiet_but_ours_is_heard():
    out, err = (process := start("fail")).communicate(timeout=30)
    assert (process.returncode, out, err) == (1, "result\n", "progress\nerror: it broke\n")


def test_a_name_that_is_not_utf_8_can_be_said():
    _, err = (process := start("odd")).communicate(timeout=30)
    assert (process.returncode, err) == (1, "progress\nerror: dir\\udce9\n")


def test_verbose_lets_the_libraries_speak():
    _, err = (process := start("--verbose")).communicate(timeout=30)
    assert process.returncode == 0
    assert "native noise" in err
    assert "library noise" in err


@pytest.mark.parametrize("flags", [[], ["--verbose"]])
def test_where_native_code_ends_the_process_stderr_says_in_which_call(flags):
    _, err = (process := start("abort", *flags)).communicate(timeout=30)
    assert process.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in err
    assert re.search(r"line \d+ in body", err)
    assert ("native noise" in err) == bool(flags)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_leaves_75(sent):
    process = start("wait")
    try:
        assert process.stdout.readline() == "result\n"
        assert select.select([process.stderr], [], [], 20)[0]  # what is said is heard at once
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75
    assert err == "progress\nerror: interrupted; the same command starts again where that is possible\n"


def test_an_interrupt_in_the_midst_of_an_exec_leaves_75_under_m_too(tmp_path):
    (tmp_path / "told.py").write_text(
        "from stage.command_line import run_process\nrun_process(lambda _: exec('raise KeyboardInterrupt'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.getcwd()}"}
    found = subprocess.run([sys.executable, "-m", "told"], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 75
    assert found.stderr == "error: interrupted; the same command starts again where that is possible\n"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_python_ends_changes_nothing(sent):
    process = start("end")
    try:
        assert [process.stdout.readline() for _ in range(2)] == ["result\n", "ending\n"]
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "progress\n")


def test_a_reader_that_goes_away_is_no_error_to_speak_of():
    process = start("much")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 1
    assert process.stderr.read() == "progress\n"


def test_nor_is_one_that_goes_away_before_what_help_prints_is_written():
    process = start("tell", "help", env=BUFFERED)
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write("it is closed\n")
    process.stdin.close()
    assert process.wait(timeout=30) == 1
    assert process.stderr.read() == "progress\nto nobody\nto nobody\n"


def test_another_pipe_that_nobody_reads_is_an_error():
    out, err = (process := start("pipe")).communicate(timeout=30)
    assert (process.returncode, out, err) == (1, "result\n", "progress\nerror: Broken pipe\n")


ENDS = [([], 0), (["fail"], 1), (["fail", "--verbose"], 1), (["stop"], 75)]


@pytest.mark.parametrize(("then", "code"), ENDS)
def test_a_stderr_that_nobody_reads_changes_no_exit_code(then, code):
    process = start("tell", *then)
    assert process.stdout.readline() == "result\n"
    process.stderr.close()
    process.stdin.write("it is closed\n")
    process.stdin.close()
    assert process.wait(timeout=30) == code


@pytest.mark.parametrize(("then", "code"), ENDS)
@pytest.mark.parametrize("lost", ["disk", "terminal"])
def test_a_stderr_that_takes_nothing_changes_no_exit_code(lost, then, code):
    if lost == "disk":
        stderr = os.open("/dev/full", os.O_WRONLY)
    else:
        terminal, stderr = os.openpty()
        os.close(terminal)
    command = [sys.executable, "-c", PROGRAM.replace('os.write(2, b"native noise\\n")', ""), *then]
    found = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60)
    os.close(stderr)
    assert (found.returncode, found.stdout) == (code, "result\n")


@pytest.mark.parametrize(
    ("then", "code", "said"),
    [
        ([], 1, "error: stdout: No space left on device\n"),
        (["fail"], 1, "error: it broke\n"),
        (["stop"], 75, "error: interrupted; the same command starts again where that is possible\n"),
        (["leave"], 1, "error: stdout: No space left on device\n"),
    ],
    ids=["ends", "fails", "stops", "leaves"],
)
def test_a_stdout_that_takes_nothing_is_an_error_in_one_line(then, code, said):
    command = [sys.executable, "-c", PROGRAM.replace('"result", flush=True', '"result"'), *then]
    with open("/dev/full", "wb") as full:
        found = subprocess.run(
            command, check=False, env=BUFFERED, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert (found.returncode, found.stderr) == (code, f"progress\n{said}")


@pytest.mark.parametrize(("then", "code"), [([], 0), (["fail"], 1), (["--verbose"], 0)])
@pytest.mark.parametrize(
    ("closed", "out", "err"),
    [("<&-", "result\n", "progress\n"), (">&-", "", "progress\n"), ("2>&-", "result\n", ""), ("<&- >&- 2>&-", "", "")],
)
def test_a_stream_that_is_closed_changes_no_exit_code(closed, out, err, then, code):
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", PROGRAM, *then]
    found = subprocess.run(shell, check=False, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout) == (code, out)
    assert err in found.stderr if err else found.stderr == ""
    assert "Traceback" not in found.stderr
