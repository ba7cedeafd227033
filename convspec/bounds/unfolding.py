"""Bounds by norms of the kernel reshaped to a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.bounds.least import Candidate, least
from convspec.bounds.views import fans, merged, patches, seen_through
from convspec.isolation import isolated
from convspec.operators.kernel import ScaledKernel
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads
from convspec.quantity.bound import Bound
from convspec.rounding import frobenius_above, gamma, norm_enclosure, up
from convspec.rounding.largest import LargestNorm, norm
from convspec.rounding.norms import sum_above
from convspec.tori.places import Setting, unrepeated_settings

__all__ = ["fantastic_four", "reshaped_kernel", "tsuzuku", "unfolding_norm"]

# blocks of each kind that are decomposed: all with zero padding and strides up to 2
MOST_VIEWS = 8


@isolated
def reshaped_kernel(op: ConvOperator) -> Bound:
    """A lower bound: ``max(||R||, ||L||) <= sigma_1``, R and L the kernel as a matrix.

    R is (C_out, C_in k^d), what one output reads, and L is (C_in, C_out k^d), what one
    pixel is read by: blocks of rows and of columns of A, taken where they see most of the
    kernel. Where an output sees all taps, R is what ``torch.nn.utils.spectral_norm``
    normalises, and sigma_1 can be ``sqrt(k^d)`` times larger. With groups it is the
    largest norm of one group, as A is block diagonal; torch's, of all groups on top of
    each other, is no bound.

    Differentiable in the weight through the largest of these matrices, with gradient 0 at
    zero; at ties between matrices, groups or singular values through one of them, a
    subgradient.

    Source: Yoshida and Miyato, "Spectral norm regularization for improving the
    generalizability of deep learning", 2017, who take ``||R||`` for the norm; Tsuzuku,
    Sato and Sugiyama, "Lipschitz-margin training", NeurIPS 2018, who say that it is not.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.ones(1, 1, 3), 50, padding=1)
    >>> round(cs.bounds.reshaped_kernel(op).lower, 6)  # sigma_1 is nearly 3
    1.732051
    """
    kernel = ScaledKernel.of(op)
    found = [
        (LargestNorm.of([side.matrices(kernel.blocks.detach(), views)]), side, views)
        for side in (_PATCHES, _FANS)
        for views in side.most(kernel)
    ]
    largest, side, views = max(found, key=lambda candidate: candidate[0].above)
    matrix = side.matrices(kernel.blocks, views)[largest.index]
    lower = float(norm_enclosure(matrix.detach())[0])
    if (terms := merged(views)) > 1:  # their sum was rounded, in each entry seen
        taps = kernel.weight.detach().flatten(2).movedim(2, 0)
        size = float(sum_above(frobenius_above(taps), 0))
        lower -= gamma(2 * terms) * math.prod(map(len, views)) * size
    return kernel.bound(
        "reshaped_kernel",
        lower=lower,
        value=norm(matrix),
        assumptions="any operator; a lower bound only",
        reference="Yoshida and Miyato 2017; Tsuzuku, Sato and Sugiyama 2018",
    )


@isolated
def tsuzuku(op: ConvOperator) -> Bound:
    """``sigma_1 <= sqrt(overlap) ||R||``, the overlap counted exactly.

    R is the kernel as a (C_out, C_in k^d) matrix, and overlap is the largest number of
    (output, tap) pairs that read one pixel: ``A = (I (x) R) U`` with a 0/1 matrix U that
    has one 1 per row, so that ``||U||^2`` is that number. It is ``ceil(k gcd(d, s) / s)``
    per axis far from the borders, and more where reflected or repeated pixels are read;
    the average overlap of a small image would not do. Equality for stride >= extent
    without padding. Holds for every padding mode, stride and dilation.

    Differentiable in the weight through the group of the largest norm, with gradient 0 at
    zero; at ties between groups or singular values through one of them, a subgradient.

    Source: Tsuzuku, Sato and Sugiyama, "Lipschitz-margin training: scalable certification
    of perturbation invariance for deep neural networks", NeurIPS 2018.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.ones(1, 1, 3), 50, padding=1)
    >>> round(cs.bounds.tsuzuku(op).upper, 12)
    3.0
    """
    kernel = ScaledKernel.of(op)
    overlap = _most_reads(kernel)
    found = LargestNorm.of([kernel.blocks.detach().flatten(2)])
    matrix = kernel.blocks[found.index].flatten(1)
    return kernel.bound(
        "tsuzuku",
        upper=unfolding_norm(kernel, found),
        value=math.sqrt(overlap) * norm(matrix),
        assumptions=f"any operator; a pixel is read {overlap} times at most",
        reference="Tsuzuku, Sato and Sugiyama 2018",
    )


@isolated
def fantastic_four(op: ConvOperator) -> Bound:
    """``sigma_1 <= sqrt(k_1 ... k_d) min ||unfolding of K||`` over 2^d unfoldings.

    An unfolding sends each spatial axis of the kernel to the side of the output channels
    or to that of the input channels: (C_out, C_in h w), (C_in, C_out h w), (C_out h, C_in
    w) and (C_out w, C_in h) in two dimensions. With stride it is the kernel of ``ceil(k /
    s)`` taps whose phases are channels (a dilation coprime to the stride changes
    nothing). It bounds the supremum of the symbol: ``u^H F(w) v = <K, u (x) v (x) a_1 (x)
    ... (x) a_d>`` with ``||a_j|| = sqrt(k_j)``. Padding that shows pixels more than once
    breaks it: the norm of [1, 1, 1] / 3 on 8 pixels with reflect padding is 1.029, and
    the formula gives 1. :func:`tsuzuku` counts how often each pixel is read.

    Each norm is bounded from above; the power method, which training uses, approaches it
    from below.

    Differentiable in the weight through the least unfolding, with gradient 0 at zero; at
    ties between groups or singular values through one of them. At ties between unfoldings
    it is the gradient of the first: the least of several norms is not convex, and need
    have no subgradient there.

    Source: Singla and Feizi, "Fantastic Four: differentiable bounds on singular values of
    convolution layers", ICLR 2021.

    Raises:
        NotApplicable: For reflect and replicate padding that is read, and for circular
            padding that repeats outputs.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.ones(1, 1, 3), 50, padding=1)
    >>> round(cs.bounds.fantastic_four(op).upper, 12)
    3.0
    """
    kernel = ScaledKernel.of(op)

    def bound(setting: Setting, matrices: Tensor) -> Candidate:
        found, root = (
            LargestNorm.of([matrices.detach()]),
            math.sqrt(math.prod(setting.lags)),
        )
        return Candidate(
            up(up(root) * found.above),
            setting.words,
            lambda: root * norm(matrices[found.index]),
        )

    def tensor(setting: Setting) -> Tensor:
        folded = kernel.symbol(setting.strides).coefficients
        return folded.reshape(*folded.shape[:3], *setting.lags)

    best = least(
        bound(setting, matrices)
        for setting in unrepeated_settings(kernel.axes, "fantastic_four")
        for matrices in _unfoldings(tensor(setting))
    )
    return kernel.bound(
        "fantastic_four",
        upper=best.upper,
        value=best.value(),
        assumptions=best.words,
        reference="Singla and Feizi 2021",
    )


def unfolding_norm(kernel: ScaledKernel, found: LargestNorm | None = None) -> float:
    """``sqrt(overlap) ||R||``, rounded up: at least the norm of the scaled operator.

    Args:
        kernel: The kernel.
        found: The largest R of its groups, if known.
    """
    found = found or LargestNorm.of([kernel.blocks.detach().flatten(2)])
    overlap = _most_reads(kernel)
    return up(up(math.sqrt(overlap)) * found.above)


def _most_reads(kernel: ScaledKernel) -> int:
    """The most pairs of a tap and an output that read one pixel."""
    return math.prod(int(read.counts.max()) for read in kernel.axes)


@dataclass(frozen=True)
class _Side:
    """How A is cut into blocks, of its rows or of its columns."""

    views: Callable[[Reads], list[IntArray]]
    rows: bool

    def matrices(self, blocks: Tensor, views: Sequence[IntArray]) -> Tensor:
        """The blocks, one per group; those of columns transposed."""
        seen = seen_through(blocks, views)
        return seen.flatten(2) if self.rows else seen.transpose(1, 2).flatten(2)

    def most(self, kernel: ScaledKernel) -> list[tuple[IntArray, ...]]:
        """The combinations of views through which most of the kernel is seen."""
        blocks = kernel.blocks.detach()

        def size(views: tuple[IntArray, ...]) -> float:
            return float(torch.linalg.vector_norm(seen_through(blocks, views)))

        choices = list(product(*[self.views(axis) for axis in kernel.axes]))
        return sorted(choices, key=size, reverse=True)[:MOST_VIEWS]


_PATCHES, _FANS = _Side(patches, rows=True), _Side(fans, rows=False)


def _unfoldings(tensor: Tensor) -> Iterator[Tensor]:
    """(groups, rows, columns, *lags) -> (groups, rows x some lags, columns x others)."""
    dim = tensor.ndim - 3
    choices = [(False, True) if tensor.shape[3 + j] > 1 else (False,) for j in range(dim)]
    for left in product(*choices):
        first = [3 + j for j in range(dim) if left[j]]
        last = [3 + j for j in range(dim) if not left[j]]
        height = tensor.shape[1] * math.prod(tensor.shape[j] for j in first)
        moved = torch.permute(tensor, (0, 1, *first, 2, *last))
        yield moved.reshape(len(tensor), height, -1)
