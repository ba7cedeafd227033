"""A quantity of one layer: its number, the ends it lies between, and of which kind."""

from __future__ import annotations

import math
from dataclasses import dataclass

from convspec.quantity.enclosure import Enclosure

__all__ = ["ENCLOSURE", "EXACT", "Known", "Reading"]

EXACT, ENCLOSURE = "exact", "enclosure"

# what a cell says of a quantity: its number, two ends, or nothing
Known = float | Enclosure | None


@dataclass(frozen=True)
class Reading:
    """What is known of one number.

    Attributes:
        value: The number where it is exact; else the end that is attained or nearer to
            what is, None where that is infinite.
        ends: Certified ends; of an exact number those that its stated error leaves.
        kind: ``"exact"`` or ``"enclosure"``.
    """

    value: float | None
    ends: Enclosure
    kind: str

    @classmethod
    def exact(cls, value: float, ends: Enclosure | None = None) -> Reading:
        """A number that is exact up to rounding, to all the digits that are printed."""
        return cls(value, Enclosure(value, value) if ends is None else ends, EXACT)

    @classmethod
    def enclosed(cls, ends: Enclosure, *, upper: bool = False) -> Reading:
        """A number between two ends.

        Args:
            ends: Certified.
            upper: Whether the upper one is nearer to the truth, as of smallest values.
        """
        near, far = (ends.upper, ends.lower) if upper else (ends.lower, ends.upper)
        value = near if math.isfinite(near) else far
        known = math.isfinite(value) or ends.width == 0
        return cls(value if known else None, ends, ENCLOSURE)

    @property
    def known(self) -> Known:
        """What to print: the number if it is exact, else both ends."""
        return self.value if self.kind == EXACT else self.ends

    def fields(self, name: str) -> dict[str, float | str | None]:
        """The reading as data: the value, both ends and the kind."""
        return {
            name: self.value,
            f"{name}_lower": self.ends.lower,
            f"{name}_upper": self.ends.upper,
            f"{name}_kind": self.kind,
        }
