"""Models that timm and torchvision know by name, untrained unless weights are given."""

from __future__ import annotations

from typing import Any

from torch import nn

from convspec.errors import UnreadableModel
from convspec.extras import import_extra
from convspec.model.source import OpenedModel

__all__ = ["from_zoo", "is_of_zoo"]

ZOOS = ("timm", "torchvision")


def is_of_zoo(source: str) -> bool:
    """Whether a source is written ``timm:NAME`` or ``torchvision:NAME``."""
    return source.partition(":")[0] in ZOOS and ":" in source


def from_zoo(source: str) -> OpenedModel:
    """A model by name, and the size of image that it is made for.

    Raises:
        MissingExtra: If the package is not installed.
        UnreadableModel: If it knows no such model.
    """
    package, _, name = source.partition(":")
    make = _timm if package == "timm" else _torchvision
    try:
        model, shape = make(name)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise UnreadableModel(
            f"{package} must know the model; got {name!r}: {error}"
        ) from error
    note = f"{source}: weights are random unless they are given"
    return OpenedModel(source, model, shape, (note,))


def _timm(name: str) -> tuple[nn.Module, tuple[int, ...] | None]:
    timm = import_extra("timm", "models")
    model: nn.Module = timm.create_model(name, pretrained=False)
    size = getattr(model, "pretrained_cfg", {}).get("input_size")
    return model, tuple(size) if size else None


def _torchvision(name: str) -> tuple[nn.Module, tuple[int, ...] | None]:
    models = import_extra("torchvision.models", "models")
    model: nn.Module = models.get_model(name, weights=None)
    crop: Any = None
    try:
        crop = models.get_model_weights(name).DEFAULT.transforms().crop_size
    except (AttributeError, ValueError):  # those of other tasks have no size
        return model, None
    side = crop[0] if isinstance(crop, list | tuple) else crop
    return model, (3, int(side), int(side))
