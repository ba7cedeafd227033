"""Where Fourier is exact, where it is refused and why, and which frequencies it takes."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

import convspec as cs
from convspec.frequency.conjugate import conjugate_half
from convspec.operators.symbol import Symbol
from convspec.rounding.waves import symbol_error
from tests import oracles
from tests.gaussian import gaussian


def circular(**options: Any) -> dict[str, Any]:
    return {"padding_mode": "circular", **options}


# -- accepted and refused -------------------------------------------------------------

# weight shape, input size, options
ACCEPTED: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "circular-same": ((2, 3, 3, 3), (4, 5), circular(padding="same")),
    "circular-even-kernel": ((2, 2, 4), 5, circular(padding="same")),
    "circular-one-sided": ((2, 2, 3), 5, circular(padding=((0, 2),))),
    "circular-stride-divides": ((2, 2, 3), 6, circular(padding=1, stride=2)),
    "circular-dilated-strided": (
        (2, 1, 3),
        8,
        circular(padding=3, stride=2, dilation=3),
    ),
    "kernel-larger-than-torus": ((2, 2, 7), 3, circular(padding=3)),
    "patch-embedding": ((8, 3, 4, 4), (8, 12), {"stride": 4}),
    "patch-embedding-remainder": ((8, 3, 4, 4), (9, 15), {"stride": 4}),
    "patch-embedding-reflect": ((3, 2, 2), 6, {"stride": 2, "padding_mode": "reflect"}),
    "stride-over-kernel": ((2, 2, 2), 11, {"stride": 3}),
    "pointwise": ((3, 2, 1, 1), (4, 3), {}),
    "pointwise-stride-remainder": ((3, 2, 1, 1), (7, 5), {"stride": (3, 2)}),
    "pointwise-zero-padded": ((3, 2, 1), 5, {"padding": 2}),
    "pointwise-replicated": ((3, 2, 1), 5, {"padding": 2, "padding_mode": "replicate"}),
    "one-pixel-zero-padded": ((3, 2, 3, 3), 1, {"padding": 1}),
    "one-pixel-line": ((3, 2, 3, 3), (1, 6), {"padding": (1, 0), "stride": (1, 3)}),
    "one-output": ((3, 2, 5), 5, {}),
    "padding-that-nothing-reads": ((2, 2, 2), 4, {"stride": 2, "padding": ((0, 1),)}),
    "transposed-stride-kernel": ((2, 3, 2, 2), 3, {"stride": 2, "transposed": True}),
    "transposed-unpatch-gaps": ((2, 3, 2), 3, {"stride": 4, "transposed": True}),
    "transposed-crop": ((2, 3, 2), 1, {"padding": ((1, 0),), "transposed": True}),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_where_exact(name: str) -> None:
    shape, size, options = ACCEPTED[name]
    op = cs.ConvOperator(gaussian(0, *shape), size, **options)
    plan = cs.explain(op)
    assert plan.method == "fourier"
    assert "Fourier is exact" in plan.reason
    spec = cs.spectrum(op, method="fourier")
    assert spec.method == "fourier"
    matrix = op.to_dense().numpy()
    worst = np.abs(spec.values - oracles.singular_values(matrix)).max()
    assert worst <= spec.error + oracles.svd_tolerance(matrix)


REFUSED: dict[str, tuple[tuple[int, ...], Any, dict[str, Any], str]] = {
    "circular-partial": (
        (2, 2, 5),
        7,
        circular(padding=1),
        r"axis 0 has 5 outputs for 7 pixels at stride 1, where a torus has 7; "
        r"padding \(1, 1\) does not fit",
    ),
    "circular-excess": (
        (2, 2, 3),
        4,
        circular(padding=2),
        r"axis 0 has 6 outputs for 4 pixels .* padding \(2, 2\) does not fit",
    ),
    "circular-twice-around": (
        (2, 2, 3),
        3,
        circular(padding=((2, 3),)),
        r"axis 0 has 6 outputs for 3 pixels",
    ),
    "circular-stride-does-not-divide": (
        (2, 2, 3, 3),
        (4, 5),
        circular(padding=1, stride=(2, 2)),
        r"axis 1 has stride 2, which does not divide its 5 pixels",
    ),
    "circular-strided-excess": (
        (2, 2, 3),
        4,
        circular(padding=2, stride=2),
        r"axis 0 has 3 outputs for 4 pixels at stride 2, where a torus has 2",
    ),
    "zeros": (
        (2, 2, 3),
        4,
        {"padding": 1},
        r"axis 0 has zeros padding \(1, 1\), which is read at the border",
    ),
    "zeros-second-axis": (
        (2, 2, 1, 3),
        4,
        {"padding": (0, 1)},
        r"axis 1 has zeros padding \(1, 1\)",
    ),
    "reflect": (
        (2, 2, 3),
        4,
        {"padding": ((0, 1),), "padding_mode": "reflect"},
        r"axis 0 has reflect padding \(0, 1\), which is read at the border",
    ),
    "replicate": (
        (2, 2, 3),
        4,
        {"padding": 1, "padding_mode": "replicate"},
        r"axis 0 has replicate padding \(1, 1\), which is read at the border",
    ),
    "valid": ((2, 2, 3), 4, {}, r"axis 0 has 2 outputs for 4 pixels at stride 1"),
    "overlapping-patches": (
        (2, 2, 3),
        6,
        {"stride": 2},
        r"axis 0 has 2 outputs for 6 pixels at stride 2, where a torus has 3",
    ),
    "transposed-overlapping": (
        (2, 2, 3),
        3,
        {"stride": 2, "transposed": True},
        r"axis 0 has stride 2, which does not divide its 7 pixels",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_where_not_exact(name: str) -> None:
    """By name it raises, and says what to do; by itself dense is taken, and says why."""
    shape, size, options, reason = REFUSED[name]
    op = cs.ConvOperator(gaussian(0, *shape), size, **options)
    for call in (cs.spectrum, cs.explain):
        with pytest.raises(cs.NotApplicable, match=reason) as caught:
            call(op, method="fourier")
        assert "method='dense'" in str(caught.value)
        assert "op.circular()" in str(caught.value)
        assert caught.value.name == "fourier"
    plan = cs.explain(op)
    assert plan.method == "dense"
    assert re.search(reason, plan.reason)
    assert cs.spectrum(op).method == "dense"


def test_refusal_does_not_blame_padding_that_nothing_reads() -> None:
    """Stride 2 never reaches the padded pixel: the overlap is what is wrong."""
    op = cs.ConvOperator(gaussian(0, 1, 1, 3), 5, stride=2, padding=((0, 1),))
    assert (op.geometry.axes[0].source >= 0).all()
    with pytest.raises(cs.NotApplicable) as caught:
        cs.explain(op, method="fourier")
    assert "which is read at the border" not in str(caught.value)


# -- frequencies ----------------------------------------------------------------------

SHAPES = [
    (),
    (1,),
    (2,),
    (7,),
    (8,),
    (1, 1),
    (3, 5),
    (4, 6),
    (4, 5),
    (2, 3, 4),
    (4, 2, 6),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_conjugate_half(shape: tuple[int, ...]) -> None:
    """Each frequency once, by itself or through its mirror image; 2^e are their own."""
    index, multiplicity = conjugate_half(shape, everything=False)
    count = math.prod(shape)
    even = sum(size % 2 == 0 for size in shape)
    assert index.shape == ((count + 2**even) // 2, len(shape))
    assert multiplicity.shape == (len(index),)
    assert multiplicity.sum() == count
    assert (multiplicity == 1).sum() == 2**even
    reached = set()
    for frequency, times in zip(index.tolist(), multiplicity.tolist(), strict=True):
        mirror = tuple(-w % n for w, n in zip(frequency, shape, strict=True))
        pair = {tuple(frequency), mirror}
        assert len(pair) == times
        assert not pair & reached
        reached |= pair
    assert reached == set(itertools.product(*map(range, shape)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_frequency_for_complex_kernels(shape: tuple[int, ...]) -> None:
    index, multiplicity = conjugate_half(shape, everything=True)
    assert multiplicity.tolist() == [1] * math.prod(shape)
    assert [tuple(w) for w in index.tolist()] == list(
        itertools.product(*map(range, shape))
    )


def test_complex_kernels_have_no_symmetry() -> None:
    """[1, i] on 4 pixels: |1 + i e^{iw}| is 2 at -pi/2 and 0 at pi/2, once each."""
    weight = torch.tensor([[[1, 1j]]], dtype=torch.complex128)
    op = cs.ConvOperator(weight, 4, padding=((0, 1),), padding_mode="circular")
    spec = cs.spectrum(op, method="fourier")
    known = [2, math.sqrt(2), math.sqrt(2), 0]
    np.testing.assert_allclose(spec.values, known, rtol=0, atol=spec.error)


# -- rounding -------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-1000, -600, 0, 600, 1000])
def test_symbol_error_scales_with_the_weight(exponent: int) -> None:
    """Squares of weights below 1e-160 underflow, and above 1e160 overflow."""
    weight = torch.tensor([[[3.0, -4.0]], [[0.0, 12.0]]], dtype=torch.float64)
    known = symbol_error(weight, 2.0**-52)
    found = symbol_error(weight * 2.0**exponent, 2.0**-52)
    assert found == pytest.approx(known * 2.0**exponent, rel=1e-14)
    assert found > 0
    assert symbol_error(0 * weight, 2.0**-52) == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("kernel", "grid"), [((3,), (7,)), ((3, 2), (4, 5)), ((2, 3, 2), (3, 2, 4))], ids=str
)
def test_symbol_error(kernel: tuple[int, ...], grid: tuple[int, ...], seed: int) -> None:
    """F(w) on a grid is off by no more, in the Frobenius norm, than claimed."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 3, *kernel, dtype=torch.float64, generator=generator)
    offsets, ones = [np.arange(k) - 1 for k in kernel], [1] * len(kernel)
    found = Symbol.of_taps(weight, 1, offsets, ones).grid(grid)
    bound = symbol_error(weight, float(np.finfo(np.float64).eps))
    with mpmath.workdps(50):
        for frequency in np.ndindex(*grid):
            exact = np.full((2, 3), mpmath.mpc(0), dtype=object)
            for tap in np.ndindex(*kernel):
                lags = [int(o[t]) for o, t in zip(offsets, tap, strict=True)]
                turns = [
                    mpmath.mpf(w * q) / n
                    for w, q, n in zip(frequency, lags, grid, strict=True)
                ]
                phase = mpmath.expjpi(2 * mpmath.fsum(turns))
                exact += weight[(..., *tap)].numpy().astype(object) * phase
            gaps = found[frequency][0].numpy().astype(object) - exact
            assert mpmath.norm(gaps.ravel().tolist()) <= bound
