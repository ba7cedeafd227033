"""Running a model once to see which convolutions it calls, on which input sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from convspec.errors import UnsupportedLayer
from convspec.model.convolutions import Convolution, convolves, read_convolution
from convspec.model.event import Event, Value
from convspec.model.folding import with_batch_norm
from convspec.model.fusing import with_cut, with_padding
from convspec.model.products import multiplies, read_product
from convspec.model.record import Recorder
from convspec.model.running import named_modules, run_recorded
from convspec.model.sites import Call, Names, calls_of, plain_name
from convspec.operators.layers import is_convolution, is_lazy, layer_type

__all__ = ["Trace", "trace_calls"]

# classes of exported graphs, which say nothing of the layer
NAMELESS = ("Module", "InterpreterModule")


@dataclass(frozen=True)
class Trace:
    """What one run of a model called.

    Attributes:
        calls: In order of the first call.
        unused: Names of convolutions that did not run.
        notes: Sentences on shared modules and weights.
    """

    calls: list[Call]
    unused: list[str]
    notes: list[str]


def trace_calls(
    model: nn.Module,
    inputs: Sequence[Any] | Mapping[str, Any],
    *,
    linear: bool = False,
    fold_batch_norm: bool = False,
) -> Trace:
    """Run the model once in evaluation mode and record its convolutions.

    Modes, hooks, gradients and the random state are left as they were found.

    Args:
        model: The model.
        inputs: Its arguments, or by name in a mapping.
        linear: Whether products with weight matrices are calls, too.
        fold_batch_norm: Whether batch norm behind a convolution is a part of it.

    Raises:
        UnsupportedLayer: If a layer is lazy and has no weight yet.
        UnreadableModel: If the model does not run on the inputs.
    """
    layers = _convolutions(model)
    recorder, results = run_recorded(model, inputs)
    names = Names.of(model)
    found, paths = _found(recorder, results, names, linear, fold_batch_norm)
    ran = {name for conv in found for name in conv.path}
    unused = [
        first
        for module, (first, *_) in layers.items()
        if recorder.names[module] not in ran
    ]
    paths |= {names.owner(conv.weight, conv.path) for conv in found}
    notes = [*_sharing(layers), *_others(model, paths)]
    return Trace(calls_of(found, names), unused, notes)


def _found(
    recorder: Recorder,
    results: Sequence[Value],
    names: Names,
    linear: bool,
    fold_batch_norm: bool,
) -> tuple[list[Convolution], set[str]]:
    """The calls, each with what is part of it, and the modules whose work they are."""
    events, found, paths = recorder.events, list[Convolution](), set[str]()
    for at, event in enumerate(events):
        if linear and multiplies(event):
            found.append(read_product(event))
        elif convolves(event):
            conv = read_convolution(event)
            if conv.weight is not None:
                conv, folded = _whole(conv, events, at, results, names, fold_batch_norm)
                paths |= _innermost(folded)
            found.append(conv)
        else:
            continue
        paths |= _innermost(event)
    return found, paths


def _innermost(event: Event | None) -> set[str]:
    return {event.path[-1]} if event is not None and event.path else set()


def _whole(
    conv: Convolution,
    events: Sequence[Event],
    at: int,
    results: Sequence[Value],
    names: Names,
    fold_batch_norm: bool,
) -> tuple[Convolution, Event | None]:
    """A convolution with what pads its input, cuts and normalises its output."""
    place = conv.path[-1] if conv.path else ""
    padded = with_padding(conv, events, at, _pads_itself(names.modules[place]))
    cut, last, value = with_cut(padded, events, at, results)
    if not fold_batch_norm or value in results:
        return cut, None
    return with_batch_norm(cut, events, last, value)


def _others(model: nn.Module, paths: set[str]) -> list[str]:
    """A sentence on the layers with weights that are in no row, by type and number."""
    known = tuple(f"{path}." for path in paths if path)
    kinds = Counter(
        layer_type(module)
        for name, module in named_modules(model)
        if name not in paths
        and not name.startswith(known)
        and any(True for _ in module.parameters(recurse=False))
        and not is_convolution(module)
    )
    if not kinds:
        return []
    words = {kind: "of other types" if kind in NAMELESS else kind for kind in kinds}
    return [
        "not analysed: " + ", ".join(f"{n} {words[kind]}" for kind, n in kinds.items())
    ]


def _pads_itself(module: nn.Module) -> bool:
    """Whether a layer of torch's pads before it convolves."""
    if not is_convolution(module):
        return False
    return module.padding_mode != "zeros" or module.padding == "same"


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
            name = plain_name(name) or layer_type(module)
            names.setdefault(module, []).append(name)
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
