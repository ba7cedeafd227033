"""Who finds answers to what courses ask for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from convspec.run.threads import Spare

__all__ = ["LOOK", "Workers"]

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

LOOK = 0.1  # seconds: where waiting cannot be interrupted, as on Windows


class Workers(Protocol):
    """Threads of this process, or others anywhere.

    Attributes:
        cores: How many they have, or may be sent at a time.
        at_a_time: How many tasks they compute at a time, about.
        spare: Where those are noted that no task needs.
        here: Whether they share the Python of this process, in which one thread is at a
            time.
    """

    cores: int
    at_a_time: int
    spare: Spare
    here: bool

    def submit(
        self, function: Callable[[Ask], Answer], item: Ask, cores: int = 1
    ) -> Future[Answer]:
        """The result to come of ``function(item)``."""
        ...

    def wait(self, flight: set[Future[Any]]) -> set[Future[Any]]:
        """Those of some that are done, at least one unless that takes long."""
        ...
