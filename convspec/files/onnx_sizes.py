"""Lists of sizes that an ONNX graph makes of constants, as exporters write amounts.

The amounts of a Pad are often joined, reshaped, turned and transposed in the graph. They
are few integers: what makes them is followed here, so that inference knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convspec.arrays import IntArray
from convspec.errors import UnreadableModel
from convspec.files.onnx_file import Proto, answered, onnx
from convspec.files.onnx_growth import INTEGERS, SMALL
from convspec.files.onnx_program import Node, Program
from convspec.files.onnx_tensors import EXTERNAL, Folder, entries_of

__all__ = ["follow_sizes"]


def follow_sizes(program: Program, folder: Folder) -> None:
    """Put constants in the place of operations that make lists of sizes of constants.

    Args:
        program: All operations; those become tensors of it.
        folder: What reads tensors.
    """
    known: dict[str, IntArray] = {}
    for name, tensor in program.tensors.items():
        inside = tensor.data_type in INTEGERS and tensor.data_location != EXTERNAL
        if inside and entries_of(tensor) <= SMALL:
            numbers = folder.tensor(tensor)
            assert numbers is not None
            known[name] = numbers.numpy().astype(np.int64)
    for node, lean in zip(program.nodes, program.lean, strict=True):
        if node.is_standard("Constant") and "value_ints" in node.attributes:
            plain = node.attributes["value_ints"].ints
            if len(plain) <= SMALL and node.outputs:
                known[node.outputs[0]] = np.array(plain, dtype=np.int64)
            continue
        value = _made(node, known)
        if value is None or value.size > SMALL:
            continue
        known[node.outputs[0]] = value
        with answered("its lists of sizes must be valid"):
            tensor = onnx("onnx.numpy_helper").from_array(value, node.outputs[0])
            _become(lean, tensor)
        program.tensors[node.outputs[0]] = tensor


def _become(lean: Proto, tensor: Proto) -> None:
    """Make an operation a constant."""
    lean.op_type, lean.domain = "Constant", ""
    del lean.input[:]
    del lean.attribute[:]
    attribute = lean.attribute.add(name="value", type=4)
    attribute.t.CopyFrom(tensor)


def _made(node: Node, known: dict[str, IntArray]) -> IntArray | None:
    """What an operation makes of known lists; None if they are not, or it is another."""
    step = STEPS.get(node.op)
    if node.domain or step is None or len(node.outputs) != 1 or not node.outputs[0]:
        return None
    given = [known.get(name) if name else None for name in node.inputs]
    missing = any(
        value is None and name for value, name in zip(given, node.inputs, strict=True)
    )
    if missing or not given or given[0] is None:
        return None
    try:
        found = step(node, given)
    except UnreadableModel:  # said where it is read, if it is
        return None
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return None if found is None else np.asarray(found, dtype=np.int64)


Given = Sequence[Any]


def _filled(node: Node, given: Given) -> IntArray | None:
    shape = given[0].reshape(-1).tolist()
    attribute = node.attributes.get("value")
    if attribute is None or attribute.t.data_type != 7:  # zeros of floating point
        return None
    if min(shape, default=0) < 0 or np.prod([float(size) for size in shape]) > SMALL:
        return None
    tensor = onnx("onnx.numpy_helper").to_array(attribute.t)
    return np.full(shape, int(tensor.reshape(-1)[0]), dtype=np.int64)


def _joined(node: Node, given: Given) -> IntArray | None:
    if sum(value.size for value in given) > SMALL:
        return None
    return np.concatenate(given, axis=node.integer("axis", 0))


def _reshaped(node: Node, given: Given) -> IntArray | None:
    if len(given) < 2 or node.integer("allowzero", 0):
        return None
    wanted = given[1].reshape(-1).tolist()
    shape = [given[0].shape[j] if size == 0 else size for j, size in enumerate(wanted)]
    found: IntArray = given[0].reshape(shape)
    return found


def _sliced(node: Node, given: Given) -> IntArray | None:
    if len(given) < 3:
        return None
    first, last = given[1].reshape(-1).tolist(), given[2].reshape(-1).tolist()
    axes = (
        given[3].reshape(-1).tolist() if len(given) > 3 and given[3] is not None else None
    )
    steps = given[4].reshape(-1).tolist() if len(given) > 4 else [1] * len(first)
    spans = [slice(None)] * given[0].ndim
    for place, axis in enumerate(axes or range(len(first))):
        size, step = given[0].shape[axis], steps[place]
        start, stop = (_clamped(x[place], size, step) for x in (first, last))
        spans[axis] = slice(start, None if stop < 0 else stop, step)
    found: IntArray = given[0][tuple(spans)]
    return found


def _clamped(place: int, size: int, step: int) -> int:
    """A place as the standard counts: from the end if negative, kept within reach."""
    place = place + size if place < 0 else place
    return max(0, min(place, size)) if step > 0 else max(-1, min(place, size - 1))


def _transposed(node: Node, given: Given) -> IntArray | None:
    found: IntArray = given[0].transpose(node.integers("perm") or None)
    return found


def _cast(node: Node, given: Given) -> IntArray | None:
    found: IntArray = given[0]
    return found if node.integer("to", 0) == 7 else None


def _gathered(node: Node, given: Given) -> IntArray | None:
    if len(given) < 2 or given[1].size * given[0].size > SMALL:
        return None
    found: IntArray = np.take(given[0], given[1], axis=node.integer("axis", 0))
    return found


STEPS: dict[str, Callable[[Node, Given], IntArray | None]] = {
    "Cast": _cast,
    "Concat": _joined,
    "ConstantOfShape": _filled,
    "Gather": _gathered,
    "Reshape": _reshaped,
    "Slice": _sliced,
    "Transpose": _transposed,
}
