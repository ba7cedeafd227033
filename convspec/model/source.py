"""What can be run as a model: modules of all kinds, and programs that hold one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from convspec.errors import UnreadableModel

__all__ = ["runnable", "within_recursion_limit"]


def runnable(model: object) -> nn.Module:
    """The module to run of what was given.

    Raises:
        TypeError: If it is none.
        UnreadableModel: If it holds weights, but no model.
    """
    if isinstance(model, torch.export.ExportedProgram):
        module: nn.Module = model.module()
        return module
    if isinstance(model, nn.Module):
        return model
    if isinstance(model, Mapping):
        raise UnreadableModel(
            "a model must say what it computes; a state dict holds the weights alone, no "
            "stride, no padding and no sizes; load it into its model, "
            "model.load_state_dict(...), and pass that"
        )
    if isinstance(model, torch.jit.ScriptFunction):
        raise UnreadableModel(
            "a model must be a module; a TorchScript function is none; call it in the "
            "forward of one"
        )
    raise TypeError(
        f"analyze takes a torch.nn.Module; got {type(model).__name__}; wrap what is none "
        "in a module whose forward calls it"
    )


@contextmanager
def within_recursion_limit() -> Iterator[None]:
    """Say in words that a model is nested too deep for Python.

    Raises:
        UnreadableModel: In place of RecursionError.
    """
    try:
        yield
    except RecursionError as error:
        raise UnreadableModel(
            "modules must be nested no deeper than Python's recursion limit, "
            f"{sys.getrecursionlimit()}, allows; the model is, or one of its modules "
            "holds or calls itself; list its layers in one nn.Sequential, or raise "
            "sys.setrecursionlimit"
        ) from error
