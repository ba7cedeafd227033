"""Certified radii: by hand, never beyond the exact ones of linear nets, under attack."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from convspec.network.radius import certified_accuracy, certified_radius
from tests.gaussian import gaussian

LOGITS = torch.tensor([[5.0, 1.0, 0.0], [0.0, 2.0, 3.0], [4.0, 4.0, 1.0]])
PAIRS = torch.tensor([[0.0, 2.0, 10.0], [2.0, 0.0, 1.0], [10.0, 1.0, 0.0]])


class Pairs:
    def pairs(self) -> Tensor:
        return PAIRS


def close(found: Tensor, wanted: list[float]) -> bool:
    """Equal to a few roundings, and never above."""
    exact = torch.tensor(wanted, dtype=torch.float64)
    return bool((found <= exact).all()) and np.allclose(found, exact, rtol=1e-14, atol=0)


def test_of_a_constant() -> None:
    found = certified_radius(LOGITS, torch.tensor([0, 2, 2]), 2.0)
    assert found.dtype == torch.float64
    assert close(found, [4 / math.sqrt(8), 1 / math.sqrt(8) * (1 + 1e-15), 0.0])


@pytest.mark.parametrize("bound", [PAIRS, Pairs()])
def test_the_least_ratio_need_not_be_the_runner_up(bound: Any) -> None:
    found = certified_radius(LOGITS, torch.tensor([0, 2, 1]), bound)
    assert close(found, [0.5, 0.3, 0.0])  # 5 / 10 < 4 / 2, and 3 / 10 < 1 / 1


def test_a_tie_is_not_robust() -> None:
    """All entries as large as the label's are rivals, but for the label itself."""
    tied = torch.tensor([[4.0, 4.0, 1.0]]).double()
    for label in (0, 1):
        assert certified_radius(tied, torch.tensor([label]), 1.0).item() == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_not_finite_logits(bad: float) -> None:
    logits = torch.tensor([[3.0, bad, 0.0], [3.0, 0.0, 0.0]])
    found = certified_radius(logits, torch.tensor([0, 0]), 1.0)
    assert found[0] == 0
    assert found[1] > 2
    assert certified_radius(torch.tensor([bad]), torch.tensor([1]), 1.0).item() == 0


def test_constants_at_the_ends() -> None:
    labels = torch.tensor([0, 2, 0])
    assert certified_radius(LOGITS, labels, math.inf).tolist() == [0, 0, 0]
    assert certified_radius(LOGITS, labels, 0).tolist() == [math.inf, math.inf, 0]
    only = PAIRS.clone()
    only[0, 2] = only[2, 0] = 0  # that margin never changes
    assert close(certified_radius(LOGITS[:1], labels[:1], only), [2.0])


def test_errors_of_logits_are_taken_off_twice() -> None:
    labels = torch.tensor([0, 2, 0])
    found = certified_radius(LOGITS, labels, PAIRS, logit_error=0.25)
    assert close(found, [0.45, 0.25, 0.0])
    assert certified_radius(LOGITS, labels, PAIRS, logit_error=0.5)[1] == 0


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_output(shape: tuple[int, ...]) -> None:
    logits = torch.tensor([3.0, -1.0, 2.0, 0.0]).reshape(shape)
    labels = torch.tensor([1, 0, 0, 0])
    assert close(certified_radius(logits, labels, 2.0), [1.5, 0.5, 0.0, 0.0])
    found = certified_radius(logits, labels, torch.tensor(2.0), logit_error=1.0)
    assert close(found, [1.0, 0.0, 0.0, 0.0])


def test_rounded_down() -> None:
    """In exact arithmetic, squares of the root of 2 included."""
    logits = gaussian(1, 200, 5)
    labels = logits.argmax(dim=1)
    bound = 0.3
    for row, label, radius in zip(
        logits, labels, certified_radius(logits, labels, bound), strict=True
    ):
        exact = sorted((Fraction(float(row[label])) - Fraction(float(y))) for y in row)[1]
        assert Fraction(float(radius)) ** 2 * 2 * Fraction(bound) ** 2 <= exact**2


def test_accuracy() -> None:
    logits = torch.tensor([[3.0, 1.0], [1.0, 4.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    labels = torch.tensor([0, 1, 0, 0, 0])
    found = certified_accuracy(logits, labels, 1.0, [0.0, 1.0, 2.0, 3.0])
    assert found.tolist() == [0.6, 0.4, 0.2, 0.0]
    one = certified_accuracy(logits, labels, 1.0, 1.0)
    assert one.shape == ()
    assert one == 0.4
    grid = certified_accuracy(logits, labels, 1.0, torch.zeros(2, 3), logit_error=1.0)
    assert torch.equal(grid, torch.full((2, 3), 0.2, dtype=torch.float64))


@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(2, 6),
    size=st.integers(1, 8),
    scale=st.sampled_from([2.0**-600, 2.0**-9, 1.0, 2.0**300]),
)
def test_linear_classifiers(seed: int, classes: int, size: int, scale: float) -> None:
    """The exact radius is the distance to the nearest hyperplane between two classes."""
    weight, x = gaussian(seed, classes, size), gaussian(seed + 1, 20, size)
    logits = x @ weight.T * scale
    labels = torch.arange(20) % classes
    apart = torch.linalg.vector_norm(weight[:, None] - weight[None], dim=-1) * scale
    pairs = apart * (1 + 1e-14)
    own = logits.gather(1, labels[:, None])
    exact = (own - logits) / apart[labels]
    exact = exact.scatter(1, labels[:, None], math.inf).amin(dim=1).clamp_min(0)
    found = certified_radius(logits, labels, pairs)
    assert bool((found <= exact).all())
    assert torch.allclose(found, exact, rtol=1e-12, atol=0)
    norm = float(torch.linalg.matrix_norm(weight, 2)) * scale * (1 + 1e-14)
    assert bool((certified_radius(logits, labels, norm) <= exact).all())


def blobs(classes: int, seed: int) -> tuple[Tensor, Tensor]:
    labels = torch.arange(60) % classes
    angle = 2 * math.pi * labels / classes
    centres = torch.stack([angle.cos(), angle.sin()], dim=1).double()
    return 2 * centres + 0.5 * gaussian(seed, 60, 2), labels


def trained(x: Tensor, labels: Tensor, classes: int) -> nn.Sequential:
    net = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, classes)).double()
    for seed, parameter in enumerate(net.parameters()):
        parameter.data = gaussian(seed, *parameter.shape) / 2
    adam = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        adam.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        adam.step()
    return net


def attacked(net: nn.Module, x: Tensor, labels: Tensor, radius: Tensor) -> Tensor:
    """Predictions after projected gradient ascent of the loss inside of the radii."""
    moved = 0.5 * radius[:, None] * nn.functional.normalize(gaussian(3, *x.shape))
    for _ in range(60):
        moved.requires_grad_()
        loss = nn.functional.cross_entropy(net(x + moved), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + 0.2 * radius[:, None] * nn.functional.normalize(slope)
        length = torch.linalg.vector_norm(moved, dim=1, keepdim=True)
        moved = moved * (radius[:, None] / length.clamp_min(1e-300)).clamp_max(1)
    return net(x + moved).argmax(dim=1)


@pytest.mark.parametrize("classes", [2, 3])
def test_no_attack_succeeds_inside(classes: int) -> None:
    x, labels = blobs(classes, seed=5)
    net = trained(x, labels, classes)
    norms = [float(torch.linalg.matrix_norm(net[i].weight.detach(), 2)) for i in (0, 2)]
    last = net[2].weight.detach()
    apart = torch.linalg.vector_norm(last[:, None] - last[None], dim=-1)
    logits = net(x)
    for bound in (norms[0] * norms[1] * (1 + 1e-12), apart * norms[0] * (1 + 1e-12)):
        radius = certified_radius(logits, labels, bound)
        sure = radius > 0
        assert sure.double().mean() > 0.9
        after = attacked(net, x, labels, radius * (1 - 1e-12))
        assert torch.equal(after[sure], labels[sure])
    # the attack is one: some inputs fall outside of the radii
    assert bool((attacked(net, x, labels, 30 * radius)[sure] != labels[sure]).any())


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"logits": [1.0, 2.0]}, TypeError, "logits must be .* floating-point"),
        ({"logits": torch.ones(2, 3, dtype=torch.int64)}, TypeError, "logits must be"),
        ({"logits": torch.ones(3, 2, 2)}, ValueError, r"\(b, K\).*got \(3, 2, 2\)"),
        ({"labels": torch.ones(3)}, TypeError, "labels must be a tensor of integers"),
        ({"labels": torch.tensor([0, 1])}, ValueError, r"labels must have shape \(3,\)"),
        ({"labels": torch.tensor([0, 1, 3])}, ValueError, "from 0 to 2; got 3"),
        ({"labels": torch.tensor([0, -100, 1])}, ValueError, "got -100; leave ignored"),
        ({"bound": "2"}, TypeError, "bound must be a number; got '2'; .*pairs"),
        ({"bound": True}, TypeError, "bound must be a number; got True"),
        ({"bound": -1.0}, ValueError, "bound must be at least 0; got -1"),
        ({"bound": math.nan}, ValueError, "bound must be at least 0; got nan"),
        ({"bound": PAIRS[:2, :2]}, ValueError, r"numbers of shape \(3, 3\)"),
        ({"bound": PAIRS + 1}, ValueError, "0 on the diagonal; got 1 as the least and 1"),
        ({"bound": -PAIRS}, ValueError, "at least 0, .* got -10 as the least"),
        ({"bound": PAIRS * math.nan}, ValueError, "at least 0, .* got nan"),
        ({"logit_error": -1.0}, ValueError, "logit_error must be at least 0; got -1"),
        ({"logit_error": None}, TypeError, "logit_error must be a number; got None"),
        (
            {"logits": torch.ones(3), "labels": torch.tensor([0, 1, 1]), "bound": PAIRS},
            TypeError,
            "one number for a network with one output",
        ),
    ],
)
def test_refusals(changed: dict[str, Any], error: type[Exception], words: str) -> None:
    good = {"logits": LOGITS, "labels": torch.tensor([0, 2, 2]), "bound": 1.0}
    with pytest.raises(error, match=words):
        certified_radius(**{**good, **changed})
    with pytest.raises(error, match=words):
        certified_accuracy(**{**good, **changed}, radii=0.1)


@pytest.mark.parametrize("bad", [-0.1, [0.1, math.nan]])
def test_refuses_radii(bad: Any) -> None:
    with pytest.raises(ValueError, match="radii must not be negative or NaN; got"):
        certified_accuracy(LOGITS, torch.tensor([0, 2, 2]), 1.0, bad)


def test_refuses_no_inputs() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(ValueError, match="at least one input"):
        certified_accuracy(LOGITS[:0], none, 1.0, 0.1)
    assert certified_radius(LOGITS[:0], none, 1.0).shape == (0,)
