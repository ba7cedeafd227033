"""Quantities on request: ranks at a tolerance, and for a share of the energy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from convspec.arguments import shown
from convspec.quantity.enclosure import Enclosure
from convspec.report.quantities import Quantity
from convspec.spectrum import Spectrum

__all__ = ["asked_quantities"]

Levels = float | Sequence[float] | None


def asked_quantities(rank_rtol: Levels, energy: Levels) -> tuple[Quantity, ...]:
    """The quantities that low-rank compression asks for.

    Args:
        rank_rtol: Tolerances: how many values are above ``rtol sigma_1``.
        energy: Shares: the least r with ``sum_{i <= r} sigma_i^2 >= share ||A||_F^2``.

    Raises:
        ValueError: If one is not a number from 0 to 1.
    """
    tolerances = [_rank_above(rtol) for rtol in _levels("rank_rtol", rank_rtol)]
    shares = [_rank_for(share) for share in _levels("energy", energy)]
    return *tolerances, *shares


def _levels(name: str, levels: Levels) -> list[float]:
    given = [] if levels is None else np.ravel(np.asarray(levels)).tolist()
    for level in given:
        number = isinstance(level, float | int) and not isinstance(level, bool)
        if not number or not 0 <= level <= 1:
            raise ValueError(
                f"{name} must be a number from 0 to 1, or several; got {shown(levels)}"
            )
    return [float(level) for level in dict.fromkeys(given)]


def _rank_above(rtol: float) -> Quantity:
    def within(spec: Spectrum, error: float) -> Enclosure:
        """Counts that values within an error of those computed could have."""
        top, values = float(spec.values[0]), spec.values
        slack = 1e-15 * top + error
        least = int((values - error > rtol * (top + slack) + slack).sum())
        most = int((values + error >= rtol * (top - slack) - slack).sum())
        return Enclosure(least, most if rtol else len(values))

    return Quantity(
        f"rank_rtol_{rtol:g}",
        f"rank at {rtol:g}",
        f"singular values above {rtol:g} sigma_1",
        lambda spec: spec.rank(rtol),
        lambda band: band.rank(rtol),
        within,
        any=lambda m, n: Enclosure(0, min(m, n)),
        counts=True,
    )


def _rank_for(share: float) -> Quantity:
    return Quantity(
        f"energy_rank_{share:g}",
        f"rank for {share:.6%}".rstrip("%").rstrip("0").rstrip(".") + " %",
        f"least r whose r largest values hold {share:g} of the sum of all squares",
        lambda spec: spec.energy_rank(share),
        lambda band: band.energy_rank(share),
        any=lambda m, n: Enclosure(0, max(0, math.ceil(share * min(m, n)))),
        counts=True,
    )
