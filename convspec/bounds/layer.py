"""What the bounds over all sizes are given: a layer, an operator or a bare weight."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from convspec.arguments import is_integer, kernel_size, per_axis, same_pads
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.layers import arguments_of_weight, read_layer
from convspec.operators.operator import ConvOperator
from convspec.operators.padding_mode import modes_per_axis
from convspec.operators.symbol import Symbol
from convspec.operators.weight import finite_tensor

__all__ = ["Layer", "operator_of", "own_frequency", "symbol_of"]

Layer = nn.Module | ConvOperator | Tensor | npt.NDArray[Any]


def operator_of(layer: Layer, **given: Any) -> ConvOperator:
    """An operator of the layer, of some input size that it accepts.

    Args:
        layer: What the user gave.
        given: Arguments of :class:`ConvOperator` for a bare weight; None where the user
            gave none.

    Raises:
        GeometryError: If arguments come with a layer, or do not fit the weight.
    """
    given = arguments_of_weight(layer, **given)
    if isinstance(layer, ConvOperator):
        return layer
    if isinstance(layer, nn.Module):
        found = read_layer(layer)
        size = _some_size(found.weight.shape, found.given)
        return ConvOperator.from_layer(layer, size)
    weight = finite_tensor("weight", layer)
    arguments = ConvArguments(**given)
    modes = modes_per_axis(arguments.padding_mode, weight.ndim - 2)
    if {*modes} != {"zeros"} and "padding" not in given:
        pads = same_pads(*_kernel(weight.shape, arguments))
        arguments = replace(arguments, padding=pads)
    size = _some_size(weight.shape, arguments)
    return ConvOperator(weight, size, **arguments.keywords)


def symbol_of(op: ConvOperator, with_stride: list[bool]) -> Symbol:
    """The symbol of fewest lags, with the stride of some of the axes."""
    phases = [
        axis.phases if keep else 1
        for axis, keep in zip(op.geometry.axes, with_stride, strict=True)
    ]
    return Symbol.of_kernel(op.weight, op.groups, phases)


def own_frequency(
    op: ConvOperator, with_stride: list[bool], frequency: tuple[float, ...]
) -> tuple[float, ...]:
    """A frequency of :func:`symbol_of` as one of ``op.symbol()``, in [-pi, pi].

    A wave ``exp(i p w)`` of pixels p is sampled by taps d apart and by outputs s apart:
    the former symbol has ``d w`` without stride and ``d s / gcd(d, s) w`` with it, the
    latter ``s w``, and the transposed one the conjugate wave. Of the frequencies that
    dilation makes alike this is the one nearest to 0.
    """
    own = []
    for axis, keep, w in zip(op.geometry.axes, with_stride, frequency, strict=True):
        stride = axis.stride if keep else 1
        turns = math.remainder(w, 2 * math.pi)
        turns *= math.gcd(axis.dilation, stride) / axis.dilation
        own.append(math.remainder(turns * (axis.stride // stride), 2 * math.pi))
    return tuple(-w if op.transposed else w for w in own)


def _kernel(
    shape: Sequence[int], arguments: ConvArguments
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Taps and dilation per axis of a weight of this shape."""
    kernel = kernel_size(shape)
    return kernel, per_axis("dilation", arguments.dilation, len(kernel), least=1)


def _some_size(shape: Sequence[int], arguments: ConvArguments) -> tuple[int, ...]:
    """An input size that is large enough for the kernel and for any padding."""
    padding = arguments.padding
    pads = np.array(0 if isinstance(padding, str) else padding, dtype=object)
    pad = max([int(entry) for entry in pads.flat if is_integer(entry)], default=0)
    kernel, dilations = _kernel(shape, arguments)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    return tuple(2 * (extent + max(pad, 0)) for extent in extents)
