"""A model into which the weights of checkpoints are loaded, one after the other."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from convspec.arguments import shown
from convspec.cache import operator_digest
from convspec.errors import ConvSpecError, UnreadableModel
from convspec.files.loading import load_weights
from convspec.files.open import open_model
from convspec.files.reading import one_line
from convspec.files.weights_file import read_weights
from convspec.model.sites import Call, named
from convspec.model.source import OpenedModel
from convspec.model.watched import watched

__all__ = ["Model", "WeightedModel"]

Model = nn.Module | OpenedModel | str | Callable[[], nn.Module]


@dataclass(frozen=True)
class WeightedModel:
    """A model whose weights come from files.

    Attributes:
        opened: The model, of this sweep's own.
        make: Makes one more of it.
        max_bytes: What a file of weights may not exceed.
    """

    opened: OpenedModel
    make: Callable[[], OpenedModel]
    max_bytes: int

    @classmethod
    def of(cls, model: Model, max_bytes: int) -> WeightedModel:
        """The model of a factory, of its name, or a copy of a module.

        Raises:
            TypeError: If it is none of these.
            UnreadableModel: If it cannot be made or copied, or holds its own weights.
        """
        make = _maker(model, max_bytes)
        opened = make()
        if not isinstance(opened.model, nn.Module):
            raise UnreadableModel(
                f"checkpoints are loaded into a module; {opened.source} holds its own "
                "weights; give a factory package.module:callable or a named model"
            )
        return cls(opened, make, max_bytes)

    @property
    def module(self) -> nn.Module:
        """The model itself."""
        assert isinstance(self.opened.model, nn.Module)
        return self.opened.model

    def another(self) -> WeightedModel:
        """The same with a model of its own."""
        return replace(self, opened=self.make())

    def loaded(self, path: Path) -> OpenedModel:
        """The model with the weights of a file; until the next call.

        Raises:
            UnreadableModel: If the file cannot be read, or its weights are others than
                the model's.
        """
        weights = read_weights(path, max_bytes=self.max_bytes)
        found = self._fresh()
        assert isinstance(found.model, nn.Module)
        notes = load_weights(found.model, weights)
        return replace(found, notes=(*found.notes, *weights.notes, *notes))

    def digest(self, shape: tuple[Any, ...] | None, **options: bool) -> str | None:
        """What the code of the model makes of weights; None if it does not run on these.

        Its weights are set to fixed numbers, and the operators of all calls are digested:
        models of one digest make the same operators of one checkpoint.
        """
        try:
            found = self._fresh()
            assert isinstance(found.model, nn.Module)
            load_weights(found.model, _fixed(found.model))
            trace = watched(found, shape, None, **options).trace
            calls = [_described(name, call) for name, call in named(trace.calls)]
        except Exception:  # of the model's own code, which no other weights may raise
            return None
        said = [calls, trace.notes, trace.unused]
        return hashlib.sha256(repr(said).encode()).hexdigest()

    def _fresh(self) -> OpenedModel:
        """The model; one more where loading would put tensors in the place of its own."""
        held = self.module.state_dict().values()
        tensors = [each for each in held if isinstance(each, Tensor)]
        replaced = any(each.is_meta or is_lazy(each) for each in tensors)
        return self.make() if replaced else self.opened


def _maker(model: Model, max_bytes: int) -> Callable[[], OpenedModel]:
    """What makes the model of a name, of a function, or a copy of a module."""
    given: object = model
    if isinstance(model, str):
        return lambda: open_model(model, max_bytes=max_bytes)
    if isinstance(model, OpenedModel):
        return lambda: replace(model, model=_copied(model.model))
    if isinstance(model, nn.Module):
        return lambda: OpenedModel(type(model).__name__, _copied(model))
    if callable(model):
        return lambda: _made(model)
    raise TypeError(
        "the model must be a torch.nn.Module, a function that makes one, or its name "
        f"package.module:callable; got {shown(given)}"
    )


def _made(function: Callable[[], nn.Module]) -> OpenedModel:
    made: object = function()
    if not isinstance(made, nn.Module):
        raise TypeError(
            "a function given for the model must make a torch.nn.Module; it made "
            f"{shown(made)}"
        )
    return OpenedModel(type(made).__name__, made)


def _copied(model: Any) -> Any:
    """A copy of a module; what is none, as it is."""
    if not isinstance(model, nn.Module):
        return model
    try:
        return copy.deepcopy(model)
    except Exception as error:  # of whatever the model holds
        said = f"{type(error).__name__}: {error}"
        raise UnreadableModel(
            one_line(
                f"the model must be one that copy.deepcopy copies; it raised {said}; "
                "give a function that makes it, or its name"
            )
        ) from error


def _fixed(model: nn.Module) -> dict[str, Tensor]:
    """Numbers for all weights that depend on their names and shapes alone."""
    return {name: _numbers(name, held) for name, held in model.state_dict().items()}


def _numbers(name: str, held: Any) -> Any:
    """From -1 to 1 by the root of the fan-in; of vectors, as of variances, positive."""
    plain = isinstance(held, Tensor) and not is_lazy(held)
    if not plain or not (held.is_floating_point() or held.is_complex()):
        return held
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
    generator = torch.Generator().manual_seed(seed)
    found = torch.rand(held.shape, generator=generator, dtype=torch.float64, device="cpu")
    if held.ndim < 2:
        return (0.5 + found / 2).to(held.dtype)
    fan = max(1, math.prod(held.shape[1:]))
    return ((2 * found - 1) / math.sqrt(fan)).to(held.dtype)


def _described(name: str, call: Call) -> tuple[object, ...]:
    """All of a call that a row depends on."""
    conv = call.conv
    said = name, call.type, call.kernel, call.count, conv.fused, conv.outside
    if call.sizeless:
        return *said, repr(conv.given), repr(conv.weight)
    try:
        return *said, operator_digest(call.operator())
    except ConvSpecError as error:
        return *said, str(error)
