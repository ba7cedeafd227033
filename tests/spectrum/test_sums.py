"""The free check: the sum of the squares of all singular values needs no matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import convspec as cs
from tests.gaussian import gaussian

EPS = float(np.finfo(np.float64).eps)


CIRCULAR = {"padding_mode": "circular"}
FREE: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "16-channels-64x64": ((16, 16, 3, 3), 64, {**CIRCULAR, "padding": 1}),
    "depthwise-128x128": ((8, 1, 5, 5), 128, {**CIRCULAR, "padding": 2, "groups": 8}),
    "strided-60x60": ((12, 6, 3, 3), 60, {**CIRCULAR, "padding": 1, "stride": 2}),
    "dilated-groups-48x50": (
        (8, 4, 3, 3),
        (48, 50),
        {**CIRCULAR, "padding": 2, "dilation": 2},
    ),
    "3d-16x16x16": ((4, 3, 3, 3, 3), 16, {**CIRCULAR, "padding": 1}),
    "line-of-5000": ((3, 4, 9), 5000, {**CIRCULAR, "padding": 4}),
    "patch-embedding-224": ((48, 3, 16, 16), 224, {"stride": 16}),
    "pointwise-100x100": ((32, 16, 1, 1), 100, {}),
}


@pytest.mark.parametrize("name", FREE)
def test_sum_of_squares_without_a_matrix(name: str) -> None:
    """Rounding moves each block by a multiple of eps of its norm, and so all of A."""
    shape, size, options = FREE[name]
    op = cs.ConvOperator(gaussian(2, *shape), size, **options)
    with pytest.raises(cs.TooLargeError):
        op.to_dense(max_bytes=2**25)
    spec = cs.spectrum(op)
    assert spec.method == "fourier"
    assert len(spec) == min(op.shape)
    total = math.fsum(spec.values**2)
    rows, columns, *taps = shape
    rtol = 2 * (4 * max(rows, columns) + 100 + math.prod(taps)) * EPS
    assert total == pytest.approx(op.frobenius_norm() ** 2, rel=rtol, abs=0)


@pytest.mark.parametrize(
    "mode", ["zeros", "circular", "reflect", "replicate", "symmetric"]
)
@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "adjoint"])
def test_sum_of_squares_dense(mode: str, transposed: bool) -> None:
    op = cs.ConvOperator(
        gaussian(3, 3, 2, 3, 4), (9, 8), stride=(1, 2), padding=2, padding_mode=mode
    )
    spec = cs.spectrum(op.T if transposed else op)
    total = math.fsum(spec.values**2)
    rtol = 2 * (4 * max(op.shape) + 16) * EPS
    assert total == pytest.approx(op.frobenius_norm() ** 2, rel=rtol, abs=0)


@pytest.mark.parametrize(
    "mode", ["zeros", "circular", "reflect", "replicate", "symmetric"]
)
@pytest.mark.parametrize(
    ("shape", "size", "options"),
    [
        ((4, 3, 5, 5), (90, 70), {"padding": (3, 4)}),
        ((8, 1, 3, 3), (80, 81), {"padding": 2, "stride": 2, "dilation": 2, "groups": 8}),
        ((2, 2, 3, 3, 3), (12, 14, 16), {"padding": ((2, 1), (0, 2), (3, 3))}),
        ((3, 3, 11), 4000, {"padding": 9}),
    ],
    ids=["2d", "depthwise", "3d", "1d"],
)
def test_frobenius_norm_of_large_operators(
    mode: str, shape: tuple[int, ...], size: Any, options: dict[str, Any]
) -> None:
    """Coinciding taps add up before they are squared; against the stored entries."""
    op = cs.ConvOperator(gaussian(4, *shape), size, padding_mode=mode, **options)
    entries = op.to_sparse().data
    total = math.sqrt(math.fsum(entries**2))
    assert op.frobenius_norm() == pytest.approx(total, rel=100 * EPS, abs=0)
