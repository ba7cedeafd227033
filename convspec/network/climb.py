"""Pairs of inputs that a network drives apart: starts, directions, ascent.

A piecewise linear network has a Jacobian that is constant on pieces, so that sigma_1 of
it has gradient 0 wherever it has one. The ratio ``|f(x) - f(y)| / |x - y|`` of two inputs
has a useful gradient, needs first derivatives only, and is a lower end by itself. By the
mean value theorem some point between x and y has ``sigma_1(J) >= ratio``: from there a
pair along the first singular vector starts anew, in the end closer together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from convspec.krylov.orthogonal import exhausted, orthogonalised
from convspec.network.evaluated import ImageMap, Jacobian, length
from convspec.run.budget import Budget

__all__ = ["Apart", "Found", "candidates", "climbed", "looked_at", "sharpened"]

NOISES = (0.01, 0.1, 1.0, 10.0)
POWER_STEPS = 6
LANCZOS_STEPS = 40
# of the rounds of an ascent: the separation in parts of |x|, and Adam's rate in parts of
# an entry of x
ROUNDS = ((1.0, 0.5), (1.0, 0.3), (1.0, 0.1), (0.3, 0.1), (0.1, 0.05), (0.03, 0.02))


@dataclass(frozen=True, eq=False)
class Found:
    """A point with a direction in which the network stretches.

    Attributes:
        words: Where the search came from.
        x: The point, an image.
        v: A unit image.
        slope: ``|J(x) v|``.
    """

    words: str
    x: Tensor
    v: Tensor
    slope: float


class Apart(NamedTuple):
    """Two inputs, with the ratio that the working precision gives."""

    words: str
    x: Tensor
    y: Tensor
    ratio: float


def candidates(
    f: ImageMap, starts: Tensor | None, generator: torch.Generator
) -> Iterator[tuple[str, Tensor]]:
    """Points to start from, in words and as images: the user's, constants, noise."""
    for number, start in enumerate(() if starts is None else starts):
        yield f"starts[{number}]", f.inside(f.image(start))
    if f.ends is not None:
        yield from _within(f, *f.ends, generator)
        return
    zeros = torch.zeros(f.shape, dtype=torch.float64, device="cpu")
    for value in (0.0, 1.0, -1.0):
        yield f"the constant {value:g}", f.image(zeros + value)
    for scale in NOISES:
        noise = _normal(f, generator)
        yield f"noise of scale {scale:g}", f.image(scale * noise)


def _within(
    f: ImageMap, low: Tensor, high: Tensor, generator: torch.Generator
) -> Iterator[tuple[str, Tensor]]:
    """Points of a domain: its middle, its ends, and between them."""
    middle = low + (high - low) / 2
    yield "the middle of the domain", middle
    yield "its lower ends", low
    yield "its upper ends", high
    for share in (0.1, 0.5, 1.0, 1.0):
        noise = torch.rand(f.shape, generator=generator, dtype=torch.float64)
        noise = f.image(noise) - 0.5
        yield f"noise in {share:g} of the domain", middle + share * noise * (high - low)


def looked_at(
    f: ImageMap, words: str, x: Tensor, generator: torch.Generator
) -> Found | None:
    """A few power steps of ``J^T J`` at x; None where something is not finite."""
    return _power(f, words, x, f.image(_normal(f, generator)))


def climbed(
    f: ImageMap, start: Found, steps: int, budget: Budget
) -> tuple[Found, Apart | None]:
    """The best point and the best pair of an ascent, in rounds.

    Each round starts from a pair around the middle of the last one, along the first
    singular vector there.
    """
    climb = "a climb from "
    words = climb + start.words.removeprefix(climb)
    at = best = start
    far: Apart | None = None
    size = length(start.x) / math.sqrt(start.x.numel()) or 1.0
    for number, (apart, rate) in enumerate(ROUNDS):
        step = (apart * size * math.sqrt(at.x.numel()) / 2) * at.v
        x, y = f.inside(at.x - step), f.inside(at.x + step)
        pair = _ascent(f, x, y, rate * size, _part(steps, number), budget)
        if pair is None:
            break
        x, y, ratio = pair
        if far is None or ratio > far.ratio:
            far = Apart(words, x, y, ratio)
        middle = _power(f, words, (x + y) / 2, y - x)
        if middle is None or not budget.allows():
            break
        at = middle
        best = max(best, at, key=lambda found: found.slope)
    return best, far


def sharpened(f: ImageMap, found: Found, budget: Budget) -> Found:
    """The same point with its first singular vector by Lanczos from the known one."""
    basis = f.image(found.v).flatten()[None] / (length(found.v) or 1.0)
    jacobian = Jacobian(f, found.x)
    images = jacobian.pushed(basis[0].reshape(f.shape))[None]
    scale = 0.0
    for _ in range(LANCZOS_STEPS - 1):
        if not budget.allows():
            break
        next_ = jacobian.pulled(images[-1]).flatten()[None]
        scale = max(scale, length(next_))
        rest, _ = orthogonalised(next_, basis)
        if bool(exhausted(length(rest), scale, rest.dtype)):
            break
        basis = torch.cat([basis, rest / length(rest)])
        image = jacobian.pushed(basis[-1].reshape(f.shape))
        images = torch.cat([images, image[None]])
    return _of_space(jacobian, found, basis, images)


def _of_space(jacobian: Jacobian, found: Found, basis: Tensor, images: Tensor) -> Found:
    """The unit vector of a space that the Jacobian stretches most."""
    wide = images.double().cpu()
    if not bool(wide.isfinite().all()):
        return found
    _, vectors = torch.linalg.eigh(wide @ wide.mT)
    v = (vectors[:, -1].to(basis) @ basis).reshape(found.x.shape)
    v = v / length(v)
    slope = length(jacobian.pushed(v))
    if not slope >= found.slope:
        return found
    return Found(found.words, found.x, v, slope)


def _ascent(
    f: ImageMap, x: Tensor, y: Tensor, rate: float, steps: int, budget: Budget
) -> tuple[Tensor, Tensor, float] | None:
    """The best pair that Adam passes; None where no ratio is finite and positive."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    adam = torch.optim.Adam([x, y], lr=rate)
    best = None
    for step in range(steps + 1):
        moved, apart = (f(x) - f(y)).norm(), (x - y).norm()
        ratio = float(moved.detach()) / (float(apart.detach()) or math.inf)
        if not 0 < ratio < math.inf:
            break
        if best is None or ratio > best[2]:
            best = x.detach().clone(), y.detach().clone(), ratio
        if step == steps or not budget.allows():
            break
        adam.zero_grad()
        (apart.log() - moved.log()).backward()
        adam.step()
        with torch.no_grad():
            for each in (x, y):
                each.copy_(f.inside(each))
    return best


def _power(f: ImageMap, words: str, x: Tensor, v: Tensor) -> Found | None:
    """Power steps of ``J^T J`` from a direction; None where something is not finite."""
    jacobian = Jacobian(f, x)
    for _ in range(POWER_STEPS):
        v = v / (length(v) or 1.0)
        image = jacobian.pushed(v)
        slope = length(image)
        if not math.isfinite(slope) or slope == 0:
            break
        v, last = jacobian.pulled(image / slope), v
        if not 0 < length(v) < math.inf:
            v = last
            break
    v = v / (length(v) or 1.0)
    slope = length(jacobian.pushed(v))
    return Found(words, x, v, slope) if math.isfinite(slope) else None


def _part(steps: int, number: int) -> int:
    """The share of a round in all steps."""
    return (steps + number) // len(ROUNDS)


def _normal(f: ImageMap, generator: torch.Generator) -> Tensor:
    return torch.randn(f.shape, generator=generator, dtype=torch.float64, device="cpu")
