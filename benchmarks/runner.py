"""Check every method, then time the accurate ones in turns."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter, sleep
from typing import Any

from benchmarks.memory import peak_of_method
from benchmarks.problem import Method, Problem, Result, Timing

__all__ = ["run"]

# seconds before each call: the worker threads of OpenBLAS, MKL and OpenMP spin for
# 100 to 200 ms after a call in case another follows, and take the cores from a neighbour
# that brings threads of its own
PAUSE = 0.25
# seconds that the timed calls of one method may take together; of one that takes longer
# the check is the only call, and is what is reported
BUDGET = 8.0
# seconds after which a method that may give up is not tried with another setting
PATIENCE = 90.0


@dataclass(frozen=True)
class _Checked:
    """A method after its check: what to time, and how long the check took."""

    timing: Timing
    build: Callable[[], Any]
    seconds: float

    @property
    def timed(self) -> bool:
        """Whether its time means something."""
        return self.timing.accurate or bool(self.timing.method.other)

    @property
    def slow(self) -> bool:
        """Whether the check is its only call."""
        return self.seconds > BUDGET

    def rounds(self, repeats: int) -> int:
        """How many rounds to time: fewer of slow methods."""
        if self.timing.method.other:
            return 1
        return min(repeats, int(BUDGET / max(self.seconds, 1e-9)))


def run(
    problem: Problem,
    repeats: int,
    peak: Callable[[str, str], int] = peak_of_method,
) -> Result:
    """The errors of all methods, and times and peak memory of those that are accurate.

    Each method is built once for the check, which also warms it up; one with settings is
    built with the cheapest first, up to the one that is accurate enough. Then every round
    times each method once, starting one method later than the round before, so that
    noise and what a neighbour leaves in the caches hit all alike. Slow methods sit out
    the later rounds, or all, and then the check is their time. A method that computes
    something else is timed once, unchecked.

    Args:
        problem: What to run.
        repeats: Number of rounds, at least 1.
        peak: From a problem's and a method's name to peak bytes.
    """
    checked = [_check(problem, method) for method in problem.methods]
    timed = {each.timing.method.name: each for each in checked if each.timed}
    peaks = {
        name: peak(problem.name, name)
        for name, each in timed.items()
        if problem.memory and each.timing.method.memory
    }
    seconds = _rounds(timed, repeats)
    timings = []
    for each in checked:
        name = each.timing.method.name
        measured = tuple(seconds.get(name, ()))
        if each.timed and each.slow:
            measured = (each.seconds,)
        timings.append(replace(each.timing, seconds=measured, peak_bytes=peaks.get(name)))
    return Result(problem, tuple(timings))


def _check(problem: Problem, method: Method) -> _Checked:
    """The error of a method at the cheapest setting that is accurate enough."""
    if method.other:
        return _Checked(Timing(method, None), method.build, 0.0)
    if not method.settings:
        return _judged(problem, method, method.build, None)
    tried = 0.0
    for setting in method.settings:
        build = partial(method.build, setting)
        checked = _judged(problem, method, build, setting)
        tried += checked.seconds
        if checked.timing.accurate or (method.gives_up and tried > PATIENCE):
            break
    return checked


def _judged(
    problem: Problem, method: Method, build: Callable[[], Any], setting: float | None
) -> _Checked:
    sleep(PAUSE)
    start = perf_counter()
    result = build()
    elapsed = perf_counter() - start
    timing = Timing(method, problem.error(result), setting=setting)
    return _Checked(timing, build, elapsed)


def _rounds(timed: dict[str, _Checked], repeats: int) -> dict[str, list[float]]:
    """Seconds of each method, one entry per round; garbage is collected in between."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(repeats):
            gc.collect()
            names = [name for name, m in timed.items() if m.rounds(repeats) > number]
            first = number % max(1, len(names))
            for name in names[first:] + names[:first]:
                sleep(PAUSE)
                seconds[name].append(_seconds(timed[name].build))
    finally:
        if collecting:
            gc.enable()
    return seconds


def _seconds(build: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call; freeing its result is not counted."""
    start = perf_counter()
    result = build()
    elapsed = perf_counter() - start
    del result
    return elapsed
