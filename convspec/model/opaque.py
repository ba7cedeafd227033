"""Models whose layers nobody can watch: TorchScript, exported graphs, deep nesting."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from convspec.errors import UnreadableModel

__all__ = ["opaque_parts", "refuse_opaque", "within_recursion_limit"]


def refuse_opaque(model: object) -> None:
    """Refuse a model that shows none of its layers.

    Raises:
        UnreadableModel: If it is compiled by TorchScript or exported as a graph.
    """
    kind = _kind(model)
    if kind is not None:
        raise UnreadableModel(
            f"the layers of a model must be seen as it runs; it is {kind}, which hides "
            "them; pass the module that it was made from"
        )


def opaque_parts(model: nn.Module) -> list[str]:
    """Sentences on the outermost parts of a model that show none of their layers."""
    notes: list[str] = []
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if inside and name.startswith(inside):
            continue
        kind = _kind(module)
        if kind is not None:
            inside = (*inside, f"{name}.")
            notes.append(
                f"{name} is {kind}: convolutions in it are not seen; put the module that "
                "it was made from in its place"
            )
    return notes


def _kind(module: object) -> str | None:
    """What hides the layers of a module, if anything does."""
    if isinstance(module, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        return "TorchScript (scripted, traced or frozen)"
    if isinstance(module, torch.export.ExportedProgram):
        return "a torch.export program"
    if isinstance(module, torch.fx.GraphModule) and "eval" in vars(module):
        return "a torch.export module"  # which forbids changes of its mode
    return None


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
