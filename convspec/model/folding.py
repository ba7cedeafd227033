"""Batch normalisation behind a convolution, as a factor of each of its output channels.

In evaluation ``y -> gamma (y - mean) / sqrt(var + eps) + beta``, channel by channel: the
weights of a channel are multiplied by ``gamma / sqrt(var + eps)``, and the bias follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convspec.model.convolutions import Convolution
from convspec.model.event import Event, Value

__all__ = ["normalised", "with_batch_norm"]

WORDS = "batch norm after"


def with_batch_norm(
    conv: Convolution, events: Sequence[Event], at: int, value: Value
) -> tuple[Convolution, Event | None]:
    """A convolution with the normalisation that alone reads its output, and that one.

    Weights and bias are in double precision then.

    Args:
        conv: The convolution.
        events: All operations, in order.
        at: The place of the one that made the value.
        value: Its output, as far as it is left.
    """
    readers = [event for event in events[at + 1 :] if value in event.inputs]
    if len(readers) != 1 or "batch_norm" not in readers[0].name or conv.weight is None:
        return conv, None
    event = readers[0]
    given = event.named
    if given.get("training") or "running_var" not in event.tensors:
        return conv, None
    found = normalised(
        conv,
        event.tensors["running_mean"],
        event.tensors["running_var"],
        float(given["eps"] if "eps" in given else given["epsilon"]),
        event.tensors.get("weight"),
        event.tensors.get("bias"),
    )
    return found, event


def normalised(
    conv: Convolution,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    gamma: Tensor | None,
    beta: Tensor | None,
) -> Convolution:
    """A convolution whose outputs are normalised, in double precision.

    Args:
        conv: The convolution, with a weight.
        mean: Of each output channel; (c_out,).
        variance: Likewise.
        eps: Added to the variance.
        gamma: Factor of each output channel, or None.
        beta: What is added to each, or None.
    """
    assert conv.weight is not None
    factor = 1 / torch.sqrt(variance.double() + eps)
    if gamma is not None:
        factor = factor * gamma.double()
    mean = mean.double()
    offset = torch.zeros_like(mean) if conv.bias is None else conv.bias.double()
    offset = (offset - mean) * factor
    if beta is not None:
        offset = offset + beta.double()
    weight = _scaled(conv.weight, factor, conv.given.transposed, conv.given.groups)
    return replace(conv, weight=weight, bias=offset, fused=(*conv.fused, WORDS))


def _scaled(weight: Tensor, factor: Tensor, transposed: bool, groups: int) -> Tensor:
    """The weight with each output channel times a factor; (c_out,)."""
    wide = torch.complex128 if weight.is_complex() else torch.float64
    weight = weight.to(wide)
    if not transposed:
        return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    parts = weight.reshape(groups, -1, *weight.shape[1:])  # (g, c_in / g, c_out / g, ...)
    parts = parts * factor.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
    return parts.reshape(weight.shape)
