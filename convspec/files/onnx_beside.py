"""What stands beside a convolution in an ONNX file and is a part of its operator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from convspec.arrays import IntArray
from convspec.files.onnx_constants import MOST_STEPS, Constants
from convspec.files.onnx_moving import MOST_PLACES, lines_of, source_name
from convspec.files.onnx_program import Node, Program
from convspec.files.onnx_shapes import Shape
from convspec.model.convolutions import Convolution
from convspec.model.folding import normalised
from convspec.model.fusing import cut, cut_outside, padded, padded_outside
from convspec.model.window import Window, window_of
from convspec.operators.batch_norm import BatchNorm
from convspec.operators.geometry import ConvGeometry

__all__ = ["Beside"]

Lines = list[IntArray]


class Beside:
    """Finds what is padded before a convolution, and cut and normalised behind it."""

    def __init__(
        self, program: Program, constants: Constants, shapes: dict[str, Shape]
    ) -> None:
        self.constants = constants
        self.shapes = shapes
        self.results = program.results
        self.readers: dict[str, list[Node]] = {}
        for node in program.nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)

    def whole(
        self, conv: Convolution, node: Node, fold_batch_norm: bool
    ) -> tuple[Convolution, Node | None]:
        """A convolution with what is part of it, and the normalisation that is.

        Args:
            conv: The convolution, with a weight.
            node: It.
            fold_batch_norm: Whether a normalisation is a part of it.
        """
        found, value = self._cut(self._padded(conv, node), node)
        return self._normalised(found, value) if fold_batch_norm else (found, None)

    def _padded(self, conv: Convolution, node: Node) -> Convolution:
        """A convolution of what was padded for it, as far back as an operator tells."""
        found, outside, pads = conv, tuple[str, ...](), False
        long = max(conv.input_size) > MOST_PLACES
        lines, sizes = [] if long else _all_of(conv.input_size), conv.input_size
        for before in self._before(node.input(0)):
            source = self._sizes(source_name(before, self.constants), conv.dim)
            own = None
            if source is not None and not long:
                own = lines_of(before, self.constants, source)
            pads = pads or before.op == "Pad"
            if long or source is None or own is None or tuple(map(len, own)) != sizes:
                if before.op == "Pad":  # else it moves more than pixels
                    outside = (padded_outside(before.operation),)
                break
            pairs = zip(lines, own, strict=True)
            lines, sizes = [_through(line, shown) for line, shown in pairs], source
            windows = _windows(lines, sizes)
            fused = None if windows is None else padded(conv, windows)
            if fused is not None:
                found, outside = fused, ()
            elif pads if windows is None else any(window.pads for window in windows):
                outside = (padded_outside(before.operation),)
        return replace(found, outside=(*found.outside, *outside))

    def _before(self, name: str) -> Iterator[Node]:
        """Operations that pad or pass on what makes a value, nearest first."""
        for _ in range(MOST_STEPS):
            node = self.constants.makers.get(name)
            if node is None or not node.is_standard("Pad", "Identity", "Concat"):
                return
            name = source_name(node, self.constants)
            if not name:
                return
            yield node

    def _cut(self, conv: Convolution, node: Node) -> tuple[Convolution, str]:
        """A convolution without outputs that are cut off, and what is left of them."""
        made = node.outputs[0] if node.outputs else ""
        found, value = conv, made
        sizes = _outputs(conv)
        lines = None if max(sizes) > MOST_PLACES else _all_of(sizes)
        for _ in range(MOST_STEPS):
            reader = self._reader(value)
            if lines is None or reader is None:
                break
            own = lines_of(reader, self.constants, tuple(map(len, lines)))
            if own is None:
                break
            lines = [
                _through(shown, line) for shown, line in zip(own, lines, strict=True)
            ]
            windows = _windows(lines, sizes)
            if windows is None or any(max(w.before, w.after) > 0 for w in windows):
                break
            less = cut(conv, windows)
            if less is None:
                words = cut_outside(reader.operation)
                return replace(found, outside=(*found.outside, words)), made
            found, value = less, reader.outputs[0]
        return found, value

    def _reader(self, value: str) -> Node | None:
        """The operation that alone reads a value, as its first input."""
        readers = self.readers.get(value, [])
        if value in self.results or len(readers) != 1:
            return None
        (reader,) = readers
        once = reader.inputs.count(value) == 1 and reader.input(0) == value
        return reader if once and reader.outputs else None

    def _normalised(
        self, conv: Convolution, value: str
    ) -> tuple[Convolution, Node | None]:
        """A convolution with the normalisation that alone reads what is left of it."""
        node = self._reader(value)
        if node is None or not node.is_standard("BatchNormalization"):
            return conv, None
        trains = node.integer("training_mode", 0) or any(node.outputs[1:])
        if trains or not node.integer("spatial", 1):
            return conv, None
        assert conv.weight is not None
        rows = conv.weight.shape[1] * conv.given.groups
        channels = rows if conv.given.transposed else conv.weight.shape[0]
        found = [self.constants.tensor(node.input(place)) for place in (1, 2, 3, 4)]
        given = [each for each in found if each is not None and each.is_floating_point()]
        if len(given) < 4 or {tuple(each.shape) for each in given} != {(channels,)}:
            return conv, None
        gamma, beta, mean, variance = given
        eps = node.number("epsilon", 1e-5)
        return normalised(conv, BatchNorm(mean, variance, eps, gamma, beta)), node

    def _sizes(self, name: str, dim: int) -> tuple[int, ...] | None:
        """Pixels per axis of a value; None if they are not known."""
        shape = self.shapes.get(name)
        if shape is None or len(shape) != dim + 2:
            return None
        sizes = tuple(size for size in shape[2:] if size is not None and size > 0)
        return sizes if len(sizes) == dim else None


def _outputs(conv: Convolution) -> tuple[int, ...]:
    """Pixels per axis of what a convolution makes."""
    assert conv.weight is not None
    geometry = ConvGeometry.of(conv.weight.shape, conv.input_size, conv.given)
    return geometry.sizes if conv.given.transposed else geometry.outputs


def _all_of(sizes: Sequence[int]) -> Lines:
    """Each axis as it is."""
    return [np.arange(size, dtype=np.int64) for size in sizes]


def _through(line: IntArray, shown: IntArray) -> IntArray:
    """What places show of an axis that itself shows another."""
    found: IntArray = np.where(line >= 0, shown[np.maximum(line, 0)], -1)
    return found


def _windows(lines: Lines, sizes: tuple[int, ...]) -> tuple[Window, ...] | None:
    """The window of each axis; None if one has none."""
    pairs = zip(lines, sizes, strict=True)
    found = [window_of(line, size) if (line >= 0).any() else None for line, size in pairs]
    windows = [window for window in found if window is not None]
    return tuple(windows) if len(windows) == len(sizes) else None
