"""A module out of the operations of an ONNX file.

What does not depend on the model's input is computed once, when the module is made. What
does is told its sizes on torch's meta device before anything is computed, so that no
file makes a module that takes more memory than it may.

The module computes in one type of floating point, that of the widest weight, at least in
single precision: what the file rounds to narrower ones in between is not a part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convspec.errors import ConvSpecError, UnreadableModel, UnsupportedLayer
from convspec.files.onnx_file import Proto
from convspec.files.onnx_network import OnnxNetwork, Step, parameter, several
from convspec.files.onnx_operators import read
from convspec.files.onnx_operators.operands import Operands
from convspec.files.onnx_program import Node, Program
from convspec.files.onnx_shapes import set_inputs
from convspec.files.onnx_tensors import TYPES, Folder, type_name
from convspec.limits import readable_bytes

__all__ = ["Assembly", "network_of", "version_of"]


def network_of(
    model: Proto,
    program: Program,
    folder: Folder,
    input_shape: tuple[Any, ...] | None,
) -> tuple[OnnxNetwork, tuple[int, ...]]:
    """The module, and the shape of its input without the batch.

    Args:
        model: As it is in the file, for the version of its operations.
        program: Its operations.
        folder: What reads its tensors.
        input_shape: Without the batch; None for the file's.

    Raises:
        UnreadableModel: If the shape is missing or fits nothing, or if there is more
            than one input.
        UnsupportedLayer: If an operation that its output needs is not computed.
    """
    if len(program.graph.input) != 1:
        names = ", ".join(each.name for each in program.graph.input[:8])
        raise UnreadableModel(
            f"a network must have one input; this has {len(program.graph.input)}, "
            f"{names}; export the part of one"
        )
    set_inputs(program.graph, input_shape)
    given = program.graph.input[0]
    kind = given.type.tensor_type
    shape = tuple(dim.dim_value for dim in kind.shape.dim)
    dtype = TYPES[kind.elem_type][3] if kind.elem_type in TYPES else None
    if dtype is None or not dtype.is_floating_point:
        raise UnreadableModel(
            f"input {given.name!r} must be of floating point; it is of type "
            f"{type_name(kind.elem_type)}; export the part behind its conversion"
        )
    if len(shape) < 2 or shape[0] != 1:
        raise UnreadableModel(
            f"input {given.name!r} must be a batch of one; its shape is {shape}; export "
            "the model for a batch of one, or of any size"
        )
    assembly = Assembly(program, folder, version_of(model))
    image = torch.empty(shape, dtype=torch.float32, device="meta")
    network = assembly.network(given.name, image)
    widest = {dtype, *(each.dtype for each in network.parameters())}
    wide = torch.float64 if torch.float64 in widest else torch.float32
    return network.to(wide), shape[1:]


def version_of(model: Proto) -> int:
    """The version of the standard's operations."""
    versions = [each.version for each in model.opset_import if not each.domain]
    return max(versions, default=1)


@dataclass(frozen=True)
class _Made:
    """A step before it is known whether it is needed."""

    name: str
    step: Step


class Assembly:
    """Values of a program, one operation after the other.

    Args:
        program: It.
        folder: What reads its tensors.
        opset: Version of the standard's operations.

    Attributes:
        constants: Values that do not depend on the model's input.
        data: Those that do, on the meta device.
        refused: Why the others are not computed.
    """

    def __init__(self, program: Program, folder: Folder, opset: int) -> None:
        self.program, self.folder, self.opset = program, folder, opset
        # each value is one of these
        self.constants: dict[str, Tensor] = {}
        self.data: dict[str, Tensor] = {}  # on the meta device
        self.refused: dict[str, ConvSpecError] = {}
        self.steps: list[_Made] = []
        self.bytes = 0
        self._kept: dict[str, nn.Parameter] = {}

    def network(self, source: str, image: Tensor) -> OnnxNetwork:
        """The module of all that is returned.

        Raises:
            UnsupportedLayer: If some of that cannot be computed.
        """
        self.data[source] = image
        self.compute()
        outputs = [each.name for each in self.program.graph.output]
        for name in outputs:
            if name in self.refused:
                raise self.refused[name]
        missing = [each for each in outputs if not self._known(each)]
        if missing:
            raise UnreadableModel(
                f"the model must make what it returns; {missing[0][:100]!r} is made "
                "nowhere; export it again"
            )
        steps = self._needed(outputs)
        fixed = {each: self.constants[each] for each in outputs if each in self.constants}
        return OnnxNetwork(
            [(each.name, each.step) for each in steps], source, outputs, fixed
        )

    def compute(self) -> None:
        """All values that can be, those of data their sizes alone."""
        for node, lean in zip(self.program.nodes, self.program.lean, strict=True):
            try:
                self._add(node, lean)
            except ConvSpecError as error:  # of no matter, if nothing needs it
                self.refuse(node, lean, error)

    def refuse(self, node: Node, lean: Proto, error: ConvSpecError) -> None:
        """Leave what an operation makes unknown."""
        self.refused.update(dict.fromkeys(filter(None, node.outputs), error))

    def _known(self, name: str) -> bool:
        return name in self.data or self.constant(name) is not None

    def constant(self, name: str) -> Tensor | None:
        """A value that is known; None if it depends on the input or is made nowhere.

        Raises:
            UnsupportedLayer: If its type is none that is read.
        """
        if name not in self.constants and name in self.program.tensors:
            tensor = self.program.tensors[name]
            found = self.folder.tensor(tensor)
            if found is None:
                raise UnsupportedLayer(
                    f"tensors must be numbers that are read; {name[:100]!r} is of type "
                    f"{type_name(tensor.data_type)}; convert it"
                )
            self.constants[name] = found
        return self.constants.get(name)

    def _add(self, node: Node, lean: Proto) -> None:
        """The values that an operation makes."""
        for name in filter(None, node.inputs):
            if name in self.refused:
                raise self.refused[name]
        branch = self._branch(node, lean)
        if branch is not None:
            self._rename(branch, node)
            return
        values: list[Tensor | None] = []
        data: set[int] = set()
        for place, name in enumerate(node.inputs):
            found = self.data.get(name) if name else None
            if found is not None:
                data.add(place)
            values.append(found if found is not None else self._input(node, name))
        given = Operands(node, values, frozenset(data), self.opset, self.folder)
        run = self._answered(given, lambda: read(given))
        places = {j: node.inputs[j] for j in sorted(data - given.taken)}
        held = [None if j in given.taken else value for j, value in enumerate(values)]
        step = Step(run, node.outputs, len(held), places)
        for place, value in enumerate(held):
            if value is not None and place not in places:
                step.register_parameter(
                    f"input{place}", self._shared(node.inputs[place], value)
                )
        self._evaluate(given, step, held)

    def _input(self, node: Node, name: str) -> Tensor | None:
        found = self.constant(name) if name else None
        if name and found is None:
            raise UnreadableModel(
                f"{node.path or node.op} must read what is made before it; {name[:100]!r}"
                " is not; export the model again"
            )
        return found

    def _shared(self, name: str, value: Tensor) -> nn.Parameter:
        """A constant as a parameter, the same for all that read it."""
        if name not in self._kept:
            self._kept[name] = parameter(value)
        return self._kept[name]

    def _evaluate(self, given: Operands, step: Step, held: list[Tensor | None]) -> None:
        """The sizes of what depends on data, and the numbers of what does not."""
        node = given.node
        while held and held[-1] is None:
            held.pop()
        shapes = [None if value is None else _outline(value, step) for value in held]
        made = self._answered(given, lambda: several(step.run(*shapes)))
        if not all(isinstance(each, Tensor) for each in made):
            raise given.refused("it makes something else than tensors")
        self._count(given, made)
        if step.places:
            pairs = zip(node.outputs, made, strict=False)
            self.data.update({name: each.to("meta") for name, each in pairs if name})
            self.steps.append(_Made(_name(node), step))
        else:
            with torch.no_grad():
                real = self._answered(given, lambda: several(step.run(*held)))
            self.constants.update(zip(node.outputs, real, strict=False))

    def _count(self, given: Operands, made: Sequence[Tensor]) -> None:
        self.bytes += sum(each.nbytes for each in made)
        if self.bytes > self.folder.max_bytes:
            limit = readable_bytes(self.folder.max_bytes)
            raise given.refused(
                f"the values up to it need more than max_bytes = {limit}; raise max_bytes"
            )

    def _answered(self, given: Operands, function: Any) -> Any:
        """What a function returns; what torch refuses said in a line."""
        try:
            return function()
        except ConvSpecError:
            raise
        except Exception as error:
            words = " ".join(str(error).split())[:200]
            shapes = [None if x is None else tuple(x.shape) for x in given.values]
            raise UnreadableModel(
                f"{given.node.path or given.node.op} must fit what it reads, of shapes "
                f"{shapes}; {type(error).__name__}: {words}; give another input_shape, "
                "or export the model again"
            ) from error

    def _branch(self, node: Node, lean: Proto) -> list[str] | None:
        """What an If with a known condition returns; None of others."""
        if not node.is_standard("If") or node.input(0) in self.data:
            return None
        condition = self.constant(node.input(0))
        if condition is None or condition.numel() != 1:
            return None
        name = "then_branch" if bool(condition) else "else_branch"
        bodies = [each.g for each in lean.attribute if each.name == name]
        return [each.name for each in bodies[0].output] if bodies else None

    def _rename(self, names: Sequence[str], node: Node) -> None:
        """Give values the names of what an operation makes."""
        for old, new in zip(names, node.outputs, strict=False):
            if old in self.refused:
                raise self.refused[old]
            if old in self.data:
                self.data[new] = self.data[old]
                same = Step(_same, (new,), 1, {0: old})
                self.steps.append(_Made(_name(node), same))
            else:
                found = self._input(node, old)
                assert found is not None
                self.constants[new] = found

    def _needed(self, outputs: Sequence[str]) -> list[_Made]:
        """The steps that the outputs need, in order."""
        wanted, kept = set(outputs), list[_Made]()
        for each in reversed(self.steps):
            if wanted.intersection(filter(None, each.step.outputs)):
                wanted.update(each.step.sources)
                kept.append(each)
        return kept[::-1]


def _outline(value: Tensor, step: Step) -> Tensor:
    """A tensor without its numbers; beside data all of floating point has one type."""
    beside = bool(step.places) and value.is_floating_point()
    return value.to("meta", torch.float32 if beside else value.dtype)


def _same(x: Tensor) -> Tensor:
    return x


def _name(node: Node) -> str:
    """The name of an operation, or of what it makes."""
    if node.path and not node.path.endswith("/"):
        return node.path
    return f"{node.path}{next(filter(None, node.outputs), node.op)}"
