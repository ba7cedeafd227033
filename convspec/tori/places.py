"""What the supremum of a symbol says about an operator: with which stride and factor.

Every bound that reads the kernel alone bounds ``sup_w sigma_1(F(w))`` from above. That is
a bound on ``||A||`` up to a factor that the geometry determines, axis by axis:

* On an endless line. Padding shows pixels at the positions -before, ..., and an output
  reads ``x[s o + d t - before]`` there: ``S[t] = R T[t] P`` for all taps t, with T the
  convolution of stride s on the whole line, R the choice of m outputs (norm 1) and P the
  padding map, a 0/1 matrix with one 1 per position, whose norm is the square root of how
  many positions show one pixel. So ``||A|| <= sqrt(multiplicity) sup``: 1 for zeros,
  where every position shows another pixel.
* On a circle, for circular padding. Row o of S[t] is row ``s o mod n`` of the circulant
  of stride 1, so row ``s o / g mod n / g`` of the circulant of stride ``g = gcd(s, n)``,
  whose blocks are values of the symbol of stride g. ``||A|| <= sqrt(multiplicity) sup``
  with the number of outputs that are one and the same row: 1 if the padding keeps the
  size. The symbol of stride s itself does not serve where s does not divide n: [1, 1]
  with stride 2 on 3 pixels has norm sqrt(3), and its symbol of stride 2 is sqrt(2).

The symbol of stride s splits an axis into s phases. If s and the dilation d have a common
factor e, only every e-th pixel is read: s / e phases do. The dilation that is left has no
common factor with that stride and permutes phases and frequencies. So F is always that of
``ceil(k / stride)`` lags with ``stride = s / gcd(s, d)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from convspec.errors import NotApplicable
from convspec.operators.axis import most_common
from convspec.operators.reads import Reads
from convspec.rounding.directed import square_root

__all__ = ["Place", "Setting", "settings", "unrepeated_settings"]

# kernels whose symbol is 1 at most, whose formulas all give 1, and whose norm is larger
COUNTEREXAMPLES = {
    "reflect": "[1, 1, 1] / 3 on 8 pixels with reflect padding 1 has norm 1.029",
    "replicate": "[1, ..., 1] / 5 on 8 pixels with replicate padding 2 has norm 1.011",
    "symmetric": "[1, 1] / 2 on 8 pixels with symmetric padding 1 has norm 1.155",
    "circular": "[1] on 3 pixels with circular padding 1 has norm 1.414",
}


@dataclass(frozen=True)
class Place:
    """One axis on an endless line or on a circle.

    Attributes:
        stride: Phases into which the symbol splits the axis.
        lags: Lags of the symbol, ``ceil(k / stride)``.
        multiplicity: ``||A||^2 <= multiplicity sup^2``, as far as this axis goes.
        rows: Outputs on the line or circle that A has.
        cells: Most positions of one phase that A reads.
        circle: On a circle, the frequencies ``2 pi j / frequencies`` that it has; those
            alone matter, with ``step j`` in the place of j for the dilation left out.
        step: See ``circle``.
        reason: What the multiplicity counts, in words.
    """

    stride: int
    lags: int
    multiplicity: int
    rows: int
    cells: int
    circle: int | None = None
    step: int = 1
    reason: str = field(kw_only=True)

    @classmethod
    def on_line(cls, read: Reads) -> Place:
        """The axis as a part of an endless line, for any padding."""
        axis = read.axis
        positions, pixels = read.used
        most = most_common(pixels)
        stride = axis.phases
        shows = "no pixel twice" if most == 1 else f"a pixel at up to {most} positions"
        zero = axis.mode == "zeros"
        return cls(
            stride,
            -(-read.reach // stride),
            most,
            read.live.outputs,
            most_common(positions % axis.stride),
            reason="zero padding" if zero else f"{axis.mode} padding shows {shows}",
        )

    @classmethod
    def on_circle(cls, read: Reads) -> Place:
        """An axis with circular padding as rows of a circulant."""
        axis = read.axis
        wide = math.gcd(axis.stride, axis.size)
        frequencies = axis.size // wide
        rows = (axis.stride // wide * np.arange(axis.output)) % frequencies
        most = most_common(rows)
        repeats = "no output" if most == 1 else f"an output up to {most} times"
        common = math.gcd(wide, axis.dilation)
        return cls(
            wide // common,
            -(-read.reach // (wide // common)),
            most,
            len(np.unique(rows)),
            frequencies,
            circle=frequencies,
            step=axis.dilation // common % frequencies,
            reason=f"circular padding repeats {repeats}",
        )


@dataclass(frozen=True)
class Setting:
    """A place for each axis: ``||A|| <= sqrt(multiplicity) sup`` of that symbol."""

    places: tuple[Place, ...]

    @property
    def strides(self) -> tuple[int, ...]:
        """Phases of the symbol per axis."""
        return tuple(place.stride for place in self.places)

    @property
    def lags(self) -> tuple[int, ...]:
        """Lags of the symbol per axis."""
        return tuple(place.lags for place in self.places)

    @property
    def multiplicity(self) -> int:
        """``||A||^2 <= multiplicity sup^2``."""
        return math.prod(place.multiplicity for place in self.places)

    @property
    def factor(self) -> float:
        """``sqrt(multiplicity)``, rounded up."""
        return square_root(self.multiplicity)

    @property
    def words(self) -> str:
        """What the bound assumes of the padding and how it was enlarged, in words."""
        counted = [place for place in self.places if place.multiplicity > 1]
        if not counted:
            return self.places[0].reason
        reasons = " and ".join({place.reason: None for place in counted})
        return f"{reasons}: times sqrt({self.multiplicity})"


def settings(axes: Sequence[Reads]) -> list[Setting]:
    """Every combination of places that may give the least bound: one to 2^d."""
    return [Setting(places) for places in product(*map(_places, axes))]


def unrepeated_settings(axes: Sequence[Reads], name: str) -> list[Setting]:
    """The settings in which the supremum itself bounds the operator, with factor 1.

    Formulas of the kernel alone, as they were published, bound the supremum and hold for
    those operators only.

    Args:
        axes: What each axis reads.
        name: The bound that needs it.

    Raises:
        NotApplicable: If there is none, as padding shows pixels more than once.
    """
    found = [setting for setting in settings(axes) if setting.multiplicity == 1]
    if found:
        return found
    worst = max(axes, key=lambda read: Place.on_line(read).multiplicity)
    mode = worst.axis.mode
    times = Place.on_line(worst).multiplicity
    raise NotApplicable(
        f"{name} needs padding that shows no pixel twice, zeros or circular padding "
        f"that keeps the size; got {mode} padding, which shows a pixel at up to {times} "
        f"positions of an axis, where a formula of the kernel alone is no bound: "
        f"{COUNTEREXAMPLES[mode]}, and the formula gives 1; take tsuzuku, which counts "
        "overlaps exactly, or spectral_norm",
        name,
    )


def _places(read: Reads) -> list[Place]:
    """A circle where it is no worse; both where the strides and factors disagree."""
    line = Place.on_line(read)
    if read.axis.mode != "circular":
        return [line]
    circle = Place.on_circle(read)
    if line.stride == circle.stride:
        return [line if line.multiplicity < circle.multiplicity else circle]
    return [line] if line.multiplicity <= circle.multiplicity else [circle, line]
