"""Singular values and vectors of a form's blocks, and functions of the map by them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import FloatArray
from convspec.inverse.blocks import Part
from convspec.inverse.columns import multiplied
from convspec.inverse.form import Form
from convspec.rounding import svd_error
from convspec.rounding.scaling import ldexp
from convspec.rounding.waves import symbol_error

__all__ = ["Decomposed", "Decomposition", "decomposition_error"]

EPS = float(torch.finfo(torch.float64).eps)


@dataclass(frozen=True)
class Decomposed:
    """The singular value decompositions of the blocks of one part.

    Attributes:
        part: The part.
        left: Left singular vectors of each factor; (groups, frequencies, rows, r).
        values: Products of the factors' values; (groups, *frequencies, *r).
        right: Right singular vectors of each factor; (groups, frequencies, columns, c).
    """

    part: Part
    left: list[Tensor]
    values: Tensor
    right: list[Tensor]

    @classmethod
    def of(cls, form: Form, part: Part, complete: bool = False) -> Decomposed:
        """Decompose one part.

        Args:
            form: What it belongs to.
            part: The part.
            complete: Whether the vectors are complete bases.
        """
        left, values, right = [], [], []
        for i, factor in enumerate(form.factors(part)):
            u, s, v = _decomposed(factor, part, i, complete)
            left.append(u)
            values.append(s)
            right.append(v)
        return cls(part, left, _products(values), right)

    @property
    def spread(self) -> FloatArray:
        """All values of the part, each as often as it occurs."""
        times = torch.from_numpy(self.part.frequencies.stands_for).to(self.values.device)
        times = times.reshape(1, *times.shape, *[1] * times.ndim)
        counts = (times * self.part.copies).expand_as(self.values).reshape(-1)
        spread: FloatArray = (
            self.values.reshape(-1).repeat_interleave(counts).numpy(force=True)
        )
        return spread


@dataclass(frozen=True)
class Decomposition:
    """``A = U S V^H`` with U and V that are transforms times small blocks.

    Attributes:
        form: The map in blocks.
        parts: Their decompositions.
    """

    form: Form
    parts: tuple[Decomposed, ...]

    @classmethod
    def of(cls, form: Form) -> Decomposition:
        """Decompose all blocks."""
        return cls(form, tuple(Decomposed.of(form, part) for part in form.parts))

    @property
    def values(self) -> FloatArray:
        """All min(m, n) singular values of the scaled map, descending."""
        found = np.zeros(min(self.form.op.shape))
        spread = [part.spread for part in self.parts]
        every = np.sort(np.concatenate([np.zeros(0), *spread]))[::-1][: len(found)]
        found[: len(every)] = every
        return found

    @property
    def norm(self) -> float:
        """The largest value."""
        return max((float(part.values.max()) for part in self.parts), default=0.0)

    def on_inputs(
        self, x: Tensor, function: Callable[[Tensor], Tensor], elsewhere: float
    ) -> Tensor:
        """``V f(S) V^H x``, f of 0 where a block or the map has no value.

        Args:
            x: (b, *input_shape).
            function: f, of the values.
            elsewhere: f of 0.
        """
        columns = []
        for found, (_, taken) in zip(self.parts, self.form.taken(x, False), strict=True):
            inner = multiplied([v.mH for v in found.right], taken)
            change = function(found.values) - elsewhere
            columns.append(multiplied(found.right, change[..., None] * inner))
        return elsewhere * x + self.form.image(columns, len(x), False)

    def pseudo_inverse(
        self, images: Tensor, cut: float, damp: float, adjoint: bool
    ) -> Tensor:
        """That of the map itself, ``V S / (S^2 + damp^2) U^H y``, or its adjoint.

        Args:
            images: (b, *output_shape) of the dtype of the scaled map; of inputs for the
                adjoint.
            cut: Values of the scaled map up to this count as zero.
            damp: Of the scaled map.
            adjoint: Whether U and V change places.
        """
        columns = []
        taken = self.form.taken(images, not adjoint)
        for found, (_, inner) in zip(self.parts, taken, strict=True):
            s = found.values
            size = torch.hypot(s, torch.full_like(s, damp))  # no square overflows
            undone = ldexp(1 / size, -self.form.exponent)
            inverse = torch.where(s > cut, s / size * undone, 0)
            into, out = found.right, found.left
            if adjoint:
                into, out = out, into
            inner = inverse[..., None] * multiplied([u.mH for u in out], inner)
            columns.append(multiplied(into, inner))
        return self.form.image(columns, len(images), adjoint)


def decomposition_error(form: Form, norm: float) -> float:
    """Bound on the error of singular values by the blocks, of LAPACK and of waves."""
    rows, columns, waves = 1, 1, 0.0
    for part in form.parts:
        rows = max(rows, math.prod(part.widths(True)))
        columns = max(columns, math.prod(part.widths(False)))
        if part.frequencies.waves:
            waves = max(waves, _wave_error(part))
    # the relative errors of factors add up
    count = max((len(part.groupings) for part in form.parts), default=1)
    return count * svd_error(rows, columns, norm, EPS) + waves + form.distance


def _wave_error(part: Part) -> float:
    """Of the blocks: each tap's error, as often as a pixel is shown."""
    weight = part.kernel.rest.flatten(0, 1)
    taps = math.prod(weight.shape[2:])
    shows = math.prod(axis.shows for axis in part.axes)
    return taps * symbol_error(weight, EPS) * math.sqrt(shows)


def _decomposed(
    factor: Tensor, part: Part, i: int, complete: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """U, S and V of a factor; real where it is real.

    LAPACK on a real matrix in complex numbers could turn vectors by any phase.
    """
    u, s, vh = torch.linalg.svd(factor, full_matrices=complete)
    if part.real and factor.is_complex():
        own = torch.from_numpy(part.frequencies.own_mirror(i)).to(factor.device)
        real = torch.linalg.svd(factor[:, own].real, full_matrices=complete)
        u[:, own], vh[:, own] = real[0].to(u), real[2].to(vh)
        s[:, own] = real[1]
    return u, s, vh.mH


def _products(values: list[Tensor]) -> Tensor:
    """(groups, F_i, r_i) of each factor -> (groups, *F, *r)."""
    count = len(values)
    product = values[0].new_ones([1] * (1 + 2 * count))
    for i, found in enumerate(values):
        shape = [1] * (1 + 2 * count)
        shape[0], shape[1 + i], shape[1 + count + i] = found.shape
        product = product * found.reshape(shape)
    return product
