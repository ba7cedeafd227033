"""What is asked of a network: the module, the shape of its input, units, seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from convspec.arguments import shown
from convspec.errors import UnreadableModel
from convspec.model.inputs import plain_shape
from convspec.model.source import OpenedModel, ReadModel, runnable

__all__ = ["opened", "seconds_of", "units"]


def opened(
    model: nn.Module | OpenedModel, input_shape: Sequence[int] | None, verb: str
) -> tuple[nn.Module, tuple[int, ...]]:
    """A module, and the shape of its input.

    Args:
        model: A module, or what was opened.
        input_shape: Without the batch; None for what was opened with it.
        verb: Who asks.

    Raises:
        TypeError: If the model is none.
        UnreadableModel: If it cannot be run, or its shape is not known or not of one
            input.
    """
    inner: object = model
    if isinstance(model, OpenedModel):
        inner, input_shape = model.model, input_shape or model.input_shape
    if isinstance(inner, ReadModel):
        given = None if input_shape is None else plain_shape(input_shape)
        _one(given, verb)
        return inner.module(given)
    if not isinstance(inner, nn.Module | torch.export.ExportedProgram | dict):
        raise TypeError(
            f"{verb} takes a torch.nn.Module; got {type(inner).__name__}; wrap what is "
            "none in a module whose forward calls it"
        )
    if input_shape is None:
        raise UnreadableModel(
            "the shape of one input must be known; give it without the batch, "
            "input_shape=(3, 224, 224) or --input-shape 3,224,224"
        )
    shape = plain_shape(input_shape)
    _one(shape, verb)
    return runnable(inner), shape


def _one(shape: tuple[Any, ...] | None, verb: str) -> None:
    """Refuse the shapes of several inputs."""
    if shape is not None and isinstance(shape[0], tuple):
        raise UnreadableModel(
            f"{verb} takes models of one input; give those of several one tensor, and "
            "split it inside of a module"
        )


def units(
    scale: Sequence[float] | float | None, shape: tuple[int, ...]
) -> tuple[float, ...]:
    """A positive number for each channel; empty for none.

    Raises:
        ValueError: If they are others, or too many or few.
    """
    if scale is None:
        return ()
    several = scale if isinstance(scale, list | tuple) else (scale,) * shape[0]
    try:
        found = tuple(map(float, several))
    except (TypeError, ValueError):
        found = ()
    if len(found) != shape[0] or not all(0 < each < math.inf for each in found):
        raise ValueError(
            f"scale must be a positive number for each of {shape[0]} channels, or one "
            f"for all; got {shown(scale)}; pass the std of the normalisation"
        )
    return found


def seconds_of(seconds: float | None, default: float) -> float:
    """Seconds, or the default.

    Raises:
        ValueError: If they are not a positive number.
    """
    if seconds is None:
        return default
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not seconds > 0:
        raise ValueError(
            f"seconds must be a positive number; got {shown(seconds)}; None for "
            f"{default:g}"
        )
    return float(seconds)
