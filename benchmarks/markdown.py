"""Results in Markdown: one table per family of problems, one row per problem."""

from __future__ import annotations

from itertools import groupby

from benchmarks.problem import Result, Timing
from benchmarks.table import number

__all__ = ["escaped", "markdown"]


def markdown(results: list[Result]) -> str:
    """Medians of every method, and in brackets what multiple of ours they are.

    Consecutive problems of one family and with the same methods share a table.
    """
    runs = groupby(results, key=_columns)
    return "\n\n".join(_family(list(members)) for _, members in runs)


def _columns(result: Result) -> tuple[str, ...]:
    problem = result.problem
    return (
        problem.family or problem.title,
        *(timing.method.name for timing in result.timings),
    )


def _family(results: list[Result]) -> str:
    """One table."""
    header = [escaped(cell) for cell in _columns(results[0])]
    if any(result.problem.memory for result in results):
        header.append("peak memory")
    rows = [_row(result) for result in results]
    rule = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


def _row(result: Result) -> list[str]:
    problem = result.problem
    cells = [escaped(problem.label or problem.name)]
    cells += [_cell(result, timing) for timing in result.timings]
    if problem.memory:
        peak = result.ours.peak_bytes
        cells.append("" if peak is None else f"{peak / 2**30:.2g} GiB")
    return cells


def _cell(result: Result, timing: Timing) -> str:
    """Median seconds, bold for ours, and the multiple of ours."""
    if timing.median is None:
        return "wrong" if timing.wrong else "stopped short"
    cell = f"{_seconds(timing.median)} s"
    if timing.method.name == result.problem.ours:
        return f"**{cell}**"
    ratio = result.ratio(timing)
    cell += "" if ratio is None else f" ({number(ratio)}x)"
    if timing.method.part:
        cell += ", extrapolated"
    return cell + (", another operator" if timing.method.other else "")


def _seconds(value: float) -> str:
    """Two significant digits."""
    return f"{value:.0f}" if value >= 10 else f"{value:#.2g}"


def escaped(text: str) -> str:
    """Text that a cell can hold."""
    return text.replace("|", "\\|")
