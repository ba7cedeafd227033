"""Any linear map as ``U (direct sum of blocks) V^H``, U and V being transforms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from convspec.inverse.axis_parts import AxisPart, axis_parts
from convspec.inverse.blocks import Kernel, Part
from convspec.operators.composed.normal import normal_form
from convspec.operators.linear_map import LinearMap
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads
from convspec.operators.reduce import Reduction
from convspec.operators.separable import may_separate, separate

__all__ = ["Form"]

# a kernel is a product of vectors up to some roundings
ROUNDINGS = 16


@dataclass(frozen=True)
class Form:
    """``2^-exponent A``, or its adjoint, as a direct sum of blocks.

    Attributes:
        parts: The blocks, and how images fall into them.
        flipped: Whether the blocks are those of the adjoint.
        flat: Whether images are taken as vectors: of a map that is one matrix.
        exponent: Of the scaling, which is exact.
        op: The scaled map, in double precision.
    """

    parts: tuple[Part, ...]
    flipped: bool
    flat: bool
    exponent: int
    op: LinearMap

    @classmethod
    def of(
        cls,
        op: LinearMap,
        max_bytes: int,
        differentiable: bool = False,
        mirrors: bool = True,
    ) -> Form:
        """The form of least cost, without forming a block of a convolution.

        Args:
            op: The map.
            max_bytes: Of the matrix of a composed map.
            differentiable: Whether gradients reach the weight of a convolution.
            mirrors: Whether outputs may be sums of cosines and sines that are not all of
                them, see :class:`Part`.

        Raises:
            TooLargeError: If the matrix of a composed map takes more than ``max_bytes``.
        """
        if not isinstance(op, ConvOperator):
            work, exponent = normal_form(op)
            matrix = work.to_dense(max_bytes=max_bytes)
            whole = Part(Kernel({}, matrix[None]), ())
            return cls((whole,), False, True, exponent, work)
        work, exponent = normalised(op, torch.float64, differentiable=differentiable)
        gathers = work.H if work.transposed else work  # a convolution, no transpose
        reads = [Reads.of(axis) for axis in gathers.geometry.axes]
        kinds = [axis_parts(read) for read in reads]
        weight = gathers.weight
        groups = weight.reshape(op.groups, -1, *weight.shape[1:])
        kernels = [Kernel({}, groups)]
        halves: dict[int, AxisPart] = {}
        if not differentiable:
            kernels += _products(groups, [read.axis.most_reads for read in reads])
        if not differentiable and mirrors:
            rings = Reduction.of(gathers).half_rings
            halves = {j: AxisPart.of_half(half) for j, half in rings.items()}
        forms = [
            cls(_parts(kernel, kinds), work.transposed, False, exponent, work)
            for kernel in kernels
        ]
        for kernel in kernels if halves else []:
            mirrored = [
                [halves[j]] if j in halves and j not in kernel.vectors else kind
                for j, kind in enumerate(kinds)
            ]
            parts = _parts(kernel, mirrored)
            forms.append(cls(parts, work.transposed, False, exponent, work))
        return min(forms, key=lambda form: form.flops)

    @cached_property
    def flops(self) -> float:
        """Estimated operations of decomposing the blocks, vectors included."""
        return sum(_flops(part) for part in self.parts)

    @cached_property
    def memory(self) -> int:
        """Bytes of the blocks and what decomposes them."""
        most = 0
        for part in self.parts:
            for count, rows, columns in _shapes(part):
                number = part.dtype.itemsize
                tables = part.groups * count * rows * columns * 4
                most += number * (tables + max(rows, columns) ** 2 * part.groups)
        return most

    @property
    def distance(self) -> float:
        """Bound on the norm of what the blocks differ from the scaled map by."""
        return max((part.distance for part in self.parts), default=0.0)

    def factors(self, part: Part) -> list[Tensor]:
        """The factors of a part's blocks, from inputs of the map to outputs."""
        found = part.factors()
        return [factor.mH for factor in found] if self.flipped else found

    def taken(self, images: Tensor, left: bool) -> Iterator[tuple[Part, Tensor]]:
        """Images as columns of each part: outputs of the map if left, else inputs."""
        images = images.flatten(1) if self.flat else images
        for part in self.parts:
            yield part, part.taken(images, left != self.flipped)

    def image(self, columns: list[Tensor], count: int, left: bool) -> Tensor:
        """``count`` images of columns of each part, zeros where there is no part."""
        images = self.blank(count, left)
        for part, found in zip(self.parts, columns, strict=True):
            self.place(part, found, images, left)
        return images

    def blank(self, count: int, left: bool) -> Tensor:
        """Images of zeros: outputs of the map if left, else inputs."""
        shape = self.op.output_shape if left else self.op.input_shape
        return torch.zeros(count, *shape, dtype=self.op.dtype, device=self.op.device)

    def place(self, part: Part, columns: Tensor, images: Tensor, left: bool) -> None:
        """Write what columns of a part's blocks are into images."""
        view = images.flatten(1) if self.flat else images
        part.placed(columns, view, left != self.flipped)


def _parts(kernel: Kernel, kinds: list[list[AxisPart]]) -> tuple[Part, ...]:
    return tuple(Part(kernel, axes) for axes in product(*kinds))


def _products(groups: Tensor, most_reads: list[int]) -> list[Kernel]:
    """The kernel as a product along axes, if that of every group is one.

    Args:
        groups: (groups, out channels, in channels, *taps).
        most_reads: Of :func:`convspec.operators.separable.separate`.
    """
    tolerance = ROUNDINGS * torch.finfo(groups.dtype).eps
    zeros = (groups == 0).flatten(1).all(dim=1)
    if bool(zeros.any()) or not bool(may_separate(groups, tolerance).all()):
        return []
    splits = [separate(kernel, most_reads, tolerance) for kernel in groups]
    first = splits[0]
    if first is None or any(some is None or some.axes != first.axes for some in splits):
        return []
    found = [some for some in splits if some is not None]
    vectors = {
        j: torch.stack([some.vectors[i] for some in found]).to(groups)
        for i, j in enumerate(first.axes)
    }
    rest = torch.stack([some.rest for some in found])
    return [Kernel(vectors, rest, max(some.distance for some in found))]


def _shapes(part: Part) -> list[tuple[int, int, int]]:
    """(frequencies, rows, columns) of each factor."""
    rows, columns = part.widths(True), part.widths(False)
    return list(zip(part.frequencies.counts, rows, columns, strict=True))


def _flops(part: Part) -> float:
    """``4 a b^2 + 8 b^3`` for each block, a >= b its sides; four times if complex.

    Source: Golub and Van Loan, Matrix Computations, 4th ed., figure 8.6.1.
    """
    each = 0.0
    for count, *sides in _shapes(part):
        small, large = sorted(sides)
        each += count * (4.0 * large * small**2 + 8.0 * small**3)
    return part.groups * each * (4 if part.dtype.is_complex else 1)
