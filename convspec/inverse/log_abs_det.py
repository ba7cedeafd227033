"""The logarithm of the volume that a square map scales by."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from convspec.errors import NotApplicable, TooLargeError
from convspec.inverse.blocks import Part
from convspec.inverse.factored import SparseFactors, square_blocks
from convspec.inverse.form import Form
from convspec.inverse.methods import FACTORED, factor_flops
from convspec.inverse.triangular import Power, diagonal_blocks
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.linear_map import LinearMap, require_map
from convspec.operators.operator import ConvOperator

__all__ = ["log_abs_det"]

# operations; some minutes
MOST = 10 * FACTORED


@isolated
def log_abs_det(op: LinearMap, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> Tensor:
    """``ln |det A|`` of a square map, the sum of the logarithms of its singular values.

    Exact structure comes first: masked and causal kernels with zero padding are
    triangular, and theirs is a multiple of that of the tap in the middle; channels that
    see one another in one direction only are a triangle too; on circular axes it is the
    sum over frequencies, with patches and residue classes over their blocks; kernels that
    are products along axes are taken apart. What is left is factored, as blocks or as a
    sparse matrix. No singular value is computed: an exponentially small one is no
    hindrance, as it is for ``spectrum(op).log_volume``.

    Args:
        op: The map.
        max_bytes: Byte limit of the factors.

    Returns:
        A float64 scalar: the determinant of a map within rounding of A. -inf where
        structure or an exact zero says that A is singular; a matrix that only rounding
        keeps from it may have a very negative number. Gradients reach the weight:
        ``A^-H`` at its places.

    Raises:
        NotApplicable: If A is not square.
        TooLargeError: If no factors fit ``max_bytes``; with gradients these are those of
            blocks, without also those of the sparse matrix.
        TypeError: If op is no operator.

    Source: Hoogeboom, van den Berg, Welling, "Emerging Convolutions for Generative
    Normalizing Flows", ICML 2019, for the triangular and the circular kind.

    Example:
        >>> import torch, convspec as cs
        >>> causal = cs.ConvOperator(torch.tensor([[[2.0, 1.0]]]), 64, padding=((1, 0),))
        >>> float(cs.log_abs_det(causal))  # a triangle of ones; cond is 3.7e19
        0.0
    """
    require_map(op, "log_abs_det")
    limit = byte_limit(max_bytes)
    m, n = op.shape
    if m != n:
        raise NotApplicable(
            f"a determinant needs as many outputs as inputs; got a map of {m} x {n}; "
            "spectrum(op).log_volume is the sum of ln sigma of any map",
            "log_abs_det",
        )
    if not isinstance(op, ConvOperator):
        return _of_matrix(op, limit)
    exact = op.to(torch.complex128 if op.dtype.is_complex else torch.float64)
    total = torch.zeros((), dtype=torch.float64, device=op.device)
    blocks = diagonal_blocks(exact) if _is_square(exact) else iter([Power(exact)])
    for block in blocks:
        if block.op is None:
            return total - math.inf
        total = total + block.times * _of_convolution(block.op, limit)
    return total


def _is_square(op: ConvOperator) -> bool:
    """Whether it is so on every axis and in its channels."""
    geometry = op.geometry
    return geometry.c_in == geometry.c_out and geometry.sizes == geometry.outputs


def _of_matrix(op: LinearMap, max_bytes: int) -> Tensor:
    """Of a composed map, from its dense matrix."""
    wide = op.to(torch.complex128 if op.dtype.is_complex else torch.float64)
    found: Tensor = torch.linalg.slogdet(wide.to_dense(max_bytes=max_bytes // 3))[1]
    return found


def _of_convolution(op: ConvOperator, max_bytes: int) -> Tensor:
    """From the cheapest factors."""
    gradients = torch.is_grad_enabled() and op.weight.requires_grad
    form = Form.of(op, max_bytes, differentiable=gradients)
    if not form.parts or not square_blocks(form):
        return torch.tensor(-math.inf, dtype=torch.float64, device=op.device)
    costs = factor_flops(form, max_bytes)
    if gradients:
        costs.pop("sparse", None)
    if not costs or min(costs.values()) > MOST:
        raise TooLargeError(
            "the factors of the map must fit max_bytes and some minutes of work"
            f"{', without sparse ones where gradients are wanted' if gradients else ''}; "
            "they do not; use a smaller input_size, or raise max_bytes"
        )
    if min(costs, key=lambda kind: costs[kind]) == "sparse":
        return _factored(form).to(op.device)
    return torch.stack([_of_part(form, part) for part in form.parts]).sum()


def _of_part(form: Form, part: Part) -> Tensor:
    """The sum over blocks; ``det (F_1 (x) F_2)`` is a product of powers of theirs.

    The power is the width of the others. The scaling is added block by block, where it
    cancels what it brought.
    """
    widths, counts = part.widths(True), part.frequencies.counts
    count = len(counts)
    total = torch.zeros((), dtype=torch.float64, device=form.op.device)
    times = torch.from_numpy(part.frequencies.stands_for).to(total)
    for i, factor in enumerate(form.factors(part)):
        exponent = form.exponent * widths[i] if i == count - 1 else 0
        each = torch.linalg.slogdet(factor)[1] + exponent * math.log(2)
        each = each.sum(dim=0)  # (frequencies,)
        others = math.prod(widths) // widths[i]
        dims = [dim for dim in range(count) if dim != i]
        weights = times.sum(dim=dims) if dims else times
        # 0 frequencies of a singular block are 0, not 0 times inf
        each = torch.where(weights > 0, weights * each, 0)
        total = total + others * each.sum()
    return part.copies * total


def _factored(form: Form) -> Tensor:
    """From the diagonal of U in a sparse LU."""
    try:
        factor = SparseFactors(form.op).factor
    except RuntimeError:  # a pivot is exactly zero
        return torch.tensor(-math.inf, dtype=torch.float64)
    diagonal = np.abs(factor.U.diagonal())
    with np.errstate(divide="ignore"):
        found = float((np.log(diagonal) + form.exponent * math.log(2)).sum())
    return torch.tensor(found, dtype=torch.float64)
