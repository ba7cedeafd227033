"""The source that was typed, opened, and one of its layers."""

from __future__ import annotations

import argparse

from convspec.errors import UnreadableModel
from convspec.files.checkpoint import Checkpoint
from convspec.files.open import open_model
from convspec.limits import DEFAULT_MAX_BYTES
from convspec.model.sites import Call, named
from convspec.model.source import OpenedModel
from convspec.model.watched import watched

__all__ = ["held_bytes", "layer_of", "opened_source"]

GIBIBYTE = 2**30


def opened_source(options: argparse.Namespace) -> tuple[OpenedModel, int]:
    """The model, and the bytes that may be held."""
    held = held_bytes(options)
    opened = open_model(
        options.source,
        weights=options.weights,
        input_shape=options.input_shape,
        geometry=options.geometry,
        max_bytes=held,
    )
    return opened, held


def held_bytes(options: argparse.Namespace) -> int:
    """The bytes that may be held."""
    if options.memory is None:
        return DEFAULT_MAX_BYTES
    return int(options.memory * GIBIBYTE)


def layer_of(opened: OpenedModel, name: str) -> Call:
    """The call that a row of the report has this name for.

    Raises:
        UnreadableModel: If there is none, or no size of its input is known.
    """
    calls: dict[str, Call] = {}
    for linear in (False, True):
        if linear and isinstance(opened.model, Checkpoint):
            break
        seen = watched(opened, None, None, linear=linear, fold_batch_norm=False)
        calls = dict(named(seen.trace.calls))
        if name in calls:
            break
    if name not in calls:
        raise UnreadableModel(
            f"a layer must be named as in the report; got {name!r}; there are: "
            f"{', '.join(calls) or 'none'}"
        )
    if calls[name].sizeless:
        raise UnreadableModel(
            f"the size of the input of {name} must be known; a checkpoint does not hold "
            "it; state it in a TOML file, --geometry FILE"
        )
    return calls[name]
