"""What an envelope says of norms, ranks and counts encloses what the spectrum says."""

from __future__ import annotations

import math
from itertools import islice

import mpmath
import numpy as np
import pytest
import torch

import convspec as cs
from convspec.quantity.enclosure import Enclosure
from convspec.spectrum.envelope.envelope import Envelope, spectral_envelope
from tests import oracles
from tests.rounding.test_errors import DIGITS, small_cases, truth
from tests.spectrum.envelope.test_envelope import KINDS, balanced_cases

EPS = float(np.finfo(np.float64).eps)
# what 50 digits themselves cannot tell
TINY = mpmath.mpf(10) ** -30


def holds(enclosure: tuple[float, float], truth: float, slack: float = 0.0) -> bool:
    """Whether the truth, known up to a relative slack, is inside."""
    low, high = enclosure
    return low <= truth * (1 + slack) and truth * (1 - slack) <= high


def effective_rank(values: oracles.Array) -> float:
    share = values[values > 0] / values.sum()
    return math.exp(-float((share * np.log(share)).sum()))


@pytest.mark.parametrize("kind", KINDS)
def test_quantities_enclose_those_of_the_spectrum(kind: str) -> None:
    for case in islice(balanced_cases(kind, seed=21), 25):
        matrix = case.matrix()
        values = oracles.singular_values(matrix)
        band = spectral_envelope(case.operator())
        top, slack = values[0], 1e-12
        assert holds(band.norm, top, slack)
        assert holds(band.nuclear_norm, values.sum(), slack)
        assert holds(band.frobenius_norm, oracles.frobenius(matrix), slack)
        for p in (0.5, 1.0, 2.0, 3.5, 20.0):
            # small powers magnify the truth's own error at values near 0
            near = 1e-6 if p < 1 else slack
            assert holds(band.schatten(p), (values**p).sum() ** (1 / p), near)
        assert band.schatten(math.inf) == band.norm
        if top:
            assert holds(band.stable_rank, (values**2).sum() / top**2, slack)
            assert holds(band.effective_rank, effective_rank(values), 1e-11)
            ratio = (values**2).sum() ** 2 / (values**4).sum()
            assert holds(band.participation_ratio, ratio, slack)
        if values[-1] > 1e-9 * top:
            assert holds(band.condition_number, top / values[-1], 1e-6)
            low, high = band.log_volume
            assert low - 1e-6 <= np.log(values).sum() <= high + 1e-6
        assert band.smallest[0] <= values[-1] + 1e-12 * top
        for rtol in (1e-6, 0.1, 0.5):
            least, most = band.rank(rtol)
            assert (values > rtol * top * (1 + 1e-9)).sum() <= most
            assert least <= (values > rtol * top * (1 - 1e-9)).sum()
            assert band.nullity(rtol) == (
                matrix.shape[1] - most,
                matrix.shape[1] - least,
            )


@pytest.mark.parametrize("kind", KINDS)
def test_counting_encloses_the_count(kind: str) -> None:
    for case in islice(balanced_cases(kind, seed=22), 15):
        values = oracles.singular_values(case.matrix())
        band = spectral_envelope(case.operator())
        levels = np.linspace(0, 1.2, 13) * values[0]
        least, most = band.counting(levels)
        near = 1e-9 * values[0] + 1e-300
        assert least.shape == most.shape == levels.shape
        assert (least <= (values[None] >= levels[:, None] - near).sum(axis=1)).all()
        assert (most >= (values[None] >= levels[:, None] + near).sum(axis=1)).all()


def known(lower: list[float], upper: list[float], **more: object) -> Envelope:
    source = np.zeros(len(lower), dtype=np.int8)
    arguments: dict[str, object] = {
        "lower": np.array(lower),
        "upper": np.array(upper),
        "shape": (len(lower), len(lower) + 1),
        "sources": ("trivial",),
        "lower_source": source,
        "upper_source": source,
        "frobenius_norm": Enclosure(3.0, 4.5),
        **more,
    }
    return Envelope(**arguments)  # type: ignore[arg-type]


def test_arithmetic() -> None:
    band = known([3.0, 1.0, 0.0], [4.0, 2.0, 0.5])
    assert band.norm == (3.0, 4.0)
    assert band.nuclear_norm == pytest.approx((4.0, 6.5))
    assert band.schatten(2) == (3.0, 4.5)
    assert band.stable_rank == pytest.approx((1.0, 9 / 4))
    assert band.condition_number == (pytest.approx(6.0), math.inf)
    assert band.rank(0) == (2, 3)
    assert band.rank(0.3) == (1, 2)  # above 1.2 for sure, above 0.9 at most
    assert band.rank(atol=0.75) == (2, 2)
    assert band.rank(0.5, atol=0.75) == (1, 2)
    assert band.nullity(0) == (1, 2)
    assert [c.tolist() for c in band.counting([0, 1, 1.5, 4, 5])] == [
        [3, 2, 1, 0, 0],
        [3, 2, 2, 1, 0],
    ]
    assert [int(c) for c in band.counting(2.0)] == [1, 2]
    assert len(band) == 3
    assert repr(band) == (
        "<Envelope of 3 x 4: 3 singular values, norm in [3, 4], last in [0, 0.5], "
        "by trivial>"
    )


def test_the_frobenius_norm_counts() -> None:
    """sum sigma^2 = 12.25 with sigma in [3, 4] x [1, 2] x [0, 0.5]."""
    band = known([3.0, 1.0, 0.0], [4.0, 2.0, 0.5], frobenius_norm=Enclosure(3.5, 3.5))
    # least: sqrt(11.25), 1, 0; most: 3, sqrt(3), 0.5
    assert band.nuclear_norm == pytest.approx((11.25**0.5 + 1, 3 + 3**0.5 + 0.5))
    fourth = 3**4 + 3**2 + 0.5**4, 11.25**2 + 1
    assert band.schatten(4) == pytest.approx([x**0.25 for x in fourth])
    squared = 12.25**2
    assert band.participation_ratio == pytest.approx(
        (squared / fourth[1], squared / fourth[0])
    )
    assert band.log_volume == (-math.inf, pytest.approx(math.log(3 * 3**0.5 * 0.5)))
    low, high = band.effective_rank
    assert low == pytest.approx(effective_rank(np.array([4.0, 1.0, 0.0])))
    assert high == pytest.approx(effective_rank(np.array([3.0, 2.0, 0.5])), rel=1e-3)
    assert band.smallest == (0.0, 0.5)


def test_ends_are_rounded_outward() -> None:
    """One third of a unit in the last place is on the right side of each end."""
    tenth = [0.1] * 10
    low, high = known(tenth, tenth).nuclear_norm
    assert low < 1.0 < high  # the ten floats add up to more than 1
    assert high - low < 1e-15
    for p in (0.1, 1.0, 3.0, 1e6):
        low, high = known(tenth, tenth).schatten(p)
        assert low < 0.1 * 10 ** (1 / p) < high
        assert high / low < 1 + 1e-11


def test_zero_and_infinite_ends() -> None:
    zero = known([0.0], [0.0], frobenius_norm=Enclosure(0.0, 0.0))
    assert zero.condition_number == (math.inf, math.inf)
    assert zero.stable_rank == (0.0, 0.0)
    assert zero.schatten(3) == (0.0, 0.0)
    assert zero.effective_rank == zero.participation_ratio == (0.0, 0.0)
    assert zero.log_volume == (-math.inf, -math.inf)
    maybe = known([0.0, 0.0], [1.0, 0.5], frobenius_norm=Enclosure(0.0, 1.0))
    assert maybe.effective_rank == (0.0, 2.0)
    assert maybe.participation_ratio == (0.0, 2.0)
    assert zero.rank() == zero.rank(0) == (0, 0)
    endless = known(
        [1e308, 0.0], [math.inf, 1e308], frobenius_norm=Enclosure(1e308, 1.7e308)
    )
    assert endless.nuclear_norm[1] == math.inf
    assert endless.schatten(3)[1] == math.inf
    assert endless.rank() == (0, 2)
    assert endless.effective_rank == endless.participation_ratio == (1.0, 2.0)
    assert endless.log_volume == (-math.inf, math.inf)
    assert endless.condition_number == (1.0, math.inf)
    assert known([1.7e308] * 2, [1.7e308] * 2).nuclear_norm[0] == np.finfo(float).max
    small = known([1e-300, 0.0], [1e-300, 1e-300])
    assert small.schatten(0.001)[0] <= 1e-300
    assert small.schatten(0.0009)[1] >= 1e34


@pytest.mark.parametrize("p", [0, -1, math.nan])
def test_refuses_powers(p: float) -> None:
    with pytest.raises(ValueError, match="p must be positive"):
        known([1.0], [1.0]).schatten(p)


@pytest.mark.parametrize("value", [-1e-9, math.nan])
def test_refuses_tolerances(value: float) -> None:
    band = known([1.0], [1.0])
    with pytest.raises(ValueError, match="rtol must be at least 0"):
        band.rank(value)
    with pytest.raises(ValueError, match="atol must be at least 0"):
        band.nullity(atol=value)


def test_certified_rank_of_a_large_operator() -> None:
    """Most of the rank is certain although no value of A is ever computed."""
    weight = torch.randn(8, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    op = cs.ConvOperator(weight, 64, padding=1)
    least, most = spectral_envelope(op, phases=1).rank(0)
    assert most == min(op.shape)
    assert least > 0.9 * most


def test_sources_name_every_bound() -> None:
    op = cs.ConvOperator(torch.tensor([[[1.0, 1.0, 0.5]]]), 9, padding=1)
    band = spectral_envelope(op)
    assert {band.sources[i] for i in band.upper_source} <= set(band.sources)
    assert all(band.sources[i] != "trivial" for i in band.upper_source)
    assert "compression" in repr(band)
    exact = spectral_envelope(op.circular())
    assert {exact.sources[i] for i in exact.upper_source} == {"fourier"}


def test_quantities_enclose_exactly() -> None:
    """50 digits, no tolerance, with and without vectors and tori."""
    for case in islice(small_cases(seed=41), 12):
        weight, _ = case.weight_and_bias()
        op = case.operator(weight)
        leading = cs.spectrum(op, 1, vectors=True)
        with mpmath.workdps(DIGITS):
            values = truth(case, weight)
            if not values[0]:
                continue
            share = [v / sum(values) for v in values if v > values[0] * TINY]
            squares = sum(v**2 for v in values)
            exact = {
                "norm": values[0],
                "nuclear_norm": sum(values),
                "frobenius_norm": mpmath.sqrt(squares),
                "stable_rank": squares / values[0] ** 2,
                "participation_ratio": squares**2 / sum(v**4 for v in values),
                "effective_rank": mpmath.exp(-sum(p * mpmath.log(p) for p in share)),
            }
        for phases, vectors in ((0, leading), (2, None), (4, leading)):
            band = spectral_envelope(op, phases=phases, leading=vectors)
            with mpmath.workdps(DIGITS):
                for name, number in exact.items():
                    low, high = getattr(band, name)
                    assert low * (1 - TINY) <= number <= high * (1 + TINY), name
                for p in (0.5, 1.5, 3, 7):
                    number = sum(v**p for v in values) ** (1 / mpmath.mpf(p))
                    near = mpmath.mpf(10) ** -10 if p < 1 else TINY
                    low, high = band.schatten(p)
                    assert low * (1 - near) <= number <= high * (1 + near), p
