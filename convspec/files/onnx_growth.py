"""What the inference of shapes would make grow, refused before it runs.

Inference keeps the numbers of lists of sizes. A list that is joined to itself forty times
has a million million of them, from a file of a few hundred bytes.
"""

from __future__ import annotations

from convspec.errors import UnreadableModel
from convspec.files.onnx_program import Node, Program
from convspec.files.onnx_tensors import EXTERNAL, entries_of

__all__ = ["INTEGERS", "MOST_SIZES", "SMALL", "UNFOLLOWED", "require_small"]

# operations through which inference follows the numbers of lists of sizes
FOLLOWED = frozenset(
    {
        "Add",
        "Cast",
        "Concat",
        "Gather",
        "Identity",
        "Mul",
        "Slice",
        "Squeeze",
        "Sub",
        "Unsqueeze",
    }
)
MOST_SIZES = 2**14
UNFOLLOWED = "unfollowed"  # a domain of operations that inference passes over
INTEGERS = (6, 7)  # types of lists of sizes, int32 and int64
DEEPEST = 64  # axes of a tensor
SMALL = 1024  # entries of tensors that are given to inference with their numbers


def require_small(program: Program) -> None:
    """Refuse operations whose shapes could not be inferred in little time and memory.

    Raises:
        UnreadableModel: For those.
    """
    lengths = {
        name: entries_of(tensor)
        for name, tensor in program.tensors.items()
        if tensor.data_type in INTEGERS
        and tensor.data_location != EXTERNAL
        and entries_of(tensor) <= SMALL
    }
    for node, lean in zip(program.nodes, program.lean, strict=True):
        if node.is_standard("Split"):
            parts = node.integer("num_outputs", len(node.outputs))
            if parts != len(node.outputs):
                raise UnreadableModel(
                    f"{node.path or node.op} must make as many parts as it has outputs, "
                    f"{len(node.outputs)}; its num_outputs is {parts}; repair the file"
                )
        if _slices_everywhere(node, lengths):
            lean.domain = UNFOLLOWED
            continue
        length = _length(node, lengths)
        if length > MOST_SIZES:
            raise UnreadableModel(
                f"{node.path or node.op} must join lists of sizes to at most "
                f"{MOST_SIZES}; it joins {length}; repair the file"
            )
        if length and node.outputs:
            lengths[node.outputs[0]] = length


def _slices_everywhere(node: Node, lengths: dict[str, int]) -> bool:
    """Whether each start of a Slice would be one of an axis, and they are computed."""
    starts = node.input(1) if node.is_standard("Slice") else ""
    return bool(starts) and starts not in lengths and not node.input(3)


def _length(node: Node, lengths: dict[str, int]) -> int:
    """How many numbers of an operation's output may be known, at most."""
    if node.is_standard("Shape", "Size"):
        return DEEPEST
    if node.is_standard("Constant"):
        return max((len(each.ints) for each in node.attributes.values()), default=0) or 1
    if not node.is_standard(*FOLLOWED):
        return 0
    own = [lengths.get(name, 0) for name in node.inputs if name]
    if node.op == "Concat":
        return 0 if 0 in own else sum(own)
    return max(own, default=0)
