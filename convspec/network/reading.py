"""A model as a network that has a constant, for all inputs or on a domain."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from convspec.model.inputs import example_inputs
from convspec.network.certificate import digest_of
from convspec.network.domain import Domain, on_domain
from convspec.network.evaluated import alone, copied
from convspec.network.graph import Graph, graph_of, recorded_graph
from convspec.network.ranges import ranges

__all__ = ["Network", "network_of"]


@dataclass(frozen=True)
class Network:
    """A model that was read.

    Attributes:
        graph: Maps that have constants.
        digest: Of the model's own maps, which a domain does not change.
        domain: Of its inputs; None for all.
    """

    graph: Graph
    digest: str
    domain: Domain | None = None


def network_of(
    module: nn.Module, shape: tuple[int, ...], domain: Domain | None
) -> Network:
    """Read a model; on a domain with the ranges of all its tensors.

    Ranges are told from a run of a copy in float64.

    Args:
        module: The model.
        shape: Of one input, without the batch.
        domain: Of its inputs; None for all.

    Raises:
        UnsupportedLayer: If an operation has no constant, on the domain if there is one.
        UnreadableModel: If the model does not run, or not in float64.
    """
    if domain is None:
        graph = graph_of(module, example_inputs(module, shape)[0])
        return Network(graph, digest_of(graph))
    box = domain.range(shape)
    with alone(module):
        wide = copied(module, torch.float64, torch.device("cpu"))
        middle = box.low + (box.high - box.low) / 2
        graph, recorder = recorded_graph(wide, middle, keeps=True)
    known = ranges(graph, box, recorder)
    return Network(on_domain(graph, known), digest_of(graph), domain)
