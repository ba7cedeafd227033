"""What a row of a report knows that a figure can show: bands, ends of the norm, words."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from convspec.quantity.decimals import nearest, rounded_down, rounded_up
from convspec.report import LayerReport

__all__ = [
    "Bands",
    "norm_ends",
    "norm_words",
    "quantile_bands",
    "reason_for_no_bands",
    "visible_worst_case",
]

LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
VISIBLE = 1.02  # a worst case is shown from this ratio to the norm on


@dataclass(frozen=True)
class Bands:
    """What is known of a row's distribution: quantiles, exact or enclosed.

    Attributes:
        exact: Whether lower and upper quantiles are the same numbers.
        low: Lower ends of the quantiles at :data:`LEVELS`.
        high: Upper ends.
        least: The smallest positive number that the axis should show, if it can.
        zeros: How many of the exact values are numerical zeros.
    """

    exact: bool
    low: tuple[float, ...]
    high: tuple[float, ...]
    least: float
    zeros: int = 0


def quantile_bands(layer: LayerReport) -> Bands | None:
    """Quantiles of a row that has any and is not zero."""
    if layer.spectrum is not None:
        if not 0 < layer.spectrum.norm < math.inf:
            return None
        found, rank = layer.spectrum.values, layer.spectrum.rank()
        values = tuple(np.quantile(found, LEVELS).tolist())
        return Bands(True, values, values, float(found[rank - 1]), len(found) - rank)
    if layer.envelope is None or not layer.envelope.norm[1] > 0:
        return None
    with np.errstate(invalid="ignore"):  # between infinities
        low, high = (
            np.quantile(ends, LEVELS)
            for ends in (layer.envelope.lower, layer.envelope.upper)
        )
    lows, highs = (np.nan_to_num(x, nan=np.inf, posinf=np.inf) for x in (low, high))
    if lows[-1] == math.inf or highs[0] == math.inf:
        return None  # nothing of it has a place on the axis
    least = min((x for x in lows.tolist() if x > 0), default=math.inf)
    return Bands(False, tuple(lows.tolist()), tuple(highs.tolist()), least)


def norm_ends(layer: LayerReport) -> tuple[float, float] | None:
    """The ends of a row's norm, equal where it is exact; None where it is not finite."""
    if layer.spectrum is not None:
        norm = layer.spectrum.norm
        return (norm, norm) if norm < math.inf else None
    if layer.norm is not None and math.isfinite(layer.norm.upper):
        return layer.norm.lower, layer.norm.upper
    return None


def visible_worst_case(layer: LayerReport) -> float:
    """The worst case where it is visibly beyond the norm, else 0."""
    ends = norm_ends(layer)
    if layer.worst_case is None or not math.isfinite(layer.worst_case.upper):
        return 0.0
    upper = layer.worst_case.upper
    return upper if ends is None or upper > VISIBLE * ends[1] else 0.0


def norm_words(low: float, high: float) -> str:
    """An exact norm to the nearest, certified ends outward."""
    if low == high:
        return nearest(high, 3)
    most = rounded_up(high, 3)
    if high < low * 1.005:
        return f"\u2264 {most}"
    return f"{rounded_down(low, 3)} to {most}"


def reason_for_no_bands(layer: LayerReport) -> str:
    """What stands in a row without a distribution."""
    if layer.spectrum is not None:
        return "zero operator" if layer.spectrum.norm == 0 else "beyond float64"
    if layer.envelope is not None and layer.envelope.norm[1] == 0:
        return "zero operator"
    if layer.norm is not None and layer.norm.upper == math.inf:
        return f"norm at least {rounded_down(layer.norm.lower, 3)}"
    return "norm only" if layer.norm is not None else "nothing known"
