"""Batch normalisation behind a convolution of a model, folded into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convspec.model.convolutions import Convolution
from convspec.model.event import Event, Value
from convspec.operators.batch_norm import BatchNorm

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
    norm = BatchNorm(
        event.tensors["running_mean"],
        event.tensors["running_var"],
        float(given["eps"] if "eps" in given else given["epsilon"]),
        event.tensors.get("weight"),
        event.tensors.get("bias"),
    )
    return normalised(conv, norm), event


def normalised(conv: Convolution, norm: BatchNorm) -> Convolution:
    """A convolution, with a weight, whose outputs are normalised; in double precision."""
    assert conv.weight is not None
    given = conv.given
    weight, bias = norm.folded(conv.weight, conv.bias, given.transposed, given.groups)
    return replace(conv, weight=weight, bias=bias, fused=(*conv.fused, WORDS))
