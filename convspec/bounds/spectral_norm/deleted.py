"""A convolution as a torus of which outputs and pixels are deleted, multiplied directly.

Where padding shows no pixel twice, A is a torus C without some of its outputs and pixels,
up to factors of modulus 1 of rows and columns (:mod:`convspec.tori.relations`). Here C is
multiplied tap by tap: in double precision, with a bound on what that rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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

    Images of the torus are (channels, count, *sizes).

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
        """C x for images of pixels, (c_in, b, *sizes) -> (c_out, b, *shape)."""
        shape = self.torus.shape
        total = images.new_zeros((len(self.weight), images.shape[1] * math.prod(shape)))
        for tap, index, factor in self._taps():
            read = images
            for j, places in enumerate(index):
                read = read.index_select(2 + j, places)
            total.addmm_(tap.to(total), (read * factor).flatten(1))
        return total.reshape(len(total), images.shape[1], *shape)

    def adjoint(self, images: Tensor) -> Tensor:
        """C^H y for images of outputs, (c_out, b, *shape) -> (c_in, b, *sizes)."""
        total = images.new_zeros(
            (self.weight.shape[1], images.shape[1], *self.pixels.shape)
        )
        for tap, index, factor in self._taps():
            spread = tap.mH.to(images) @ (images * factor.conj()).flatten(1)
            spread = spread.reshape(len(spread), *images.shape[1:])
            places = torch.meshgrid(*index, indexing="ij")
            own: tuple[Any, ...] = (slice(None), slice(None), *places)
            total[own] += spread  # no place twice
        return total

    def _taps(self) -> Iterator[tuple[Tensor, list[Tensor], Tensor]]:
        """Every tap, where its outputs read along each axis, and the phases, (*shape)."""
        lines = [_line(wrap, self.dtype) for wrap in self.wraps]
        for tap in np.ndindex(*self.weight.shape[2:]):
            own = [line[t] for line, t in zip(lines, tap, strict=True)]
            factor = torch.ones((), dtype=self.dtype)
            for _, phases in own:
                factor = factor[..., None] * phases
            place: tuple[Any, ...] = (slice(None), slice(None), *tap)
            yield self.weight[place], [places for places, _ in own], factor


def _line(wrap: Wrap, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """Of each tap of an axis the pixel that every output reads, and its phase; (M,)."""
    relation = wrap.relation
    size = relation.stride * relation.frequencies
    found = []
    for lag in relation.lags:
        reads = relation.stride * np.arange(relation.frequencies) + lag
        winds, places = np.divmod(reads, size)
        turns = winds * wrap.turn.numerator % wrap.turn.denominator
        angle = torch.as_tensor(2 * math.pi * turns / wrap.turn.denominator)
        if dtype.is_complex:
            phase = torch.polar(torch.ones_like(angle), angle)
        else:  # signs, exactly
            phase = torch.as_tensor(1.0 - 2.0 * (turns != 0), dtype=dtype)
        found.append((torch.as_tensor(places), phase.to(dtype)))
    return found


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
