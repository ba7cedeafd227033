"""Every bound on sigma_1 on the same layers: value over truth, and time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import torch
from torch import Tensor

from benchmarks import published
from benchmarks.kernels import gaussian
from benchmarks.krylov_solvers import ALLOWED, LargestValues
from benchmarks.problem import Unavailable
from benchmarks.trained import mtcnn_kernel
from convspec import Bound, ConvOperator, NotApplicable, TooLargeError
from convspec.bounds.table import BOUNDS
from convspec.demo.weights import load_mobilenet
from convspec.errors import UnreadableModel

__all__ = [
    "Claim",
    "Comparison",
    "Layer",
    "Measured",
    "checkerboard",
    "compare",
    "methods",
    "trained",
]

OURS = "convspec"
PUBLISHED = "published"
# the truth is known from below, to rounding
SLACK = 1e-12
# seconds that the repeats of one method may take
SECONDS = 0.5


@dataclass(frozen=True)
class Layer:
    """A zero-padded layer, with the truth about it.

    Attributes:
        name: Column of the table.
        op: The layer in float64.
    """

    name: str
    op: ConvOperator

    @property
    def weight(self) -> Tensor:
        """The kernel, for algorithms that know nothing else.

        Raises:
            NotApplicable: If there are groups, of which they would take one for all.
        """
        if self.op.groups > 1:
            raise NotApplicable(
                f"published algorithms need one group; {self.name} has {self.op.groups}"
            )
        return self.op.weight.detach()

    @property
    def size(self) -> int:
        """Pixels per axis."""
        return int(self.op.input_shape[1])


@dataclass(frozen=True)
class Claim:
    """A method, and what it claims that its number is.

    Attributes:
        name: Of the bound or its authors, with the number of steps.
        source: Ours or published.
        claims: ``"upper"``, ``"lower"`` or ``"estimate"``.
        value: From a layer to the number.
    """

    name: str
    source: str
    claims: str
    value: Callable[[Layer], float]


@dataclass(frozen=True)
class Measured:
    """One method on one layer.

    Attributes:
        ratio: Its number over the truth; None where it does not apply.
        seconds: The least of a few runs.
        violated: Whether a bound is on the wrong side of the truth.
    """

    ratio: float | None
    seconds: float
    violated: bool


@dataclass(frozen=True)
class Comparison:
    """All methods on all layers.

    Attributes:
        layers: The layers.
        truths: sigma_1 of each, from two solvers that agree.
        claims: The methods.
        measured: One per method and layer.
    """

    layers: tuple[Layer, ...]
    truths: tuple[float, ...]
    claims: tuple[Claim, ...]
    measured: tuple[tuple[Measured, ...], ...]

    @property
    def accurate(self) -> bool:
        """Whether all of our own bounds hold."""
        rows = zip(self.claims, self.measured, strict=True)
        return not any(
            each.violated for claim, row in rows for each in row if claim.source == OURS
        )


def trained() -> tuple[Layer, ...]:
    """The layers at their full size, trained ones first.

    Raises:
        Unavailable: If trained weights cannot be fetched.
    """
    try:
        mobilenet = load_mobilenet()
    except UnreadableModel as error:
        raise Unavailable(str(error)) from error
    stem = mobilenet.get_parameter("features.0.0.weight").detach().double()
    depthwise = mobilenet.get_parameter("features.8.conv.1.0.weight").detach().double()
    return (
        _layer("MobileNetV2 stem, stride 2", stem, 64, stride=2),
        _layer("MobileNetV2 depthwise", depthwise, 14, groups=len(depthwise)),
        _layer("MTCNN P-Net conv1", mtcnn_kernel("conv1", net="pnet"), 48),
        _layer("MTCNN O-Net conv3", mtcnn_kernel("conv3"), 28),
        _layer("Gaussian 64 -> 64", gaussian(64), 28),
        _layer("checkerboard 3 x 3", checkerboard(3), 28),
    )


def checkerboard(side: int) -> Tensor:
    """One channel of alternating signs: its norm is at pi, which coarse grids miss."""
    signs = (-1.0) ** torch.arange(side, dtype=torch.float64)
    return torch.outer(signs, signs)[None, None]


def _layer(
    name: str, weight: Tensor, size: int, stride: int = 1, groups: int = 1
) -> Layer:
    padding = weight.shape[-1] // 2
    op = ConvOperator(weight, size, stride=stride, padding=padding, groups=groups)
    return Layer(name, op)


def methods() -> tuple[Claim, ...]:
    """Ours, cheap ones first, then the published algorithms as published."""
    ours = [Claim(name, OURS, *_ours(name, bound)) for name, bound in BOUNDS]
    theirs: dict[str, Callable[[Tensor], float]] = {
        "AOL": published.aol,
        "Fantastic Four, 50 steps": published.fantastic_four,
        "tensor norm, 1 start, 100 steps": published.tensor_norm,
        "LipBound, 50 samples": published.lip_bound,
        "LipBound, 4 samples": partial(published.lip_bound, samples=4),
        "Norm2Toep, 4 steps": published.gram_toeplitz,
    }
    return (
        *ours,
        *(_of_weight(name, "upper", value) for name, value in theirs.items()),
        Claim("Gram, size of the kernel, 5 steps", PUBLISHED, "upper", _gram_of_kernel),
        Claim("Gram, size of the image, 5 steps", PUBLISHED, "upper", _gram_of_image),
        _of_weight("spectral_norm, 50 steps", "estimate", published.spectral_norm),
        Claim("FFT, size of the image", PUBLISHED, "estimate", _fft),
        Claim(
            "power iteration, 100 steps",
            PUBLISHED,
            "estimate",
            lambda layer: published.power_iteration(layer.op),
        ),
    )


def _ours(
    name: str, bound: Callable[[ConvOperator], Bound]
) -> tuple[str, Callable[[Layer], float]]:
    """What a bound of ours claims, and its number."""
    if name == "reshaped_kernel":
        return "lower", lambda layer: bound(layer.op).lower
    claims = "estimate" if name == "tensor_norm" else "upper"
    return claims, lambda layer: bound(layer.op).upper


def _of_weight(name: str, claims: str, value: Callable[[Tensor], float]) -> Claim:
    return Claim(name, PUBLISHED, claims, lambda layer: value(layer.weight))


def _gram_of_kernel(layer: Layer) -> float:
    return published.gram_circular(layer.weight, layer.weight.shape[-1])


def _gram_of_image(layer: Layer) -> float:
    return published.gram_circular(layer.weight, layer.size)


def _fft(layer: Layer) -> float:
    return published.circular_norm(layer.weight, layer.size)


def compare(
    layers: tuple[Layer, ...], claims: tuple[Claim, ...], repeats: int
) -> Comparison:
    """Run every method on every layer.

    Raises:
        Unavailable: If two solvers differ on the truth.
    """
    truths = tuple(float(LargestValues(layer.op, 1).true[0]) for layer in layers)
    measured = tuple(
        tuple(
            _measured(claim, layer, truth, repeats)
            for layer, truth in zip(layers, truths, strict=True)
        )
        for claim in claims
    )
    return Comparison(layers, truths, claims, measured)


def _measured(claim: Claim, layer: Layer, truth: float, repeats: int) -> Measured:
    """The number, and the least time of so many runs as fit."""
    taken: list[float] = []
    while len(taken) < repeats and sum(taken) < SECONDS:
        start = perf_counter()
        try:
            value = claim.value(layer)
        except (NotApplicable, TooLargeError):
            return Measured(None, perf_counter() - start, False)
        taken.append(perf_counter() - start)
    holds = {
        "upper": value >= truth * (1 - SLACK),
        "lower": value <= truth * (1 + ALLOWED),
    }
    violated = not holds.get(claim.claims, True)  # NaN holds nowhere
    return Measured(value / truth, min(taken), violated)
