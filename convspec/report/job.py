"""A step of an analysis: what it is about, what it may spend, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from convspec.errors import LostWorker
from convspec.operators.operator import ConvOperator
from convspec.report.failure import Failure
from convspec.run.budget import Budget

__all__ = ["Asked", "Asking", "Done", "Job", "Steps", "taken"]

Result = TypeVar("Result")


def never(result: object) -> bool:
    """False."""
    return False


@dataclass(frozen=True)
class Done(Generic[Result]):
    """What came of a step.

    Attributes:
        result: What it found; None if it failed.
        failure: What it raised.
        seconds: That it took.
        short_of: What its share was short of, see :class:`convspec.run.budget.Budget`.
        timed_out: Whether seconds were ever what was not enough.
    """

    result: Result | None
    failure: Failure | None
    seconds: float
    short_of: str = ""
    timed_out: bool = False


@dataclass(frozen=True)
class Job(Generic[Result]):
    """A step that is to be taken, here or elsewhere: all of it can be pickled.

    Attributes:
        name: What the step is called.
        operator: What it is about.
        inputs: All else that the result depends on, but for operations and seconds:
            settings, and what is known before it.
        share: What it may spend.
        function: A function of a module, called with the operator, the share and what is
            given.
        given: To the function.
        step: What a failure says that it was to find; the name, unless told.
        enough: Whether a result is all that was asked for, so that more operations would
            not better it.
    """

    name: str
    operator: ConvOperator
    inputs: tuple[object, ...]
    share: Budget
    function: Callable[..., Result]
    given: tuple[Any, ...] = ()
    step: str = ""
    enough: Callable[[Result], bool] = never


# what a row asks for, a few steps that do not depend on one another, and is sent
Asking = Generator[Sequence[Job[Any]], list[Done[Any]], Result]
Asked = Asking[None]


def taken(job: Job[Result]) -> Done[Result]:
    """What comes of a step.

    This is where exceptions of steps are caught.
    """
    start, share = time.perf_counter(), job.share.begun()
    result, failure = None, None
    try:
        result = job.function(job.operator, share, *job.given)
    except Exception as error:
        failure = Failure.of(job.step or job.name, error)
    seconds = time.perf_counter() - start
    return Done(result, failure, seconds, share.short_of, share.timed_out)


class Steps:
    """Steps are computed, and not stored."""

    @property
    def compute(self) -> Callable[[Job[Any]], Done[Any]]:
        """Takes a step."""
        return taken

    def find(self, job: Job[Any]) -> Done[Any] | None:
        """What came of a step before; nothing is known."""
        return None

    def lost(self, job: Job[Any], error: Exception) -> Done[Any]:
        """What to say of a step whose worker is lost."""
        said = f"{type(error).__name__}: {error}"
        words = f"its worker is lost, {said}; cache= keeps the steps that were done"
        lost = LostWorker(words)
        lost.__cause__ = error
        return Done(None, Failure(job.step or job.name, lost), 0.0)

    def keep(self, job: Job[Any], done: Done[Any]) -> None:
        """Keep what came of a step; nothing is kept."""
