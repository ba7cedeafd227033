"""What a cell says: numbers, bounds rounded outward, shapes, and names made printable."""

from __future__ import annotations

import math
from collections.abc import Sequence

from convspec.quantity import decimals
from convspec.quantity.enclosure import Enclosure
from convspec.report.entries import (
    About,
    AtMost,
    Counted,
    Digits,
    Entry,
    Geometry,
    Label,
)

__all__ = [
    "EMPTY",
    "enclosed",
    "number",
    "printable",
    "rounded_down",
    "rounded_up",
    "several",
    "shape",
    "written",
]

EMPTY = "-"
DIGITS = 4
MOST_NAMES = 4  # in a list


def number(value: float | None, digits: int = DIGITS) -> str:
    """An integer as it is, else so many digits; ``-`` for None."""
    if value is None:
        return EMPTY
    return str(value) if isinstance(value, int) else f"{value:.{digits}g}"


def enclosed(known: Enclosure, digits: int = DIGITS) -> str:
    """``a..b``, ``>= a``, ``<= b``, rounded outward; of 0 and inf none."""
    lower, upper = known
    if lower in (0, -math.inf) and upper == math.inf:
        return EMPTY
    if lower == upper:
        return number(lower, digits)
    if upper == math.inf:
        return f">= {rounded_down(lower, digits)}"
    if lower in (0, -math.inf):
        return f"<= {rounded_up(upper, digits)}"
    return f"{rounded_down(lower, digits)}..{rounded_up(upper, digits)}"


def written(entry: Entry, digits: int = DIGITS) -> str:
    """A cell of a table in plain text."""
    if isinstance(entry, str):
        return printable(entry)
    if isinstance(entry, Label):
        return printable(entry.name) + f" (x{entry.calls})" * (entry.calls > 1)
    if isinstance(entry, Geometry):
        return entry.words
    if isinstance(entry, Counted):
        count = written(entry.count, digits)
        return count if count == EMPTY else f"{count} of {entry.all}"
    if isinstance(entry, tuple):
        return shape(entry)
    if isinstance(entry, AtMost):
        return rounded_up(entry.upper, digits)
    if isinstance(entry, About):
        return f"~{number(entry.value, digits)}"
    if isinstance(entry, Digits):
        return number(entry.value, min(digits, entry.certain))
    if isinstance(entry, Enclosure):
        return enclosed(entry, digits)
    return number(entry, digits)


def rounded_down(value: float, digits: int = DIGITS) -> str:
    """An integer as it is, else so many digits, at most the value."""
    return decimals.rounded_down(value, digits)


def rounded_up(value: float, digits: int = DIGITS) -> str:
    """An integer as it is, else so many digits, at least the value."""
    return decimals.rounded_up(value, digits)


def shape(numbers: Sequence[int]) -> str:
    """A shape as ``64x56x56``."""
    return "x".join(map(str, numbers))


def printable(text: str) -> str:
    r"""The text with whatever does not print, such as escapes and newlines, escaped.

    >>> print(printable("conv" + chr(27) + "[31m"))
    conv\x1b[31m
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )


def several(names: Sequence[str]) -> str:
    """Names in a list, of many the first and how many more there are."""
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} more"
