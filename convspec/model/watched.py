"""From what users have to what it calls: modules are run, files are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from convspec.errors import UnreadableModel
from convspec.model.inputs import example_inputs, plain_shape
from convspec.model.source import OpenedModel, ReadModel, runnable, within_recursion_limit
from convspec.model.trace import Trace, trace_calls
from convspec.operators.layers import layer_type

__all__ = ["Watched", "watched"]


@dataclass(frozen=True)
class Watched:
    """What a model calls, and on what.

    Attributes:
        trace: Its calls.
        title: The model's class, or what it is.
        input: The shape that was given, or the shapes of the inputs.
        argument: What stands for that in a call, as it is typed.
    """

    trace: Trace
    title: str
    input: Any
    argument: str


def watched(
    model: object,
    input_shape: Sequence[Any] | None,
    inputs: Sequence[Any] | Mapping[str, Any] | Tensor | None,
    *,
    linear: bool,
    fold_batch_norm: bool,
) -> Watched:
    """What a model calls on inputs of a shape, or on the very inputs.

    Raises:
        TypeError: If it is no model, or if not one of ``input_shape`` and ``inputs`` is
            given.
        UnreadableModel: If it does not run on the input, or no shape is known.
        UnsupportedLayer: If a layer is lazy and has no weight yet.
    """
    notes: tuple[str, ...] = ()
    if isinstance(model, OpenedModel):
        notes = model.notes
        if input_shape is None and inputs is None:
            input_shape = _known_shape(model)
        model = model.model
    options = {"linear": linear, "fold_batch_norm": fold_batch_norm}
    if isinstance(model, ReadModel):
        if inputs is not None:
            raise TypeError(f"{model.title} is not run: give input_shape, and no inputs")
        shape = None if input_shape is None else plain_shape(input_shape)
        trace = model.trace(shape, **options)
        return Watched(_noted(trace, notes), model.title, shape, repr(shape))
    module = runnable(model)
    if (input_shape is None) == (inputs is None):
        raise TypeError("analyze needs either input_shape or inputs, and not both")
    shown, argument = _shown(inputs), "inputs=..."
    with within_recursion_limit():
        if input_shape is not None:
            shown = plain_shape(input_shape)
            argument, inputs = repr(shown), example_inputs(module, shown)
        elif isinstance(inputs, Tensor):
            shown, inputs = [list(inputs.shape)], (inputs,)
        assert inputs is not None
        trace = trace_calls(module, inputs, **options)
    return Watched(_noted(trace, notes), layer_type(module), shown, argument)


def _known_shape(opened: OpenedModel) -> tuple[Any, ...] | None:
    """The shape of an opened model's input; None where files need none."""
    if opened.input_shape is None and not isinstance(opened.model, ReadModel):
        raise UnreadableModel(
            f"the shape of its input must be known; {opened.source} does not say it; "
            "give it without the batch, input_shape=(3, 224, 224) or --input-shape "
            "3,224,224"
        )
    return opened.input_shape


def _noted(trace: Trace, notes: tuple[str, ...]) -> Trace:
    return replace(trace, notes=[*notes, *trace.notes])


def _shown(x: Any) -> Any:
    """Shapes in place of tensors, types in place of all else but what holds them."""
    if isinstance(x, Mapping):
        return {name: _shown(each) for name, each in x.items()}
    if isinstance(x, list | tuple):
        return [_shown(each) for each in x]
    return list(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__
