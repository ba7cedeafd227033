"""Tables as fragments of HTML, for notebooks; whatever is in names is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from convspec.report.columns import table
from convspec.report.layer import LayerReport
from convspec.report.print import printable

__all__ = ["layer_fragment", "safe", "table_fragment"]


def safe(text: str) -> str:
    """Text as HTML shows it."""
    return escape(printable(text))


def table_fragment(
    header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> str:
    """A table and sentences below it.

    Args:
        header: Titles of the columns.
        rows: Cells, already HTML.
        notes: Sentences, plain text.
    """
    titles = "".join(f"<th>{safe(title)}</th>" for title in header)
    lines = ["<table>", f"<thead><tr>{titles}</tr></thead>", "<tbody>"]
    lines += [
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
    ]
    lines += ["</tbody>", "</table>", *(f"<p>{safe(note)}</p>" for note in notes)]
    return "\n".join(lines)


def layer_fragment(layers: Sequence[LayerReport], notes: Sequence[str]) -> str:
    """One row per layer, the columns of the plain table, and sentences below it."""
    columns = table(layers)
    header = [column.title for column in columns]
    rows = [[safe(column.cell(layer)) for column in columns] for layer in layers]
    return f"<div>\n{table_fragment(header, rows, notes)}\n</div>"
