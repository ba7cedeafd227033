"""One passage of an ellipsoid from a network's input to its outputs.

Nodes are taken in order; tensors that nothing reads any more are dropped. What lives on
one lattice is carried jointly, so that sums and joins are exact; where a stride parts
tensors, or a pooling forgets what they have in common, groups are joined again by
``blkdiag((1 + t) S_1, (1 + 1/t) S_2)``, which holds for any t > 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convspec.errors import NotApplicable
from convspec.network.ellipsoid.aliasing import aliased
from convspec.network.ellipsoid.group import Group
from convspec.network.ellipsoid.heads import head
from convspec.network.ellipsoid.lattice import Lattice
from convspec.network.ellipsoid.layout import NAME, keeps_channels
from convspec.network.ellipsoid.lengths import UNIT
from convspec.network.ellipsoid.maps import Map
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.nonlinear import (
    activated,
    ends,
    ready,
    slopes,
    spread_of,
    weighted,
)
from convspec.network.ellipsoid.refining import refined
from convspec.network.ellipsoid.root import Infeasible
from convspec.network.ellipsoid.setting import Setting
from convspec.network.ellipsoid.spread import Spread
from convspec.network.graph import Node
from convspec.network.kinds import Axes, Bounded, Entrywise, Filter, Rows
from convspec.rounding.directed import up

__all__ = ["Passage"]

# by how much a multiplier is raised that rounding refuses, at first and at most
RAISE, MOST_RAISE = 1e-2, 10.0


class Passage:
    """One passage through a network."""

    def __init__(self, of: Setting, multipliers: Multipliers, proven: bool) -> None:
        self.graph, self.layout, self.of = of.graph, of.layout, of
        self.multipliers, self.proven = multipliers, proven
        lattice = self.layout.lattices[0]
        shape = self.graph.nodes[0].shape
        units = _units(of.scale, shape, lattice)
        self.groups = [Group.of_leaf(lattice, units, 0, 0, proven)]
        self.done = {0}
        # an image in a row is the image itself
        self.same = dict(self.layout.flat)

    def outcome(self) -> Group:
        """The group of the outputs, one that is returned twice in it twice."""
        for place in range(1, len(self.graph.nodes)):
            if place not in self.done:
                self._take(place)
                self._drop()
        places = [self._tensor(each) for each in self.graph.outputs]
        group = self._gathered(places, -1).kept(list(dict.fromkeys(places)))
        forms = {-1 - j: group.forms[place] for j, place in enumerate(places)}
        return replace(group, forms=forms).gathered()

    def _tensor(self, place: int) -> int:
        return self.same.get(place, place)

    def _home(self, place: int) -> int:
        """The number of the group that holds a tensor."""
        for number, group in enumerate(self.groups):
            if place in group.forms:
                return number
        raise AssertionError(place)

    def _drop(self) -> None:
        """Forget tensors that nothing reads any more."""
        alive = {self._tensor(each) for each in self.graph.outputs}
        for place, readers in enumerate(self.of.readers):
            if any(each not in self.done for each in readers):
                alive.add(self._tensor(place))
        groups = []
        for group in self.groups:
            places = [place for place in group.forms if place in alive]
            if places:
                kept = group.kept(places)
                groups.append(kept)
        self.groups = groups

    def _gathered(self, places: Sequence[int], at: int) -> Group:
        """The group of some tensors, joined from several if they are apart."""
        numbers = list(dict.fromkeys(self._home(place) for place in places))
        first = self.groups[numbers[0]]
        for step, number in enumerate(numbers[1:]):
            other = self.groups[number]
            if other.lattice != first.lattice:
                raise NotApplicable(
                    "tensors that are joined must have one resolution", NAME
                )
            first = first.joined(other, self.multipliers.share(at, step, first, other))
        if len(numbers) > 1:
            rest = [g for n, g in enumerate(self.groups) if n not in numbers]
            self.groups = [*rest, first]
        return first

    def _take(self, place: int) -> None:
        node = self.graph.nodes[place]
        if place in self.same:
            self.done.add(place)
        elif isinstance(node.kind, Entrywise):
            self._activate(place, node)
        elif self._is_head(place, node):
            self._head(place, node)
        elif self._is_linear(node):
            self._linear(place, node)
        else:
            self._bounded(place, node)

    def _is_linear(self, node: Node) -> bool:
        if isinstance(node.kind, Bounded):
            return False
        image = not self.layout.lattices[node.inputs[0]].is_vector
        return not (isinstance(node.kind, Axes) and image)

    def _is_head(self, place: int, node: Node) -> bool:
        """Whether it makes a vector of an image."""
        lattices = self.layout.lattices
        image = not lattices[node.inputs[0]].is_vector
        head = isinstance(node.kind, Axes | Rows)
        return head and image and lattices[place].is_vector

    def _activate(self, place: int, node: Node) -> None:
        kind, source = node.kind, self._tensor(node.inputs[0])
        assert isinstance(kind, Entrywise)
        number = self._home(source)
        group = ready(self.groups[number], source).scaled()  # what may be gathered, too
        width, vector = group.forms[source].width, group.lattice.is_vector
        lower, upper = ends(kind, node.shape, width, vector)
        if self.of.forgets:
            steep = torch.maximum(lower.abs(), upper.abs())
            self._replaced(place, source, steep**2 * (1 + 8 * UNIT), True)
            return
        self._begin(group, source)
        given = slopes(lower, upper)

        def attempt(multiplier: Tensor) -> Group:
            return activated(group, source, place, given, multiplier)

        spread = spread_of(group, source)
        self.groups[number] = self._attempted(place, spread, group.exponent, attempt)
        self.done.add(place)

    def _begin(self, group: Group, source: int) -> None:
        """Note what a step factorises, unless there is no time for it.

        Raises:
            TooLong: If there is none.
        """
        core, width = group.core.shape[1], group.forms[source].width
        self.of.begin(source, core * core * (core + width))

    def _attempted(
        self,
        place: int,
        spread: Spread,
        exponent: int,
        attempt: Callable[[Tensor], Group],
        *,
        even: bool = False,
        tight: bool = False,
    ) -> Group:
        """A rule with its multiplier, raised by little where a proof refuses it."""
        more = RAISE
        while True:
            multiplier = self.multipliers.above(
                place, spread, exponent, even=even, tight=tight
            )
            try:
                return attempt(multiplier)
            except Infeasible:
                if not (self.proven and self.multipliers.may_rise) or more > MOST_RAISE:
                    raise
                self.multipliers.raise_above(place, spread, multiplier, more)
                more *= 2

    def _linear(self, place: int, node: Node) -> None:
        sources = [self._tensor(each) for each in node.inputs]
        group = self._gathered(sources, place)
        stride = _stride(node)
        number = self._home(sources[0])
        if stride is None or group.lattice.is_vector:
            parts = self._parts(place, node)
            self.groups[number] = group.appended(place, parts)
            self.done.add(place)
            return
        assert isinstance(node.kind, Filter)
        if node.kind.op.transposed:
            ((source, map_),) = self._parts(place, node)
            fine = self.layout.lattices[place]
            given = group, place, source, map_, stride, fine
            self.groups.append(refined(*given, self.multipliers))
            self.done.add(place)
            return
        fellows = {place: self._parts(place, node)}
        for other in range(place + 1, len(self.graph.nodes)):
            each = self.graph.nodes[other]
            if other in self.done or not isinstance(each.kind, Filter):
                continue
            if each.kind.op.transposed:
                continue
            if _stride(each) == stride and each.inputs[0] in group.forms:
                fellows[other] = self._parts(other, each)
        self.groups.append(aliased(group, fellows, stride))
        self.done.update(fellows)

    def _parts(self, place: int, node: Node) -> list[tuple[int, Map]]:
        maps = self.of.maps(place)
        if maps is None:
            raise NotApplicable(f"{node} has no matrix", NAME)
        sources = [self._tensor(each) for each in node.inputs]
        return list(zip(sources, maps, strict=True))

    def _head(self, place: int, node: Node) -> None:
        """A vector of all pixels: ``mean_w G S G^H``; or of rows all channels share."""
        kind, source = node.kind, self._tensor(node.inputs[0])
        assert isinstance(kind, Axes | Rows)
        group = self.groups[self._home(source)].kept([source]).scaled()
        self.groups.append(head(group, place, kind, self.graph.nodes[source].shape))
        self.done.add(place)

    def _bounded(self, place: int, node: Node) -> None:
        """A map of which only a constant is known."""
        kind = node.kind
        if len(set(node.inputs)) != 1:
            raise NotApplicable(f"{node} joins several tensors", NAME)
        source = self._tensor(node.inputs[0])
        vector = self.layout.lattices[source].is_vector
        if isinstance(kind, Axes):
            constant = self.multipliers.norms.of_axes(kind)
        else:
            assert isinstance(kind, Bounded)
            constant = kind.constant
        apart = keeps_channels(node, self.graph.nodes[source].shape, vector)
        gain = torch.tensor(up(constant * constant), dtype=torch.float64, device="cpu")
        self._replaced(place, source, gain, apart)

    def _replaced(self, place: int, source: int, gain: Tensor, apart: bool) -> None:
        """A tensor of which no more is known than how far it moves with another.

        Args:
            place: Of it.
            source: Of the other.
            gain: The square of the constant; one number, or one for each channel.
            apart: Whether each channel is made of the same one of the source.
        """
        node, lattice = self.graph.nodes[place], self.layout.lattices[place]
        group = ready(self.groups[self._home(source)].kept([source]).scaled(), source)
        self._begin(group, source)
        spread = spread_of(group, source)
        width = math.prod(node.shape) if lattice.is_vector else node.shape[1]

        def attempt(multiplier: Tensor) -> Group:
            if not apart:  # what it mixes is measured in one unit
                multiplier = multiplier.max().expand(len(multiplier))
            return weighted(group, source, place, lattice, gain, multiplier, width)

        found = self._attempted(
            place, spread, group.exponent, attempt, even=not apart, tight=True
        )
        self.groups.append(found)
        self.done.add(place)


def _units(scale: tuple[float, ...], shape: tuple[int, ...], lattice: Lattice) -> Tensor:
    """S of the input: 1, or one over the square of each channel's unit, rounded up."""
    units = torch.ones(shape[1], dtype=torch.float64, device="cpu")
    if scale:
        units = 1 / torch.tensor(scale, dtype=torch.float64, device="cpu") ** 2
        units = units * (1 + 2.0**-50)
    if lattice.is_vector:
        return units.repeat_interleave(math.prod(shape[2:]))
    return units


def _stride(node: Node) -> tuple[int, ...] | None:
    """The strides of a convolution, None where all are 1."""
    if not isinstance(node.kind, Filter):
        return None
    stride = tuple(axis.stride for axis in node.kind.op.geometry.axes)
    return stride if any(step > 1 for step in stride) else None
