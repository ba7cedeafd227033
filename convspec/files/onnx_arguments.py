"""The arguments of ONNX's convolutions in torch's terms, by the standard's formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convspec.errors import GeometryError, UnreadableModel
from convspec.files.onnx_program import Node
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.geometry import ConvGeometry

__all__ = ["conv_arguments", "require_geometry", "transposed_arguments"]

# pixels along an axis, padding and the reach of a kernel included
MOST_PIXELS = 2**26
PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Common:
    """What both kinds of convolution are given.

    Attributes:
        strides: Per axis.
        dilations: Per axis.
        extents: Pixels that the kernel spans per axis.
        pads: (before, after) per axis; of no meaning with another auto_pad.
        auto_pad: How the padding is found.
        group: Number of groups.
    """

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    extents: tuple[int, ...]
    pads: Pairs
    auto_pad: str
    group: int


def conv_arguments(
    node: Node, kernel: tuple[int, ...], sizes: tuple[int, ...]
) -> ConvArguments:
    """The arguments of a Conv.

    Args:
        node: It.
        kernel: Taps per axis.
        sizes: Pixels per axis of what it reads.

    Raises:
        UnreadableModel: If an attribute is absurd.
    """
    common = _common(node, kernel)
    pads = common.pads
    if common.auto_pad.startswith("SAME"):
        lines = zip(sizes, common.strides, common.extents, strict=True)
        # as many outputs as strides fit into the input
        totals = [max(0, (-(-n // s) - 1) * s + extent - n) for n, s, extent in lines]
        pads = _shared(totals, common.auto_pad == "SAME_UPPER")
    return ConvArguments(
        stride=common.strides,
        padding=pads,
        dilation=common.dilations,
        groups=common.group,
        output_padding=(0,) * len(kernel),
    )


def transposed_arguments(
    node: Node, kernel: tuple[int, ...], sizes: tuple[int, ...]
) -> ConvArguments | None:
    """The arguments of a ConvTranspose; None if its output is larger than what it makes.

    Args:
        node: It.
        kernel: Taps per axis.
        sizes: Pixels per axis of what it reads.

    Raises:
        UnreadableModel: If an attribute is absurd.
    """
    common, dim = _common(node, kernel), len(kernel)
    more = _per_axis(node, "output_padding", dim, 0, least=0)
    wanted = node.integers("output_shape")
    pads = common.pads
    if wanted is None and common.auto_pad.startswith("SAME"):
        wanted = tuple(n * s for n, s in zip(sizes, common.strides, strict=True))
    if wanted:
        if len(wanted) != dim:
            raise _refused(node, "output_shape", f"have {dim} entries", wanted)
        lines = zip(sizes, common.strides, common.extents, more, wanted, strict=True)
        totals = [(n - 1) * s + add + extent - out for n, s, extent, add, out in lines]
        if min(totals) < 0:
            return None
        pads = _shared(totals, common.auto_pad == "SAME_UPPER")
    return ConvArguments(
        stride=common.strides,
        padding=pads,
        dilation=common.dilations,
        groups=common.group,
        transposed=True,
        output_padding=more,
    )


def require_geometry(
    node: Node, shape: Sequence[int], sizes: tuple[int, ...], given: ConvArguments
) -> None:
    """Refuse what no convolution can be, before anything of its size is made.

    Raises:
        UnreadableModel: For that.
    """
    try:
        geometry = ConvGeometry.of(shape, sizes, given)
    except GeometryError as error:
        raise UnreadableModel(f"{node.path or node.op}: {error}") from error
    longest = max(max(axis.span, axis.size, axis.output) for axis in geometry.axes)
    if longest > MOST_PIXELS:
        raise UnreadableModel(
            f"{node.path or node.op} must have axes of at most {MOST_PIXELS} pixels, "
            f"padding included; one has {longest}; give a smaller input_shape"
        )


def _common(node: Node, kernel: tuple[int, ...]) -> _Common:
    dim = len(kernel)
    own = node.integers("kernel_shape")
    if own and own != kernel:
        raise _refused(node, "kernel_shape", f"be that of its weight, {kernel},", own)
    dilations = _per_axis(node, "dilations", dim, 1, least=1)
    auto_pad = node.text("auto_pad", "NOTSET") or "NOTSET"
    if auto_pad not in PADS:
        raise _refused(node, "auto_pad", f"be one of {', '.join(PADS)}", auto_pad)
    pads: Pairs = ((0, 0),) * dim
    flat = node.integers("pads")
    if flat and auto_pad == "NOTSET":
        if len(flat) != 2 * dim or min(flat) < 0 or max(flat) > MOST_PIXELS:
            words = f"be {2 * dim} numbers from 0 to {MOST_PIXELS}"
            raise _refused(node, "pads", words, flat)
        pads = tuple(zip(flat[:dim], flat[dim:], strict=True))
    return _Common(
        _per_axis(node, "strides", dim, 1, least=1),
        dilations,
        tuple(d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)),
        pads,
        auto_pad,
        node.integer("group", 1),
    )


def _per_axis(
    node: Node, name: str, dim: int, usual: int, *, least: int
) -> tuple[int, ...]:
    values = node.integers(name) or (usual,) * dim
    if len(values) != dim or min(values) < least or max(values) > MOST_PIXELS:
        words = f"be {dim} numbers from {least} to {MOST_PIXELS}"
        raise _refused(node, name, words, values)
    return values


def _shared(totals: Sequence[int], more_behind: bool) -> Pairs:
    """Padding in two halves, the odd pixel behind or in front."""
    halves = [(total // 2, total - total // 2) for total in totals]
    return tuple(pair if more_behind else pair[::-1] for pair in halves)


def _refused(node: Node, name: str, words: str, given: object) -> UnreadableModel:
    text = str(given)[:100]
    return UnreadableModel(
        f"{name} of {node.path or node.op} must {words}; got {text}; repair the file"
    )
