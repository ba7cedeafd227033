"""The operations of an ONNX model in one list, every value with a name of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from convspec.errors import UnreadableModel
from convspec.files.onnx_file import Proto

__all__ = ["Node", "Program", "domain_of"]


@dataclass(frozen=True)
class Node:
    """An operation.

    Attributes:
        op: Its type.
        domain: Of that type; empty if it is the standard's own.
        path: Its name behind those of what it is in; ends in ``/`` if it has none.
        inputs: Names of values, empty where one is left out.
        outputs: Likewise.
        attributes: By name.
    """

    op: str
    domain: str
    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Proto]

    @property
    def operation(self) -> str:
        """What messages call it."""
        return f"{self.domain or 'onnx'}::{self.op}"

    def is_standard(self, *ops: str) -> bool:
        """Whether it is one of these operations of the standard."""
        return not self.domain and self.op in ops

    def input(self, place: int) -> str:
        """The name of an input; empty if it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute of integers; None if it is not given."""
        found: tuple[int, ...] | None = self._of(name, "ints")
        return found

    def integer(self, name: str, usual: int) -> int:
        """An attribute that is an integer."""
        found: int | None = self._of(name, "i")
        return usual if found is None else found

    def number(self, name: str, usual: float) -> float:
        """An attribute that is a number."""
        found: float | None = self._of(name, "f")
        return usual if found is None else found

    def text(self, name: str, usual: str) -> str:
        """An attribute that is a word."""
        found: bytes | None = self._of(name, "s")
        return usual if found is None else found.decode("ascii", "replace")

    def _of(self, name: str, field: str) -> Any:
        attribute = self.attributes.get(name)
        if attribute is None:
            return None
        if attribute.type != FIELDS[field]:
            raise UnreadableModel(
                f"{name} of {self.path or self.op!r} must have the type that the "
                f"standard says; it has type {attribute.type}; export the model again"
            )
        value = getattr(attribute, field)
        return tuple(value) if field == "ints" else value


# numbers of the types of attributes
FIELDS = {"f": 1, "i": 2, "s": 3, "ints": 7}


@dataclass
class Program:
    """All operations of a model.

    Attributes:
        graph: The same for the inference of shapes: large tensors are types alone.
        nodes: In order; those of bodies in front of what runs them.
        lean: The same in the graph, each at the place of its own in nodes.
        tensors: Initializers and constants, by name.
        results: Values that a graph returns, to a caller or to what runs it.
        hints: What the file says of a value's type: its graph, its name, the type.
    """

    graph: Proto
    nodes: list[Node] = field(default_factory=list)
    lean: list[Proto] = field(default_factory=list)
    tensors: dict[str, Proto] = field(default_factory=dict)
    results: set[str] = field(default_factory=set)
    hints: list[tuple[Proto, str, Proto]] = field(default_factory=list)


def domain_of(domain: str) -> str:
    """The name of a domain; the standard's own has two."""
    return "" if domain == "ai.onnx" else domain
