"""Opening a model by the name of its source: one door for all that people have."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from convspec.errors import UnreadableModel
from convspec.files.checkpoint import Checkpoint
from convspec.files.exported_file import example_shape, read_exported
from convspec.files.factory import is_factory, made_by
from convspec.files.loading import load_weights
from convspec.files.onnx_model import OnnxModel
from convspec.files.weights_file import read_weights
from convspec.files.zoo import from_zoo, is_of_zoo
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.model.inputs import plain_shape
from convspec.model.source import OpenedModel

__all__ = ["open_model"]

CHECKPOINTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
KINDS = (
    "a factory package.module:callable, a file .pt2, .onnx, .safetensors or .pth, or a "
    "name timm:NAME or torchvision:NAME"
)


@isolated
def open_model(
    source: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    input_shape: Any = None,
    geometry: str | os.PathLike[str] | None = None,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> OpenedModel:
    """The model of a source, as :func:`convspec.analyze` takes it.

    Nothing in a file is run: weights are read with ``weights_only=True``, graphs as data.
    A factory is code of yours and is called.

    Args:
        source: ``"package.module:callable"``, which makes a module, the working directory
            importable; ``"timm:NAME"`` or ``"torchvision:NAME"``; a file ``.pt2`` of
            ``torch.export``, ``.onnx``, or a checkpoint: ``.safetensors``, ``.pth``,
            ``.pt``, ``.bin``, ``.ckpt``.
        weights: A checkpoint to load into a factory's model, or a named one.
        input_shape: Of the input, without the batch, or one per input; None for what the
            source says.
        geometry: For a bare checkpoint, a TOML file that states strides, paddings and
            sizes of layers; without it what the kernels alone determine is reported.
        max_bytes: Files that are larger, unpacked, are refused; a number or ``"2 GiB"``.

    Raises:
        UnreadableModel: If there is no such source, or it is not what it should be.
        MissingExtra: If a package that it takes is not installed.
    """
    max_bytes = byte_limit(max_bytes)
    shape = None if input_shape is None else plain_shape(input_shape)
    opened = _opened(str(source), geometry, max_bytes)
    if weights is not None:
        opened = _loaded(opened, Path(weights), max_bytes)
    return opened if shape is None else replace(opened, input_shape=shape)


def _opened(
    source: str, geometry: str | os.PathLike[str] | None, max_bytes: int
) -> OpenedModel:
    if is_of_zoo(source):
        return from_zoo(source)
    path, kind = Path(source), Path(source).suffix.lower()
    if kind == ".pt2":
        program = read_exported(path, max_bytes=max_bytes)
        return OpenedModel(source, program, example_shape(program))
    if kind == ".onnx":
        return OpenedModel(source, OnnxModel.open(path, max_bytes=max_bytes))
    if kind in CHECKPOINTS:
        toml = None if geometry is None else Path(geometry)
        return OpenedModel(
            source, Checkpoint.open(path, geometry=toml, max_bytes=max_bytes)
        )
    if is_factory(source):
        return OpenedModel(source, made_by(source))
    raise UnreadableModel(f"a source must be {KINDS}; got {source!r}")


def _loaded(opened: OpenedModel, weights: Path, max_bytes: int) -> OpenedModel:
    if not isinstance(opened.model, nn.Module):
        raise UnreadableModel(
            "weights are for a factory or a named model; "
            f"{opened.source} holds its own; leave them out"
        )
    notes = load_weights(opened.model, read_weights(weights, max_bytes=max_bytes))
    return replace(opened, notes=(*opened.notes, *notes))
