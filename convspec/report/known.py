"""What is known of a layer's singular values: all of them, bounds on them, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from convspec.arrays import FloatArray
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.report.quantities import NORM, QUANTITIES
from convspec.report.readings import ENCLOSURE, EXACT, Known, Reading
from convspec.rounding import down_nonnegative, up
from convspec.spectrum import Envelope, Spectrum

__all__ = ["UNKNOWN", "Enclosed", "Exact", "NotKnown", "Singular"]

UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Exact:
    """Every singular value, up to rounding.

    Attributes:
        spectrum: The values.
    """

    kind: ClassVar[str] = EXACT
    spectrum: Spectrum

    @property
    def method(self) -> str:
        """``"fourier"`` or ``"dense"``."""
        return self.spectrum.method

    @cached_property
    def norm(self) -> Bound:
        """The computed norm within its error."""
        error = float(np.max(self.spectrum.error))
        return Bound(
            down_nonnegative(self.spectrum.norm - error),
            up(self.spectrum.norm + error),
            self.method,
            "any operator" if self.method == "dense" else "block circulant",
            "convspec.spectrum",
        )

    @cached_property
    def readings(self) -> dict[str, Reading]:
        """Every quantity, by name."""
        return {q.name: q.of_spectrum(self.spectrum) for q in QUANTITIES}

    def shown(self, name: str) -> Known:
        """What a cell of the table says of a quantity."""
        return self.readings[name].known

    @property
    def values(self) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends of all singular values: themselves."""
        return self.spectrum.values, self.spectrum.values


@dataclass(frozen=True, eq=False)
class Enclosed:
    """Certified bounds on the norm, and where there is memory on every singular value.

    Attributes:
        norm: Bounds on ``sigma_1``.
        shape: (m, n) of the operator.
        envelope: Bounds on all values, or None.
    """

    kind: ClassVar[str] = ENCLOSURE
    norm: Bound
    shape: tuple[int, int]
    envelope: Envelope | None = None

    @property
    def method(self) -> str:
        """``"envelope"`` with tori in it, else ``"norm"`` if that has a lower end."""
        tori = self.envelope is not None and self.envelope.tori[0] > 0
        if self.norm.lower > 0 and not tori:
            return "norm"
        return "none" if self.envelope is None else "envelope"

    @cached_property
    def readings(self) -> dict[str, Reading]:
        """Every quantity, by name; without an envelope all but the norm say nothing."""
        found = {
            q.name: q.unknown(self.shape)
            if self.envelope is None
            else q.of_envelope(self.envelope)
            for q in QUANTITIES
        }
        found[NORM] = Reading.enclosed(Enclosure(*self.norm))
        return found

    def shown(self, name: str) -> Known:
        """What a cell says of a quantity, if more than of any operator of this shape."""
        silent = self.envelope is None and name != NORM
        return None if silent else self.readings[name].known

    @property
    def values(self) -> tuple[FloatArray, FloatArray] | None:
        """Lower and upper ends of all singular values, if they are bounded."""
        band = self.envelope
        return None if band is None else (band.lower, band.upper)


@dataclass(frozen=True)
class NotKnown:
    """Nothing: the layer is not supported."""

    kind: ClassVar[str] = UNKNOWN
    method: ClassVar[str] = "none"
    norm: ClassVar[None] = None
    values: ClassVar[None] = None

    @property
    def readings(self) -> dict[str, Reading]:
        """No readings."""
        return {}

    def shown(self, name: str) -> Known:
        """Nothing: an empty cell."""
        return None


Singular = Exact | Enclosed | NotKnown
