"""Solvers for a few of the largest singular values, and what they are judged by."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, svds

from benchmarks.problem import Unavailable
from benchmarks.torus_layer import FloatArray
from convspec import ConvOperator, NotConverged, Spectrum, spectrum

__all__ = ["ALLOWED", "LargestValues", "ours", "power_iteration", "scipy_svds"]

# relative error allowed of each value
ALLOWED = 1e-6
# for the two that decide what is true
TIGHT_OURS, TIGHT_ARPACK = 1e-5, 1e-3
# PROPACK holds twice so many vectors; LOBPCG's default is 20 steps, too few for any
MOST_STEPS = {"arpack": None, "propack": 400, "lobpcg": 1000}


@dataclass(frozen=True, eq=False)
class LargestValues:
    """The k largest singular values of an operator.

    Attributes:
        op: The operator.
        count: k.
    """

    op: ConvOperator
    count: int

    @cached_property
    def true(self) -> FloatArray:
        """Descending, from two solvers that share no code and must agree.

        Both give values of A on a subspace, which are at most the true ones: the larger
        of the two is the nearer. SciPy squares its tolerance, so 1e-3 asks ARPACK for
        1e-6 on ``A^T A``, and the error of a value is smaller again.

        Raises:
            Unavailable: If they differ by a tenth of what is allowed.
        """
        found = ours(self.op, self.count, TIGHT_OURS)
        other = scipy_svds(self.op, self.count, "arpack", TIGHT_ARPACK)
        apart = float(np.abs(found / other - 1).max())
        if not apart <= ALLOWED / 10:
            raise Unavailable(
                f"two solvers must agree on the {self.count} largest singular values of "
                f"{self.op} to {ALLOWED / 10:g} to judge others by; they differ by "
                f"{apart:.1e}"
            )
        return np.maximum(found, other)

    def error(self, values: FloatArray) -> float:
        """Worst relative error of a value over the error allowed."""
        if values.shape != self.true.shape:
            return math.inf
        return float(np.abs(values / self.true - 1).max() / ALLOWED)


def ours(op: ConvOperator, count: int, rtol: float) -> FloatArray:
    """By convspec, to residuals of ``rtol``."""
    try:
        return spectrum(op, count, method="krylov", rtol=rtol).values
    except NotConverged as stopped:
        best = stopped.best
    return best.values if isinstance(best, Spectrum) else np.full(count, math.nan)


def scipy_svds(op: ConvOperator, count: int, solver: str, tol: float) -> FloatArray:
    """By ``scipy.sparse.linalg.svds``, from a random start; NaN if it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LOBPCG warns where its tolerance is not met
        try:
            values = svds(
                op.to_scipy(),
                count,
                tol=tol,
                solver=solver,
                maxiter=MOST_STEPS[solver],
                return_singular_vectors=False,
                rng=np.random.default_rng(0),
            )
        except (ArpackError, np.linalg.LinAlgError, ValueError):
            values = np.full(count, math.nan)
    descending: FloatArray = np.sort(values)[::-1]
    return descending


def power_iteration(op: ConvOperator, steps: int) -> FloatArray:
    """``||A v||`` after some steps ``v <- A^T A v``, normalised, from a random start."""
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(op.input_shape, generator=generator, dtype=op.dtype)
    for _ in range(steps):
        v = v / torch.linalg.vector_norm(v)
        image = op.apply(v)
        v = op.adjoint(image)
    return np.array([float(torch.linalg.vector_norm(image))])
