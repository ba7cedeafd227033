"""What is compared: a problem, the methods that solve it, and what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["Method", "Problem", "Result", "Target", "Timing"]


@dataclass(frozen=True)
class Method:
    """One way to solve a problem.

    Attributes:
        name: Unique within the problem.
        idea: One line that says how it works.
        build: The timed body; returns what the problem's ``error`` judges.
        scale: Whole problem over the part that ``build`` solves.
        part: What that part is; empty when ``build`` solves the whole problem.
    """

    name: str
    idea: str
    build: Callable[[], Any]
    scale: float = 1.0
    part: str = ""


@dataclass(frozen=True)
class Target:
    """What our own method aims at; printed as information, asserted nowhere."""

    seconds: float
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Problem:
    """A task, its methods, and the judge of their results.

    Attributes:
        name: As given on the command line.
        title: One line that says what is computed.
        methods: Ours among them.
        error: Error of a result over the error allowed; more than 1, or NaN, is wrong.
        target: What ``ours`` aims at.
        ours: Name of the method that the others are compared with.
        memory: Whether the peak memory of each method is measured as well.
    """

    name: str
    title: str
    methods: tuple[Method, ...]
    error: Callable[[Any], float]
    target: Target
    ours: str = "convspec"
    memory: bool = False


@dataclass(frozen=True)
class Timing:
    """What was measured of one method.

    Attributes:
        method: The method.
        error: Error over the error allowed.
        seconds: Of ``build``, not scaled; empty where the error is too large.
        peak_bytes: Peak memory of a process that only runs ``build``.
    """

    method: Method
    error: float
    seconds: tuple[float, ...] = ()
    peak_bytes: int | None = None

    @property
    def accurate(self) -> bool:
        """Whether the error is within what is allowed; False for NaN."""
        return self.error <= 1

    @property
    def minimum(self) -> float | None:
        """Least seconds, scaled to the whole problem."""
        return min(self.seconds) * self.method.scale if self.seconds else None

    @property
    def median(self) -> float | None:
        """Median seconds, scaled to the whole problem."""
        return median(self.seconds) * self.method.scale if self.seconds else None


@dataclass(frozen=True)
class Result:
    """All timings of one problem, in the order of its methods."""

    problem: Problem
    timings: tuple[Timing, ...]

    @property
    def ours(self) -> Timing:
        """The timing of our own method."""
        return next(t for t in self.timings if t.method.name == self.problem.ours)

    @property
    def accurate(self) -> bool:
        """Whether every method passed the accuracy check."""
        return all(timing.accurate for timing in self.timings)

    def ratio(self, timing: Timing) -> float | None:
        """Median seconds over ours; None if either was not timed."""
        if timing.median is None or self.ours.median is None:
            return None
        return timing.median / self.ours.median
