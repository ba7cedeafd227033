"""A number that is known to lie between two ends.

Whatever is computed from one is rounded outward, and so is what is printed of it: the
truth stays inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from convspec.isolation import isolated_class
from convspec.quantity.decimals import rounded_down, rounded_up
from convspec.rounding.directed import down_nonnegative, up

__all__ = ["Contradiction", "Enclosure"]


class Contradiction(ValueError):
    """Ends in the wrong order: of two enclosures that met, one is false."""


@isolated_class
@dataclass(frozen=True, eq=False)
class Enclosure:
    """``lower <= x <= upper``; it unpacks as that pair and is equal to it.

    The operations are those of numbers that are not negative, as norms are.

    Attributes:
        lower: Lower end; 0, or -inf for logarithms, where nothing is known.
        upper: Upper end, inf where nothing is known.

    Raises:
        ValueError: If the ends are in the wrong order, or one of them is NaN.

    >>> norm = Enclosure(1.0, 3.0)
    >>> lower, upper = norm
    >>> lower, upper, norm.width, norm.gap, 2.0 in norm, 4.0 in norm
    (1.0, 3.0, 2.0, 2.0, True, False)
    >>> print(norm & Enclosure(2.0, 5.0), Enclosure(1 / 3, 2 / 3))
    [2, 3] [0.333333, 0.666667]
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not self.lower <= self.upper:
            raise Contradiction(
                f"ends must be in order, lower <= upper; got {self.lower}, {self.upper}"
            )

    @property
    def width(self) -> float:
        """``upper - lower``; 0 where both are the same infinity."""
        return 0.0 if self.lower == self.upper else self.upper - self.lower

    @property
    def gap(self) -> float:
        """``(upper - lower) / lower``; 0 for one number, inf for one-sided bounds."""
        if self.width == 0:
            return 0.0
        return self.width / self.lower if self.lower > 0 else math.inf

    @property
    def squared(self) -> Enclosure:
        """``x^2``; what is beyond float64 is between its largest number and inf."""
        lower, upper = (end * end for end in self)  # a power would raise there
        return Enclosure(down_nonnegative(lower), up(upper))

    def __truediv__(self, other: Enclosure) -> Enclosure:
        """``x / y``; the upper end is inf where y may be 0, both are where y is."""
        if other.upper == 0:
            return Enclosure(math.inf if self.lower > 0 else 0.0, math.inf)
        lower = 0.0 if math.isinf(other.upper) else self.lower / other.upper
        if other.lower == 0 or math.isinf(self.upper):
            return Enclosure(down_nonnegative(lower), math.inf)
        return Enclosure(down_nonnegative(lower), up(self.upper / other.lower))

    def __and__(self, other: Enclosure) -> Enclosure:
        """What both allow.

        Raises:
            ValueError: If they have nothing in common: one of them is false.
        """
        return Enclosure(max(self.lower, other.lower), min(self.upper, other.upper))

    def __iter__(self) -> Iterator[float]:
        return iter((self.lower, self.upper))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: int) -> float:
        return (self.lower, self.upper)[place]

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float | int) and self.lower <= value <= self.upper

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Enclosure | tuple):
            return tuple(self) == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.lower, self.upper))

    def __str__(self) -> str:
        return f"[{rounded_down(self.lower, 6)}, {rounded_up(self.upper, 6)}]"
