"""Threads of this process that compute one thing each, on cores of their own.

Threads of BLAS that share a product wait for one another at barriers inside of it: where
another process has a core, each barrier takes a slice of its time, and waiting threads
spin. Tasks that compute with one thread each wait for nobody, so that they get the share
of the machine that there is, and their numbers depend neither on how many cores there are
nor on who else is at work.

The thread that asks waits, so that an interrupt ends it at once, however long a
decomposition takes; the others are told to end after the instruction that they are at,
and left alone.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from convspec.isolation import isolated_thread
from convspec.run.threads import (
    MAX_WORKERS,
    Spare,
    available_cores,
    own_cores,
    single_threaded,
)
from convspec.run.workers import LOOK

__all__ = ["Crew", "crew"]

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 0.2  # seconds, of an interrupt that is to end within one


class Crew:
    """Threads for tasks, as many as there are cores.

    Args:
        cores: How many cores they share.

    Attributes:
        cores: How many cores they share.
        at_a_time: As many tasks.
        spare: Cores without a task, which :func:`convspec.run.threads.parallel_map` may
            use within one.
    """

    here = True

    def __init__(self, cores: int) -> None:
        self.cores = self.at_a_time = cores
        self.spare = Spare()
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(
        self, function: Callable[[Item], Result], item: Item, cores: int = 1
    ) -> Future[Result]:
        """The result to come of ``function(item)``, which has so many cores."""
        future: Future[Result] = Future()

        def task() -> None:
            with own_cores(cores, self.spare):
                try:
                    future.set_result(function(item))
                except SystemExit:
                    raise  # told to leave
                except BaseException as error:
                    future.set_exception(error)

        if len(self._threads) < self.cores:
            self._threads.append(self._started())
        self._tasks.put(task)
        return future

    def wait(self, flight: set[Future[Any]]) -> set[Future[Any]]:
        """Those that are done, at least one unless that takes long."""
        return wait(flight, LOOK, FIRST_COMPLETED).done

    def end(self) -> None:
        """Let the threads end; there are no tasks."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def leave(self) -> None:
        """Begin nothing more, and raise ``SystemExit`` in all threads.

        They meet it between two instructions of Python. Those that do so soon are waited
        for: a thread that comes back to Python while that ends aborts the process.
        """
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            place = ctypes.c_ulong(thread.ident or 0)
            raised: Any = ctypes.py_object(SystemExit)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(place, raised)
        over = time.perf_counter() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, over - time.perf_counter()))

    def _started(self) -> threading.Thread:
        name = f"convspec task {len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        with suppress(SystemExit), isolated_thread(grad=False):
            while (task := self._tasks.get()) is not None:
                task()


@contextmanager
def crew() -> Iterator[Crew]:
    """Threads for tasks in here; what is set for the process is as it was behind it.

    Raises:
        KeyboardInterrupt: At once, if the thread that asks waits.
    """
    found = Crew(min(available_cores(), MAX_WORKERS))
    with single_threaded(numpy=True):
        try:
            yield found
        except BaseException:
            found.leave()
            raise
        found.end()
