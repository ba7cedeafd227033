"""Proportions of multipliers before any search: powers of the channels' variances."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.ellipsoid.proof import estimate
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.ellipsoid.search import TILTS, Search
from convspec.network.ellipsoid.tori import Tori
from convspec.network.graph import graph_of
from convspec.network.norms import Norms
from tests.gaussian import gaussian

DOUBLE = {"dtype": torch.float64}


def network(units: list[float]) -> nn.Module:
    """Two layers whose channels between them are measured in some units."""
    first, second = nn.Conv1d(2, 4, 3, padding=1, **DOUBLE), nn.Conv1d(4, 2, 1, **DOUBLE)
    scales = torch.tensor(units, **DOUBLE)
    with torch.no_grad():
        first.weight.copy_(scales[:, None, None] * gaussian(0, 4, 2, 3))
        second.weight.copy_(gaussian(1, 2, 4, 1) / scales[:, None])
    return nn.Sequential(first, nn.ReLU(), second)


def first(units: list[float], tilt: float, dense: bool) -> float:
    graph = prepared(graph_of(network(units), torch.zeros(1, 2, 6, **DOUBLE)), not dense)
    layout = Layout.dense(graph) if dense else Layout.torus(graph)
    with torch.no_grad():
        passage = Propagation(graph, layout).run(Multipliers(Norms(), tilt=tilt))
        return float(estimate(passage))


@pytest.mark.parametrize("dense", [False, True], ids=["torus", "vectors"])
def test_units_of_channels_do_not_matter_where_variances_count(dense: bool) -> None:
    units, ones = [0.1, 1.0, 3.0, 10.0], [1.0] * 4
    assert first(units, 1.0, dense) == pytest.approx(first(ones, 1.0, dense), abs=1e-9)
    assert first(units, 0.0, dense) > first(ones, 0.0, dense) + 1


def test_the_best_of_all_tilts_is_where_a_search_begins() -> None:
    units = [1e-2, 1.0, 10.0, 1e2]
    graph = prepared(graph_of(network(units), torch.zeros(1, 2, 6, **DOUBLE)), True)
    search = Search(Tori(graph, Layout.torus(graph), Norms()))
    found = list[float]()
    search.run(1e-9, lambda _, proven, __: found.append(proven.upper))
    wanted = min(TILTS, key=lambda tilt: first(units, tilt, False))
    assert search.tilt == wanted
    assert math.log(found[0]) == pytest.approx(first(units, wanted, False), abs=1e-6)
