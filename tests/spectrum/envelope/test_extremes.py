"""The extreme spectra of a band: no spectrum in it goes beyond, and they are attained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import mpmath
import numpy as np
import pytest

from convspec.spectrum.envelope.entropy import effective_rank_above, effective_rank_below
from convspec.spectrum.envelope.extremes import concentrated, even
from convspec.spectrum.envelope.frobenius import frobenius_bounds
from tests.oracles import Array

POWERS = (0.3, 1.0, 1.7, 2.4, 4.0, 11.0)


def bands(seed: int) -> Iterator[tuple[Array, Array, Array]]:
    """Endless: descending lower bounds, values, upper bounds; zeros, ties, wide and thin.

    Scales from 1e-200 to 1e200.
    """
    rng = np.random.default_rng(seed)
    while True:
        count = int(rng.integers(1, 30))
        values = np.sort(rng.gamma(rng.choice([0.3, 3.0]), size=count))[::-1]
        if rng.random() < 0.3:
            values = np.round(values, 1)  # ties
        if rng.random() < 0.3:
            values[rng.integers(0, count) :] = 0.0
        width = rng.choice([0.0, 0.01, 0.5])
        below = values * (1 - width * rng.random(count))
        above = values * (1 + width * rng.random(count)) + rng.choice([0.0, width])
        if rng.random() < 0.3:
            below[rng.integers(0, count) :] = 0.0
        scale = 10.0 ** int(rng.choice([-200, 0, 0, 0, 200]))
        yield (
            np.maximum.accumulate(below[::-1])[::-1] * scale,
            values * scale,
            np.minimum.accumulate(above) * scale,
        )


def length(values: Array) -> float:
    """The Euclidean norm, to the last place."""
    top = values.max() or 1.0
    return float(top * math.sqrt(math.fsum(((values / top) ** 2).tolist())))


def power_sum(values: Array, p: float, scale: float) -> float:
    return math.fsum(((values / scale) ** p).tolist())


@pytest.mark.parametrize("side", [-1, 1], ids=["below", "above"])
def test_extremes_are_in_the_band_and_on_their_side(side: int) -> None:
    for low, values, high in islice(bands(0), 200):
        norm = length(values)
        for found in (
            concentrated(low, high, norm, side),
            even(low, high, norm, side),
        ):
            assert (low <= found).all()
            assert (found <= high).all()
            assert (np.diff(found) <= 0).all()
            with mpmath.workdps(40):
                squares = sum(mpmath.mpf(x) ** 2 for x in found.tolist())
                goal = sum(mpmath.mpf(x) ** 2 for x in values.tolist())
                assert (squares - goal) * side >= 0 or (
                    found == (low, high)[side > 0]
                ).all()


def test_no_spectrum_goes_beyond_them() -> None:
    """Power sums up to 2 are least concentrated, beyond 2 least even; logarithms too."""
    for low, values, high in islice(bands(1), 400):
        norm, scale = length(values), values[0] or 1.0
        found = {
            (f, side): f(low, high, norm, side)
            for f in (concentrated, even)
            for side in (-1, 1)
        }
        for p in POWERS:
            least, most = (concentrated, even) if p <= 2 else (even, concentrated)
            slack = 1e-13 * len(values)
            middle = power_sum(values, p, scale)
            assert power_sum(found[least, -1], p, scale) <= middle * (1 + slack)
            assert power_sum(found[most, 1], p, scale) >= middle * (1 - slack)
        if found[concentrated, -1].all() and values.all():
            ends = [np.log(found[f, s]).sum() for f, s in ((concentrated, -1), (even, 1))]
            assert ends[0] - 1e-9 <= np.log(values).sum() <= ends[1] + 1e-9


def test_extremes_are_attained() -> None:
    """They are spectra of the band themselves: their norm is the one asked for."""
    for low, values, high in islice(bands(2), 200):
        norm = length(values)
        for f in (concentrated, even):
            for side in (-1, 1):
                near = pytest.approx(norm, rel=1e-6, abs=1e-6 * length(high))
                assert length(f(low, high, norm, side)) == near


def test_by_hand() -> None:
    low, high = np.array([1.0, 0.0, 0.0]), np.array([3.0, 2.0, 2.0])
    assert concentrated(low, high, 5**0.5, -1) == pytest.approx([5**0.5, 0, 0])
    assert concentrated(low, high, 10**0.5, 1) == pytest.approx([3, 1, 0])
    assert even(low, high, 3**0.5, 1) == pytest.approx([1, 1, 1])
    assert even(low, high, 17**0.5, -1) == pytest.approx([3, 2, 2])
    assert even(low, high, 12.25**0.5, 1) == pytest.approx([4.25**0.5, 2, 2])


@pytest.mark.parametrize("f", [concentrated, even])
def test_where_the_band_does_not_reach_the_norm(f: object) -> None:
    low, high = np.array([1.0, 0.5]), np.array([2.0, 1.0])
    for norm in (0.1, 99.0, math.inf):
        assert (f(low, high, norm, 1) <= high).all()  # type: ignore[operator]
        assert (f(low, high, norm, -1) >= low).all()  # type: ignore[operator]
    endless = np.array([math.inf, 1.0])
    assert f(low, endless, 1.2, 1) is endless  # type: ignore[operator]
    assert f(low, endless, 1.2, -1) is low  # type: ignore[operator]


# -- effective rank ---------------------------------------------------------------------


def effective_rank(values: Array) -> float:
    share = values[values > 0] / values.sum()
    return math.exp(-math.fsum((share * np.log(share)).tolist()))


def test_effective_rank_is_enclosed() -> None:
    for low, values, high in islice(bands(3), 400):
        if not values[0]:
            continue
        total = math.fsum((values / values[0]).tolist()) * values[0]
        for ends in ((total, total), (low.sum(), high.sum())):
            below = effective_rank_below(low, high, ends)
            assert below <= effective_rank(values) * (1 + 1e-13)
        assert effective_rank_above(low, high) >= effective_rank(values) * (1 - 1e-13)


def test_effective_rank_bounds_are_attained() -> None:
    """Below at a vertex of the band, above at values clipped to a level."""
    for low, values, high in islice(bands(4), 60):
        if not values[0]:
            continue
        vertices = [np.append(high[:j], low[j:]) for j in range(len(low) + 1)]
        least = min(effective_rank(v) for v in vertices if v.any())
        below = effective_rank_below(low, high, (low.sum(), high.sum()))
        if low.any():
            assert below == pytest.approx(max(1.0, least), rel=1e-9)
        levels = np.geomspace(max(high[-1], 1e-3 * high[0]) / 2, high[0], 400)
        most = max(effective_rank(np.clip(t, low, high)) for t in levels)
        assert effective_rank_above(low, high) == pytest.approx(most, rel=1e-3)


def test_effective_rank_of_what_is_known_exactly() -> None:
    values = np.array([4.0, 2.0, 2.0, 0.0])
    entropy = 1.5 * math.log(2)
    for bound in (
        effective_rank_below(values, values, (8.0, 8.0)),
        effective_rank_above(values, values),
    ):
        assert bound == pytest.approx(math.exp(entropy), rel=1e-10)
    assert effective_rank_above(np.zeros(3), np.ones(3)) == 3.0
    assert effective_rank_below(np.zeros(3), np.ones(3), (0.5, 3.0)) == 1.0


# -- the Frobenius norm and single values -----------------------------------------------


def test_frobenius_bounds_hold() -> None:
    for low, values, high in islice(bands(5), 300):
        scale = high[0] or 1.0
        low, values, high = low / scale, values / scale, high / scale
        square = length(values) ** 2
        for top in (high, np.full(len(high), math.inf)):
            below, above = frobenius_bounds(
                low, top, (square * (1 - 1e-15), square * (1 + 1e-15))
            )
            assert (below <= values * (1 + 1e-14)).all()
            assert (above >= values * (1 - 1e-14)).all()
            assert np.isfinite(above).all()
        assert (above <= 1.001 * length(values) / np.sqrt(1 + np.arange(len(low)))).all()
