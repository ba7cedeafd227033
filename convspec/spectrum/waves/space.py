"""The span of plane waves cut off at the image, and its Gram matrices in closed form.

With waves ``s_a(x) = v_a[x mod s] exp(i <x // s, w_a>)`` on the pixels x of the image,

    <s_a, s_b> = sum_r <v_a[r], v_b[r]> prod_axes sum_y exp(i (w_b - w_a) y),
    <A s_a, A s_b> = sum_classes <u_a, u_b> prod_axes sum_o exp(i (w_b - w_a) o),
    u_a = sum_t K_t v_a[r_t] exp(i <q_t, w_a>), over the taps that read the image there,

by the classes of :class:`convspec.spectrum.waves.axis.WaveAxis`: no product with A.

For real weights the space holds each wave with its conjugate. It is spanned by real and
imaginary parts, whose inner products are, with ``G = <s_a, s_b>`` and
``P = <conj(s_a), s_b>``,

    <Re, Re> = Re(G + P) / 2,  <Re, Im> = Im(G + P) / 2,  <Im, Im> = Re(G - P) / 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np
import torch
from torch import Tensor

from convspec.operators.operator import ConvOperator
from convspec.spectrum.waves.axis import WaveAxis

__all__ = ["WaveSpace", "wave_axes"]

# images of a chunk of channels are added up within so many bytes
CHUNK_BYTES = 2**26


def wave_axes(op: ConvOperator) -> tuple[WaveAxis, ...] | None:
    """The axes of the convolution under waves; None where one does not take them."""
    found = [WaveAxis.of(axis) for axis in op.geometry.axes]
    axes = tuple(axis for axis in found if axis is not None)
    return axes if len(axes) == len(found) and op.groups == 1 else None


@dataclass(frozen=True)
class WaveSpace:
    """The span of some waves, with their conjugates for real weights.

    Attributes:
        axes: The axes of the convolution.
        weight: Of the convolution, (c_out, c_in, *kernel); float64 or complex128.
        frequencies: w, (d, axes); float64. On a circular axis they close on it.
        vectors: v, (d, c_in, *strides); complex128.
        max_bytes: Byte limit of what is held beside them and the result.
    """

    axes: tuple[WaveAxis, ...]
    weight: Tensor
    frequencies: Tensor
    vectors: Tensor
    max_bytes: int = CHUNK_BYTES

    @property
    def dim(self) -> int:
        """Dimension of the space: real, with real and imaginary parts, or complex."""
        return len(self.frequencies) * (1 if self.weight.is_complex() else 2)

    def gram(self) -> Tensor:
        """``S^H S`` of the basis, (dim, dim): real for real weights."""
        values = self.vectors.flatten(2).permute(2, 0, 1)  # (phases, d, c_in)
        return self._paired(values, WaveAxis.input_sums)

    def product_gram(self) -> Tensor:
        """``(A S)^H A S`` of the basis, (dim, dim): real for real weights."""
        reads = [max(a.axis.kernel, len(a.classes)) for a in self.axes]
        each = 16 * 3 * len(self.frequencies) * math.prod(reads)
        at_once = max(1, min(self.max_bytes, CHUNK_BYTES) // each)
        return sum(
            (
                self._paired(self._outputs(some), WaveAxis.output_sums)
                for some in torch.split(self.weight, at_once)
            ),
            torch.zeros((self.dim, self.dim), dtype=self.weight.dtype),
        )

    def _outputs(self, weight: Tensor) -> Tensor:
        """The vectors u of each class, last axis fastest; (classes, d, c_out)."""
        taps = [len(axis.steps) for axis in self.axes]
        lines = [torch.from_numpy(axis.steps).double() for axis in self.axes]
        steps = torch.stack(torch.meshgrid(*lines, indexing="ij")).flatten(1)
        waves = _unit(self.frequencies @ steps)  # (d, taps)
        phases = np.ravel_multi_index(
            np.ix_(*(axis.phases for axis in self.axes)), self.vectors.shape[2:]
        )
        flat, vectors = weight.flatten(2), self.vectors.flatten(2)
        shape = (math.prod(taps), len(self.frequencies), len(weight))
        read = torch.empty(shape, dtype=torch.complex128)
        for j, phase in enumerate(phases.reshape(-1)):
            read[j] = _times(vectors[..., int(phase)] * waves[:, j, None], flat[..., j].T)
        read = read.reshape(*taps, *shape[1:])
        for k, axis in enumerate(self.axes):
            chosen = torch.from_numpy(axis.classes).to(torch.complex128)
            read = torch.tensordot(chosen, read, dims=([1], [k])).movedim(0, k)
        return read.flatten(0, len(taps) - 1)

    def _paired(
        self, values: Tensor, sums: Callable[[WaveAxis, Tensor], Tensor]
    ) -> Tensor:
        """Inner products of ``values[c] exp(i <p, w>)`` over the places p of each c."""
        w = self.frequencies
        plain = self._inner(values.conj(), values, w[None] - w[:, None], sums)
        if self.weight.is_complex():
            return plain
        mirrored = self._inner(values, values, w[None] + w[:, None], sums)
        both, less = (plain + mirrored) / 2, (plain - mirrored) / 2
        upper = torch.cat([both.real, both.imag], dim=1)
        return torch.cat([upper, torch.cat([both.imag.T, less.real], dim=1)])

    def _inner(
        self,
        left: Tensor,
        right: Tensor,
        delta: Tensor,
        sums: Callable[[WaveAxis, Tensor], Tensor],
    ) -> Tensor:
        """``sum_c left_a[c]^T right_b[c] prod_axes sum exp(i delta_ab p)``; (d, d)."""
        lines = [sums(axis, delta[..., k]) for k, axis in enumerate(self.axes)]
        total = torch.zeros(delta.shape[:2], dtype=torch.complex128)
        for c, factors in enumerate(product(*lines)):
            total += (left[c] @ right[c].T) * reduce(torch.mul, factors)
        return total

    def images(self, coefficients: Tensor, dtype: torch.dtype) -> Tensor:
        """The sums of the basis with these coefficients; (count, c_in, *sizes).

        Args:
            coefficients: (count, dim).
            dtype: Of the images, real for real weights.
        """
        d = len(self.frequencies)
        if not self.weight.is_complex():  # Re(sum (a - i b) s) = sum a Re s + b Im s
            coefficients = torch.complex(coefficients[:, :d], -coefficients[:, d:])
        sizes = [axis.axis.size for axis in self.axes]
        shape = (len(coefficients), self.vectors.shape[1], *sizes)
        images = torch.empty(shape, dtype=dtype)
        at_once = max(1, min(self.max_bytes, CHUNK_BYTES) // (48 * math.prod(sizes)))
        for image, row in zip(images, coefficients, strict=True):
            for first in range(0, shape[1], at_once):
                self._add_up(image, row, slice(first, first + at_once))
        return images

    def _add_up(self, image: Tensor, row: Tensor, some: slice) -> None:
        """Write some channels of ``sum_a row_a s_a`` to an image."""
        kind = image.dtype.to_complex()
        lines = [torch.unique(w, return_inverse=True) for w in self.frequencies.T]
        shape = [len(line) for line, _ in lines]
        place = torch.zeros((len(row),), dtype=torch.int64)
        for count, (_, which) in zip(shape, lines, strict=True):
            place = place * count + which
        phases = product(*map(range, self.vectors.shape[2:]))
        for j, phase in enumerate(phases):
            chosen = self.vectors.flatten(2)[:, some, j] * row[:, None]
            spread = torch.zeros((chosen.shape[1], math.prod(shape)), dtype=chosen.dtype)
            spread = spread.index_add(1, place, chosen.T).reshape(-1, *shape).to(kind)
            part: tuple[slice, ...] = (some,)
            for (line, _), axis, r in zip(lines, self.axes, phase, strict=True):
                pixels = torch.arange(axis.pixels(r), dtype=torch.float64)
                waves = _unit(torch.outer(line, pixels)).to(kind)
                spread = torch.tensordot(spread, waves, ([1], [0]))  # cycles axes
                part = (*part, slice(r, None, axis.axis.stride))
            image[part] = spread if image.is_complex() else spread.real


def _times(rows: Tensor, matrix: Tensor) -> Tensor:
    """Complex rows times a matrix, real or complex."""
    if matrix.is_complex():
        return rows @ matrix
    return torch.complex(rows.real @ matrix, rows.imag @ matrix)


def _unit(angle: Tensor) -> Tensor:
    """``exp(i angle)``, entry by entry."""
    return torch.polar(torch.ones_like(angle), angle)
