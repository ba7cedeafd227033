"""Penalties from the largest and the smallest singular value, by their vectors.

With u and v held fixed ``Re u^H A v`` is linear in the weight, equal to sigma, and has
its gradient (the envelope theorem), wherever sigma is a simple value.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.arguments import shown, single
from convspec.errors import NotConverged
from convspec.isolation import isolated
from convspec.operators.operator import ConvOperator, require_operator
from convspec.spectrum import Spectrum, spectrum

__all__ = ["condition", "norm"]


@isolated
def norm(op: ConvOperator, bound: float = 1.0) -> Tensor:
    """``max(0, sigma_1 - bound)^2``: what the norm is too large by.

    Args:
        op: A convolution; its dtype and device are those of the result.
        bound: What costs nothing.

    Returns:
        A scalar, differentiable in the weight; where the largest value is not simple by
        one of its subgradients.

    Raises:
        TypeError: If op is no :class:`convspec.ConvOperator`.
        ValueError: If bound is negative.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[3.0]]]), 5)
    >>> float(cs.penalties.norm(op))
    4.0
    """
    require_operator(op, "penalties.norm")
    single("bound", bound)
    if not bound >= 0:
        raise ValueError(f"bound must be at least 0; got {shown(bound)}")
    return torch.relu(_value(op, "largest") - bound).square()


@isolated
def condition(op: ConvOperator) -> Tensor:
    """``ln(sigma_1 / sigma_min(m, n))``, the logarithm of the condition number.

    Args:
        op: A convolution; its dtype and device are those of the result.

    Returns:
        A scalar, differentiable in the weight; inf without full rank, where it has no
        gradient: :func:`spread` has one there.

    Raises:
        TypeError: If op is no :class:`convspec.ConvOperator`.
        TooLargeError: If no method gives the smallest value within 2 GiB.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[-1.0, 2.0, -1.0]]]), 3, padding=1)
    >>> round(float(cs.penalties.condition(op)), 4)  # ln 5.8284
    1.7627
    """
    require_operator(op, "penalties.condition")
    return _value(op, "largest").log() - _value(op, "smallest").log()


def _value(op: ConvOperator, which: str) -> Tensor:
    """A singular value that is differentiable in the weight."""
    fixed = op.with_weight(op.weight.detach())
    found = _vectors(fixed, which)
    assert found.left is not None
    assert found.right is not None
    left, right = found.left[-1].to(op.dtype), found.right[-1].to(op.dtype)
    return (left.conj() * op.apply(right)).sum().real


def _vectors(op: ConvOperator, which: str) -> Spectrum:
    try:
        return spectrum(op, 1, which, vectors=True)
    except NotConverged as error:
        best: Spectrum = error.best  # type: ignore[assignment]
        return best
