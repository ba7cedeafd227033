"""What a model computes, tensor by tensor: one record of every operation that runs.

torch hands every operation of eager Python, of TorchScript and of exported graphs to its
dispatcher. A :class:`Recorder` notes each with the tensors it reads, makes and writes, by
number, and the module in which it happened.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

from convspec.model.event import FACTORIES, Constant, Event, Value, version_of

__all__ = ["Recorder"]

# operations whose tensors are kept, and arguments that are: not images, which are large
KEPT = ("conv", "batch_norm", "linear", "addmm", "::mm")
ARGUMENTS = ("weight", "bias", "running_mean", "running_var", "mat2")
# what stands between the model's code and the record
WATCHING = (__name__, "convspec.network.leaving")


@dataclass
class Recorder:
    """Records what one thread runs within :meth:`recording`.

    Attributes:
        names: Of the modules.
        events: In order.
        sources: Tensors that the model is given, where all that depends on them is to
            be told from constants.
        keeps: Whether copies of all values are kept.
        given: The values that they held before the model ran.
        kept: Copies of values by their numbers: each with the place of the operation
            before which it was seen so, another where its memory was written to.
    """

    names: Mapping[nn.Module, str]
    events: list[Event] = field(default_factory=list)
    sources: Sequence[Tensor] = ()
    keeps: bool = False

    def __post_init__(self) -> None:
        self._values: Any = WeakTensorKeyDictionary()
        self._count = 0
        tensors = [x for m in self.names for x in (*m.parameters(), *m.buffers())]
        self._own = {_memory(tensor) for tensor in tensors}
        self._path: list[str] = []
        self._thread = get_ident()
        # storages that depend on the sources
        self.given = tuple(self.value(tensor) for tensor in self.sources)
        self._reached = {value.storage for value in self.given}
        self.kept: dict[int, list[tuple[int, Tensor]]] = {}
        self._written: dict[int, int] = {}
        self._keep(self.sources)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what this thread runs."""
        handles: list[RemovableHandle] = []
        try:
            for module in self.names:
                if not isinstance(module, torch.jit.ScriptModule):
                    handles += self._watched(module)
            with _Mode(self):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def value(self, tensor: Tensor, beside: Sequence[Tensor] = ()) -> Value:
        """What a tensor holds, a new number at first sight.

        Args:
            tensor: It.
            beside: Tensors whose memory it may share.
        """
        found: Value | None = self._values.get(tensor)
        return found or self._numbered(tensor, self._shared(tensor, beside))

    def held(self, value: Value, at: int) -> Tensor | None:
        """What a value held before an operation, or as what that made; None if not kept.

        Args:
            value: It.
            at: The place of the operation.
        """
        seen = [each for each in self.kept.get(value.number, ()) if each[0] <= at]
        # behind the last operation nothing is seen once more
        late = at >= len(self.events)
        if not seen or (late and self._written.get(value.storage, -1) >= seen[-1][0]):
            return None
        return seen[-1][1]

    def before(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep what an operation is about to read."""
        self._keep(_tensors((args, kwargs)))

    def note(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Record an operation that ran."""

        def numbered(x: Any) -> Any:
            return self.value(x) if isinstance(x, Tensor) else x

        read, named = tree_map(numbered, args), tree_map(numbered, kwargs)
        written = _written(func, args, kwargs)
        for tensor in written:  # what it holds is another value now
            self._numbered(tensor, self.value(tensor).storage)
        given = _tensors((args, kwargs))
        kept = any(word in func._schema.name for word in KEPT)
        constants = self._constants((args, kwargs)) if self.sources else {}
        self.events.append(
            Event(
                func,
                tuple(read),
                named,
                tuple(self.value(x, given) for x in _tensors(output)),
                frozenset(self.value(tensor).storage for tensor in written),
                self._kept(func, args, kwargs) if kept else {},
                tuple(self._path),
                _line() if kept or self.sources else "",
                constants,
            )
        )
        made = func._schema.name.partition("::")[2].startswith(FACTORIES)
        if not made and any(self.value(x).storage in self._reached for x in given):
            outputs = {value.storage for value in self.events[-1].outputs}
            self._reached |= outputs | self.events[-1].writes
        last = len(self.events) - 1
        self._written.update(dict.fromkeys(self.events[-1].writes, last))
        self._keep(_tensors(output), last)

    def _keep(self, tensors: Sequence[Tensor], at: int | None = None) -> None:
        """Copies of what tensors hold now, of values that sources reach."""
        at = len(self.events) if at is None else at
        for tensor in tensors if self.keeps else ():
            value = self.value(tensor)
            seen = self.kept.get(value.number)
            if value.storage not in self._reached:
                continue
            if not seen or self._written.get(value.storage, -1) >= seen[-1][0]:
                copy = tensor.detach().clone()
                self.kept.setdefault(value.number, []).append((at, copy))

    def _constants(self, given: Any) -> dict[int, Constant]:
        """The tensors among the arguments that no source reaches."""
        values = [(self.value(tensor), tensor) for tensor in _tensors(given)]
        return {
            value.number: Constant(tensor, version_of(tensor))
            for value, tensor in values
            if value.storage not in self._reached
        }

    def _kept(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Tensor]:
        """The tensors of an operation that say what it does to its image."""
        names = [argument.name for argument in func._schema.arguments]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        known = func._schema.name == "aten::addmm"
        wanted = (*ARGUMENTS, "self") if known else ARGUMENTS
        found = {
            name: given[name] for name in wanted if isinstance(given.get(name), Tensor)
        }
        matrix = found.get("mat2")
        if matrix is not None and _memory(matrix) not in self._own:
            return {}
        return found

    def _numbered(self, tensor: Tensor, storage: int | None) -> Value:
        """A new number for a tensor, of this storage or one of its own."""
        self._count += 1
        found = Value(self._count, storage or self._count, tuple(tensor.shape))
        self._values[tensor] = found
        return found

    def _shared(self, tensor: Tensor, beside: Sequence[Tensor]) -> int | None:
        """The storage of the first of these that has the memory of the tensor."""
        own = _memory(tensor)
        for other in beside:
            if own is not None and _memory(other) == own:
                return self.value(other).storage
        return None

    def _watched(self, module: nn.Module) -> list[RemovableHandle]:
        """Hooks in front of those of a module, and behind them."""
        return [
            module.register_forward_pre_hook(self._enter, prepend=True),
            module.register_forward_hook(self._leave, always_call=True),
        ]

    def _enter(self, module: nn.Module, args: Any) -> None:
        if get_ident() == self._thread:
            self._path.append(self.names.get(module, ""))

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if get_ident() == self._thread and self._path:
            self._path.pop()


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tells a recorder of every operation of this thread."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self._recorder.before(args, kwargs or {})
        output = func(*args, **(kwargs or {}))
        self._recorder.note(func, args, kwargs or {}, output)
        return output


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_flatten(tree)[0] if isinstance(x, Tensor)]


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that an operator writes to, by its schema."""
    found: list[Tensor] = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[place] if place < len(args) else kwargs.get(argument.name)
            found += _tensors(given)
    return found


def _memory(tensor: Tensor) -> int | None:
    """Which memory a tensor is in; None where it has none of its own."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return None


def _line() -> str:
    """The innermost line of code that is the model's; empty if that is all torch's."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        name = str(frame.f_globals.get("__name__"))
        package = name.partition(".")[0]
        if package == "convspec" and name not in WATCHING:  # who runs the model
            return ""
        written = not frame.f_code.co_filename.startswith("<")
        if written and package not in ("torch", "convspec"):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
    return ""
