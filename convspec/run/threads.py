"""Threads over chunks, with single-threaded linear algebra inside each.

LAPACK splits one small decomposition over the cores badly. Decomposing different
blocks on different cores, one thread each, uses them fully.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from threading import Lock, RLock, local
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController

from convspec.isolation import isolated_thread

__all__ = [
    "MAX_WORKERS",
    "Spare",
    "available_cores",
    "one_thread",
    "openblas",
    "own_cores",
    "parallel_map",
    "single_threaded",
]

MAX_WORKERS = 64

Item = TypeVar("Item")
Result = TypeVar("Result")

# The number of threads is a setting of the process: one section at a time may change it.
_SECTION = RLock()
_THIS_THREAD = local()


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parallel_map(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    *,
    numpy: bool = False,
) -> list[Result]:
    """``[function(item) for item in items]``, on several threads.

    Each thread computes with one thread of its own. Thread settings of torch and
    OpenBLAS are afterwards what they were, whatever happens. Calls from several threads
    wait for one another; a call from inside ``function``, one item and one worker run
    where they are.

    Args:
        function: What to compute; it must be safe to run on several threads.
        items: What to compute it of.
        workers: Number of threads; None for one per core.
        numpy: Whether ``function`` calls NumPy's linear algebra, whose OpenBLAS is then
            held to one thread too; finding it takes milliseconds.

    Raises:
        Exception: One that ``function`` raises; items not begun are dropped, as they are
            at an interrupt.
    """
    if workers is None:
        workers = min(available_cores(), MAX_WORKERS)
    workers = min(workers, len(items))
    own = _own()
    if workers <= 1 or (own == 1 and _spare() is None):
        return [function(item) for item in items]
    if not own:
        with single_threaded(numpy), own_cores(1):
            return _spread(function, items, workers - 1)
    helpers, spare = min(workers, own) - 1, _spare()
    lent = spare.take(workers - 1 - helpers) if spare is not None else 0
    try:
        if helpers + lent == 0:
            return [function(item) for item in items]
        with own_cores(1):
            return _spread(function, items, helpers + lent)
    finally:
        if spare is not None:
            spare.give(lent)


def _spread(
    function: Callable[[Item], Result], items: Sequence[Item], helpers: int
) -> list[Result]:
    """:func:`parallel_map` on this thread, which computes alone, and some others."""
    results: list[Any] = [None] * len(items)
    left = iter(range(len(items)))  # next() on it is atomic
    grad = torch.is_grad_enabled()

    def work() -> None:
        try:
            for place in left:
                results[place] = function(items[place])
        finally:
            list(left)  # after an error nothing is left to do for the others

    def help_out() -> None:
        with isolated_thread(grad), own_cores(1):
            work()

    with ThreadPoolExecutor(helpers, "convspec") as pool:
        try:
            others = [pool.submit(help_out) for _ in range(helpers)]
            work()  # a new thread takes milliseconds to warm up: this one is warm
            for other in others:
                other.result()
        finally:
            list(left)  # nor after an interrupt that came before this one was at work
    return results


class Spare:
    """Cores that nobody uses, for those who can.

    Args:
        count: How many there are.
    """

    def __init__(self, count: int = 0) -> None:
        self._count, self._lock = count, Lock()

    def take(self, most: int) -> int:
        """Some of them, none if there are none."""
        with self._lock:
            taken = min(most, self._count)
            self._count -= taken
            return taken

    def give(self, count: int) -> None:
        """Give some back, or more."""
        with self._lock:
            self._count += count


def _own() -> int:
    """Cores that this thread has for its own, 0 if nobody said."""
    found: int = getattr(_THIS_THREAD, "cores", 0)
    return found


def _spare() -> Spare | None:
    """What it may use besides."""
    return getattr(_THIS_THREAD, "spare", None)


def openblas() -> ThreadpoolController:
    """The controller of every loaded OpenBLAS."""
    return ThreadpoolController().select(internal_api="openblas")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with this thread alone: work of milliseconds, which others slow down."""
    own = _own()
    if own == 1:
        yield
        return
    with nullcontext() if own else single_threaded(), own_cores(1):
        yield


@contextmanager
def single_threaded(numpy: bool = False) -> Iterator[None]:
    """Restores the number of threads at the end; one section at a time.

    Args:
        numpy: Whether OpenBLAS, which NumPy and SciPy call, is held to one thread.
    """
    with _SECTION:
        before = torch.get_num_threads()
        try:
            with openblas().limit(limits=1) if numpy else nullcontext():
                yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def own_cores(cores: int, spare: Spare | None = None) -> Iterator[None]:
    """Compute with so many threads in here, in nested :func:`parallel_map`, too.

    Args:
        cores: How many.
        spare: What these calls may use besides.
    """
    before = _own(), _spare()
    # torch keeps the number per thread, and hands the latest one to threads to come
    torch.set_num_threads(cores)
    _THIS_THREAD.cores, _THIS_THREAD.spare = cores, spare
    try:
        yield
    finally:
        _THIS_THREAD.cores, _THIS_THREAD.spare = before
        if before[0]:
            torch.set_num_threads(before[0])
