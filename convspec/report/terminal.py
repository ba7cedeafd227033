"""A report on a terminal, through rich: aligned, in colour, as wide as there is room.

What is not a terminal, a file or a pipe, gets the plain text of ``repr``, every column
of it. Colour is rich's to decide: none with ``NO_COLOR``, or on a dumb terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convspec.extras import import_extra
from convspec.report.column import Column
from convspec.report.columns import table
from convspec.report.layer import LayerReport
from convspec.report.model import ModelReport
from convspec.report.print import EMPTY
from convspec.report.statements import guarantee

__all__ = ["fitting", "print_report"]

GAP = 2  # between columns, one of it by the table itself
SHORTEST = 8  # that a column of names is folded to
STYLES = {"exact": "blue", "enclosure": "green", "unknown": "dim"}


def print_report(report: ModelReport, console: Any = None) -> None:
    """Print a report on a console; where that is no terminal, its ``repr``.

    Columns that do not fit are left out, the least telling first, and named below the
    table; what must stay is folded.

    Args:
        report: The report.
        console: A ``rich.console.Console``; by default one on standard output.

    Raises:
        MissingExtra: Without rich, which ``convspec[cli]`` installs.
    """
    if console is None:
        console = import_extra("rich.console", "cli").Console(highlight=False)
    if not console.is_terminal:
        console.file.write(f"{report}\n")
        return
    text = import_extra("rich.text", "cli").Text
    if report.layers:
        shown = fitting(report.layers, console.width)
        console.print(_table(report.layers, shown, console.width))
        names = [column.name for column in shown]
        left_out = [
            column.heading for column in table(report.layers) if column.name not in names
        ]
        if left_out:
            words = f"Not shown at this width: {', '.join(left_out)}."
            console.print(text(words, style="dim"))
        console.print()
    for sentence in (report.summary(), *report.remarks):
        console.print(text(sentence))
    if report.legend:
        console.print()
    for sentence in report.legend:
        console.print(text(sentence, style="dim"))


def fitting(layers: Sequence[LayerReport], width: int) -> list[Column]:
    """The columns that fit a width, in their order; those of priority 0 in any case.

    Names count for a third of the width at most: they can be folded.
    """
    shown = list(table(layers))
    for column in sorted(shown, key=lambda column: -column.priority):
        names = min(_room(layers, shown[:1]), max(SHORTEST, width // 3))
        if names + GAP + _room(layers, shown[1:]) <= width or column.priority == 0:
            break
        shown.remove(column)
    return shown


def _room(layers: Sequence[LayerReport], columns: Sequence[Column]) -> int:
    """How wide these columns are next to each other."""
    cell_len = import_extra("rich.cells", "cli").cell_len
    widths: list[int] = [
        max(map(cell_len, (column.title, *(column.cell(layer) for layer in layers))))
        for column in columns
    ]
    return sum(widths) + GAP * (len(widths) - 1)


def _table(layers: Sequence[LayerReport], shown: Sequence[Column], width: int) -> Any:
    """A ``rich.table.Table``; names are text, whatever markup they look like."""
    text = import_extra("rich.text", "cli").Text
    table = import_extra("rich.table", "cli").Table(
        box=import_extra("rich.box", "cli").SIMPLE_HEAD,
        padding=(0, GAP - 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    names, *others = shown
    left = width - _room(layers, others) - GAP  # names fold, so that no number has to
    for column in shown:
        table.add_column(
            text(column.title),
            justify="right" if column.kind == "number" else "left",
            overflow="fold",
            max_width=max(left, SHORTEST) if column is names else None,
        )
    for layer in layers:
        style = STYLES[guarantee(layer)]
        cells = [(column, column.cell(layer)) for column in shown]
        table.add_row(*(text(cell, _style(of, cell, style)) for of, cell in cells))
    return table


def _style(column: Column, cell: str, style: str) -> str:
    """Numbers of the spectrum and the method in the colour of their guarantee."""
    if cell == EMPTY:
        return "dim"
    return style if column.spectral or column.name == "method" else ""
