"""Plain-text tables: cells in columns, aligned left or right."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["aligned"]


def aligned(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[bool]
) -> str:
    """Rows of cells in columns two spaces apart, a rule under the header.

    Args:
        header: A heading per column.
        rows: A cell per column in each.
        left: For each column, whether it is aligned left.
    """
    widths = [max(map(_width, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(map(_padded, row, widths, left)).rstrip() for row in (header, *rows)
    ]
    rule = "-" * max(map(_width, lines))
    return "\n".join([lines[0], rule, *lines[1:]])


def _padded(cell: str, width: int, left: bool) -> str:
    space = " " * (width - _width(cell))
    return cell + space if left else space + cell


def _width(text: str) -> int:
    """Places on a terminal: two for wide characters, none for those that combine."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(bool(unicodedata.combining(char)) for char in text)
