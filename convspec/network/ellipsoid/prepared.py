"""A network as an ellipsoid is carried through it, on a torus or on plain vectors."""

from __future__ import annotations

from convspec.errors import NotApplicable
from convspec.network.ellipsoid.cuts import with_cuts
from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.recast import recast
from convspec.network.fuse import folded
from convspec.network.graph import Graph

__all__ = ["prepared"]


def prepared(graph: Graph, torus: bool) -> Graph:
    """The same maps with their neighbours, as nodes that can be carried.

    A certificate names these nodes by their place, so that it is made anew whenever this
    changes.

    Args:
        graph: Of the network.
        torus: Whether images are to live on a torus.
    """
    if not torus:
        return folded(recast(folded(graph), torus))
    found = _on_torus(graph)
    try:
        Layout.torus(found)
    except NotApplicable:  # of another size than images that wrap around, perhaps
        return _on_torus(graph, unrolls=True)
    return found


def _on_torus(graph: Graph, unrolls: bool = False) -> Graph:
    # what comes before an image in a row leaves the row to be read by its matrix
    return with_cuts(folded(recast(folded(graph), unrolls=unrolls)))
