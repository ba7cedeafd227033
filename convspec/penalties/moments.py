"""Penalties from the second and fourth powers of all singular values, in closed form.

``sum sigma^2 = ||A||_F^2`` and ``sum sigma^4 = ||A^H A||_F^2`` are polynomials of the
weight whose coefficients count in how many places taps meet: no singular value is
computed, whatever the size, padding and stride.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.isolation import isolated
from convspec.operators.operator import ConvOperator, require_operator
from convspec.spectrum.sums.fourth import families, tap_factors, work_of

__all__ = ["orthogonality", "spread"]


@isolated
def orthogonality(op: ConvOperator) -> Tensor:
    """The mean of ``(sigma_i^2 - 1)^2`` over all min(m, n) singular values.

    It is ``||A^H A - I||_F^2 / n`` for tall maps, ``||A A^H - I||_F^2 / m`` for wide
    ones, and 0 for those that keep all lengths: the operator's orthogonality, with its
    padding and stride, and not that of the kernel as a matrix.

    Args:
        op: A convolution; its dtype and device are those of the result.

    Returns:
        A scalar, differentiable in the weight.

    Raises:
        TypeError: If op is no :class:`convspec.ConvOperator`.

    Source: Wang, Chen, Chakraborty and Yu, "Orthogonal convolutional neural networks",
    CVPR 2020; Achour, Malgouyres and Mamalet, JMLR 23, 2022, who show for which layers
    it can be 0. They take the kernel's autocorrelation, without the borders.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[0.0, 2.0, 0.0]]]), 5, padding=1)
    >>> float(cs.penalties.orthogonality(op))  # all singular values are 2
    9.0
    """
    require_operator(op, "penalties.orthogonality")
    second, fourth = _moments(op)
    return fourth - 2 * second + 1


@isolated
def spread(op: ConvOperator) -> Tensor:
    """The variance of ``sigma_i^2`` over its squared mean: 0 if all values are equal.

    It is ``min(m, n) sum sigma^4 / (sum sigma^2)^2 - 1``, does not change with the scale
    of the weight, and is smooth where the condition number is not.

    Args:
        op: A convolution, not 0; its dtype and device are those of the result.

    Returns:
        A scalar, differentiable in the weight.

    Raises:
        TypeError: If op is no :class:`convspec.ConvOperator`.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[0.0, 2.0, 0.0]]]), 5, padding=1)
    >>> float(cs.penalties.spread(op))
    0.0
    """
    require_operator(op, "penalties.spread")
    second, fourth = _moments(op)
    return fourth / second.square() - 1


def _moments(op: ConvOperator) -> tuple[Tensor, Tensor]:
    """The means of sigma^2 and sigma^4."""
    count = min(op.shape)
    return _second(op) / count, _fourth(op) / count


def _second(op: ConvOperator) -> Tensor:
    """``sum K conj(K) M``, M how often taps read one pixel."""
    product = op.weight
    for axis in op.geometry.axes:
        counts = torch.as_tensor(axis.overlap, device=op.device).to(op.dtype)
        product = torch.tensordot(product, counts, dims=([2], [0]))
    return (op.weight.conj() * product).sum().real


def _fourth(op: ConvOperator) -> Tensor:
    """``sum W Re <P_ab, P_cd>``, see :mod:`convspec.spectrum.sums.fourth`."""
    outputs = work_of(op, True) < work_of(op, False)
    factors = tap_factors(op, outputs)  # (groups, taps, rows, inner)
    total = torch.zeros((), dtype=op.dtype.to_real(), device=op.device)
    for family in families(op.geometry, outputs):
        first, second = (
            torch.as_tensor(place, device=op.device)
            for place in (family.first, family.second)
        )
        products = (factors[:, first] @ factors[:, second].mH).flatten(2)
        inner = (products @ products.mH).real.sum(dim=0)  # (pairs, pairs)
        weights = family.weights.to(inner)
        total = total + family.times * (weights * inner).sum()
    return total
