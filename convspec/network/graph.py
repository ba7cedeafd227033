"""A model as a graph of maps, from one run of it.

Every operation that reads what the model is given becomes a node; those that do not are
constants. What is not understood is refused with its name, its module and its line: no
operation is ever left out, so that a bound on the graph is one on the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from convspec.errors import UnsupportedLayer
from convspec.model.convolutions import KNOWN, read_convolution
from convspec.model.fusing import with_padding_of
from convspec.model.record import FACTORIES, Event, Value
from convspec.model.running import run_recorded
from convspec.network.kinds import Filter, Kind, Refused
from convspec.network.nodes import read
from convspec.network.nodes.given import Given
from convspec.network.nodes.linear import filter_of

__all__ = ["Graph", "Node", "graph_of", "needed"]


@dataclass(frozen=True)
class Node:
    """One map.

    Attributes:
        kind: What it does; None of the model's input.
        inputs: The places of the nodes that it reads.
        shape: Of its output, with the batch axis.
        module: Name of the module that it is part of.
        line: Where the model's code calls it, ``file.py:12``.
    """

    kind: Kind | None
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    module: str = ""
    line: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.module, self.line))) or "the model's input"


@dataclass(frozen=True)
class Graph:
    """A model as a graph of maps.

    Attributes:
        nodes: In the order in which they are computed; the input is the first.
        outputs: Places of what the model returns.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is to be known of constants, once each."""
        words = [getattr(node.kind, "warning", "") for node in self.nodes]
        return tuple(dict.fromkeys(filter(None, words)))

    def readers(self) -> list[list[int]]:
        """The places of the nodes that read each."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for place, node in enumerate(self.nodes):
            for each in dict.fromkeys(node.inputs):
                found[each].append(place)
        return found


def graph_of(model: nn.Module, x: Tensor) -> Graph:
    """The graph of a model, as it runs on one input.

    Args:
        model: The model; run in evaluation mode.
        x: (1, ...), floating point.

    Raises:
        UnsupportedLayer: If an operation has no bound, or none that is known.
        UnreadableModel: If the model does not run.
    """
    recorder, results = run_recorded(model, (x,), sources=(x,))
    return _Builder(recorder.events, recorder.value(x)).built(results)


class _Builder:
    """Makes nodes of events, in order."""

    def __init__(self, events: Sequence[Event], source: Value) -> None:
        self.events = events
        self.nodes = [Node(None, (), source.shape)]
        self.place = {source.number: 0}
        # of each storage: where it was last written to, and what holds that now
        self.written: dict[int, tuple[int, frozenset[int]]] = {}
        self.made = {source.number: -1}

    def built(self, results: Sequence[Value]) -> Graph:
        """The graph with these outputs."""
        for at, event in enumerate(self.events):
            self._add(at, event)
        outputs = [each for each in results if each.number in self.place]
        if not outputs:
            raise UnsupportedLayer(
                "the model's output must depend on its input; it does not, as far as "
                "torch's operations tell"
            )
        stale = self._stale(outputs, "the model's return")
        if stale:
            raise UnsupportedLayer(stale)
        places = dict.fromkeys(self.place[each.number] for each in outputs)
        return _told(needed(Graph(tuple(self.nodes), tuple(places))))

    def _add(self, at: int, event: Event) -> None:
        given = Given(event, frozenset(self.place))
        made = event.name.partition("::")[2].startswith(FACTORIES)
        if (given.data or given.unknown) and not made:
            stale = self._stale(given.data, given.where)
            if given.changed:
                stale = (
                    f"constants must stay as they are; one of {given.where} is written "
                    "to later in the same run; clone it first"
                )
            kinds = {} if given.unknown or stale else read(given)
            places = tuple(self.place[each.number] for each in given.data)
            kind_, source = self._padded(at, event)
            if kind_ is not None:
                kinds, places = {event.outputs[0].number: kind_}, (source,)
            for output in event.outputs:
                kind = kinds.get(output.number) or Refused(stale or given.no_bound())
                self.place[output.number] = len(self.nodes)
                self.made[output.number] = at
                node = Node(kind, places, output.shape, given.module, event.line)
                self.nodes.append(node)
        outputs = frozenset(each.number for each in event.outputs)
        for storage in event.writes:
            self.written[storage] = at, outputs

    def _padded(self, at: int, event: Event) -> tuple[Filter | None, int]:
        """A convolution with what pads its input, and the place of what is padded."""
        if event.name not in KNOWN or not isinstance(event.args[0], Value):
            return None, -1
        others = [each for each in event.inputs if each != event.args[0]]
        if any(each.number not in event.constants for each in others):
            return None, -1
        conv, value = with_padding_of(read_convolution(event), self.events, at, False)
        if not conv.fused or value.number not in self.place:
            return None, -1
        if self._stale([value], ""):
            return None, -1
        return filter_of(conv), self.place[value.number]

    def _stale(self, values: Sequence[Value], where: str) -> str:
        """A sentence on values whose memory was written to under another name."""
        for value in values:
            last, holders = self.written.get(value.storage, (-1, frozenset()))
            if last > self.made[value.number] and value.number not in holders:
                return (
                    f"tensors must not be written to through views of them; {where} "
                    "reads one that was; write torch.cat or F.pad in its place"
                )
        return ""


def needed(graph: Graph) -> Graph:
    """The graph without nodes that no output needs."""
    wanted = set(graph.outputs) | {0}
    for place in range(len(graph.nodes) - 1, -1, -1):
        if place in wanted:
            wanted.update(graph.nodes[place].inputs)
    new = {old: place for place, old in enumerate(sorted(wanted))}
    nodes = [
        Node(
            graph.nodes[old].kind,
            tuple(new[each] for each in graph.nodes[old].inputs),
            graph.nodes[old].shape,
            graph.nodes[old].module,
            graph.nodes[old].line,
        )
        for old in new
    ]
    return Graph(tuple(nodes), tuple(new[place] for place in graph.outputs))


def _told(graph: Graph) -> Graph:
    """The graph, if nothing in it is refused.

    Raises:
        UnsupportedLayer: If something is.
    """
    for node in graph.nodes:
        if isinstance(node.kind, Refused):
            raise UnsupportedLayer(node.kind.why)
    return graph
