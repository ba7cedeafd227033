"""What a cell of a report can hold, before it is written as text or as LaTeX."""

from __future__ import annotations

import math
from dataclasses import dataclass

from convspec.quantity.enclosure import Enclosure

__all__ = [
    "About",
    "AtMost",
    "Counted",
    "Digits",
    "Entry",
    "Geometry",
    "Label",
    "Number",
    "sort_key",
]


@dataclass(frozen=True)
class Label:
    """The name of a layer, and how often it was called."""

    name: str
    calls: int


@dataclass(frozen=True)
class Geometry:
    """Kernel size, stride and the rest, ``3x3 s2 p1``."""

    words: str


@dataclass(frozen=True)
class AtMost:
    """A number of which only the upper end is shown."""

    upper: float


@dataclass(frozen=True)
class Digits:
    """A number of which so many digits are certain."""

    value: float
    certain: int


@dataclass(frozen=True)
class About:
    """An estimate, with its standard error."""

    value: float
    error: float


# a number, known or about; two ends; nothing
Number = float | AtMost | Digits | About | Enclosure | None


@dataclass(frozen=True)
class Counted:
    """How many of so many there are, ``256 of 512``."""

    count: Number
    all: int


# words; a shape; a number
Entry = str | tuple[int, ...] | Label | Geometry | Counted | Number


def sort_key(entry: Entry) -> float | str | None:
    """What cells are sorted by; None where nothing is known.

    Bounds count as their lower end, or their upper one where that is all there is.
    """
    if isinstance(entry, Label):
        return entry.name
    if isinstance(entry, Geometry):
        return entry.words
    if isinstance(entry, Counted):
        return sort_key(entry.count)
    if isinstance(entry, tuple):
        return math.prod(entry)
    if isinstance(entry, AtMost):
        return entry.upper
    if isinstance(entry, Digits | About):
        return entry.value
    if isinstance(entry, Enclosure):
        if entry.lower > 0:
            return entry.lower
        return entry.upper if entry.upper < math.inf else None
    return entry
