"""One axis under plane waves: which taps of which outputs read the wave, and its sums.

On an axis of stride s the pixels ``x = s y + r`` have the wave ``v_r exp(i w y)``, cut
off at the image. Tap t of output o reads at ``s o + lag_t``, which is ``v_r exp(i w (o +
q))`` with ``q = lag_t // s`` and ``r = lag_t mod s``, or a zero of the padding. Outputs
of which the same taps read the image form a class: there the output is one vector times
``exp(i w o)``, and inner products are sums of geometric series.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.axis import Axis

__all__ = ["WaveAxis", "geometric_sum"]

# first place and number of places of stretches of neighbouring places
Runs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class WaveAxis:
    """What an axis does to waves.

    Attributes:
        axis: The axis.
        steps: How many outputs ahead each tap reads, q; (k,).
        phases: Which of the stride's phases each tap reads, r; (k,).
        classes: Which taps read the image, per class of outputs; (classes, k).
        places: The outputs of each class.
        period: Waves must repeat after so many outputs; 0 where they need not.
    """

    axis: Axis
    steps: IntArray
    phases: IntArray
    classes: npt.NDArray[np.bool_]
    places: tuple[Runs, ...]
    period: int

    @classmethod
    def of(cls, axis: Axis) -> WaveAxis | None:
        """The axis under waves; None where it shows pixels at places not their own.

        A circular axis whose pixels the stride divides takes waves that close on it.
        """
        circle = axis.mode == "circular" and axis.reads_padding
        period = axis.size // axis.stride if circle else 0
        if circle and axis.size % axis.stride:
            return None
        reads = axis.source >= 0  # (k, m)
        if not circle and axis.reads_padding and axis.mode != "zeros":
            return None
        kinds, which = np.unique(reads.T, axis=0, return_inverse=True)
        live = np.flatnonzero(kinds.any(axis=1))
        which = which.reshape(-1)
        return cls(
            axis,
            axis.lags // axis.stride,
            axis.lags % axis.stride,
            kinds[live],
            tuple(_runs(np.flatnonzero(which == kind)) for kind in live),
            period,
        )

    @property
    def effective(self) -> float:
        """Steps of the grid on which the sine window of the leading vector closes.

        One more than the places of a vector and its image in the mean: exact for
        tridiagonal Toeplitz matrices.
        """
        return (
            self.period or (self.axis.size / self.axis.stride + self.axis.output) / 2 + 1
        )

    def pixels(self, phase: int) -> int:
        """How many pixels ``s y + phase`` there are, y = 0, 1, ..."""
        return max(0, -(-(self.axis.size - phase) // self.axis.stride))

    def input_sums(self, delta: Tensor) -> Tensor:
        """``sum_y exp(i delta y)`` over the pixels of each phase; (stride, *delta)."""
        phases = range(self.axis.stride)
        return torch.stack([geometric_sum(delta, ((0, self.pixels(r)),)) for r in phases])

    def output_sums(self, delta: Tensor) -> Tensor:
        """``sum_o exp(i delta o)`` over the outputs of each class; (classes, *delta)."""
        if not self.places:
            return torch.zeros((0, *delta.shape), dtype=torch.complex128)
        return torch.stack([geometric_sum(delta, runs) for runs in self.places])


def _runs(places: IntArray) -> Runs:
    """Ascending places as stretches of neighbours.

    >>> _runs(np.array([0, 1, 5]))
    ((0, 2), (5, 1))
    """
    cuts = np.flatnonzero(np.diff(places) > 1) + 1
    return tuple((int(run[0]), len(run)) for run in np.split(places, cuts) if len(run))


def geometric_sum(delta: Tensor, runs: Runs) -> Tensor:
    """``sum exp(i delta p)`` over places p, by Dirichlet's kernel.

    ``exp(i delta (a + (N - 1) / 2)) sin(N delta / 2) / sin(delta / 2)`` for the places a,
    ..., a + N - 1. delta is taken to [-pi, pi] first, where the quotient is good to a
    few roundings of N.

    Args:
        delta: Frequencies, float64.
        runs: Stretches of places.

    >>> geometric_sum(torch.tensor([0.0, torch.pi], dtype=torch.float64), ((0, 3),)).real
    tensor([3., 1.], dtype=torch.float64)
    """
    delta = delta - 2 * torch.pi * torch.round(delta / (2 * torch.pi))
    sine = torch.sin(delta / 2)
    total = torch.zeros_like(delta, dtype=torch.complex128)
    for first, count in runs:
        kernel = torch.where(sine == 0, float(count), torch.sin(count * delta / 2) / sine)
        total += torch.polar(
            torch.ones_like(delta), delta * (first + (count - 1) / 2)
        ) * (kernel)
    return total
