"""An ONNX model unfolded: functions where they are called, bodies where they run.

Functions of the model are put where they are called, and every value gets a name of its
own, whatever graph it is made in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from convspec.errors import UnreadableModel
from convspec.files.onnx_file import Proto, onnx
from convspec.files.onnx_growth import SMALL
from convspec.files.onnx_program import Node, Program, domain_of
from convspec.files.onnx_tensors import EXTERNAL, entries_of

__all__ = ["unfolded"]

MOST_NODES = 2**17
MOST_BYTES = 2**28  # of operations with their attributes, large tensors aside
DEEPEST = 64  # that functions call functions
GRAPH, GRAPHS = 5, 10  # types of attributes


def unfolded(model: Proto) -> Program:
    """The operations of a model.

    Raises:
        UnreadableModel: If functions call themselves or too much, or two operations make
            one value.
    """
    unfolding = _Unfolding(model)
    scope = _Scope({}, None, "", None, unfolding.program.graph, ())
    unfolding.add(model.graph, scope)
    return unfolding.program


@dataclass
class _Scope:
    """What a graph or a function is unfolded in.

    Attributes:
        known: Name of a value in it -> the one in the program.
        outer: The one around it, whose values it sees.
        path: In front of the names of operations.
        attributes: Of the call of a function; None outside of functions.
        graph: Where its operations go.
        calls: Functions that it is in, outermost first.
    """

    known: dict[str, str]
    outer: _Scope | None
    path: str
    attributes: Mapping[str, Proto] | None
    graph: Proto
    calls: tuple[object, ...]

    def name(self, name: str) -> str:
        """The name of a value in the program."""
        level: _Scope | None = self
        while level is not None:
            if name in level.known:
                return level.known[name]
            level = level.outer
        return name


class _Unfolding:
    """A program while it is made."""

    def __init__(self, model: Proto) -> None:
        self.functions = {_key(f, f.name): f for f in getattr(model, "functions", ())}
        self.program = Program(onnx().GraphProto(name="program"))
        self.made: set[str] = set()
        self.count = self.bytes = 0

    def add(self, graph: Proto, scope: _Scope) -> None:
        """Add what is in a graph."""
        given = {tensor.name for tensor in graph.initializer}
        for each in (*graph.input, *graph.initializer):
            if each.name and each.name not in scope.known:
                scope.known[each.name] = self._new(each.name)
        self._declare(graph.node, scope, set(scope.known))
        for each in graph.input:
            if each.name not in given:  # else it has a value, which is taken
                scope.graph.input.add().CopyFrom(each)
                scope.graph.input[-1].name = scope.name(each.name)
        for tensor in graph.initializer:
            self._tensor(tensor, scope.name(tensor.name), scope)
        self._nodes(graph.node, scope)
        for each in (*graph.value_info, *graph.output):
            self._count(each.ByteSize())
            hint = scope.graph, scope.name(each.name), each.type
            self.program.hints.append(hint)
        for each in graph.output:
            made = scope.graph.output.add(name=scope.name(each.name))
            made.type.CopyFrom(each.type)
            if made.type.HasField("tensor_type"):
                made.type.tensor_type.ClearField("shape")
            self.program.results.add(made.name)

    def _new(self, name: str) -> str:
        """A name that no other value of the program has."""
        fresh, number = name, len(self.made)
        while fresh in self.made:
            fresh, number = f"{name}:{number}", number + 1
        self.made.add(fresh)
        return fresh

    def _declare(self, nodes: Sequence[Proto], scope: _Scope, made: set[str]) -> None:
        """Name what operations make, beside what is made already."""
        for name in (name for node in nodes for name in node.output if name):
            if name in made:
                raise UnreadableModel(
                    f"a value must be made once; {name[:100]!r} is made again; export "
                    "the model again"
                )
            made.add(name)
            if name not in scope.known:
                scope.known[name] = self._new(name)

    def _count(self, size: int) -> None:
        self.count, self.bytes = self.count + 1, self.bytes + size
        if self.count > MOST_NODES or self.bytes > MOST_BYTES:
            raise UnreadableModel(
                f"a model must have at most {MOST_NODES} operations and values, its "
                "functions unfolded; this one has more, or larger ones; analyse a part"
            )

    def _tensor(self, tensor: Proto, name: str, scope: _Scope) -> None:
        """Keep a tensor; shapes are inferred from the numbers of small ones alone."""
        self._count(0)
        self.program.tensors[name] = tensor
        if entries_of(tensor) <= SMALL and tensor.data_location != EXTERNAL:
            scope.graph.initializer.add().CopyFrom(tensor)
            scope.graph.initializer[-1].name = name
            return
        kind = scope.graph.value_info.add(name=name).type.tensor_type
        kind.elem_type = tensor.data_type
        for size in tensor.dims:
            kind.shape.dim.add().dim_value = size
        kind.shape.SetInParent()

    def _nodes(self, nodes: Sequence[Proto], scope: _Scope) -> None:
        for node in nodes:
            attributes = dict(_bound(node, scope.attributes))
            function = self.functions.get(_key(node, node.op_type))
            value = attributes.get("value")
            if function is not None:
                self._call(function, node, attributes, scope)
            elif _is_constant(node) and value is not None and value.HasField("t"):
                self._tensor(value.t, scope.name(node.output[0]), scope)
            else:
                self._node(node, attributes, scope)

    def _node(self, node: Proto, attributes: dict[str, Proto], scope: _Scope) -> None:
        """Add an operation, the bodies that it runs in front of it."""
        lean = scope.graph.node.add(op_type=node.op_type, domain=node.domain)
        lean.input.extend(scope.name(name) for name in node.input)
        lean.output.extend(scope.name(name) for name in node.output)
        self._count(lean.ByteSize())
        inside = _joined(scope.path, node.name or node.op_type)
        for name, attribute in attributes.items():
            copy = lean.attribute.add()
            if attribute.type not in (GRAPH, GRAPHS):
                self._count(attribute.ByteSize())
                copy.CopyFrom(attribute)
                copy.name = name
                continue
            copy.name, copy.type = name, attribute.type
            one = attribute.type == GRAPH
            for body in [attribute.g] if one else attribute.graphs:
                graph = copy.g if one else copy.graphs.add()
                graph.name = body.name
                part = _Scope({}, scope, inside, scope.attributes, graph, scope.calls)
                self.add(body, part)
        path = _joined(scope.path, node.name)
        names = tuple(lean.input), tuple(lean.output)
        domain = domain_of(node.domain)
        self.program.lean.append(lean)
        self.program.nodes.append(Node(node.op_type, domain, path, *names, attributes))

    def _call(
        self,
        function: Proto,
        node: Proto,
        given: Mapping[str, Proto],
        scope: _Scope,
    ) -> None:
        """Add the operations of a function where it is called."""
        key = _key(node, node.op_type)
        if key in scope.calls or len(scope.calls) >= DEEPEST:
            raise UnreadableModel(
                f"functions must not call themselves; {node.op_type[:100]!r} does, or "
                f"they call one another more than {DEEPEST} deep; export the model "
                "without functions"
            )
        self._count(0)
        usual = {each.name: each for each in getattr(function, "attribute_proto", ())}
        path = _joined(scope.path, node.name or node.op_type)
        calls = (*scope.calls, key)
        inside = _Scope({}, None, path, {**usual, **given}, scope.graph, calls)
        for formal, names in (
            (function.output, node.output),
            (function.input, node.input),
        ):
            for place, name in enumerate(formal):
                actual = names[place] if place < len(names) else ""
                if actual or formal is function.input:
                    inside.known[name] = scope.name(actual)
        self._declare(function.node, inside, set(function.input))
        self._nodes(function.node, inside)


def _key(message: Proto, name: str) -> tuple[str, str, str]:
    """What identifies a function, of itself or of a call."""
    return domain_of(message.domain), name, getattr(message, "overload", "")


def _is_constant(node: Proto) -> bool:
    one = len(node.output) == 1
    return node.op_type == "Constant" and not domain_of(node.domain) and one


def _bound(node: Proto, given: Mapping[str, Proto] | None) -> Iterator[tuple[str, Proto]]:
    """Attributes of an operation, those of the call of its function put in."""
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            yield attribute.name, attribute
        elif given is not None and attribute.ref_attr_name in given:
            yield attribute.name, given[attribute.ref_attr_name]


def _joined(path: str, name: str) -> str:
    """A name behind the path of what it is in."""
    return f"{path.rstrip('/')}/{name.lstrip('/')}" if path else name
