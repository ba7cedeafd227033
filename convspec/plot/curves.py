"""Descending values over the fraction of their index: exact, enclosed or estimated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from convspec.arrays import FloatArray, IntArray
from convspec.spectrum import Density, Envelope, Spectrum

__all__ = ["Curve", "Spectral", "curve_of"]

Spectral = Spectrum | Envelope | Density

# more points than these are thinned out: a picture has fewer columns
MOST_POINTS = 2000
END_POINTS = 100
FEW = 40  # values that are drawn with markers
# errors of exact values that are drawn, relative
VISIBLE_ERROR = 1e-3


@dataclass(frozen=True, eq=False)
class Curve:
    """The values, places and ends that are drawn of a spectrum.

    Attributes:
        kind: ``"exact"``, ``"enclosure"`` or ``"estimate"``.
        words: What it is, for the legend.
        total: Number of singular values of the operator.
        place: Fractions of the index, ascending.
        middle: Values; None for an enclosure.
        low: Lower ends of a band; None without one.
        high: Upper ends.
        zeros: Numerical zeros, which lie behind the last place.
        marked: Whether the values are few enough for markers.
    """

    kind: str
    words: str
    total: int
    place: FloatArray
    middle: FloatArray | None
    low: FloatArray | None = None
    high: FloatArray | None = None
    zeros: int = 0
    marked: bool = False


def curve_of(found: Spectral, errors: float = 2.0) -> Curve:
    """The curve of a spectrum, of an envelope, or of a density's quantiles.

    Args:
        found: What is known of the singular values.
        errors: Half the height of an estimate's band, in standard errors.

    Raises:
        TypeError: For anything else.
    """
    if isinstance(found, Spectrum):
        return _exact(found)
    if isinstance(found, Envelope):
        return _enclosed(found)
    if isinstance(found, Density):
        return _estimated(found, errors)
    raise TypeError(
        "what is drawn must be a Spectrum, an Envelope or a Density; "
        f"got {type(found).__name__}; "
        "call spectrum(op), spectral_envelope(op) or spectral_density(op)"
    )


def _exact(spec: Spectrum) -> Curve:
    total, count = min(spec.shape), len(spec.values)
    zeros = count - spec.rank() if spec.complete else 0
    shown = int((spec.values[: count - zeros] > 0).sum())
    last = not spec.complete and spec.which == "smallest"
    places = ((total - count if last else 0) + np.arange(count) + 0.5) / total
    picked = _picked(shown)
    values = spec.values[picked]
    error = np.broadcast_to(spec.error, spec.values.shape)[picked]
    visible = bool((error > VISIBLE_ERROR * values).any()) and spec.method == "krylov"
    name = "Krylov" if spec.method == "krylov" else "exact"
    words = [name if spec.complete else f"{name}, {count} {spec.which}"]
    if visible:
        words.append("within error")
    if zeros:
        words.append(f"{zeros:,} numerical zero{'s' * (zeros > 1)}")
    return Curve(
        "exact",
        ", ".join(words),
        total,
        places[picked],
        values,
        np.maximum(values - error, 0.0) if visible else None,
        values + error if visible else None,
        zeros,
        count < FEW,
    )


def _enclosed(band: Envelope) -> Curve:
    """Thinned outward: over each gap the band reaches over all that it leaves out."""
    total = len(band)
    picked = _picked(total)
    last = np.append(picked[1:] - 1, total - 1)
    low, high = band.lower[last], band.upper[picked]
    if len(picked) < total:  # stairs: both ends of each gap
        place = np.stack([picked, last + 1], axis=1).reshape(-1) / total
        low, high = np.repeat(low, 2), np.repeat(high, 2)
    else:
        place = (picked + 0.5) / total
    words = "certified enclosure"
    return Curve("enclosure", words, total, place, None, low, high, marked=total < FEW)


def _estimated(density: Density, errors: float) -> Curve:
    points = min(density.count, 400)
    place = (np.arange(points) + 0.5) / points
    found = density.quantile(1 - place)
    values, spread = found.value, errors * found.standard_error
    if density.method == "symbol":
        words = "symbol: limit of large inputs"
        return Curve("estimate", words, density.count, place, values)
    if not np.array_equal(density.nodes, density.radau_nodes):
        # nothing below the smallest node is resolved: no flat tail is drawn
        seen = values > density.nodes[density.weights > 0].min()
        place, values, spread = place[seen], values[seen], spread[seen]
    low = np.maximum(values - spread, 0.0)
    words = f"estimate, \u00b1 {errors:g} standard errors"
    return Curve("estimate", words, density.count, place, values, low, values + spread)


def _picked(count: int) -> IntArray:
    """Places that stand for all: evenly spread, more at either end."""
    if count <= MOST_POINTS:
        return np.arange(count)
    step = math.ceil(count / (MOST_POINTS - 2 * END_POINTS))
    ends = np.arange(END_POINTS)
    middle = np.arange(0, count, step)
    return np.unique(np.concatenate([ends, middle, count - 1 - ends]))
