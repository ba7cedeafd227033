"""Certified radii of a trained network under attack: nothing inside of them is found.

The attack is a search for the nearest change of the prediction; it shares no code with
the bound. That it is one is shown where radii are made larger than they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import convspec as cs
from convspec.demo.train_digits import Split, load_split
from tests.digits import margins, robust
from tests.gaussian import gaussian

IMAGES = 150
STEPS = 40
# from random places of the ball, towards each of the other classes
STARTS = 2
# of float64 logits of a few hundred products each, about 1
LOGIT_ERROR = 1e-12
EPS = (0.1, 0.3)


@dataclass(frozen=True)
class Trained:
    """A network in float64, held-out digits, its bound and their radii."""

    net: nn.Module
    data: Split
    logits: Tensor
    bound: cs.NetworkBound

    def radius(self, bound: cs.NetworkBound | float) -> Tensor:
        return cs.certified_radius(
            self.logits, self.data.labels, bound, logit_error=LOGIT_ERROR
        )


@cache
def trained() -> Trained:
    training, held_out = load_split()
    net = robust(training).double()
    data = Split(held_out.images[:IMAGES].double(), held_out.labels[:IMAGES])
    bound = cs.lipschitz(net, (1, 8, 8), method="dense", seconds=8, lower=False)
    return Trained(net, data, net(data.images), bound)


def attacked(net: nn.Module, data: Split, radius: Tensor, seed: int = 0) -> Tensor:
    """The shortest found change of each image that turns its prediction; inf for none.

    Projected gradient ascent of ``y_t - y_i`` in l2 balls of the radii, for the label i
    and every other class t. Lengths are measured anew, in float64, of the images that
    were evaluated, and changes outside of the ball do not count.
    """
    shortest = torch.full_like(radius, torch.inf)
    for start in range(STARTS):
        for target in range(9):
            x = data.images
            change = _inside(gaussian(seed + 10 * start + target, *x.shape), radius)
            for step in range(STEPS):
                change.requires_grad_()
                logits = net(x + change)
                gain = -margins(logits, data.labels)[:, target].sum()
                (slope,) = torch.autograd.grad(gain, change)
                length = torch.linalg.vector_norm(
                    (x + change.detach()) - x, dim=(1, 2, 3)
                )
                turned = (logits.argmax(dim=1) != data.labels) & (length < radius)
                shortest = torch.where(turned, shortest.minimum(length), shortest)
                pace = _inside(slope, radius * 0.5 * (1 - step / STEPS), to_the_edge=True)
                change = _inside(change.detach() + pace, radius)
    return shortest


def _inside(change: Tensor, radius: Tensor, *, to_the_edge: bool = False) -> Tensor:
    """Shortened to just below the radius where it is longer, or always."""
    length = torch.linalg.vector_norm(change, dim=(1, 2, 3)).clamp_min(1e-300)
    factor = radius * (1 - 1e-9) / length
    factor = factor if to_the_edge else factor.clamp_max(1)
    return change * factor[:, None, None, None]


def test_radii_are_worth_proving() -> None:
    found = trained()
    right = found.logits.argmax(dim=1) == found.data.labels
    assert right.double().mean() > 0.85
    radius = found.radius(found.bound)
    assert torch.equal(radius > 0, right)
    assert radius.median() > 0.2
    assert bool((radius >= found.radius(found.bound.upper)).all())
    assert radius.mean() > 1.01 * found.radius(found.bound.upper).mean()


@pytest.mark.parametrize("pairs", [True, False], ids=["pairs", "one constant"])
def test_no_attack_inside_succeeds(pairs: bool) -> None:
    found = trained()
    radius = found.radius(found.bound if pairs else found.bound.upper)
    assert torch.equal(
        attacked(found.net, found.data, radius), torch.full_like(radius, torch.inf)
    )


@pytest.mark.slow
def test_the_attack_succeeds_outside() -> None:
    """It contradicts radii that are twice too large, and some of those by half."""
    found = trained()
    radius = found.radius(found.bound)
    sure = radius > 0
    for times, share in ((2.0, 0.9), (1.5, 0.2)):
        shortest = attacked(found.net, found.data, times * radius)[sure]
        assert bool((shortest > radius[sure]).all())
        assert bool((shortest < times * radius[sure]).logical_or(shortest.isinf()).all())
        assert shortest.isfinite().double().mean() > share


@pytest.mark.parametrize("eps", EPS)
def test_accuracy_under_attack_is_not_less_than_certified(eps: float) -> None:
    found = trained()
    labels = found.data.labels
    certified = cs.certified_accuracy(
        found.logits, labels, found.bound, eps, logit_error=LOGIT_ERROR
    )
    shortest = attacked(found.net, found.data, torch.full((IMAGES,), eps).double())
    right = found.logits.argmax(dim=1) == labels
    stays = right & shortest.isinf()
    assert 0 < certified <= stays.double().mean() < right.double().mean()
    sure = found.radius(found.bound) > eps
    assert sure.double().mean() == certified
    assert bool(stays[sure].all())
