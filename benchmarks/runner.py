"""Check every method, then time the accurate ones in turns."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter
from typing import Any

from benchmarks.memory import peak_of_method
from benchmarks.problem import Method, Problem, Result, Timing

__all__ = ["run"]


def run(
    problem: Problem,
    repeats: int,
    peak: Callable[[str, str], int] = peak_of_method,
) -> Result:
    """The errors of all methods, and times and peak memory of those that are accurate.

    Each method is built once for the check, which also warms it up. Then every round
    times each method once, starting one method later than the round before, so that
    noise and what a neighbour leaves in the caches hit all alike.

    Args:
        problem: What to run.
        repeats: Number of rounds, at least 1.
        peak: From a problem's and a method's name to peak bytes.
    """
    errors = {method.name: problem.error(method.build()) for method in problem.methods}
    checked = [Timing(method, errors[method.name]) for method in problem.methods]
    accurate = [timing.method for timing in checked if timing.accurate]
    peaks = {m.name: peak(problem.name, m.name) for m in accurate if problem.memory}
    seconds = _rounds(accurate, repeats)
    timings = (
        Timing(
            timing.method,
            timing.error,
            tuple(seconds.get(timing.method.name, ())),
            peaks.get(timing.method.name),
        )
        for timing in checked
    )
    return Result(problem, tuple(timings))


def _rounds(methods: list[Method], repeats: int) -> dict[str, list[float]]:
    """Seconds of each method, one entry per round; garbage is collected in between."""
    seconds: dict[str, list[float]] = {method.name: [] for method in methods}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(repeats):
            gc.collect()
            first = number % max(1, len(methods))
            for method in methods[first:] + methods[:first]:
                seconds[method.name].append(_seconds(method.build))
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
