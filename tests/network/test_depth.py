"""Tensors along a network: their constants, and what a pair attains there."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import convspec as cs
from tests.gaussian import gaussian

DIAGONALS = ((3.0, 1.0), (1.0, 5.0))


def chain() -> nn.Sequential:
    layers: list[nn.Module] = []
    for diagonal in DIAGONALS:
        layer = nn.Linear(2, 2, bias=False, dtype=torch.float64)
        layer.weight.data = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        layers += [layer, nn.LeakyReLU(0.5)]
    return nn.Sequential(*layers)


def test_factors_are_norms_of_layers() -> None:
    bound = cs.lipschitz(chain(), (2,), seconds=2)
    assert [each.name.split(",")[0] for each in bound.depth] == ["0", "1", "2", "3"]
    factors = [each.factor for each in bound.depth]
    assert factors == pytest.approx([3.0, 1.0, 5.0, 1.0], rel=1e-6)
    assert [each.upper for each in bound.depth] == pytest.approx([3, 3, 15, 15], rel=1e-6)
    assert [each.name.split(",")[0] for each in bound.costliest[:2]] == ["2", "0"]


def test_what_the_pair_attains_at_the_end_is_its_ratio() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 3))
    for number, parameter in enumerate(model.parameters()):
        parameter.data = gaussian(number, *parameter.shape).float()
    bound = cs.lipschitz(model, (1, 8, 8), seconds=2)
    attained = [each.attained for each in bound.depth]
    assert all(each is not None for each in attained)
    for each in bound.depth:
        assert each.attained is not None
        assert 0 < each.attained <= each.upper
    assert bound.depth[-1].attained == pytest.approx(bound.lower, rel=1e-6)
    assert bound.to_dict()["depth"][0]["attained"] == bound.depth[0].attained


def test_without_a_pair_nothing_is_attained() -> None:
    bound = cs.lipschitz(chain(), (2,), seconds=1, lower=False)
    assert [each.attained for each in bound.depth] == [None] * 4


def test_products_on_a_domain_have_their_tensors_once() -> None:
    class Gate(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :2] * x[:, 2:].sigmoid()

    bound = cs.lipschitz(Gate().double(), (4,), domain=(-1, 1), seconds=2)
    seen = [each.attained for each in bound.depth if each.attained is not None]
    assert seen
    assert bound.depth[-1].attained == pytest.approx(bound.lower, rel=1e-6)


def test_an_infinite_number_is_a_word_in_json() -> None:
    bound = cs.lipschitz(chain(), (2,), seconds=1, lower=False)
    assert math.isfinite(bound.upper)
    assert '"attained": null' in bound.to_json()
