"""Options that several commands have, and values that can be typed for them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from convspec.report.limits import EFFORTS

__all__ = [
    "add_analysis",
    "add_input_shape",
    "add_layer",
    "add_memory",
    "add_model",
    "add_source",
    "count",
    "ends",
    "positive",
]

SOURCE = (
    "a factory package.module:callable, an exported program .pt2, an ONNX file, a "
    "checkpoint .safetensors or .pth, or timm:NAME or torchvision:NAME"
)


def add_source(one: argparse.ArgumentParser) -> None:
    """A source, with what bare checkpoints need."""
    add_model(one)
    one.add_argument(
        "--geometry",
        type=Path,
        metavar="FILE",
        help="TOML file with strides, paddings and sizes for a bare checkpoint",
    )
    add_memory(one)


def add_memory(one: argparse.ArgumentParser) -> None:
    """The memory that may be held."""
    one.add_argument(
        "--memory", type=positive, metavar="GIB", help="memory per layer (default: 2)"
    )


def add_model(one: argparse.ArgumentParser) -> None:
    """A source alone."""
    one.add_argument("source", metavar="SOURCE", help=SOURCE)
    add_input_shape(one)
    one.add_argument(
        "--weights", type=Path, metavar="FILE", help="checkpoint of a factory's model"
    )


def add_input_shape(one: argparse.ArgumentParser) -> None:
    """The shape of a model's input."""
    one.add_argument(
        "--input-shape",
        type=shape,
        metavar="3,224,224",
        help="shape of the input without the batch; several inputs: '3,8,8;5'",
    )


def add_layer(one: argparse.ArgumentParser) -> None:
    """The name of a row."""
    one.add_argument("layer", metavar="LAYER", help="name of a row of analyze")


def ends(text: str) -> tuple[Any, Any]:
    """``low,high``, or ``low;high`` with one number for each channel."""
    low, high = text.split(";") if ";" in text else text.split(",")
    ends = [[float(each) for each in end.split(",")] for end in (low, high)]
    first, second = (end[0] if len(end) == 1 else end for end in ends)
    return first, second


def shape(text: str) -> tuple[Any, ...]:
    """``3,224,224`` or several of them, apart by semicolons."""
    try:
        shapes = [tuple(int(n) for n in part.split(",")) for part in text.split(";")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"a shape is integers with commas between them, 3,224,224; got {text!r}"
        ) from None
    return shapes[0] if len(shapes) == 1 else tuple(shapes)


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number; got {text!r}")
    return value


def count(text: str) -> int:
    """An integer above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer; got {text!r}")
    return int(text)


def add_analysis(one: argparse.ArgumentParser) -> None:
    """The settings of an analysis."""
    one.add_argument(
        "--layers",
        action="append",
        metavar="PATTERN",
        help="only layers of this name or pattern, 'features.*'; may be repeated",
    )
    one.add_argument(
        "--effort",
        choices=tuple(EFFORTS),
        default="default",
        help="how hard to try: sigma_1 to a relative 1e-2, 1e-4 (default) or 1e-6",
    )
    one.add_argument(
        "--seconds", type=positive, metavar="S", help="about when to end in any case"
    )
    one.add_argument("--linear", action="store_true", help="linear layers are rows, too")
    one.add_argument(
        "--fold-batch-norm",
        action="store_true",
        help="batch norm behind a convolution is part of it",
    )
    one.add_argument(
        "--resume",
        type=Path,
        metavar="DIR",
        help="go on where an analysis ended: results are stored in DIR and found there",
    )
