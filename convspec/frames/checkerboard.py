"""What a transposed convolution makes of a constant image: a checkerboard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.bounds.layer import Layer, operator_of
from convspec.errors import NotApplicable
from convspec.isolation import isolated, isolated_class
from convspec.operators.axis import Axis
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator, require_operator

__all__ = ["Checkerboard", "checkerboard"]


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class Checkerboard:
    """The pattern of a transposed convolution on constant images, phase by phase.

    Attributes:
        pattern: ``pattern[i, j]``: what output channel i is, at the pixels of each phase
            (place modulo the stride) away from the border, where input channel j is 1;
            (C_out, C_in, *stride), in double precision, differentiable in the weight.
        taps: How many taps reach each phase; (*stride).
        groups: Of the convolution.
        axes: Kernel, stride and dilation of each axis.
    """

    pattern: Tensor
    taps: IntArray
    groups: int
    axes: tuple[tuple[int, int, int], ...]

    @property
    def measure(self) -> float:
        """``||D|| / ||F||``, at most 1; 0 if and only if no constant gets a pattern.

        F takes a constant image to its values at all phases, D to what these differ from
        their mean by; the norms are the largest over constant images. 0 for the zero
        kernel.
        """
        phases = self.phases
        # differences from a phase, so that equal phases leave an exact zero
        apart = phases - phases[:, :, :1]
        apart = apart - apart.mean(dim=2, keepdim=True)
        norm, deviation = _norm(phases), _norm(apart)
        return min(1.0, deviation / norm) if norm > 0 else 0.0

    @property
    def even(self) -> bool:
        """Whether all phases are reached by equally many taps, as a kernel should."""
        return bool((self.taps == self.taps.flat[0]).all())

    @property
    def note(self) -> str:
        """What the shape of the kernel says, whatever its weight, in words."""
        kernel, stride, dilation = (
            "x".join(map(str, s)) for s in zip(*self.axes, strict=True)
        )
        what = f"kernel {kernel}, stride {stride}"
        if any(d > 1 for _, _, d in self.axes):
            what += f", dilation {dilation}"
        if self.even:
            return f"{what}: {self.taps.flat[0]} taps reach every phase"
        least, most = self.taps.min(), self.taps.max()
        shared = any(math.gcd(s, d) > 1 for _, s, d in self.axes)
        why = "the stride has a factor in common with the dilation"
        if not shared:
            why = "the kernel is not divisible by the stride"
        return f"{what}: {least} to {most} taps reach a phase, as {why}"

    @property
    def phases(self) -> Tensor:
        """The pattern group by group; (groups, C_out / groups, phases, C_in / groups)."""
        out, into = (count // self.groups for count in self.pattern.shape[:2])
        blocks = self.pattern.reshape(self.groups, out, self.groups, into, -1)
        own = torch.arange(self.groups)
        return blocks[own, :, own].transpose(2, 3)

    def __repr__(self) -> str:
        return f"<Checkerboard: measure {self.measure:.4g}; {self.note}>"


@isolated
def checkerboard(
    layer: Layer,
    *,
    stride: int | Sequence[int] | None = None,
    dilation: int | Sequence[int] | None = None,
    groups: int | None = None,
) -> Checkerboard:
    """What becomes of constant images in a transposed convolution, phase by phase.

    Output pixels whose places differ by a multiple of the stride are a phase: away from
    the border all of them are reached by the same taps, and a constant image becomes one
    number at each phase. Where these differ it is a checkerboard. They are sums of the
    weight, the symbol at frequency 0. An all-ones kernel of 3 x 3 with stride 2 has sums
    of 1, 2, 2 and 4 taps; one that the stride divides has equal sums, but only training
    makes those of its weight equal.

    The gradients of an ordinary convolution with stride pass through its adjoint, and get
    the checkerboard of ``op.T``.

    Args:
        layer: A transposed ``torch.nn`` convolution, a :class:`ConvOperator` (its size
            does not matter), or a weight as torch stores it for transposed layers, (C_in,
            C_out / groups, *kernel), described by the arguments.
        stride: As in torch, 1 unless told; so are the others. For weights alone.
        dilation: Likewise.
        groups: Likewise.

    Raises:
        NotApplicable: For ordinary convolutions.
        GeometryError: If the arguments do not go together.
        UnsupportedLayer: If the layer is no convolution.
        NotFiniteError: If the weight holds NaN or infinity.

    Source: Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts", Distill,
    2016.

    Example:
        >>> import torch, convspec as cs
        >>> found = cs.checkerboard(torch.ones(1, 1, 3, 3), stride=2)
        >>> found.pattern[0, 0]
        tensor([[4., 2.],
                [2., 1.]], dtype=torch.float64)
        >>> even = cs.checkerboard(torch.ones(1, 1, 4, 4), stride=2)
        >>> round(found.measure, 4), even.measure
        (0.4359, 0.0)
    """
    if isinstance(layer, LinearMap):
        require_operator(layer, "checkerboard")
    bare = not isinstance(layer, torch.nn.Module | LinearMap)
    op = operator_of(
        layer,
        stride=stride,
        dilation=dilation,
        groups=groups,
        transposed=True if bare else None,
    )
    if not op.transposed:
        raise NotApplicable(
            "a checkerboard is that of a transposed convolution; got "
            f"{op!r}; its gradients get that of its adjoint: give op.T, op being "
            "ConvOperator.from_layer(layer, input_size)",
            "checkerboard",
        )
    axes = op.geometry.axes
    return Checkerboard(
        _pattern(op),
        _taps(axes),
        op.groups,
        tuple((axis.kernel, axis.stride, axis.dilation) for axis in axes),
    )


def _pattern(op: ConvOperator) -> Tensor:
    """The symbol at frequency 0; (C_out, C_in, *stride)."""
    strides = [axis.stride for axis in op.geometry.axes]
    sums = op.symbol().coefficients.sum(dim=3)  # (groups, outputs and phases, inputs)
    groups, into = len(sums), sums.shape[2]
    out = sums.shape[1] // math.prod(strides)
    own = torch.arange(groups)
    blocks = sums.new_zeros(groups, out, groups, into, *strides)
    found = sums.reshape(groups, out, *strides, into).movedim(-1, 2)
    blocks = blocks.index_put((own[:, None], _every(out), own[:, None]), found)
    return blocks.reshape(groups * out, groups * into, *strides)


def _every(count: int) -> Tensor:
    return torch.arange(count)[None, :]


def _taps(axes: Sequence[Axis]) -> IntArray:
    """How many taps reach each phase; (*stride)."""
    counts = np.ones((), dtype=np.int64)
    for axis in axes:
        own = np.bincount(axis.lags % axis.stride, minlength=axis.stride)
        counts = np.multiply.outer(counts, own)
    return counts


def _norm(phases: Tensor) -> float:
    """The largest singular value of (outputs and phases) x inputs, of all groups."""
    matrices = phases.detach().flatten(1, 2)
    return float(torch.linalg.matrix_norm(matrices, 2).max())
