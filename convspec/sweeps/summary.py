"""A sweep in a few lines: how the norm of each layer went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import fill

from convspec.quantity.aligned import aligned
from convspec.quantity.enclosure import Enclosure
from convspec.report.print import EMPTY, enclosed, number, printable

__all__ = ["Change", "Known", "change", "counted", "ends", "summary", "written"]

Known = float | Enclosure | None
HEADER = ("layer", "first", "last", "least", "largest", "largest change", "at")
WIDTH = 88
LEGEND = (
    "Norms sigma_1, exact or as certified ends a..b. The largest change is the ratio of "
    "two checkpoints in a row, of enclosed norms that of their upper ends."
)


@dataclass(frozen=True)
class Change:
    """The largest change of a quantity from one checkpoint to the next.

    Attributes:
        ratio: Of the later to the earlier.
        checkpoint: The later.
    """

    ratio: float
    checkpoint: str


def ends(known: Known) -> tuple[float, float]:
    """Both ends of what is known; NaN where nothing is."""
    if isinstance(known, Enclosure):
        return known.lower, known.upper
    return (math.nan, math.nan) if known is None else (known, known)


def change(values: Sequence[Known], checkpoints: Sequence[str]) -> Change | None:
    """Where a quantity changed most; None if it is nowhere known twice and positive."""
    uppers = [
        (ends(value)[1], name) for value, name in zip(values, checkpoints, strict=True)
    ]
    finite = [(upper, name) for upper, name in uppers if 0 < upper < math.inf]
    changes = [
        Change(later / earlier, name) for (earlier, _), (later, name) in pairwise(finite)
    ]
    return max(changes, key=lambda each: abs(math.log(each.ratio)), default=None)


def counted(count: int, what: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{count} {what}{'s' * (count != 1)}"


def written(known: Known) -> str:
    """A number, two ends, or a dash."""
    if isinstance(known, Enclosure):
        return enclosed(known)
    return number(known)


def summary(
    norms: Mapping[str, Sequence[Known]],
    checkpoints: Sequence[str],
    failed: Mapping[str, str],
) -> str:
    """The table of all layers, those that changed most first."""
    said = f"{counted(len(checkpoints), 'checkpoint')}, {counted(len(norms), 'layer')}"
    if failed:
        said += f"; not analysed: {counted(len(failed), 'checkpoint')}"
    if not norms:
        return said
    found = [
        (layer, values, change(values, checkpoints)) for layer, values in norms.items()
    ]
    found.sort(key=lambda each: -_size(each[2]))
    rows = [_row(*each) for each in found]
    left = [name in ("layer", "at") for name in HEADER]
    return "\n\n".join([aligned(HEADER, rows, left), said, fill(LEGEND, WIDTH)])


def _row(layer: str, values: Sequence[Known], most: Change | None) -> list[str]:
    there = [value for value in values if value is not None]
    least, largest = (
        choose(there, key=lambda value: ends(value)[1], default=None)
        for choose in (min, max)
    )
    first, last = (there[0], there[-1]) if there else (None, None)
    cells = [written(value) for value in (first, last, least, largest)]
    moved = most is not None and most.ratio != 1
    changed = f"x {most.ratio:.4g}" if most is not None and moved else EMPTY
    at = printable(most.checkpoint) if most is not None and moved else ""
    return [printable(layer), *cells, changed, at]


def _size(most: Change | None) -> float:
    return -1.0 if most is None else abs(math.log(most.ratio))
