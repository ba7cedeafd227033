"""An executor whose tasks are waited for no longer once it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from functools import partial
from threading import Lock
from typing import Any

from convspec.run.apart import worker_count

__all__ = ["Interruptible"]


class _Passed(Future[Any]):
    """What will come of a task of another executor, which is cancelled with it."""

    theirs: Future[Any] | None = None

    def cancel(self) -> bool:
        """Wait for it no longer, and let it not begin if it has not."""
        cancelled = super().cancel()
        if self.theirs is not None:
            self.theirs.cancel()
        return cancelled


class Interruptible(Executor):
    """Passes tasks on, and can end all waiting for them: several threads may ask.

    Args:
        inner: Who takes the tasks; it is left open.
    """

    def __init__(self, inner: Executor) -> None:
        self._inner, self._max_workers = inner, worker_count(inner)
        self._lock, self._flight, self._over = Lock(), set[_Passed](), False

    def submit(
        self, function: Callable[..., Any], /, *args: Any, **keywords: Any
    ) -> Future[Any]:
        """The result to come, or ``KeyboardInterrupt``."""
        own = _Passed()
        with self._lock:
            if self._over:
                own.set_exception(KeyboardInterrupt())
                return own
            self._flight.add(own)
        try:
            own.theirs = self._inner.submit(function, *args, **keywords)
        except BaseException:
            self._landed(own)
            raise
        own.theirs.add_done_callback(partial(self._pass, own))
        return own

    def interrupt(self) -> None:
        """Raise ``KeyboardInterrupt`` where anybody waits, and take no task any more."""
        with self._lock:
            self._over, flight = True, list(self._flight)
            self._flight.clear()
        for own in flight:
            if own.theirs is not None:
                own.theirs.cancel()
            if own.set_running_or_notify_cancel():
                own.set_exception(KeyboardInterrupt())

    def _landed(self, own: _Passed) -> bool:
        """Whether a task was waited for until now."""
        with self._lock:
            waited = own in self._flight
            self._flight.discard(own)
        return waited

    def _pass(self, own: _Passed, theirs: Future[Any]) -> None:
        if not self._landed(own) or not own.set_running_or_notify_cancel():
            return
        error = CancelledError() if theirs.cancelled() else theirs.exception()
        if error is None:
            own.set_result(theirs.result())
        else:
            own.set_exception(error)
