"""Sums of singular values by majorisation, against decompositions of dense matrices."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from convspec.spectrum.sums.majorisation import sums, sums_flops
from convspec.spectrum.sums.pairs import repeats
from tests import exact, geometries, oracles
from tests.cases import Case
from tests.gaussian import gaussian

# what LAPACK's own values are off by
SLACK = 1e-11


def grids(op: cs.ConvOperator) -> list[float]:
    """The operations of the coarsest grid, of a middle one, and of the finest."""
    flops = list(sums_flops(op).values())
    cells = (0, 3, 6) if len(op.geometry.axes) < 3 else (0, 2)
    return [flops[min(place, len(flops) - 1)] for place in cells]


def assert_holds(op: cs.ConvOperator, matrix: oracles.Array) -> None:
    """Every enclosure of every grid holds the truth."""
    sigma = oracles.singular_values(matrix)
    total = float(sigma.sum())
    for flops in grids(op):
        found = sums(
            op,
            max_flops=flops,
            norm_upper=float(sigma[0]) * 1.0001 or 1.0,
            powers=(1, 1.5, 2),
        )
        assert found is not None
        for p, ends in found.schatten.items():
            truth = float((sigma**p).sum() ** (1 / p))
            assert ends.lower <= truth * (1 + SLACK)
            assert ends.upper >= truth * (1 - SLACK)
        nuclear, rank = found.nuclear_norm, found.effective_rank
        assert nuclear.lower <= total * (1 + SLACK)
        assert nuclear.upper >= total * (1 - SLACK)
        if not total:
            assert (tuple(nuclear), tuple(rank)) == ((0.0, 0.0), (0.0, 0.0))
            continue
        share = sigma[sigma > 0] / total
        effective = math.exp(-float((share * np.log(share)).sum()))
        assert rank.lower <= effective * (1 + SLACK)
        assert rank.upper >= effective * (1 - SLACK)
        live = sigma > 1e-12 * sigma[0]
        if live.all():
            volume = float(np.log(sigma).sum())
            assert found.log_volume.upper >= volume - 1e-9 * (1 + abs(volume))


@pytest.mark.parametrize("kind", geometries.KINDS)
def test_any_geometry(kind: str) -> None:
    @given(geometries.KINDS[kind])
    @settings(max_examples=40, deadline=None)
    def check(case: Case) -> None:
        op = case.operator()
        if any(map(repeats, op.geometry.axes)):
            assert sums(op) is None
            assert sums_flops(op) == {}
        else:
            assert_holds(op, case.matrix())

    check()


LAYERS = {
    "square": cs.ConvOperator(gaussian(1, 5, 6, 3, 3), 16, padding=1),
    "valid": cs.ConvOperator(gaussian(2, 4, 3, 3, 3), 14),
    "full": cs.ConvOperator(gaussian(3, 3, 3, 3, 3), 12, padding=2),
    "strided": cs.ConvOperator(gaussian(4, 8, 4, 3, 3), 20, stride=2, padding=1),
    "stem": cs.ConvOperator(gaussian(5, 9, 2, 7, 7), 26, stride=2, padding=3),
    "stride-3-dilation-2": cs.ConvOperator(
        gaussian(6, 5, 2, 3, 3), 24, stride=3, dilation=2, padding=2
    ),
    "stride-2-dilation-2": cs.ConvOperator(
        gaussian(6, 5, 2, 3, 3), 24, stride=2, dilation=2, padding=2
    ),
    "dilated": cs.ConvOperator(gaussian(7, 4, 4, 3, 3), 18, dilation=3, padding=3),
    "groups": cs.ConvOperator(gaussian(8, 6, 2, 3, 3), 16, groups=3, padding=1),
    "depthwise": cs.ConvOperator(gaussian(9, 6, 1, 3, 3), 16, groups=6, padding=1),
    "transposed": cs.ConvOperator(
        gaussian(10, 4, 3, 4, 4), 10, stride=2, padding=1, transposed=True
    ),
    "complex": cs.ConvOperator(
        gaussian(11, 4, 4, 3, 3, dtype=torch.complex128), 14, padding=1
    ),
    "line": cs.ConvOperator(gaussian(12, 4, 5, 5), 200, padding=2),
    "space": cs.ConvOperator(gaussian(13, 2, 2, 3, 3, 3), 7, padding=1),
    "one-axis": cs.ConvOperator(gaussian(14, 3, 3, 1, 3), (3, 40), padding=(0, 1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    op = LAYERS[name]
    assert_holds(op, op.to_dense().numpy())


@pytest.mark.parametrize("name", ["square", "valid", "strided", "dilated", "line"])
def test_fine_grids_are_narrow(name: str) -> None:
    found = sums(LAYERS[name])
    assert found is not None
    assert found.nuclear_norm.gap < 0.2
    assert found.effective_rank.gap < 0.8


def test_one_by_one_kernels_are_exact() -> None:
    """Nothing depends on the frequency: the symbol's values are those of A."""
    op = cs.ConvOperator(gaussian(1, 5, 6, 1, 1), 8)
    sigma = np.linalg.svd(op.to_dense().numpy(), compute_uv=False)
    found = sums(op)
    assert found is not None
    assert found.grid == (1, 1)
    assert found.nuclear_norm.lower == pytest.approx(sigma.sum(), rel=1e-6)
    assert found.nuclear_norm.upper == pytest.approx(sigma.sum(), rel=1e-6)
    assert found.log_volume.upper == pytest.approx(np.log(sigma).sum(), rel=1e-6)


@pytest.mark.parametrize("complex_", [False, True])
def test_rounding_is_enclosed(complex_: bool) -> None:
    """Of one tap nothing but rounding is left; fifty digits decide."""
    dtype = torch.complex128 if complex_ else torch.float64
    for seed in range(5):
        op = cs.ConvOperator(gaussian(seed, 3, 4, 1, dtype=dtype), 1)
        found = sums(op)
        assert found is not None
        with mpmath.workdps(exact.DIGITS):
            sigma = exact.singular_values(op.to_dense())
            total = mpmath.fsum(sigma)
            volume = mpmath.fsum(map(mpmath.log, sigma))
            rank = mpmath.exp(
                -mpmath.fsum(x / total * mpmath.log(x / total) for x in sigma)
            )
        assert found.nuclear_norm.lower <= total <= found.nuclear_norm.upper
        assert found.effective_rank.lower <= rank <= found.effective_rank.upper
        assert volume <= found.log_volume.upper < volume + 1e-9
        assert found.nuclear_norm.gap < 1e-11


@pytest.mark.parametrize("rank", [260, 20])
def test_wide_layers(rank: int) -> None:
    """From 257 rows on; in single precision only where few values are small."""
    weight = torch.einsum(
        "art,rb->abt", gaussian(1, 260, rank, 2), gaussian(2, rank, 260)
    )
    op = cs.ConvOperator(weight, 4)
    sigma = np.linalg.svd(op.to_dense().numpy(), compute_uv=False)
    found = sums(op, max_flops=list(sums_flops(op).values())[1])
    assert found is not None
    assert found.nuclear_norm.lower <= sigma.sum() <= found.nuclear_norm.upper
    assert found.nuclear_norm.gap < 0.35


def test_more_operations_give_finer_grids() -> None:
    op = LAYERS["square"]
    flops = sums_flops(op)
    assert next(iter(flops)) == (6, 6)
    assert sums(op, max_flops=min(flops.values()) / 2) is None
    assert sums(op, max_bytes=100) is None
    gaps = []
    for sizes, needed in flops.items():
        found = sums(op, max_flops=needed)
        assert found is not None
        assert found.grid == sizes
        gaps.append(found.nuclear_norm.gap)
    assert gaps == sorted(gaps, reverse=True)


@pytest.mark.parametrize("exponent", [-1000, -300, 300, 900])
def test_scales_with_the_weight(exponent: int) -> None:
    weight = gaussian(3, 3, 3, 3)
    near = sums(cs.ConvOperator(weight, 20, padding=1))
    far = sums(cs.ConvOperator(weight * 2.0**exponent, 20, padding=1))
    assert near is not None
    assert far is not None
    scaled = [math.ldexp(end, exponent) for end in near.nuclear_norm]
    assert far.nuclear_norm == tuple(scaled)
    assert far.effective_rank == near.effective_rank
    shift = 60 * exponent * math.log(2)
    assert far.log_volume.upper - shift == pytest.approx(near.log_volume.upper, abs=1e-6)


def test_a_norm_far_below_the_truth_is_not_asked_for() -> None:
    with pytest.raises(ValueError, match="norm_upper must be positive"):
        sums(LAYERS["square"], norm_upper=0.0)


def test_powers_are_from_1_to_2() -> None:
    with pytest.raises(ValueError, match="powers"):
        sums(LAYERS["square"], powers=(3,))


def test_more_values_than_can_be_positive() -> None:
    """Pixels that nothing reads: the product of all values is 0."""
    op = cs.ConvOperator(gaussian(1, 4, 1, 2), 5, stride=3)
    found = sums(op)
    assert found is not None
    assert found.log_volume == (-math.inf, -math.inf)
