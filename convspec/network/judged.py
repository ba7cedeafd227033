"""Pairs of inputs judged in float64: their ratio, and what its evaluation rounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convspec.errors import UnreadableModel
from convspec.network.evaluated import ImageMap, length
from convspec.rounding.directed import UNIT, down_nonnegative, gamma, up

__all__ = ["Judge", "Trial", "preferred"]

# separations tried, in parts of |x|
SEPARATIONS = (10.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
# ratios as equal as this count as equal, and inputs farther apart are preferred
SAME = 1e-9
# by which the estimated rounding is enlarged
SAFETY = 16.0
# what float64 rounds, in parts of what float32 rounds
FINER = 2.0**-29


@dataclass(frozen=True)
class Trial:
    """Two inputs and the ratio in float64; ``apart`` is ``|x - y|``."""

    words: str
    x: Tensor
    y: Tensor
    apart: float
    ratio: float


class Judge:
    """A model in float64, and in float32 to see what the evaluation rounds.

    Attributes:
        exact: The model in float64 on the CPU.
        coarse: In float32 on the CPU.
    """

    def __init__(self, model: nn.Module, shape: tuple[int, ...]) -> None:
        cpu = torch.device("cpu")
        self.exact = ImageMap(model, shape, torch.float64, cpu)
        self.coarse = ImageMap(model, shape, torch.float32, cpu)

    @torch.no_grad()
    def between(self, words: str, x: Tensor, y: Tensor) -> Trial:
        """The ratio of two images."""
        x, y = self.exact.image(x), self.exact.image(y)
        return _trial(words, x, y, self.exact(x), self.exact(y))

    @torch.no_grad()
    def along(self, words: str, x: Tensor, v: Tensor) -> Iterator[Trial]:
        """Ratios of pairs at x in direction v, of both signs, close and far apart."""
        x, v = self.exact.image(x), self.exact.image(v)
        value = self.exact(x)
        size = length(x) or math.sqrt(x.numel())
        for part in SEPARATIONS:
            ends = [x + sign * part * size * v for sign in (1, -1)]
            above, below = map(self.exact, ends)
            far = f"{words}, at {part:g} |x| along the first singular vector"
            yield _trial(far, x, ends[0], value, above)
            yield _trial(far, x, ends[1], value, below)
            yield _trial(far, ends[1], ends[0], below, above)

    @torch.no_grad()
    def lower(self, trial: Trial) -> float:
        """The ratio less what was rounded: lengths by proof, the model by estimate.

        Raises:
            UnreadableModel: If the model is no function of its input.
        """
        x, y = trial.x, trial.y
        values = self.exact(x), self.exact(y)
        if not torch.equal(values[0], self.exact(x)):
            raise UnreadableModel(
                "the model must give one output for one input; two runs on the same "
                "image differ; take what is random out of its evaluation mode"
            )
        error = sum(map(self._rounding, (x, y), values))
        # a difference, its largest entry, quotients, squares, a sum, a root, a product
        moved = length(values[0] - values[1]) * (1 - gamma(len(values[0]) + 8))
        apart = up(length(x - y) * up(1 + gamma(x.numel() + 8)))
        rest = down_nonnegative(moved - up(error, 4), 4)
        return down_nonnegative(rest / apart) if apart > 0 else 0.0

    def _rounding(self, x: Tensor, value: Tensor) -> float:
        """An estimate of ``|computed f(x) - f(x)|``, enlarged."""
        seen = length(self.coarse(self.coarse.image(x)).double() - value)
        if not math.isfinite(seen):  # beyond float32
            seen = length(value)
        return SAFETY * (FINER * seen + UNIT * length(value))


def preferred(trials: Iterable[Trial]) -> Trial:
    """Of the largest ratios the one whose inputs are farthest apart.

    Raises:
        UnreadableModel: If none is finite.
    """
    usable = [each for each in trials if math.isfinite(each.ratio) and each.apart > 0]
    if not usable:
        raise UnreadableModel(
            "the model must give finite outputs in float64; no pair of images that was "
            "found has a finite ratio; pass images of its domain as starts="
        )
    largest = max(each.ratio for each in usable)
    near = [each for each in usable if each.ratio >= largest * (1 - SAME)]
    return max(near, key=lambda each: each.apart)


def _trial(words: str, x: Tensor, y: Tensor, at_x: Tensor, at_y: Tensor) -> Trial:
    apart = length(x - y)
    ratio = length(at_x - at_y) / apart if apart > 0 else 0.0
    return Trial(words, x, y, apart, ratio)
