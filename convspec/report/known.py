"""What is known of a layer's singular values: all of them, bounds on them, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from convspec.arrays import FloatArray
from convspec.quantity.bound import Bound
from convspec.quantity.enclosure import Enclosure
from convspec.report.quantities import NORM, QUANTITIES, Quantity
from convspec.report.readings import ENCLOSURE, EXACT, Known, Reading
from convspec.rounding import down_nonnegative, up
from convspec.spectrum import Envelope, Spectrum
from convspec.spectrum.sums.estimates import Estimated

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
        return {q.name: self.reading(q) for q in QUANTITIES}

    def reading(self, q: Quantity) -> Reading:
        """What is known of a quantity, computed once."""
        if q.name not in self._found:
            self._found[q.name] = q.of_spectrum(self.spectrum)
        return self._found[q.name]

    @cached_property
    def _found(self) -> dict[str, Reading]:
        """Readings so far."""
        return {}

    def shown(self, q: Quantity) -> Known:
        """What a cell of the table says of a quantity."""
        return self.reading(q).known

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
        sums: Certified ends of quantities that need no single value, by name.
        estimates: Of quantities whose ends are wide, by name; nothing is promised.
    """

    kind: ClassVar[str] = ENCLOSURE
    norm: Bound
    shape: tuple[int, int]
    envelope: Envelope | None = None
    sums: Mapping[str, Enclosure] = field(default_factory=dict)
    estimates: Mapping[str, Estimated] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """``"envelope"`` with tori in it, else ``"norm"`` if that has a lower end."""
        tori = self.envelope is not None and self.envelope.tori[0] > 0
        if self.norm.lower > 0 and not tori:
            return "norm"
        return "none" if self.envelope is None else "envelope"

    @cached_property
    def readings(self) -> dict[str, Reading]:
        """Every quantity, by name: what the envelope, the norm and sums say of it."""
        return {q.name: self.reading(q) for q in QUANTITIES}

    def reading(self, q: Quantity) -> Reading:
        """What the envelope, the norm and sums say of a quantity, computed once."""
        if q.name not in self._found:
            self._found[q.name] = self._read(q)
        return self._found[q.name]

    @cached_property
    def _found(self) -> dict[str, Reading]:
        """Readings so far."""
        return {}

    def _read(self, q: Quantity) -> Reading:
        if self.envelope is None:
            reading = q.unknown(self.shape)
        else:
            reading = q.of_envelope(self.envelope)
        known = self.norm if q.name == NORM else self.sums.get(q.name, reading.ends)
        ends = reading.ends & Enclosure(*known)
        return Reading.enclosed(ends, upper=q.nearer_above)

    def shown(self, q: Quantity) -> Known:
        """What a cell says of a quantity, if more than of any operator of this shape."""
        told = q.name == NORM or q.name in self.sums
        return self.reading(q).known if told or self.envelope is not None else None

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

    def reading(self, q: Quantity) -> None:
        """No reading."""
        return

    def shown(self, q: Quantity) -> Known:
        """Nothing: an empty cell."""
        return None


Singular = Exact | Enclosed | NotKnown
