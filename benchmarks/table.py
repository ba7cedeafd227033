"""The results of a problem as plain text."""

from __future__ import annotations

from benchmarks.problem import Result, Timing

__all__ = ["table"]

HEADER = ("method", "min s", "median s", "x ours", "error/allowed")
PEAK_NOTE = "peak: resident memory of a fresh process per method, imports included"


def table(result: Result) -> str:
    """An aligned table with the problem's title above and targets and ideas below."""
    problem = result.problem
    header = (*HEADER, "peak GiB", "") if problem.memory else (*HEADER, "")
    rows = [header, *(_row(result, timing) for timing in result.timings)]
    footer = [f"  {t.method.name}: {t.method.idea}" for t in result.timings]
    if problem.memory:
        footer.append(PEAK_NOTE)
    footer += _targets(result)
    return "\n".join([f"{problem.name}: {problem.title}", *_aligned(rows), *footer])


def _row(result: Result, timing: Timing) -> tuple[str, ...]:
    """The cells of one method."""
    method = timing.method
    note = f"extrapolated x{method.scale:.3g} from {method.part}" if method.part else ""
    if not timing.accurate:
        note = "WRONG, not timed"
    cells = (
        method.name,
        _number(timing.minimum),
        _number(timing.median),
        _number(result.ratio(timing)),
        f"{timing.error:.2g}",
    )
    if not result.problem.memory:
        return (*cells, note)
    return (*cells, _gib(timing), note)


def _gib(timing: Timing) -> str:
    """Peak memory in GiB, marked where it is that of a part."""
    if timing.peak_bytes is None:
        return "-"
    part = " (part)" if timing.method.part else ""
    return f"{timing.peak_bytes / 2**30:.2f}{part}"


def _number(value: float | None) -> str:
    """Three significant digits, or a dash for what was not measured."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """The rows as lines with a rule below the first; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if index in (0, last) else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _targets(result: Result) -> list[str]:
    """One line per target of our own method, and whether it is met."""
    target, ours = result.problem.target, result.ours
    lines = []
    if ours.median is not None:
        met = "met" if ours.median <= target.seconds else "missed"
        lines.append(
            f"target: {result.problem.ours} within {target.seconds:g} s; "
            f"median {_number(ours.median)} s, {met}"
        )
    if ours.peak_bytes is not None and target.peak_bytes is not None:
        met = "met" if ours.peak_bytes <= target.peak_bytes else "missed"
        lines.append(
            f"target: {result.problem.ours} within {target.peak_bytes / 2**30:g} GiB; "
            f"peak {_gib(ours)} GiB, {met}"
        )
    return lines
