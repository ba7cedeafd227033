"""Running a model once to see which convolutions it calls, on which input sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.utils.hooks import RemovableHandle

from convspec.arguments import is_integer, shown
from convspec.errors import UnreadableModel, UnsupportedLayer
from convspec.model.opaque import opaque_parts
from convspec.operators.layers import is_convolution, is_lazy, layer_type

__all__ = ["Call", "Trace", "example_inputs", "plain_shape", "trace_calls"]

# integers, or several tuples of them
Shape = tuple[Any, ...]


@dataclass
class Call:
    """One convolution module on one input size.

    Attributes:
        name: Its first qualified name in the model.
        module: The layer.
        input_size: Spatial size of the input it saw.
        output_size: Spatial size of what its forward returned.
        altered: Whether a forward hook made something else of that.
        count: How often it was called with these sizes.
    """

    name: str
    module: nn.Module
    input_size: tuple[int, ...]
    output_size: tuple[int, ...]
    altered: bool = False
    count: int = 1


@dataclass(frozen=True)
class Trace:
    """What one run of a model called.

    Attributes:
        calls: In order of the first call.
        unused: Names of convolutions that did not run.
        notes: Sentences on parts that are not seen, on shared modules and weights.
    """

    calls: list[Call]
    unused: list[str]
    notes: list[str]


def trace_calls(model: nn.Module, inputs: Sequence[Any]) -> Trace:
    """Run the model once in evaluation mode and record its convolutions.

    Modes, hooks, gradients and the random state are left as they were found.

    Raises:
        UnsupportedLayer: If a layer is lazy and has no weight yet.
        UnreadableModel: If the model does not run on the inputs.
    """
    names = _convolutions(model)
    found: dict[Any, Call] = {}

    record = _Recorder(names, found)
    handles = [handle for module in names for handle in record.hooks(module)]
    try:
        with _evaluating(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
            model(*inputs)
    except RecursionError:
        raise
    except Exception as error:
        shapes = [tuple(x.shape) if isinstance(x, Tensor) else type(x) for x in inputs]
        raise UnreadableModel(
            f"the model must run on its inputs; given {shapes} it raised "
            f"{type(error).__name__}: {error}; pass a fitting input_shape, or inputs=..."
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    called = {module for module, *_ in found}
    unused = [first for module, (first, *_) in names.items() if module not in called]
    return Trace(list(found.values()), unused, opaque_parts(model) + _sharing(names))


class _Recorder:
    """Hooks before and behind those of each layer: what forward gives, and what is left.

    A layer may call itself again within its forward, so results wait on a stack.
    """

    def __init__(self, names: dict[nn.Module, list[str]], found: dict[Any, Call]) -> None:
        self._names = names
        self._found = found
        self._waiting: list[tuple[Any, int]] = []

    def hooks(self, module: nn.Module) -> list[RemovableHandle]:
        """Register the first and the last forward hook of a layer."""
        return [
            module.register_forward_hook(self._first, prepend=True),
            module.register_forward_hook(self._last, with_kwargs=True),
        ]

    def _first(self, module: nn.Module, args: tuple[Any, ...], y: Any) -> None:
        self._waiting.append((y, _version(y)))

    def _last(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], y: Any
    ) -> None:
        own, version = self._waiting.pop()
        images = [x for x in (*args, *kwargs.values(), own) if isinstance(x, Tensor)]
        if len(images) < 2:  # a layer of its own kind, called on something else
            return
        dim = _spatial_dimensions(module)
        sizes = tuple(images[0].shape[-dim:]), tuple(images[-1].shape[-dim:])
        altered = y is not own or _version(own) != version
        key = module, sizes, altered
        if key in self._found:
            self._found[key].count += 1
        else:
            self._found[key] = Call(self._names[module][0], module, *sizes, altered)


def _version(x: Any) -> int:
    """How often a tensor was written to, where torch counts it."""
    return x._version if isinstance(x, Tensor) and not x.is_inference() else 0


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


def _convolutions(model: nn.Module) -> dict[nn.Module, list[str]]:
    """Each convolution of the model with all of its names, in order."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if is_lazy(module):
            raise UnsupportedLayer(
                f"layers must have their weights; {name!r} is lazy and has none yet; run "
                "the model once on an input of the right shape first"
            )
        if is_convolution(module):
            names.setdefault(module, []).append(name or layer_type(module))
    return names


def _sharing(names: dict[nn.Module, list[str]]) -> list[str]:
    """Sentences on modules with several names and on weights of several modules."""
    notes = [
        f"{first} is also {', '.join(others)}: one module, reported once"
        for first, *others in names.values()
        if others
    ]
    owners: dict[int, list[str]] = {}
    for module, (first, *_) in names.items():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                owners.setdefault(id(parameter), []).append(first)
    notes += [
        f"{', '.join(sharers)} share one weight"
        for sharers in owners.values()
        if len(sharers) > 1
    ]
    return notes


def _spatial_dimensions(module: nn.Module) -> int:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.ndim - 2


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, each module's own mode restored behind.

    Exported parts and frozen ones keep the mode that they have.
    """
    modules = [m for m in model.modules() if "train" not in vars(m)]
    modes = [(m, m.training) for m in modules if hasattr(m, "training")]
    try:
        try:
            model.eval()
        except NotImplementedError:  # an exported part refuses, before others are reached
            for module, _ in modes:
                module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode
