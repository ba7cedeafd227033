"""Running a model once, with a record of every operation."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.utils._pytree import tree_flatten

from convspec.errors import UnreadableModel
from convspec.isolation import plain_arithmetic
from convspec.model.event import Value
from convspec.model.record import Recorder
from convspec.model.sites import plain_name

__all__ = ["named_modules", "run_recorded"]

# the random state and cached parametrizations belong to the process
_ONE_AT_A_TIME = RLock()


@contextmanager
def _weights_in_force(model: nn.Module) -> Iterator[None]:
    """Computes parametrized tensors once, before the run: they are no part of it."""
    with parametrize.cached():
        for module in model.modules():
            if parametrize.is_parametrized(module):
                found = module.get_submodule("parametrizations")
                for name, _ in found.named_children():
                    getattr(module, name)
        yield


def run_recorded(
    model: nn.Module,
    inputs: Sequence[Any] | Mapping[str, Any],
    sources: Sequence[Tensor] = (),
    *,
    keeps: bool = False,
) -> tuple[Recorder, list[Value]]:
    """Run a model once in evaluation mode; what it did, and the tensors that it returns.

    Modes, hooks, gradients and the random state are left as they were found.

    Args:
        model: The model.
        inputs: Its arguments, or by name in a mapping.
        sources: Those of its inputs whose dependents are to be told from constants.
        keeps: Whether the record keeps copies of all values.

    Raises:
        UnreadableModel: If the model does not run on the inputs.
    """
    names = {module: name for name, module in named_modules(model)}
    recorder = Recorder(names, sources=sources, keeps=keeps)
    named = dict(inputs) if isinstance(inputs, Mapping) else {}
    given = () if isinstance(inputs, Mapping) else tuple(inputs)
    try:
        with _ONE_AT_A_TIME, ExitStack() as stack:
            stack.enter_context(plain_arithmetic())
            stack.enter_context(_evaluating(model))
            stack.enter_context(torch.no_grad())
            stack.enter_context(torch.random.fork_rng(devices=[]))
            # importing it takes 1.5 s, and without it nothing is compiled
            if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(_weights_in_force(model))
            stack.enter_context(recorder.recording())
            output = model(*given, **named)
    except RecursionError:
        raise
    except Exception as error:
        shapes = [tuple(x.shape) if isinstance(x, Tensor) else type(x) for x in given]
        raise UnreadableModel(
            f"the model must run on its inputs; given {named or shapes} it raised "
            f"{type(error).__name__}: {error}; pass a fitting input_shape, "
            "without the batch, or inputs=..."
        ) from error
    flat = tree_flatten(output)[0]
    return recorder, [recorder.value(each) for each in flat if isinstance(each, Tensor)]


def named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model with their plain names."""
    for name, module in model.named_modules():
        yield plain_name(name), module


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
