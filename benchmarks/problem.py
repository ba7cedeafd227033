"""What is compared: a problem, the methods that solve it, and what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["Method", "Problem", "Result", "Target", "Timing", "Unavailable"]


class Unavailable(Exception):
    """A problem cannot be set up or judged here: what is missing, what to do."""


@dataclass(frozen=True)
class Method:
    """One way to solve a problem.

    Attributes:
        name: Unique within the problem.
        idea: One line that says how it works.
        build: The timed body; returns what the problem's ``error`` judges. With
            ``settings`` it takes one of them.
        scale: Whole problem over the part that ``build`` solves.
        part: What that part is; empty when ``build`` solves the whole problem.
        settings: Tolerances or numbers of steps, cheapest first. The first whose error
            is allowed is the one that is timed.
        setting: What the settings are, in a word.
        gives_up: Whether the last setting may still be too inaccurate, or the search for
            one too slow: the method is then listed as having stopped short, not as wrong.
        other: What the method computes if that is not what the problem asks for. It is
            then not judged, and timed once, for comparison.
        memory: Whether its peak memory is measured where the problem asks for that.
    """

    name: str
    idea: str
    build: Callable[..., Any]
    scale: float = 1.0
    part: str = ""
    settings: tuple[float, ...] = ()
    setting: str = "tol"
    gives_up: bool = False
    other: str = ""
    memory: bool = True


@dataclass(frozen=True)
class Target:
    """What our own method aims at; printed as information, asserted nowhere.

    Attributes:
        seconds: Its median, at most.
        peak_bytes: Its peak memory, at most.
        faster: The best median of ``than`` over ours, at least.
        than: Names of methods.
        over_floor: Our median over the floor's, the geometric mean over all problems
            that have such a target, at most.
    """

    seconds: float | None = None
    peak_bytes: int | None = None
    faster: float | None = None
    than: tuple[str, ...] = ()
    over_floor: float | None = None


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
        family: Heading that problems with the same methods share in a table.
        label: What distinguishes the problem in its family.
        floors: Methods that do only what no method can avoid; the fastest is the floor.
        remark: Makes more to print below the table.
    """

    name: str
    title: str
    methods: tuple[Method, ...]
    error: Callable[[Any], float]
    target: Target
    ours: str = "convspec"
    memory: bool = False
    family: str = ""
    label: str = ""
    floors: tuple[str, ...] = ()
    remark: Callable[[], str] | None = None


@dataclass(frozen=True)
class Timing:
    """What was measured of one method.

    Attributes:
        method: The method.
        error: Error over the error allowed; None if the method is not judged.
        seconds: Of ``build``, not scaled; empty where the error is too large.
        peak_bytes: Peak memory of a process that only runs ``build``.
        setting: The setting timed, or the last one tried.
    """

    method: Method
    error: float | None
    seconds: tuple[float, ...] = ()
    peak_bytes: int | None = None
    setting: float | None = None

    @property
    def accurate(self) -> bool:
        """Whether the error is within what is allowed; False for NaN."""
        return self.error is not None and self.error <= 1

    @property
    def wrong(self) -> bool:
        """Whether the method was judged, should be accurate, and is not."""
        judged = not (self.method.other or self.method.gives_up)
        return judged and not self.accurate

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
        return self.named(self.problem.ours)

    @property
    def accurate(self) -> bool:
        """Whether every method that should have passed the accuracy check has."""
        return not any(timing.wrong for timing in self.timings)

    def named(self, name: str) -> Timing:
        """The timing of a method."""
        return next(t for t in self.timings if t.method.name == name)

    def ratio(self, timing: Timing) -> float | None:
        """Median seconds over ours; None if either was not timed."""
        if timing.median is None or self.ours.median is None:
            return None
        return timing.median / self.ours.median

    def fastest(self, names: tuple[str, ...]) -> Timing | None:
        """The timing of least median among some methods; None if none was timed."""
        timed = [
            (timing.median, timing)
            for timing in map(self.named, names)
            if timing.median is not None
        ]
        return min(timed, key=lambda pair: pair[0])[1] if timed else None

    @property
    def over_floor(self) -> float | None:
        """Our median over that of the fastest floor; None without either."""
        floor = self.fastest(self.problem.floors)
        ratio = None if floor is None else self.ratio(floor)
        return None if ratio is None else 1 / ratio
