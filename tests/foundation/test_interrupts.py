"""Ctrl-C in a library call is a stop between two steps.

What was trained is saved, and the same call resumes.
"""

import signal
import threading

import pytest

from nerf.foundation.interrupts import deferred_interrupt, rescue
from nerf.runs.checkpoints import Checkpoints
from nerf.runs.lock import InUse, run_lock
from nerf.training.loop import train
from tests.training.test_training import synthetic


@pytest.fixture(autouse=True)
def python_s_own_handler():
    """As in a notebook; pytest's workers have another."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, old)


def press():
    signal.raise_signal(signal.SIGINT)


def test_before_the_first_question_there_is_nothing_to_save():
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(lambda: False):
        press()
        raise AssertionError("too late")


def test_from_then_on_it_is_an_answer_and_raised_at_the_end():
    seen = []
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(lambda: False) as stop:
        assert not stop()
        press()
        seen.append(stop())
    assert seen == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_is_raised_at_once():
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(lambda: False) as stop:
        stop()
        press()
        press()
        raise AssertionError("too late")


def test_a_program_with_a_handler_of_its_own_keeps_it():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with deferred_interrupt(lambda: True) as stop:
        assert stop() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_rescue_saves_and_lets_the_interrupt_pass():
    saved = []
    with pytest.raises(KeyboardInterrupt), rescue(lambda: saved.append(1)):
        raise KeyboardInterrupt
    assert saved == [1]


@pytest.mark.parametrize("how", ["signal", "raised"])
def test_train_saves_on_ctrl_c_and_the_same_call_resumes(tmp_path, capsys, how):
    config = synthetic(save_every=40)
    asked = []

    def while_training():
        asked.append(1)
        if len(asked) == 3:
            if how == "raised":
                raise KeyboardInterrupt
            press()
        return False

    with pytest.raises(KeyboardInterrupt):
        train(config, None, tmp_path, should_stop=while_training)
    (step,) = Checkpoints(tmp_path / "checkpoints").steps()
    assert 0 < step < 40 and not (tmp_path / "results.json").exists()
    assert f"call train() with the same arguments to resume {tmp_path}" in capsys.readouterr().err
    assert train(config, None, tmp_path)["steps"] == 40


def test_train_locks_its_folder(tmp_path):
    errors = []

    def other():
        try:
            train(synthetic(), None, tmp_path)
        except InUse as error:
            errors.append(str(error))

    with run_lock(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with run_lock(tmp_path):  # the thread that holds it may enter again
            pass
    assert len(errors) == 1 and "in use by process" in errors[0]
    with run_lock(tmp_path):
        pass
