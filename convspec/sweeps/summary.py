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

__all__ = ["Change", "Known", "change", "counted", "ends", "span", "summary", "written"]

Known = float | Enclosure | None
HEADER = ("layer", "first", "last", "least", "largest", "largest change", "at")
WIDTH = 88
LEGEND = (
    "Norms sigma_1, exact or as certified ends a..b. The largest change is that from "
    "one checkpoint to the next, of enclosed norms that of their upper ends."
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

    def __str__(self) -> str:
        """In percent, signed."""
        return f"{100 * (self.ratio - 1):+.3g} %"


def ends(known: Known) -> tuple[float, float]:
    """Both ends of what is known; NaN where nothing is."""
    if isinstance(known, Enclosure):
        return known.lower, known.upper
    return (math.nan, math.nan) if known is None else (known, known)


def change(values: Sequence[Known], checkpoints: Sequence[str]) -> Change | None:
    """Where a quantity changed most; None if it never did, or is not known twice."""
    uppers = [
        (ends(value)[1], name) for value, name in zip(values, checkpoints, strict=True)
    ]
    finite = [(upper, name) for upper, name in uppers if 0 < upper < math.inf]
    changes = [
        Change(later / earlier, name)
        for (earlier, _), (later, name) in pairwise(finite)
        if later != earlier
    ]
    return max(changes, key=_size, default=None)


def counted(count: int, what: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{count} {what}{'s' * (count != 1)}"


def written(known: Known) -> str:
    """A number, two ends, or a dash."""
    if isinstance(known, Enclosure):
        return enclosed(known)
    return number(known)


def span(values: Sequence[Known]) -> tuple[Known, Known, Known, Known]:
    """The first, the last, the least and the largest that are known."""
    there = [value for value in values if value is not None]
    if not there:
        return None, None, None, None
    ordered = sorted(there, key=lambda value: ends(value)[1])
    return there[0], there[-1], ordered[0], ordered[-1]


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
    cells = [written(value) for value in span(values)]
    change_at = (EMPTY, "") if most is None else (str(most), printable(most.checkpoint))
    return [printable(layer), *cells, *change_at]


def _size(most: Change | None) -> float:
    return -1.0 if most is None else abs(math.log(most.ratio))
