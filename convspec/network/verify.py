"""Checking a certificate: one passage through the network, without any search."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

from torch import nn

from convspec.errors import NotApplicable, UnreadableModel
from convspec.isolation import isolated
from convspec.model.source import OpenedModel
from convspec.network.asked import opened, units
from convspec.network.certificate import Certificate
from convspec.network.ellipsoid.layout import Layout, keeps_channels
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.ellipsoid.proof import Proven, prove
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.ellipsoid.root import Infeasible
from convspec.network.graph import Graph
from convspec.network.kinds import Bounded, Filter
from convspec.network.norms import Norms
from convspec.network.reading import network_of
from convspec.network.result import NetworkBound, Step

__all__ = ["verify"]

# what numbers that do not serve can raise on their way
REFUSED = (
    Infeasible,
    LookupError,
    RuntimeError,
    ArithmeticError,
    ValueError,
    MemoryError,
)


@isolated
def verify(path: str | os.PathLike[str], model: nn.Module | OpenedModel) -> NetworkBound:
    """Check a certificate against a model in one passage, without any search.

    Args:
        path: Of a file that ``NetworkBound.save`` wrote.
        model: The model that it is of.

    Returns:
        The bound, proven again.

    Raises:
        UnreadableModel: If the file is damaged, of another network, or does not prove
            what it claims.
    """
    held = Certificate.load(path)
    name = Path(path)
    module, shape = opened(model, held.input_shape, "verify")
    begun = time.perf_counter()
    network = network_of(module, shape, held.domain)
    own = network.graph
    if network.digest != held.digest:
        raise UnreadableModel(
            "a certificate holds for one network; the model's layers or weights are not "
            f"those of {name}"
        )
    try:
        units(held.scale or None, shape)
        proven = _proven(own, held)
    except NotApplicable as error:
        raise UnreadableModel(f"{name} does not fit the network: {error}") from error
    except REFUSED as error:
        raise UnreadableModel(
            f"{name} does not prove what it claims: a number in it does not serve"
        ) from error
    if not proven.upper <= held.upper:
        raise UnreadableModel(
            f"{name} does not prove what it claims: it gives {proven.upper!r}, and "
            f"claims {held.upper!r}"
        )
    seconds = time.perf_counter() - begun
    step = Step("certificate", held.upper, seconds, "checked in one passage")
    return NetworkBound(
        0.0,
        held.upper,
        (step,),
        warnings=own.warnings,
        scale=held.scale,
        certificate=held,
        domain=held.domain,
        _pairs=proven.pairs,
    )


def _proven(own: Graph, held: Certificate) -> Proven:
    """What the multipliers of a certificate prove.

    Raises:
        NotApplicable: If the network has no such torus.
        Infeasible: If a multiplier does not serve.
    """
    graph = prepared(own, bool(held.base))
    layout = Layout.torus(graph) if held.base else Layout.dense(graph)
    if held.base and held.base != layout.lattices[0].sizes:
        raise NotApplicable("its torus is another", "certificate")
    _require_fitting(graph, layout, held)
    propagation = Propagation(graph, layout, False, held.scale, held.forgets)
    return prove(propagation, held.as_multipliers(Norms()))


def _require_fitting(graph: Graph, layout: Layout, held: Certificate) -> None:
    """There is one multiplier for each channel, and one for all that a map mixes.

    Of a map of which only a constant is known nothing keeps its channels apart; those of
    a transposed convolution are of what it gives.

    Raises:
        Infeasible: If not.
    """
    for place, (numbers, _) in held.multipliers.items():
        node = graph.nodes[place]
        source = layout.flat.get(node.inputs[0], node.inputs[0])
        shape, vector = graph.nodes[source].shape, layout.lattices[source].is_vector
        width = math.prod(shape) if vector else shape[1]
        if isinstance(node.kind, Filter):
            width = node.shape[1]
        if len(numbers) != width:
            raise Infeasible
        if isinstance(node.kind, Bounded):
            apart = keeps_channels(node, graph.nodes[source].shape, vector)
            if not apart and bool((numbers != numbers[0]).any()):
                raise Infeasible
