"""ONNX's Resize and Upsample: each axis by itself, by the standard's coordinates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from convspec.files.onnx_operators.operands import Operands, Reader, Run
from convspec.files.onnx_operators.views import shown

__all__ = ["READERS"]

# of torch's modes, by the number of axes
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
# entries of the matrix of an axis
MOST_ENTRIES = 2**24


@dataclass(frozen=True)
class _Line:
    """How an axis is resized.

    Attributes:
        size: Pixels before.
        output: Pixels behind.
        scale: The second by the first, as it is given.
        given: Whether it is given, rather than what the sizes make it.
    """

    size: int
    output: int
    scale: Fraction
    given: bool

    @property
    def is_same(self) -> bool:
        """Whether nothing is done."""
        return self.size == self.output and self.scale == 1

    def places(self, how: str) -> list[Fraction]:
        """Where each pixel behind lies among those before.

        Args:
            how: The standard's ``coordinate_transformation_mode``.
        """
        n, out, s, half = self.size, self.output, self.scale, Fraction(1, 2)
        if how == "asymmetric":
            return [i / s for i in range(out)]
        if how == "align_corners":
            return [Fraction(i * (n - 1), max(1, out - 1)) for i in range(out)]
        if how == "pytorch_half_pixel" and out == 1:
            return [Fraction(0)]
        shift = Fraction(0)
        if how == "half_pixel_symmetric":
            shift = Fraction(n, 2) * (1 - out / (s * n))
        return [shift + (i + half) / s - half for i in range(out)]


COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
)
NEAREST: dict[str, Callable[[Fraction], int]] = {
    "round_prefer_floor": lambda x: math.ceil(x - Fraction(1, 2)),
    "round_prefer_ceil": lambda x: math.floor(x + Fraction(1, 2)),
    "floor": math.floor,
    "ceil": math.ceil,
}


def _resize(given: Operands) -> Run:
    node = given.node
    if node.integer("antialias", 0):
        raise given.refused("antialiased resizing is not read")
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise given.refused("resizing that keeps the ratio of sizes is not read")
    first = given.opset < 11  # whose only inputs are the image and the scales
    lines = _lines(given, 1 if first else 2, None if first else 3)
    usual = "asymmetric" if first else "half_pixel"
    how = node.text("coordinate_transformation_mode", usual)
    rounding = node.text("nearest_mode", "floor" if first else "round_prefer_floor")
    return _resized(given, lines, how, rounding)


def _upsample(given: Operands) -> Run:
    """Resize's ancestor."""
    own = given.node.attributes.get("scales")
    if own is None:
        lines = _lines(given, 1, None)
    else:
        lines = _of_scales(given, list(own.floats), range(given.rank()))
    return _resized(given, lines, "asymmetric", "floor")


def _lines(given: Operands, scales: int, sizes: int | None) -> list[_Line]:
    """How each axis is resized, by scales or by sizes."""
    listed = given.node.integers("axes") or tuple(range(given.rank()))
    axes = [given.along(axis) for axis in listed]
    if given.has(scales) and given.value(scales).numel():
        return _of_scales(given, given.numbers(scales), axes)
    if sizes is None or not given.has(sizes):
        raise given.refused("neither scales nor sizes are given")
    wanted = dict(zip(axes, given.integers(sizes), strict=True))
    return [
        _Line(n, out, Fraction(out, n), False)
        for n, out in ((n, wanted.get(j, n)) for j, n in enumerate(given.shape(0)))
    ]


def _of_scales(
    given: Operands, scales: list[float], axes: range | list[int]
) -> list[_Line]:
    if len(scales) != len(axes) or not all(0 < each < math.inf for each in scales):
        raise given.refused(f"scales must be {len(axes)} positive numbers")
    by_axis = {j: Fraction(each) for j, each in zip(axes, scales, strict=True)}
    lines = []
    for j, n in enumerate(given.shape(0)):
        scale = by_axis.get(j, Fraction(1))
        lines.append(_Line(n, math.floor(n * scale), scale, True))
    return lines


def _resized(given: Operands, lines: list[_Line], how: str, rounding: str) -> Run:
    mode = given.node.text("mode", "nearest")
    if how not in COORDINATES or rounding not in NEAREST:
        raise given.refused(f"coordinates {how!r}, {rounding!r} are not read")
    if min(line.output for line in lines) < 1 or 0 in given.shape(0):
        raise given.refused("it makes an image without pixels")
    given.require_entries(math.prod(float(line.output) for line in lines))
    axes = [j for j, line in enumerate(lines) if not line.is_same]
    if not axes:
        return lambda x, *others: x
    if mode == "nearest":
        return _nearest(lines, axes, how, rounding)
    if mode not in ("linear", "cubic"):
        raise given.refused(f"mode {mode!r} is not read")
    if any(lines[j].size * lines[j].output > MOST_ENTRIES for j in axes):
        raise given.refused("its axes are too long")
    run = _as_torch(given, lines, axes, mode, how)
    return _by_matrices(given, lines, axes, mode, how) if run is None else run


def _nearest(lines: list[_Line], axes: list[int], how: str, rounding: str) -> Run:
    """Copies of pixels; whole multiples as torch makes them."""
    chosen = {
        j: [
            min(max(NEAREST[rounding](x), 0), lines[j].size - 1)
            for x in lines[j].places(how)
        ]
        for j in axes
    }
    plain = all(
        line.output % line.size == 0
        and chosen.get(j, list(range(line.size)))
        == [i * line.size // line.output for i in range(line.output)]
        for j, line in enumerate(lines)
    )
    if plain and min(axes) >= 2 and 3 <= len(lines) <= 5:
        sizes = [line.output for line in lines[2:]]
        return lambda x, *others: functional.interpolate(x, sizes, mode="nearest")
    return shown(chosen)


def _as_torch(
    given: Operands, lines: list[_Line], axes: list[int], mode: str, how: str
) -> Run | None:
    """What torch's interpolation makes, where it is the same; None where it is not."""
    spatial = lines[2:]
    corners = how == "align_corners"
    halves = how in ("half_pixel", "pytorch_half_pixel")
    alone = how == "pytorch_half_pixel" and any(line.output == 1 for line in spatial)
    if min(axes) < 2 or not 1 <= len(spatial) <= 3 or alone or not (corners or halves):
        return None
    by_sizes = all(line.scale == Fraction(line.output, line.size) for line in spatial)
    if mode == "cubic":
        usual = given.node.number("cubic_coeff_a", -0.75) == -0.75
        if len(spatial) != 2 or not usual or given.node.integer("exclude_outside", 0):
            return None
    if not by_sizes and not corners:
        return None
    sizes = [line.output for line in spatial]
    name = "bicubic" if mode == "cubic" else LINEAR[len(spatial)]
    return lambda x, *others: functional.interpolate(
        x, sizes, mode=name, align_corners=corners
    )


def _by_matrices(
    given: Operands, lines: list[_Line], axes: list[int], mode: str, how: str
) -> Run:
    """A matrix on each axis."""
    slope = given.node.number("cubic_coeff_a", -0.75)
    inside = bool(given.node.integer("exclude_outside", 0))
    matrices = {
        j: _matrix(lines[j], how, 2 if mode == "cubic" else 1, slope, inside)
        for j in axes
    }

    def run(x: Tensor, *others: Tensor) -> Tensor:
        for axis, matrix in matrices.items():
            weight = matrix.to(device=x.device, dtype=x.dtype)
            x = torch.matmul(x.movedim(axis, -1), weight.mT).movedim(-1, axis)
        return x

    return run


def _matrix(line: _Line, how: str, reach: int, slope: float, inside: bool) -> Tensor:
    """Weights (output, size) of the pixels around each place, those outside at the ends.

    Args:
        line: The axis.
        how: Where places lie.
        reach: Pixels to either side, 1 of linear and 2 of cubic interpolation.
        slope: The coefficient of cubic interpolation (Keys, 1981).
        inside: Whether pixels outside have no weight, the others more.
    """
    matrix = torch.zeros(line.output, line.size, dtype=torch.float64, device="cpu")
    for i, place in enumerate(line.places(how)):
        first = math.floor(place)
        near = range(first - reach + 1, first + reach + 1)
        weights = {j: _weight(float(place - j), reach, slope) for j in near}
        if inside:
            weights = {j: w for j, w in weights.items() if 0 <= j < line.size}
            total = sum(weights.values())
            weights = {j: w / total for j, w in weights.items()}
        for j, weight in weights.items():
            matrix[i, min(max(j, 0), line.size - 1)] += weight
    return matrix


def _weight(distance: float, reach: int, slope: float) -> float:
    t = abs(distance)
    if reach == 1:
        return max(0.0, 1 - t)
    if t <= 1:
        return ((slope + 2) * t - (slope + 3)) * t * t + 1
    return ((slope * t - 5 * slope) * t + 8 * slope) * t - 4 * slope if t < 2 else 0.0


READERS: dict[str, Reader] = {"Resize": _resize, "Upsample": _upsample}
