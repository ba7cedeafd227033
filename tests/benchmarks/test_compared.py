"""Published constants of networks: known answers, enumerated masks, and the judge."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import digit_networks, networks_compared
from benchmarks.__main__ import main
from benchmarks.digit_networks import DIGIT_NETWORKS, DigitNetwork, chain, digit_network
from benchmarks.networks_compared import Compared, compared, compared_text
from benchmarks.published_constants import (
    Matrix,
    auto_lip,
    best_masks,
    greedy_seq_lip,
    lip_lt,
    lip_sdp,
    power_norm,
)

SHAPES = {"wide": (6, 8, 4), "one output": (6, 8, 1), "deep": (3, 4, 5, 2)}


def drawn(seed: int, *widths: int) -> list[Matrix]:
    generator = np.random.default_rng(seed)
    return [
        generator.standard_normal((after, before)) / before**0.5
        for before, after in itertools.pairwise(widths)
    ]


def norm(*factors: Matrix) -> float:
    """Of a product, the last factor first."""
    return float(
        np.linalg.norm(np.linalg.multi_dot([*factors, np.eye(len(factors[-1].T))]), 2)
    )


def enumerated(weights: list[Matrix]) -> float:
    """The largest norm over all masks."""
    widths = [len(each) for each in weights[:-1]]
    best = 0.0
    for bits in itertools.product((0.0, 1.0), repeat=sum(widths)):
        masks = np.split(np.array(bits), np.cumsum(widths)[:-1])
        found = np.eye(weights[0].shape[1])
        for mask, weight in zip(masks, weights, strict=False):
            found = mask[:, None] * (weight @ found)
        best = max(best, float(np.linalg.norm(weights[-1] @ found, 2)))
    return best


@pytest.mark.parametrize("widths", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_masks_are_those_of_all(widths: tuple[int, ...], seed: int) -> None:
    weights = drawn(seed, *widths)
    exact = enumerated(weights)
    assert best_masks(weights) == pytest.approx(exact, rel=1e-12)
    assert lip_lt(weights) >= exact
    assert auto_lip(weights) >= lip_lt(weights)


def test_power_iterations_stay_below() -> None:
    (matrix,) = drawn(0, 20, 30)
    few, many, exact = power_norm(matrix, 3), power_norm(matrix, 2000), norm(matrix)
    assert few < many <= exact * (1 + 1e-14)
    assert many == pytest.approx(exact, rel=1e-10)
    assert auto_lip([matrix, 3 * np.eye(30)]) == pytest.approx(3 * power_norm(matrix))


def test_lip_lt_is_its_formula() -> None:
    a, b, c = drawn(1, 3, 4, 5, 2)
    first, ab = norm(a), norm(b, a)
    second = ab / 2 + norm(b) * first / 2
    third = norm(c, b, a) / 4 + norm(c, b) / 4 * first + norm(c) / 2 * second
    assert lip_lt([a]) == pytest.approx(first, rel=1e-6)
    assert lip_lt([a, b]) == pytest.approx(second, rel=1e-6)
    assert lip_lt([a, b, c]) == pytest.approx(third, rel=1e-6)


def test_greedy_flips_stop_below_the_best_masks() -> None:
    """With one hidden layer its number is that of a mask: never above, at times below."""
    below = 0
    for seed in range(21):
        weights = drawn(seed, 3, 10, 1)
        exact, greedy = enumerated(weights), greedy_seq_lip(weights)
        assert greedy <= exact * (1 + 1e-12)
        below += greedy < exact * (1 - 1e-9)
    assert 0 < below < 21


def test_seq_lip_splits_inner_layers_by_roots() -> None:
    """Where all entries are positive, masks of ones are best, and the product known."""
    first, second, last = (np.abs(each) for each in drawn(2, 3, 3, 3, 3))
    u, s, vh = np.linalg.svd(second)
    ones = norm(np.diag(np.sqrt(s)) @ vh, first) * norm(last, u @ np.diag(np.sqrt(s)))
    assert greedy_seq_lip([first, last]) == pytest.approx(norm(last, first), rel=1e-12)
    assert greedy_seq_lip([first, second, last]) >= ones * (1 - 1e-12)
    assert greedy_seq_lip([first, second, last]) <= norm(first) * norm(second) * norm(
        last
    )


def test_semidefinite_programs_of_known_value() -> None:
    pytest.importorskip("cvxpy")
    absolute = [np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])]
    assert lip_sdp(absolute) == pytest.approx(1, rel=1e-5)
    assert lip_sdp([np.array([[3.0]]), np.array([[-5.0]])]) == pytest.approx(15, rel=1e-5)
    for seed, widths in enumerate(SHAPES.values()):
        weights = drawn(seed, *widths)
        assert enumerated(weights) * (1 - 1e-6) <= lip_sdp(weights)
        assert lip_sdp(weights) <= lip_lt(weights) * (1 + 1e-6)


@pytest.mark.parametrize("name", DIGIT_NETWORKS)
def test_chains_are_their_networks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digit_networks, "EPOCHS", 1)
    net, shape = digit_network(name, 0), DIGIT_NETWORKS[name].shape
    for key, parameter in net.named_parameters():
        if key.endswith("bias"):
            parameter.zero_()
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0)).double()
    found = x.flatten(1).numpy().T
    *hidden, last = chain(net, shape)
    for weight in hidden:
        found = np.maximum(weight @ found, 0)
    assert np.allclose((last @ found).T, net(x).numpy(), rtol=1e-12, atol=1e-12)


def test_training_is_seeded() -> None:
    state = torch.get_rng_state()
    first, again, other = (digit_network("fnn2-8", seed) for seed in (0, 0, 1))
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert torch.equal(state, torch.get_rng_state())


def test_a_chain_ends_with_a_linear_layer() -> None:
    with pytest.raises(TypeError, match="the last layer must be linear; got a ReLU"):
        chain(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), (2,))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    network = DigitNetwork(
        "64-4-2",
        lambda: nn.Sequential(nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 10)),
        (64,),
    )
    monkeypatch.setitem(DIGIT_NETWORKS, "small", network)
    monkeypatch.setattr(digit_networks, "EPOCHS", 1)
    monkeypatch.setattr(networks_compared, "SECONDS", 1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_network_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    found = compared("small", 0, 1.0)
    assert found.wrong == ()
    assert 0 < found.lower <= found.masks * (1 + 1e-9) <= found.upper * (1 + 1e-9)
    assert set(found.values) | set(found.missing) == set(networks_compared.METHODS)
    assert main(["networks-compared", "small"]) == 0
    assert capsys.readouterr().out.count("64-4-2") == 3


@pytest.mark.usefixtures("small")
def test_large_programs_and_missing_packages_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(networks_compared, "MOST_UNITS", 3)
    assert compared("small", 0, 1.0).missing == {"LipSDP": "4 units"}
    monkeypatch.setattr(networks_compared, "MOST_UNITS", 4)
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    found = compared("small", 0, 1.0)
    assert found.missing == {"LipSDP": "cvxpy is not installed"}
    assert "not run" in compared_text(found)


GOOD = Compared(
    "fnn2",
    0,
    {"AutoLip": 4.0, "SeqLip": 2.5, "LipLT": 3.0, "LipSDP": 2.0},
    dict.fromkeys([*networks_compared.METHODS, "convspec"], 0.1),
    {},
    masks=2.0,
    lower=1.9,
    upper=2.1,
)


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, ()),
        ({"masks": 2.1}, ("LipSDP",)),
        ({"masks": 2.2}, ("LipSDP", "convspec")),
        ({"lower": 2.05}, ("convspec",)),
        ({"lower": 2.2, "upper": 2.3}, ("convspec",)),
    ],
    ids=["good", "a program below masks", "both below masks", "above a program", "both"],
)
def test_the_judge(changed: dict[str, float], wrong: tuple[str, ...]) -> None:
    found = replace(GOOD, **changed)
    assert found.wrong == wrong
    assert all(f"WRONG: {name}" in compared_text(found) for name in wrong)
    assert ("WRONG" in compared_text(found)) == bool(wrong)


def test_what_greedy_masks_miss_is_marked() -> None:
    assert "<2.5000" not in compared_text(GOOD)
    values = {**GOOD.values, "SeqLip": 1.9}
    assert "<1.9000 (0.1)" in compared_text(replace(GOOD, values=values))


def test_unknown_networks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["networks-compared", "alexnet"]) == 2
    assert "networks are fnn2, fnn2-8" in capsys.readouterr().out


def test_without_digits_nothing_is_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert main(["networks-compared", "fnn2"]) == 1
    assert "not run; sklearn.datasets must be importable" in capsys.readouterr().out
