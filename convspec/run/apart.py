"""Workers of others: an executor that the caller has, or what joblib is told to use.

Tasks are pickled and computed with one thread each, on this machine or on another.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

import torch

from convspec.arguments import shown
from convspec.isolation import isolated
from convspec.run.crew import crew
from convspec.run.threads import Spare, available_cores, openblas, own_cores
from convspec.run.workers import LOOK, Workers

__all__ = ["worker_count", "workers_of"]

Item = TypeVar("Item")
Result = TypeVar("Result")

# tasks that are sent at a time: they wait there
MANY = 2**16


@contextmanager
def workers_of(executor: Executor | None) -> Iterator[Workers]:
    """The workers of an executor, of joblib's backend, or threads of this process.

    Raises:
        TypeError: If it is none.
    """
    if executor is None:
        jobs = _joblib_jobs()
        with crew() if jobs <= 1 else _joblib(jobs) as found:
            yield found
        return
    if not isinstance(executor, Executor):
        raise TypeError(
            "executor must be one of concurrent.futures, or Client.get_executor() of "
            f"Dask; got {shown(executor)}"
        )
    workers = _ExecutorWorkers(executor)
    try:
        yield workers
    finally:
        workers.cancel()


class _ExecutorWorkers:
    """What an executor has; it is left open.

    Args:
        executor: Of the interface of ``concurrent.futures``.
    """

    here = False

    def __init__(self, executor: Executor) -> None:
        self.spare = Spare()
        self._executor = executor
        self.cores, self.at_a_time = MANY, worker_count(executor)
        self._flight: set[Future[Any]] = set()

    def submit(
        self, function: Callable[[Item], Result], item: Item, cores: int = 1
    ) -> Future[Result]:
        """The result to come of ``function(item)``, with one thread of its own."""
        try:
            future = self._executor.submit(_apart, function, item)
        except Exception as error:  # of an executor that is broken or closed
            future = Future()
            future.set_exception(error)
        self._flight.add(future)
        return future

    def wait(self, flight: set[Future[Any]]) -> set[Future[Any]]:
        """Those that are done, at least one unless that takes long."""
        done = wait(flight, LOOK, FIRST_COMPLETED).done
        self._flight -= done
        return done

    def cancel(self) -> None:
        """Let none begin that has not."""
        for future in self._flight:
            future.cancel()


def worker_count(executor: Executor) -> int:
    """How many an executor has, as those of Python and Dask know; else those of here."""
    most = getattr(executor, "_max_workers", None)
    client: Any = getattr(executor, "_client", None)
    if most is None and hasattr(client, "ncores"):
        most = sum(client.ncores().values())
    return most if isinstance(most, int) and most > 0 else available_cores()


class _NumPyAlone:
    """OpenBLAS is held to one thread while anybody is in here."""

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._limits: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limits = openblas().limit(limits=1)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limits.restore_original_limits()


_NUMPY_ALONE = _NumPyAlone()


@contextmanager
def _alone() -> Iterator[None]:
    """Compute with one thread in here, on a thread of others that is then as it was.

    Threads do not wait for one another here, as those of this process's sections do.
    """
    before = torch.get_num_threads()
    try:
        with _NUMPY_ALONE, torch.no_grad(), own_cores(1):
            yield
    finally:
        torch.set_num_threads(before)


@isolated
def _apart(function: Callable[[Item], Result], item: Item) -> Result:
    """``function(item)`` by a thread that others gave, whatever they have set there."""
    with _alone():
        return function(item)


def _joblib_jobs() -> int:
    """How many tasks joblib is told to run at a time; 1 if nobody told it."""
    joblib = sys.modules.get("joblib")
    return 1 if joblib is None else int(joblib.effective_n_jobs(None))


@contextmanager
def _joblib(jobs: int) -> Iterator[Workers]:
    workers = _JoblibWorkers(jobs)
    try:
        yield workers
    finally:
        workers.cancel()


class _JoblibWorkers:
    """The backend of ``joblib.parallel_config``: batches of tasks, one after the other.

    Args:
        jobs: How many it computes at a time.
    """

    here = False

    def __init__(self, jobs: int) -> None:
        self.cores, self.at_a_time, self.spare = MANY, jobs, Spare()
        self._ahead: list[tuple[Future[Any], Callable[..., Any], Any]] = []
        self._batch: Iterator[Any] | None = None
        self._futures: list[Future[Any]] = []

    def submit(
        self, function: Callable[[Item], Result], item: Item, cores: int = 1
    ) -> Future[Result]:
        """The result to come of ``function(item)``, with one thread of its own."""
        future: Future[Result] = Future()
        self._ahead.append((future, function, item))
        return future

    def wait(self, flight: set[Future[Any]]) -> set[Future[Any]]:
        """One that is done, or all that were lost."""
        if self._batch is None:
            self._batch = self._begun()
        try:
            place, result = next(self._batch)
        except StopIteration:
            self._batch = None
            return set()
        except Exception as error:  # as where a process was killed
            lost = {future for future in self._futures if not future.done()}
            for future in lost:
                future.set_exception(error)
            self._batch = None
            return lost
        self._futures[place].set_result(result)
        return {self._futures[place]}

    def _begun(self) -> Iterator[Any]:
        from joblib import Parallel, delayed

        batch, self._ahead = self._ahead, []
        self._futures = [future for future, _, _ in batch]
        tasks = [
            delayed(_placed)(place, function, item)
            for place, (_, function, item) in enumerate(batch)
        ]
        found: Iterator[Any] = iter(Parallel(return_as="generator_unordered")(tasks))
        return found

    def cancel(self) -> None:
        """Let none begin that has not."""
        close = getattr(self._batch, "close", None)
        if close is not None:
            with warnings.catch_warnings():  # that there were some
                warnings.filterwarnings("ignore", ".* tasks .* cancelled", UserWarning)
                close()


def _placed(
    place: int, function: Callable[[Item], Result], item: Item
) -> tuple[int, Result]:
    return place, _apart(function, item)
