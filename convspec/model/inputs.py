"""Inputs to run a model on, made of shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from convspec.arguments import is_integer, shown
from convspec.errors import UnreadableModel

__all__ = ["example_inputs", "plain_shape"]

# integers, or several tuples of them
Shape = tuple[Any, ...]


def example_inputs(model: nn.Module, input_shape: Shape) -> tuple[Tensor, ...]:
    """Zeros (1, *shape) for one shape, or for each of several, in the model's dtype."""
    several = isinstance(input_shape[0], tuple)
    shapes = input_shape if several else (input_shape,)
    like = next(filter(_is_numeric, model.parameters()), _of_default_dtype())
    return tuple(like.new_zeros(1, *shape, requires_grad=False) for shape in shapes)


def _of_default_dtype() -> Tensor:
    return torch.zeros(1, dtype=torch.get_default_dtype())


def plain_shape(input_shape: Any) -> Shape:
    """A shape, or one per input, in plain integers.

    Raises:
        UnreadableModel: If it is not positive integers, or sequences of them.
    """
    entries = tuple(input_shape) if isinstance(input_shape, Sequence) else ()
    several = bool(entries) and all(isinstance(s, Sequence) for s in entries)
    shapes = entries if several else (entries,)
    numbers = [number for shape in shapes for number in shape]
    if not numbers or not all(is_integer(n) and n > 0 for n in numbers):
        raise UnreadableModel(
            "input_shape must be positive integers without the batch, (3, 224, 224), or "
            f"one such shape per input; got {shown(input_shape)}; pass tensors as inputs="
        )
    plain = tuple(tuple(int(number) for number in shape) for shape in shapes)
    return plain if several else plain[0]


def _is_numeric(parameter: nn.Parameter) -> bool:
    lazy = isinstance(parameter, UninitializedParameter)
    return not lazy and (parameter.is_floating_point() or parameter.is_complex())
