"""Threads over chunks, with single-threaded linear algebra inside each.

LAPACK splits one small decomposition over the cores badly. Decomposing different
blocks on different cores, one thread each, uses them fully.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from threading import RLock, local
from typing import Any, TypeVar

import torch
from threadpoolctl import ThreadpoolController

from convspec.isolation import isolated_thread

__all__ = ["MAX_WORKERS", "available_cores", "one_thread", "openblas", "parallel_map"]

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
    if workers <= 1 or getattr(_THIS_THREAD, "works", False):
        return [function(item) for item in items]
    results: list[Any] = [None] * len(items)
    left = iter(range(len(items)))  # next() on it is atomic

    grad = torch.is_grad_enabled()

    def work() -> None:
        try:
            with isolated_thread(grad), _worker():
                for place in left:
                    results[place] = function(items[place])
        finally:
            list(left)  # after an error nothing is left to do for the others

    with _single_threaded(numpy), ThreadPoolExecutor(workers - 1, "convspec") as pool:
        try:
            others = [pool.submit(work) for _ in range(workers - 1)]
            work()  # a new thread takes milliseconds to warm up: this one is warm
            for other in others:
                other.result()
        finally:
            list(left)  # nor after an interrupt that came before this one was at work
    return results


def openblas() -> ThreadpoolController:
    """The controller of every loaded OpenBLAS."""
    return ThreadpoolController().select(internal_api="openblas")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with this thread alone: work of milliseconds, which others slow down."""
    if getattr(_THIS_THREAD, "works", False):
        yield
        return
    with _single_threaded(False), _worker():
        yield


@contextmanager
def _single_threaded(numpy: bool) -> Iterator[None]:
    """Restores the number of threads at the end; one section at a time."""
    with _SECTION:
        before = torch.get_num_threads()
        try:
            with openblas().limit(limits=1) if numpy else nullcontext():
                yield
        finally:
            torch.set_num_threads(before)


@contextmanager
def _worker() -> Iterator[None]:
    """Compute with one thread in here, nested calls of :func:`parallel_map` included."""
    # torch keeps the number per thread, and hands the latest one to threads to come
    torch.set_num_threads(1)
    _THIS_THREAD.works = True
    try:
        yield
    finally:
        _THIS_THREAD.works = False
