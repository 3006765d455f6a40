"""Signals, and what becomes of them inside a command."""

import contextlib
import logging
import signal
import sys
import threading

import pytest

from stage.command_line import run_command
from stage.errors import Interrupted
from stage.interrupts import check_interrupted, interrupts_held, take_signals_back


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_was_swallowed_is_raised_where_a_stage_asks(number):
    reached = []

    def body(argv):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(number)
        reached.append("after the signal")
        check_interrupted()
        reached.append("after the check")

    assert run_command(body, []) == 75
    assert reached == ["after the signal"]
    assert run_command(lambda _: check_interrupted(), []) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_whoever_started_the_process_has_ignored_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)
    assert run_command(lambda _: signal.raise_signal(number), []) == 0


def test_an_interrupt_that_a_finalizer_swallows_shows_no_traceback(capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)

    class Finalized:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def body(argv):
        Finalized()
        check_interrupted()

    assert run_command(body, []) == 75
    assert capsys.readouterr().err == "error: interrupted; the same command starts again where that is possible\n"


def test_what_else_a_finalizer_raises_after_an_interrupt_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: told.append(ignored.exc_type))

    class Finalized:
        def __init__(self, end):
            self.end = end

        def __del__(self):
            self.end()

    def body(argv):
        Finalized(lambda: signal.raise_signal(signal.SIGTERM))
        Finalized(lambda: 1 / 0)

    assert run_command(body, []) == 0
    assert told == [ZeroDivisionError]


@pytest.mark.parametrize("flags", [[], ["--verbose"]])
def test_what_native_code_makes_of_an_interrupt_is_no_defect(capsys, flags):
    def body(argv):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("initialization failed\nthere") from None

    assert run_command(body, flags) == 75
    *before, last = capsys.readouterr().err.splitlines()
    assert last == (
        "error: interrupted; the same command starts again where that is possible (it became ImportError: "
        "initialization failed)"
    )
    assert ("Traceback (most recent call last):" in before) == bool(flags)


@pytest.mark.parametrize(("flags", "told"), [([], []), (["--verbose"], ["lost the connection"])])
def test_what_libraries_log_of_an_interrupt_is_for_the_verbose(flags, told):
    found = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logging.root.addHandler(handler)

    def body(argv):
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            logging.error("lost the connection")

    before = logging.root.manager.disable
    try:
        logging.disable(logging.NOTSET)
        assert run_command(body, flags) == 75
    finally:
        logging.root.removeHandler(handler)
        logging.disable(before)
    assert found == told


@pytest.mark.parametrize(("first_alone", "reached"), [(False, ["first", "second"]), (True, ["first"])])
def test_of_interrupts_that_are_held_the_second_may_pass(first_alone, reached):
    found = []

    def body(argv):
        with interrupts_held(first_alone=first_alone):
            for number in ("first", "second"):
                signal.raise_signal(signal.SIGINT)
                found.append(number)

    assert run_command(body, []) == 75
    assert found == reached


def test_signals_that_a_library_took_are_taken_back():
    def body(argv):
        signal.signal(signal.SIGINT, lambda *_: None)
        take_signals_back()
        signal.raise_signal(signal.SIGINT)

    assert run_command(body, []) == 75
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def ignoring(argv):
        take_signals_back()
        signal.raise_signal(signal.SIGINT)

    assert run_command(ignoring, []) == 0


def test_a_command_runs_in_a_thread_which_takes_no_signals():
    before, codes = signal.getsignal(signal.SIGTERM), []
    thread = threading.Thread(target=lambda: codes.append(run_command(lambda _: None, [])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_a_stage_says_of_its_interruption_is_what_the_user_reads(capsys):
    def body(argv):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; saved after step 7") from None

    assert run_command(body, []) == 75
    assert capsys.readouterr().err == "error: interrupted; saved after step 7\n"
