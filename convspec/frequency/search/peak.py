"""Local extremes of a singular value over frequency, with a certified value.

The square of a simple singular value is a smooth function of w, whose gradient needs
the singular vectors alone: ``d lambda = 2 Re v^H dF F^H v``. A quasi-Newton ascent (BFGS)
takes few eigenproblems. What it finds is only a good place to look at: the value there is
certified by ``||F^H v|| / ||v||``, which lies between the extreme singular values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.frequency.reduced import ReducedSymbol
from convspec.krylov.estimates import largest_pair
from convspec.rounding.svd import length_above, length_below
from convspec.rounding.waves import nearest_turns, symbol_ball, symbol_values, waves

__all__ = ["FINE", "MAX_STEPS", "Peak", "climb"]

# an ascent has arrived when a step promises less, relative to the largest square
FINE = 1e-15
LONGEST_STEP = 0.5
MAX_STEPS = 40
HALVINGS = 8
# up to this side all eigenvalues are computed, which is then cheap
FULL_SIDE = 48


@dataclass(frozen=True)
class Peak:
    """A frequency and a certified value there.

    Attributes:
        value: At most sigma_1(F) there, or for the smallest value at least sigma_n(F).
        group: The group.
        turns: Frequency in turns, multiples of 2^-32; (d,).
        vector: The unit vector v, (n,) complex: ``value ~ ||F^H v||``.
    """

    value: float
    group: int
    turns: Tensor
    vector: Tensor

    def away(self, turns: Tensor) -> Tensor:
        """The largest distance on an axis to each of (k, d) points, in turns."""
        gaps = []
        for sign in (1, -1):
            gap = sign * turns - self.turns
            gaps.append((gap - gap.round()).abs().amax(-1))
        return torch.minimum(*gaps)


@dataclass
class _Point:
    """lambda at a frequency, with what its gradient needs."""

    turns: Tensor
    vector: Tensor
    value: float
    gradient: Tensor


def climb(
    symbol: ReducedSymbol,
    group: int,
    turns: Tensor,
    *,
    largest: bool = True,
    promise: float = FINE,
    near: Tensor | None = None,
    steps: int = MAX_STEPS,
) -> Peak:
    """Ascend to a local maximum of sigma_1, or descend to a minimum of sigma_n.

    Args:
        symbol: The symbol.
        group: Which of its blocks.
        turns: Where to start; (d,).
        largest: Whether the largest singular value is sought.
        promise: When to stop: what a further step would gain, relative to the square.
        near: A guess of the vector.
        steps: How many to take at most.
    """
    sign = 1.0 if largest else -1.0
    degrees = torch.tensor(symbol.degrees, dtype=torch.float64)
    per_turn = 2 * math.pi * degrees  # rho per turn
    accuracy = 0.1 * math.sqrt(promise)
    here = _point(symbol, group, turns, largest, near, accuracy)
    size = here.value or 1.0
    inverse = 0.5 * torch.eye(len(degrees), dtype=torch.float64)
    for _ in range(steps):
        slope = sign * here.gradient / per_turn / size
        step = inverse @ slope
        if float(step @ slope) < promise:
            break
        step = step * min(1.0, LONGEST_STEP / float(step.abs().sum()))
        found = None
        for halving in range(HALVINGS):
            trial = here.turns + step / 2**halving / per_turn
            there = _point(symbol, group, trial, largest, here.vector, accuracy)
            if sign * (there.value - here.value) > 0:
                found = there
                break
        if found is None:
            break
        inverse = _updated(
            inverse,
            (found.turns - here.turns) * per_turn,
            slope - sign * found.gradient / per_turn / size,
        )
        here = found
    return _certified(symbol, group, here, largest)


def _updated(inverse: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """The BFGS update of the inverse of minus the Hessian."""
    curvature = float(step @ change)
    if curvature <= 1e-12 * float(step.norm() * change.norm()):
        return inverse
    eye = torch.eye(len(step), dtype=torch.float64)
    left = eye - torch.outer(step, change) / curvature
    return left @ inverse @ left.T + torch.outer(step, step) / curvature


def _point(
    symbol: ReducedSymbol,
    group: int,
    turns: Tensor,
    largest: bool,
    near: Tensor | None,
    accuracy: float,
) -> _Point:
    turns = nearest_turns(turns)
    C = symbol.coefficients[group]
    F = symbol_values(C, symbol.lags, turns[None])[0]
    if largest and symbol.side > FULL_SIDE:
        vector = largest_pair(F, near, accuracy)
    else:
        vectors = torch.linalg.eigh(F @ F.mH).eigenvectors
        vector = vectors[:, -1 if largest else 0]
    image = F.mH @ vector  # (m,)
    cosines, sines = waves(turns[None], symbol.lags)
    wave = torch.complex(cosines, sines)[0]
    # v^H C_q F^H v exp(i <q, w>), whose real parts add up to lambda
    terms = image @ _row_times(vector.conj(), C) * wave
    lags = torch.as_tensor(symbol.lags, dtype=torch.float64)
    gradient = -4 * math.pi * terms.imag @ lags
    value = float(image.real.square().sum() + image.imag.square().sum())
    return _Point(turns, vector, value, gradient)


def _row_times(row: Tensor, C: Tensor) -> Tensor:
    """``sum_r row_r C_rcq``: complex (n,), (n, m, lags) -> (m, lags)."""
    flat = C.flatten(1)
    if C.is_complex():
        return (row @ flat).reshape(C.shape[1:])
    parts = torch.view_as_real(row.resolve_conj()).T @ flat
    return torch.complex(parts[0], parts[1]).reshape(C.shape[1:])


def _certified(symbol: ReducedSymbol, group: int, point: _Point, largest: bool) -> Peak:
    C = symbol.coefficients[group]
    F, error = symbol_ball(C, symbol.lags, point.turns[None])
    bound = length_below if largest else length_above
    value = float(bound(F.mH, point.vector[None], error)[0])
    return Peak(value, group, point.turns, point.vector)
