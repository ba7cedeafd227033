"""Sizes of an ONNX model's values where inference alone does not find them.

Amounts of padding and sizes of views that are computed from sizes are computed here;
operations that are not, as LSTM, are told their sizes by onnx, one by one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convspec.errors import ConvSpecError
from convspec.files.onnx_assembly import Assembly, version_of
from convspec.files.onnx_file import Proto, answered, onnx
from convspec.files.onnx_program import Node, Program
from convspec.files.onnx_shapes import GRAPHS_READ_AS, Shape
from convspec.files.onnx_tensors import TYPES, Folder

__all__ = ["shapes_computed"]


def shapes_computed(model: Proto, program: Program, folder: Folder) -> dict[str, Shape]:
    """The shapes of values as operations make them, where all before them are computed.

    It follows lists of sizes through more operations than inference does.

    Args:
        model: As it is in the file, for the version of its operations.
        program: Its operations; the shapes of its inputs are set.
        folder: What reads its tensors.
    """
    assembly = _Sizes(program, folder, version_of(model))
    for each in program.graph.input:
        kind = each.type.tensor_type
        dtype = TYPES[kind.elem_type][3] if kind.elem_type in TYPES else None
        sizes = [dim.dim_value for dim in kind.shape.dim]
        if dtype is not None and kind.HasField("shape") and min(sizes, default=1) > 0:
            assembly.data[each.name] = torch.empty(sizes, dtype=dtype, device="meta")
    assembly.compute()
    return {name: tuple(tensor.shape) for name, tensor in assembly.data.items()}


# operations that run graphs
HOLDING = ("If", "Loop", "Scan")


class _Sizes(Assembly):
    """Values, some of them by their sizes alone."""

    def refuse(self, node: Node, lean: Proto, error: ConvSpecError) -> None:
        """Ask onnx for the sizes of what is not computed."""
        try:
            with answered("its sizes must follow from those of its inputs"):
                self.data.update(self._inferred(node, lean))
        except ConvSpecError:
            super().refuse(node, lean, error)

    def _inferred(self, node: Node, lean: Proto) -> dict[str, Tensor]:
        """Tensors of the sizes that an operation of the standard makes.

        Raises:
            ValueError: If some are not known.
        """
        if node.domain or node.op in HOLDING:
            raise ValueError("it is none of the standard's, or holds graphs")
        kinds = {name: _kind(self._value(name)) for name in node.inputs if name}
        infer = onnx("onnx.shape_inference").infer_node_outputs
        schema = onnx("onnx.defs").get_schema(node.op, self.opset, "")
        imports = [onnx("onnx.helper").make_opsetid("", self.opset)]
        found = infer(
            schema, lean, kinds, opset_imports=imports, ir_version=GRAPHS_READ_AS
        )
        made = {name: _empty(found[name]) for name in node.outputs if name}
        if sum(each.nbytes for each in made.values()) > self.folder.max_bytes:
            raise ValueError("they are larger than they may be")
        return made

    def _value(self, name: str) -> Tensor:
        found = self.data.get(name)
        found = self.constant(name) if found is None else found
        if found is None:
            raise ValueError("an input is not known")
        return found


def _kind(tensor: Tensor) -> Proto:
    """The type of a tensor as onnx writes it."""
    (number,) = [n for n in TYPES if TYPES[n][3] == tensor.dtype][:1]
    kind: Proto = onnx("onnx.helper").make_tensor_type_proto(number, list(tensor.shape))
    return kind


def _empty(kind: Proto) -> Tensor:
    """A tensor of a type, on the meta device.

    Raises:
        ValueError: If a size is not known.
    """
    dims = kind.tensor_type.shape.dim
    dtype = TYPES[kind.tensor_type.elem_type][3]
    if dtype is None or not all(dim.HasField("dim_value") for dim in dims):
        raise ValueError("a size is not known")
    return torch.empty([dim.dim_value for dim in dims], dtype=dtype, device="meta")
