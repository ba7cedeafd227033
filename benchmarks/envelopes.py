"""Envelopes of random geometries, held against dense singular values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch

from benchmarks.problem import Method, Problem, Target
from benchmarks.tightness import tightness
from benchmarks.torus_layer import EPS, FloatArray
from convspec import ConvOperator, GeometryError, spectral_envelope

__all__ = ["geometries", "problem", "violation"]

MODES = ("zeros", "circular", "reflect", "replicate")
# of the dense matrix, so that its SVD takes milliseconds
MOST_ENTRIES = 10_000
# channels, pixels and taps per axis of normal kernels whose band is held against dense
GAUSSIAN = ((3, 8, 3), (3, 16, 3), (5, 12, 3), (8, 8, 3), (8, 16, 3), (3, 16, 5))

Band = tuple[FloatArray, FloatArray]


def problem(count: int = 2000) -> Problem:
    """Bands around every singular value; one value outside its band is an error."""
    operators = list(islice(geometries(seed=0), count))
    return Problem(
        name="envelopes",
        title=f"bands around every singular value of {count:,} random geometries: 1-D to "
        "3-D, four padding modes and transposed, stride, dilation, groups",
        methods=(
            Method(
                "convspec",
                "spectral_envelope(op)",
                lambda: [_band(op) for op in operators],
            ),
        ),
        error=lambda bands: max(
            violation(op, band) for op, band in zip(operators, bands, strict=True)
        ),
        target=Target(),
        family="bands never violated",
        label=f"{count:,} random geometries",
        remark=lambda: tightness(_named(operators[:200])),
    )


def _named(random: list[ConvOperator]) -> dict[str, list[ConvOperator]]:
    """Zero-padded normal kernels one by one, and random geometries together."""
    named = {f"c={c} n={n} k={k}": [_gaussian(c, n, k)] for c, n, k in GAUSSIAN}
    return {**named, f"{len(random)} random geometries": random}


def _gaussian(c: int, n: int, k: int) -> ConvOperator:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(c, c, k, k, generator=generator, dtype=torch.float64)
    return ConvOperator(weight, n, padding=k // 2)


def violation(op: ConvOperator, band: Band) -> float:
    """How far a dense singular value lies outside its band, over the dense SVD's error.

    That is the backward error of LAPACK's SVD, ``(4 max(m, n) + 216) eps sigma_1``: the
    iteration on the bidiagonal drops off-diagonals of up to 100 eps, whatever the size.
    """
    matrix = op.to_dense().numpy()
    values = np.linalg.svd(matrix, compute_uv=False)
    lower, upper = band
    if not lower.shape == upper.shape == values.shape:
        return math.inf
    outside = max((lower - values).max(), (values - upper).max(), 0.0)
    error = (4 * max(matrix.shape) + 216) * EPS * values[0]
    return float(outside / error) if outside else 0.0


def _band(op: ConvOperator) -> Band:
    band = spectral_envelope(op)
    return band.lower, band.upper


def geometries(seed: int) -> Iterator[ConvOperator]:
    """Endless random convolutions with normal float64 weights."""
    rng = np.random.default_rng(seed)
    while True:
        try:
            op = _drawn(rng)
        except GeometryError:  # more kernel or padding than torch allows
            continue
        if math.prod(op.shape) <= MOST_ENTRIES:
            yield op


def _drawn(rng: np.random.Generator) -> ConvOperator:
    dim = int(rng.choice([1, 2, 2, 3]))
    groups = int(rng.choice([1, 1, 2, 3]))
    c_out, c_in = groups * rng.integers(1, 4), rng.integers(1, 4)
    kernel = rng.integers(1, {1: 6, 2: 5, 3: 4}[dim], dim)
    size = rng.integers(1, {1: 25, 2: 9, 3: 5}[dim], dim)
    dilation = rng.integers(1, 3, dim)
    pads = rng.integers(0, 4, (dim, 2))
    if rng.random() < 0.5:  # as much as keeps the size
        total = dilation * (kernel - 1)
        pads = np.stack((total // 2, total - total // 2), axis=1)
    transposed = bool(rng.random() < 0.2)
    return ConvOperator(
        torch.from_numpy(rng.standard_normal((c_out, c_in, *kernel))),
        tuple(size.tolist()),
        stride=tuple(rng.integers(1, 4, dim).tolist()),
        padding=tuple(map(tuple, pads.tolist())),
        dilation=tuple(dilation.tolist()),
        groups=groups,
        padding_mode="zeros" if transposed else str(rng.choice(MODES)),
        transposed=transposed,
    )
