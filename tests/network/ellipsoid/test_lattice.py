"""Frequencies of tori, and those halfway between them."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from convspec.network.ellipsoid.lattice import Lattice
from convspec.network.ellipsoid.layout import Layout
from convspec.network.ellipsoid.multipliers import Multipliers
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.ellipsoid.proof import estimate
from convspec.network.ellipsoid.propagation import Propagation
from convspec.network.graph import graph_of
from convspec.network.norms import Norms
from tests.network.networks import filled

LATTICES = [
    Lattice(sizes, halves)
    for sizes in [(1,), (2,), (5,), (6,), (4, 6), (2, 3), (1, 4)]
    for halves in product((0, 1), repeat=len(sizes))
]


def angles(lattice: Lattice) -> np.ndarray:
    """All frequencies of a torus; (F, d)."""
    grid = np.indices(lattice.sizes).reshape(len(lattice.sizes), -1).T
    return 2 * math.pi * (grid + np.array(lattice.halves) / 2) / np.array(lattice.sizes)


def same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether two frequencies are equal but for whole turns."""
    return np.abs(np.exp(1j * one) - np.exp(1j * other)).max(-1) < 1e-9


def kept(lattice: Lattice) -> np.ndarray:
    halves = np.array(lattice.halves)
    return 2 * math.pi * (lattice.index + halves / 2) / np.array(lattice.sizes)


@pytest.mark.parametrize("lattice", LATTICES, ids=str)
def test_one_of_each_conjugate_pair_is_kept(lattice: Lattice) -> None:
    own, every = kept(lattice), angles(lattice)
    counts = (lattice.shares * math.prod(lattice.sizes)).round().long().tolist()
    for w, count in zip(own, counts, strict=True):
        assert count == 1 + (not same(w, -w))
    for w in every:
        assert same(own, w).sum() + same(own, -w).sum() in (1, 2)
    assert sum(counts) == len(every)
    assert lattice.is_real == all(same(w, -w) for w in every)


@pytest.mark.parametrize("lattice", LATTICES, ids=str)
def test_waves_are_those_of_the_frequencies(lattice: Lattice) -> None:
    places = np.arange(-7, 12)
    for axis in range(len(lattice.sizes)):
        wanted = np.exp(1j * np.multiply.outer(kept(lattice)[:, axis], places))
        found = lattice.waves(axis, places).numpy()
        assert np.abs(found - wanted).max() < 1e-13


@pytest.mark.parametrize("halves", list(product((0, 1), repeat=2)))
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3), (4, 6)])
def test_aliases_become_one_frequency(
    halves: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    lattice = Lattice((4, 6), halves)
    coarse = lattice.coarse(stride)
    where, turned = lattice.aliases(stride)
    fine, factors = kept(lattice), np.array(stride)
    for row, (places, signs) in enumerate(zip(where, turned, strict=True)):
        ends = [fine[p] * (-1 if s else 1) for p, s in zip(places, signs, strict=True)]
        assert all(same(w * factors, kept(coarse)[row]) for w in ends)
        distinct = {tuple(np.round(np.exp(1j * w), 6)) for w in ends}
        assert len(distinct) == math.prod(stride)
    where, turned = lattice.folds(stride)
    for w, place, sign in zip(fine, where, turned, strict=True):
        assert same(w * factors, kept(coarse)[place] * (-1 if sign else 1))


@pytest.mark.parametrize("stride", [1, 2])
def test_frequencies_between_are_those_of_twice_the_torus(stride: int) -> None:
    net = filled(
        nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 3, stride=stride, padding=1)
        )
    )
    graph = prepared(graph_of(net, torch.zeros(1, 2, 8, 8)), True)

    def norm(base: tuple[int, ...], halves: tuple[int, ...] = ()) -> float:
        layout = Layout.torus(graph, base, halves)
        with torch.no_grad():
            return float(estimate(Propagation(graph, layout).run(Multipliers(Norms()))))

    between = [norm((10, 6), halves) for halves in product((0, 1), repeat=2)]
    assert max(between) == pytest.approx(norm((20, 12)), rel=1e-9)
    assert min(between) < max(between) - 1e-6
