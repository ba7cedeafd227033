"""The results of a problem as plain text."""

from __future__ import annotations

from benchmarks.problem import Result, Timing

__all__ = ["aligned", "number", "table", "targets"]

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
    footer += targets(result)
    return "\n".join([f"{problem.name}: {problem.title}", *aligned(rows), *footer])


def _row(result: Result, timing: Timing) -> tuple[str, ...]:
    """The cells of one method."""
    cells = (
        timing.method.name,
        number(timing.minimum),
        number(timing.median),
        number(result.ratio(timing)),
        "-" if timing.error is None else f"{timing.error:.2g}",
    )
    note = ", ".join(_notes(timing))
    if not result.problem.memory:
        return (*cells, note)
    return (*cells, _gib(timing), note)


def _notes(timing: Timing) -> list[str]:
    """What the numbers of a method do not say."""
    method, notes = timing.method, []
    if timing.setting is not None:
        notes.append(f"{method.setting} {timing.setting:g}")
    if timing.wrong:
        return [*notes, "WRONG, not timed"]
    if not timing.accurate and not method.other:
        return [*notes, "stopped short, not timed"]
    if method.part:
        notes.append(f"extrapolated x{method.scale:.3g} from {method.part}")
    if method.other:
        notes.append(f"computes {method.other}")
    if len(timing.seconds) == 1:
        notes.append("timed once")
    return notes


def _gib(timing: Timing) -> str:
    """Peak memory in GiB, marked where it is that of a part."""
    if timing.peak_bytes is None:
        return "-"
    part = " (part)" if timing.method.part else ""
    return f"{timing.peak_bytes / 2**30:.2f}{part}"


def number(value: float | None) -> str:
    """Three significant digits, or a dash for what was not measured."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
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


def targets(result: Result) -> list[str]:
    """One line per target of our own method, and whether it is met."""
    target, ours, name = result.problem.target, result.ours, result.problem.ours
    lines = []
    if ours.median is not None and target.seconds is not None:
        met = _met(ours.median <= target.seconds)
        lines.append(
            f"target: {name} within {target.seconds:g} s; "
            f"median {number(ours.median)} s, {met}"
        )
    if ours.peak_bytes is not None and target.peak_bytes is not None:
        met = _met(ours.peak_bytes <= target.peak_bytes)
        lines.append(
            f"target: {name} within {target.peak_bytes / 2**30:g} GiB; "
            f"peak {_gib(ours)} GiB, {met}"
        )
    best = result.fastest(target.than)
    ratio = None if best is None else result.ratio(best)
    if best is not None and ratio is not None and target.faster is not None:
        lines.append(
            f"target: {name} {target.faster:g} times faster than "
            f"{_any_of(target.than)}; {number(ratio)} times ({best.method.name}), "
            f"{_met(ratio >= target.faster)}"
        )
    if result.over_floor is not None:
        lines.append(f"{name} over the floor: {number(result.over_floor)}")
    return lines


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _any_of(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"the best of {', '.join(names)}"
