"""Work that Ctrl-C ends at once: another thread computes while this one waits.

Python raises ``KeyboardInterrupt`` in the main thread between two of its instructions; a
decomposition in LAPACK is one, however long it takes. A thread that waits is interrupted
in no time. The thread that computes is then told to end after the instruction that it is
at, and left to itself.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, TypeVar

import torch

from convspec.isolation import isolated_thread

__all__ = ["computed", "promptly"]

Result = TypeVar("Result")

LOOK = 0.1  # seconds: where waiting cannot be interrupted, as on Windows
_HERE = threading.local()


@contextmanager
def promptly() -> Iterator[None]:
    """In here, what this thread has :func:`computed` is computed by another."""
    helper = _HERE.helper = _Helper()
    try:
        yield
    finally:
        _HERE.helper = None
        helper.end()


def computed(compute: Callable[[], Result]) -> Result:
    """The result of a function, inside :func:`promptly` by another thread.

    Raises:
        KeyboardInterrupt: As soon as there is one, inside of :func:`promptly`; else when
            Python comes to it.
    """
    helper: _Helper | None = getattr(_HERE, "helper", None)
    return compute() if helper is None or helper.left else helper.result(compute)


class _Helper:
    """A thread that computes one thing after another.

    Attributes:
        left: Whether it was interrupted, and is left to itself.
    """

    def __init__(self) -> None:
        self.left = False
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="steps", daemon=True)
        self._thread.start()

    def result(self, compute: Callable[[], Result]) -> Result:
        """The result of a function, or what it raised."""
        found: list[Any] = []
        raised: list[Exception] = []
        done, context, grad = threading.Event(), copy_context(), torch.is_grad_enabled()

        def task() -> None:
            try:
                with isolated_thread(grad):
                    found.append(context.run(compute))
            except Exception as error:
                raised.append(error)
            done.set()

        try:
            self._tasks.put(task)
            while not done.wait(LOOK):
                pass
        except BaseException:
            self._leave()
            raise
        if raised:
            raise raised[0]
        result: Result = found[0]
        return result

    def end(self) -> None:
        """Let it end after what it is at."""
        self._tasks.put(None)

    def _work(self) -> None:
        with suppress(SystemExit):
            while (task := self._tasks.get()) is not None:
                task()

    def _leave(self) -> None:
        """Raise ``SystemExit`` in it, between two instructions of Python."""
        self.left = True
        place, error = (
            ctypes.c_ulong(self._thread.ident or 0),
            ctypes.py_object(SystemExit),
        )
        ctypes.pythonapi.PyThreadState_SetAsyncExc(place, error)
