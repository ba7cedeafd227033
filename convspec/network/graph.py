"""A model as a graph of maps, from one run of it.

Every operation that reads what the model is given becomes a node; those that do not are
constants. What is not understood is refused with its name, its module and its line: no
operation is ever left out, so that a bound on the graph is one on the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from convspec.errors import UnsupportedLayer
from convspec.model.convolutions import KNOWN, read_convolution
from convspec.model.event import FACTORIES, Event, Value
from convspec.model.fusing import with_padding_of
from convspec.model.movement import moved_back
from convspec.model.record import Recorder
from convspec.model.running import run_recorded
from convspec.network.kinds import Curved, Kind, Move, Product, Refused
from convspec.network.leaving import Leaving
from convspec.network.nodes import is_read, read
from convspec.network.nodes.composed import composed
from convspec.network.nodes.given import Given
from convspec.network.nodes.linear import filter_of

__all__ = ["Graph", "Node", "graph_of", "needed", "recorded_graph"]

WRITTEN = (
    "tensors must not be written to through views of them; {} reads one that was; write "
    "torch.cat or F.pad in its place"
)


@dataclass(frozen=True)
class Node:
    """One map.

    Attributes:
        kind: What it does; None of the model's input.
        inputs: The places of the nodes that it reads.
        shape: Of its output, with the batch axis.
        module: Name of the module that it is part of.
        line: Where the model's code calls it, ``file.py:12``.
        value: The tensor in the record of the run.
        at: The place there of the operation that made it, or that reads what was put
            together in memory.
        constants: The largest modulus of constants that it reads.
    """

    kind: Kind | None
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    module: str = ""
    line: str = ""
    value: Value | None = None
    at: int = -1
    constants: float = 0.0

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
    graph, _ = recorded_graph(model, x)
    for node in graph.nodes:
        if isinstance(node.kind, Product | Curved):
            raise UnsupportedLayer(node.kind.words)
    return graph


def recorded_graph(
    model: nn.Module, x: Tensor, *, keeps: bool = False
) -> tuple[Graph, Recorder]:
    """The graph with maps that have a constant on a domain alone, and the run.

    Args:
        model: The model; run in evaluation mode.
        x: (1, ...), floating point.
        keeps: Whether the record keeps all values.

    Raises:
        UnsupportedLayer: If an operation has no bound, or none that is known.
        UnreadableModel: If the model does not run.
    """
    leaving = Leaving()
    with leaving:
        recorder, results = run_recorded(model, (x,), sources=(x,), keeps=keeps)
    builder = _Builder(recorder.events, recorder.given[0])
    graph = builder.built(results)
    for tensor, method in leaving.seen:
        if recorder.value(tensor).storage in builder.reached:
            raise UnsupportedLayer(
                "a model must compute by torch's operations; it takes numbers out of "
                f"its data by {method}, so that what becomes of them is not known"
            )
    return _told(graph), recorder


class _Builder:
    """Makes nodes of events, in order."""

    def __init__(self, events: Sequence[Event], source: Value) -> None:
        self.events = events
        self.nodes = [Node(None, (), source.shape, value=source, at=0)]
        self.place = {source.number: 0}
        # of each storage: where it was last written to, and what holds that now
        self.written: dict[int, tuple[int, frozenset[int]]] = {}
        self.made = {source.number: -1}
        # storages that hold data
        self.reached = {source.storage}

    def built(self, results: Sequence[Value]) -> Graph:
        """The graph with these outputs."""
        for at, event in enumerate(self.events):
            self._add(at, event)
        for each in results:
            self._find(len(self.events), each)
        hidden = [each for each in results if each.number not in self.place]
        if any(each.storage in self.reached for each in hidden):
            raise UnsupportedLayer(WRITTEN.format("the model's return"))
        outputs = [each for each in results if each.number in self.place]
        if not outputs:
            raise UnsupportedLayer(
                "the model's output must depend on its input; it does not, as far as "
                "torch's operations tell"
            )
        stale = self._stale(outputs, "the model's return")
        if stale:
            raise UnsupportedLayer(stale)
        places = [self.place[each.number] for each in outputs]
        for turn, place in enumerate(places):
            if place in places[:turn]:  # returned twice, it counts twice
                places[turn] = len(self.nodes)
                again = Move(None, "the same again")
                self.nodes.append(
                    replace(self.nodes[place], kind=again, inputs=(place,), constants=0.0)
                )
        return needed(Graph(tuple(self.nodes), tuple(places)))

    def _add(self, at: int, event: Event) -> None:
        for each in event.inputs:
            if each.number not in event.constants:
                self._find(at, each)
        given = Given(event, frozenset(self.place))
        made = event.name.partition("::")[2].startswith(FACTORIES)
        drawn = torch.Tag.nondeterministic_seeded in event.func.tags
        if drawn and not is_read(given.name):
            self._refuse(at, event, given.no_bound("it draws random numbers"))
        elif (given.data or given.unknown) and not made:
            stale = self._stale(given.data, given.where)
            if given.changed:
                stale = (
                    f"constants must stay as they are; one of {given.where} is written "
                    "to later in the same run; clone it first"
                )
            if given.unknown:
                stale = stale or WRITTEN.format(given.where)
            if not self._put_whole(at, event, given, bool(stale)):
                if stale:
                    self._refuse(at, event, stale)
                else:
                    places = tuple(self.place[each.number] for each in given.data)
                    self._put(at, event, read(given), places, given)
        outputs = frozenset(each.number for each in event.outputs)
        for storage in event.writes:
            self.written[storage] = at, outputs

    def _find(self, at: int, value: Value) -> None:
        """A node for a value that was put together in memory, if it is of one tensor.

        So is what torch pads around: an empty image, whose parts are written to.
        """
        if value.storage not in self.reached:
            return
        if value.number in self.place and not self._stale([value], ""):
            return
        for moved in moved_back(self.events, at, value):
            source = moved.source
            if source.number in self.place and not self._stale([source], ""):
                self.place[value.number] = len(self.nodes)
                self.made[value.number] = moved.last
                last = self.events[moved.last]
                module = last.path[-1] if last.path else ""
                kind = Move(moved.places - 1, "moves")
                place = (self.place[source.number],)
                node = Node(kind, place, value.shape, module, last.line, value, at)
                self.nodes.append(node)
                return

    def _put_whole(self, at: int, event: Event, given: Given, stale: bool) -> bool:
        """A node for an operation and some before it, if they are one map."""
        whole = None if stale else composed(given, self._maker)
        kind, source = self._padded(at, event)
        if whole is not None:
            kind, source = whole[0], self.place[whole[1].number]
        if kind is not None:
            self._put(at, event, {event.outputs[0].number: kind}, (source,), given)
        return kind is not None

    def _refuse(self, at: int, event: Event, why: str) -> None:
        given = Given(event, frozenset(self.place))
        kinds: dict[int, Kind] = {each.number: Refused(why) for each in event.outputs}
        places = tuple(self.place[each.number] for each in given.data)
        self._put(at, event, kinds, places, given)

    def _put(
        self,
        at: int,
        event: Event,
        kinds: Mapping[int, Kind],
        places: tuple[int, ...],
        given: Given,
    ) -> None:
        """A node for each output; those without a kind are refused."""
        self.reached |= event.writes
        for output in event.outputs:
            kind = kinds.get(output.number) or Refused(given.no_bound())
            self.place[output.number] = len(self.nodes)
            self.made[output.number] = at
            self.reached.add(output.storage)
            node = Node(
                kind,
                places,
                output.shape,
                given.module,
                event.line,
                output,
                at,
                _largest(event),
            )
            self.nodes.append(node)

    def _maker(self, value: Value) -> Given | None:
        """What made a value, if it was data and understood."""
        at = self.made.get(value.number, -1)
        if at < 0 or isinstance(self.nodes[self.place[value.number]].kind, Refused):
            return None
        return Given(self.events[at], frozenset(self.place))

    def _padded(self, at: int, event: Event) -> tuple[Kind | None, int]:
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
                return WRITTEN.format(where)
        return ""


def _largest(event: Event) -> float:
    """The largest modulus of constants of real numbers."""
    tensors = [each.tensor.detach() for each in event.constants.values()]
    real = [x for x in tensors if x.is_floating_point() and x.numel()]
    return max((float(x.abs().max()) for x in real), default=0.0)


def needed(graph: Graph) -> Graph:
    """The graph without nodes that no output needs."""
    wanted = set(graph.outputs) | {0}
    for place in range(len(graph.nodes) - 1, -1, -1):
        if place in wanted:
            wanted.update(graph.nodes[place].inputs)
    new = {old: place for place, old in enumerate(sorted(wanted))}
    nodes = [
        replace(
            graph.nodes[old], inputs=tuple(new[each] for each in graph.nodes[old].inputs)
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
