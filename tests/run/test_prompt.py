"""Work that another thread does while the main one waits for an interrupt."""

from __future__ import annotations

import contextlib
import signal
import threading
import time

import numpy as np
import pytest
import torch

from convspec.run.prompt import computed, promptly
from convspec.run.threads import parallel_map


def at_work() -> bool:
    """Whether there is such a thread."""
    return any(thread.name == "steps" for thread in threading.enumerate())


def test_outside_it_is_this_thread() -> None:
    assert computed(threading.get_ident) == threading.get_ident()


def test_inside_it_is_one_other_that_ends() -> None:
    with promptly():
        found = {computed(threading.get_ident) for _ in range(5)}
        (thread,) = [each for each in threading.enumerate() if each.ident in found]
        assert thread is not threading.main_thread()
    thread.join(60)
    assert not thread.is_alive()
    assert not at_work()


def test_settings_are_those_of_the_caller() -> None:
    with promptly(), torch.no_grad(), np.errstate(divide="raise"):
        assert not computed(torch.is_grad_enabled)
        assert computed(np.geterr)["divide"] == "raise"
    with promptly():
        assert computed(torch.is_grad_enabled)


def test_what_is_raised_is_raised_here() -> None:
    def fail() -> None:
        raise TimeoutError("of the work")

    with promptly():
        for _ in range(2):
            with pytest.raises(TimeoutError, match="of the work"):
                computed(fail)
        assert computed(lambda: 3) == 3


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers")
def test_an_interrupt_does_not_wait_and_ends_the_work() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    began = []

    def endless() -> None:
        began.append(time.perf_counter())
        while True:
            time.sleep(0.3)  # one call, as of LAPACK

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with contextlib.suppress(KeyboardInterrupt), promptly():
            signal.setitimer(signal.ITIMER_REAL, 0.4)
            computed(endless)
        took = time.perf_counter() - began[0]
        assert at_work()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert took < 0.58  # in the middle of a call
    end = time.perf_counter() + 60
    while at_work() and time.perf_counter() < end:
        time.sleep(0.01)
    assert not at_work()


def test_an_interrupt_drops_what_has_not_begun() -> None:
    begun, main = [], threading.get_ident()

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(0.05)
        if threading.get_ident() == main:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parallel_map(work, range(100), 2)
    assert len(begun) < 6
