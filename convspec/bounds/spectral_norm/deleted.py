"""A convolution as a torus of which outputs and pixels are deleted, multiplied directly.

Where padding shows no pixel twice, A is a torus C without some of its outputs and pixels,
up to factors of modulus 1 of rows and columns (:mod:`convspec.tori.relations`). Here C is
multiplied tap by tap: in double precision, with a bound on what that rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convspec.bounds.spectral_norm.parts import Wrap
from convspec.operators.operator import ConvOperator
from convspec.operators.product_error import convolution_error
from convspec.operators.reads import Reads
from convspec.spectrum.envelope.torus import Torus

__all__ = ["DeletedTorus"]


@dataclass(frozen=True)
class DeletedTorus:
    """One group of a convolution on a torus, and what of the torus belongs to A.

    Images of the torus are (channels, *sizes, count): whole rows of memory are read.

    Attributes:
        weight: (c_out, c_in, *taps), float64 or complex128, on the CPU.
        wraps: How each axis sits on its torus.
        outputs: Which outputs of the torus are A's; bool, (*shape).
        pixels: Which pixels are; bool, (*sizes).
    """

    weight: Tensor
    wraps: tuple[Wrap, ...]
    outputs: Tensor
    pixels: Tensor

    @classmethod
    def of(
        cls, weight: Tensor, reads: tuple[Reads, ...], wraps: tuple[Wrap, ...]
    ) -> DeletedTorus | None:
        """The torus of a group; None if a part of it stands for several of A's."""
        if any(wrap.square != 1 for wrap in wraps):
            return None
        kept = [
            _kept(read, wrap) for read, wrap in zip(reads, wraps, strict=True)
        ]  # (outputs, pixels) of each axis
        outputs, pixels = (
            torch.from_numpy(_all_of([pair[side] for pair in kept])) for side in (0, 1)
        )
        return cls(weight, wraps, outputs, pixels)

    @property
    def torus(self) -> Torus:
        """Frequencies, strides and lags per axis."""
        relations = [wrap.relation for wrap in self.wraps]
        return Torus(
            tuple(relation.frequencies for relation in relations),
            tuple(relation.stride for relation in relations),
            tuple(relation.lags for relation in relations),
        )

    @property
    def is_complex(self) -> bool:
        """Whether products with it are: by its weights, or by phases but 0 and pi."""
        turns = [wrap.turn for wrap in self.wraps]
        return self.weight.is_complex() or any(turn.denominator > 2 for turn in turns)

    @property
    def dtype(self) -> torch.dtype:
        """Of its products in double precision."""
        return torch.complex128 if self.is_complex else torch.float64

    @property
    def channels(self) -> tuple[int, int]:
        """Output and input channels of the group."""
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def block_shape(self) -> tuple[int, int]:
        """(rows, columns) of the symbol."""
        c_out, c_in = self.channels
        return c_out, c_in * math.prod(self.torus.strides)

    @property
    def frequencies(self) -> int:
        """How many blocks of the symbol there are, one of each conjugate pair."""
        count = math.prod(self.torus.shape)
        return count if self.is_complex else count // 2 + 1

    @property
    def row_bytes(self) -> int:
        """What a vector of outputs and pixels takes while it is transformed."""
        c_out, c_in = self.channels
        numbers = c_out * self.outputs.numel() + c_in * self.pixels.numel()
        return 8 * numbers * self.dtype.itemsize

    @cached_property
    def noise(self) -> float:
        """Bound on ``||fl(C x) - C x||`` for every unit vector x, and on the adjoint's.

        Each tap of each output reads one pixel, as without padding; a factor of modulus 1
        rounds a few times more, which the bound has room for.
        """
        return convolution_error(ConvOperator(self.weight, self.weight.shape[2:]))

    def apply(self, images: Tensor) -> Tensor:
        """C x for images of pixels, (c_in, *sizes, b) -> (c_out, *shape, b)."""
        sizes, count = images.shape[1:-1], images.shape[-1]
        images = images.flatten(1, -2)
        total = images.new_zeros((len(self.weight), self.outputs.numel() * count))
        for tap, lines, factor in self._taps():
            places = _flat([line.places for line in lines], sizes)
            read = images.index_select(1, places) * factor.reshape(-1, 1)
            total.addmm_(tap.to(total), read.flatten(1))
        return total.reshape(len(total), *self.torus.shape, count)

    def adjoint(self, images: Tensor) -> Tensor:
        """C^H y for images of outputs, (c_out, *shape, b) -> (c_in, *sizes, b)."""
        strides, shape = self.torus.strides, self.torus.shape
        c_in, count = self.weight.shape[1], images.shape[-1]
        images = images.flatten(1, -2)
        total = images.new_zeros((*strides, c_in, images[0].numel()))
        for tap, lines, factor in self._taps():
            places = _flat([line.writers for line in lines], shape)
            phases = factor.conj().reshape(-1, 1)[places]
            spread = images.index_select(1, places) * phases
            own = total[tuple(line.remainder for line in lines)]
            own.addmm_(tap.mH.to(total), spread.flatten(1))
        return _interleaved(total.reshape(*strides, c_in, *shape, count))

    def _taps(self) -> Iterator[tuple[Tensor, list[Line], Tensor]]:
        """Every tap, what it reads along each axis, and the phases, (*shape)."""
        axes = [_lines(wrap, self.dtype) for wrap in self.wraps]
        for tap in np.ndindex(*self.weight.shape[2:]):
            lines = [axis[t] for axis, t in zip(axes, tap, strict=True)]
            factor = torch.ones((), dtype=self.dtype)
            for line in lines:
                factor = factor[..., None] * line.phases
            place: tuple[Any, ...] = (slice(None), slice(None), *tap)
            yield self.weight[place], lines, factor


@dataclass(frozen=True)
class Line:
    """What a tap reads along an axis of a torus.

    Attributes:
        places: The pixel that every output reads; (M,).
        phases: The factor of each; (M,).
        writers: Of the pixels ``s y + remainder``, which are all that it reads, the
            output that reads each; (M,).
        remainder: Of its lag by the stride.
    """

    places: Tensor
    phases: Tensor
    writers: Tensor
    remainder: int


def _lines(wrap: Wrap, dtype: torch.dtype) -> list[Line]:
    """What each tap of an axis reads."""
    relation = wrap.relation
    stride, outputs = relation.stride, np.arange(relation.frequencies)
    found = []
    for lag in relation.lags:
        winds, places = np.divmod(stride * outputs + lag, stride * len(outputs))
        turns = winds * wrap.turn.numerator % wrap.turn.denominator
        angle = torch.as_tensor(2 * math.pi * turns / wrap.turn.denominator)
        if dtype.is_complex:
            phases = torch.polar(torch.ones_like(angle), angle)
        else:  # signs, exactly
            phases = torch.as_tensor(1.0 - 2.0 * (turns != 0), dtype=dtype)
        writers = torch.as_tensor((outputs - lag // stride) % len(outputs))
        found.append(
            Line(torch.as_tensor(places), phases.to(dtype), writers, lag % stride)
        )
    return found


def _flat(places: list[Tensor], sizes: Sequence[int]) -> Tensor:
    """The places of all axes as places of images whose axes are one."""
    found = torch.zeros((1,), dtype=torch.int64)
    for own, size in zip(places, sizes, strict=True):
        found = (found[:, None] * size + own).flatten()
    return found


def _interleaved(parts: Tensor) -> Tensor:
    """Pixels ``s y + r`` in order: (*strides, c, *shape, b) -> (c, *sizes, b)."""
    dim = (parts.ndim - 2) // 2
    order = [dim]
    for j in range(dim):
        order += [dim + 1 + j, j]
    sizes = [parts.shape[j] * parts.shape[dim + 1 + j] for j in range(dim)]
    found = parts.permute([*order, parts.ndim - 1])
    return found.reshape(parts.shape[dim], *sizes, parts.shape[-1])


def _kept(read: Reads, wrap: Wrap) -> tuple[np.ndarray, np.ndarray]:
    """Which outputs and which pixels of an axis' torus are the operator's."""
    relation = wrap.relation
    outputs = np.zeros(relation.frequencies, dtype=bool)
    pixels = np.zeros(relation.frequencies * relation.stride, dtype=bool)
    if read.cyclic:
        outputs[:], pixels[:] = True, True
    else:
        outputs[read.live.rows % len(outputs)] = True
        pixels[read.live.used[0] % len(pixels)] = True
    return outputs, pixels


def _all_of(masks: list[np.ndarray]) -> np.ndarray:
    """Where all masks hold, each along an axis of its own."""
    found = np.ones((), dtype=bool)
    for mask in masks:
        found = np.logical_and.outer(found, mask)
    return found
