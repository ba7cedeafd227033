"""Null spaces and ranges: orthonormal bases, made of those of small blocks.

A map is ``U S V^H`` block by block (:mod:`convspec.inverse.form`). Its null space has the
right vectors of values that are 0, those that complete a block's basis, and the pixels
that nothing reads; its range the left vectors of the other values. None is formed before
it is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arguments import integer
from convspec.arrays import IntArray
from convspec.errors import TooLargeError
from convspec.inverse.chosen import Chosen
from convspec.inverse.columns import multiplied
from convspec.inverse.decomposition import Decomposed, decomposition_error
from convspec.inverse.form import Form
from convspec.inverse.methods import form_or_none, zero_part
from convspec.isolation import isolated, isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.linear_map import LinearMap, require_map
from convspec.operators.operator import ConvOperator

__all__ = ["Subspace", "null_space", "range_space"]


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class Subspace:
    """A subspace of images with an orthonormal basis.

    Attributes:
        shape: Of an image.
        dimension: How many vectors a basis has.
        cut: Singular values of the map up to this count as zero: ``||A v||`` is at most
            this for v of length 1 in the null space, but for rounding.
    """

    shape: tuple[int, ...]
    dimension: int
    cut: float
    _form: Form
    _chosen: tuple[Chosen, ...]
    _apart: IntArray  # images of one pixel: those in no part
    _left: bool

    def __len__(self) -> int:
        return self.dimension

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        return f"<Subspace of dimension {self.dimension} of images {size}>"

    def basis(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        max_bytes: Bytes = DEFAULT_MAX_BYTES,
    ) -> Tensor:
        """The orthonormal vectors ``start`` to ``stop`` as images, all unless told.

        Pixels that the map does not read come last.

        Args:
            start: The first.
            stop: Behind the last.
            max_bytes: Byte limit of the images and what makes them.

        Returns:
            (stop - start, *shape), in double precision.

        Raises:
            ValueError: If these are not numbers of basis vectors.
            TooLargeError: If they need more than ``max_bytes``.
        """
        stop = self.dimension if stop is None else integer("stop", stop, 0)
        start = integer("start", start, 0)
        if not start <= stop <= self.dimension:
            raise ValueError(
                f"start and stop must be from 0 to the dimension, {self.dimension}, the "
                f"first no more than the second; got {start} and {stop}"
            )
        count = stop - start
        needed = 6 * count * math.prod(self.shape) * self._form.op.dtype.itemsize
        require_bytes(
            f"{count} images of the basis",
            needed,
            byte_limit(max_bytes),
            "take fewer at a time: basis(start, stop)",
        )
        images = self._form.blank(count, self._left)
        first = 0
        for chosen in self._chosen:
            number = int(chosen.often.sum())
            some = np.arange(max(start, first), min(stop, first + number))
            if len(some):
                found = self._form.blank(len(some), self._left)
                part, columns = chosen.found.part, chosen.columns(some - first)
                self._form.place(part, columns, found, self._left)
                images[some - start] = found
            first += number
        lone = np.arange(max(start, first), stop)
        images.flatten(1)[lone - start, self._apart[lone - first]] = 1
        return images

    def project(self, x: Tensor) -> Tensor:
        """The part of images that lies in the subspace: the nearest in it.

        Args:
            x: (..., *shape).

        Returns:
            (..., *shape), in double precision.

        Raises:
            GeometryError: If x does not end in ``shape``.
        """
        x = (self._form.op.H if self._left else self._form.op)._checked("x", x)
        images = x.reshape(-1, *self.shape)
        if images.is_complex() and not self._form.op.dtype.is_complex:
            real, imaginary = (self.project(part) for part in (x.real, x.imag))
            return torch.complex(real, imaginary)
        columns = []
        for chosen, (_, taken) in zip(
            self._chosen, self._form.taken(images, self._left), strict=True
        ):
            bases = chosen.bases
            inner = multiplied([basis.mH for basis in bases], taken)
            columns.append(multiplied(bases, chosen.mask[..., None] * inner))
        found = self._form.image(columns, len(images), self._left)
        found.flatten(1)[:, self._apart] += images.flatten(1)[:, self._apart]
        return found.reshape(x.shape)


@isolated
def null_space(
    op: LinearMap,
    *,
    rank_rtol: float | None = None,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Subspace:
    """The images that A takes to 0: ``{x : A x = 0}``, with an orthonormal basis.

    Its dimension is ``n - rank``. Bases are made of small blocks: of one patch where the
    stride is no less than the kernel, of one frequency on a torus, of all of the map
    else. That of ``op.H`` is the complement of the range.

    Args:
        op: The map.
        rank_rtol: Singular values up to this part of the largest count as zero;
            ``max(m, n) eps`` unless told.
        max_bytes: Byte limit of the blocks and their vectors.

    Raises:
        TooLargeError: If they need more than ``max_bytes``.
        TypeError: If op is no operator.

    Example:
        >>> import torch, convspec as cs
        >>> patches = cs.ConvOperator(torch.tensor([[[1.0, -1.0]]]), 6, stride=2)
        >>> space = cs.null_space(patches)
        >>> space.dimension, float(patches.apply(space.basis()).abs().max()) < 1e-15
        (3, True)
    """
    return _subspace(op, "null_space", rank_rtol, max_bytes, left=False)


@isolated
def range_space(
    op: LinearMap,
    *,
    rank_rtol: float | None = None,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Subspace:
    """The images that A gives: ``{A x}``, with an orthonormal basis.

    Its dimension is the rank. Arguments as for :func:`null_space`.

    Raises:
        TooLargeError: If the blocks need more than ``max_bytes``.
        TypeError: If op is no operator.

    Example:
        >>> import torch, convspec as cs
        >>> op = cs.ConvOperator(torch.tensor([[[1.0]], [[1.0]]]), 2)
        >>> cs.range_space(op).basis().abs().mul(2).square().round()
        tensor([[[2., 0.],
                 [2., 0.]],
        <BLANKLINE>
                [[0., 2.],
                 [0., 2.]]], dtype=torch.float64)
    """
    return _subspace(op, "range_space", rank_rtol, max_bytes, left=True)


def _subspace(
    op: LinearMap,
    name: str,
    rank_rtol: float | None,
    max_bytes: Bytes,
    left: bool,
) -> Subspace:
    require_map(op, name)
    limit, rtol = byte_limit(max_bytes), zero_part(rank_rtol, op)
    # the complement of a range takes all of the outputs' waves
    flipped = not left and isinstance(op, ConvOperator) and op.transposed
    form = form_or_none(op, "direct", limit, mirrors=not flipped)
    if form is None or 2 * form.memory > limit:
        raise TooLargeError(
            f"{name} must fit max_bytes with the blocks of the map and their singular "
            "vectors; they do not; raise max_bytes, or project without a basis: "
            "x - op.pinv() @ (op @ x) is the part of x that A takes to 0"
        )
    parts = [Decomposed.of(form, part, complete=True) for part in form.parts]
    norm = max((float(part.values.max()) for part in parts), default=0.0)
    chosen = tuple(Chosen.of(part, left, rtol * norm) for part in parts)
    shape = op.output_shape if left else op.input_shape
    apart = np.zeros(0, dtype=np.int64) if left else _read_by_none(form)
    dimension = sum(int(some.often.sum()) for some in chosen) + len(apart)
    cut = math.ldexp(rtol * norm + decomposition_error(form, norm), form.exponent)
    return Subspace(shape, dimension, cut, form, chosen, apart, left)


def _read_by_none(form: Form) -> IntArray:
    """Flat places of an input that no part takes."""
    taken = torch.zeros(1, math.prod(form.op.input_shape), dtype=torch.bool)
    image = taken.reshape(1, *form.op.input_shape)
    for part in form.parts:
        part.mark(taken if form.flat else image, form.flipped)
    return np.flatnonzero(~taken[0].numpy())
