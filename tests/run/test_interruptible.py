"""An executor that is interrupted: nobody waits for it, and it is left open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from convspec.run.interruptible import Interruptible


@pytest.fixture
def inner() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


class Broken(Executor):
    """One that takes nothing."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        raise RuntimeError("closed")


def test_results_and_exceptions_pass(inner: ThreadPoolExecutor) -> None:
    executor = Interruptible(inner)
    assert executor.submit(pow, 2, 3).result(5) == 8
    assert executor.submit(int, "11", base=2).result(5) == 3
    with pytest.raises(ZeroDivisionError):
        executor.submit(divmod, 1, 0).result(5)


def test_what_waits_is_interrupted_and_what_has_not_begun_never_does(
    inner: ThreadPoolExecutor,
) -> None:
    executor, go_on, ran = Interruptible(inner), threading.Event(), list[int]()
    began = threading.Event()

    def first() -> None:
        began.set()
        go_on.wait(10)

    futures = [executor.submit(first), executor.submit(ran.append, 1)]
    assert began.wait(10)
    executor.interrupt()
    for future in (*futures, executor.submit(ran.append, 2)):
        with pytest.raises(KeyboardInterrupt):
            future.result(5)
    go_on.set()
    assert inner.submit(pow, 2, 2).result(10) == 4  # it is open
    assert ran == []


def test_a_task_is_cancelled_with_its_future(inner: ThreadPoolExecutor) -> None:
    executor, go_on, ran = Interruptible(inner), threading.Event(), list[int]()
    first = executor.submit(go_on.wait, 10)
    second = executor.submit(ran.append, 1)
    assert second.cancel()
    go_on.set()
    assert first.result(5) is True
    with pytest.raises(CancelledError):
        second.result(5)
    inner.submit(pow, 2, 2).result(10)
    assert ran == []


def test_an_executor_that_cancels_by_itself() -> None:
    go_on, ran = threading.Event(), list[int]()
    with ThreadPoolExecutor(1) as inner:
        executor = Interruptible(inner)
        executor.submit(go_on.wait, 10)
        later = executor.submit(ran.append, 1)
        inner.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(CancelledError):
            later.result(5)
        go_on.set()
    assert ran == []


def test_one_that_takes_nothing_says_so() -> None:
    executor = Interruptible(Broken())
    with pytest.raises(RuntimeError, match="closed"):
        executor.submit(pow, 2, 2)
    executor.interrupt()
