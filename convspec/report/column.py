"""One column of the table of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convspec.report.entries import Entry, sort_key
from convspec.report.print import written
from convspec.report.row_fields import Fields

if TYPE_CHECKING:
    from convspec.report.layer import LayerReport

__all__ = ["NOWHERE", "Column"]

NOWHERE = -1


@dataclass(frozen=True)
class Column:
    """One column of the table of layers, in every form.

    Attributes:
        name: Its key.
        heading: What it is called in a table, without the unit.
        meaning: What it says, in a sentence.
        of: What it shows of a row; None if it is data alone.
        data: Its fields, by name.
        priority: Of a column of the table: 0 for what every table must have; where room
            is short, the columns of the highest go first. No two are equal, but for 0.
            Below 0 for what stands in no table.
        unit: Of its numbers; empty if they have none.
        spectral: Whether it is of the spectrum: exact or enclosed, as the method says.
        kind: ``"text"``, ``"shape"`` or ``"number"``; numbers are aligned right.
        latex: Its heading in LaTeX, if another.
    """

    name: str
    heading: str
    meaning: str
    of: Callable[[LayerReport], Entry] | None
    data: Callable[[LayerReport], Fields]
    priority: int = NOWHERE
    unit: str = ""
    kind: str = "number"
    spectral: bool = False
    latex: str = ""

    @property
    def title(self) -> str:
        """The heading, with the unit in brackets if there is one."""
        return f"{self.heading} [{self.unit}]" if self.unit else self.heading

    def entry(self, layer: LayerReport) -> Entry:
        """What the column shows of a row."""
        return None if self.of is None else self.of(layer)

    def cell(self, layer: LayerReport) -> str:
        """Its text for a row, ``-`` where nothing is known."""
        return written(self.entry(layer))

    def key(self, layer: LayerReport) -> float | str | None:
        """What rows are sorted by; None where nothing is known, which comes last."""
        return sort_key(self.entry(layer))
