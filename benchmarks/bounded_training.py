"""What a certified norm costs in training: a ResNet-18 for 32 x 32 images.

``python -m benchmarks bounded-training [BATCH [STEPS]]``. Two networks of the same start
see the same batches in turn, one of them with :func:`convspec.parametrize.spectral_norm`
on its 20 convolutions. Before a time is reported the norms of all weights in force are
certified from scratch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import convspec as cs

__all__ = ["BATCH", "STEPS", "Training", "bounded_text", "trained"]

BATCH, STEPS = 128, 12
# norms that rounding of the check leaves at most
ABOVE = 1 + 1e-12


class Block(nn.Module):
    """Two convolutions with a skip, as in He, Zhang, Ren and Sun, CVPR 2016."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _normalised(inputs, outputs, 3, stride)
        self.second = _normalised(outputs, outputs, 3, 1)
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else _normalised(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Images at the block's stride."""
        y = self.second(torch.relu(self.first(x)))
        return torch.relu(y + self.skip(x))


@dataclass(frozen=True)
class Training:
    """What was measured.

    Attributes:
        plain: Seconds of each step, the first left out.
        bounded: The same with bounds.
        norms: Certified upper ends after the last step, of each convolution.
        proofs: How many there were, of all convolutions.
    """

    plain: list[float]
    bounded: list[float]
    norms: list[float]
    proofs: int

    @property
    def is_right(self) -> bool:
        """Whether every convolution kept its bound."""
        return max(self.norms) <= ABOVE


def trained(batch: int = BATCH, steps: int = STEPS) -> Training:
    """Train both, a step each in turn."""
    plain, bounded = resnet18(), resnet18()
    layers = [layer for layer in bounded.modules() if isinstance(layer, nn.Conv2d)]
    for layer in layers:
        cs.parametrize.spectral_norm(layer)
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(10, 3, 32, 32, generator=generator)
    times: list[list[float]] = [[], []]
    optimizers = [_optimizer(model) for model in (plain, bounded)]
    for _ in range(steps):
        labels = torch.randint(10, (batch,), generator=generator)
        noise = torch.randn(batch, 3, 32, 32, generator=generator)
        for seconds, model, optimizer in zip(
            times, (plain, bounded), optimizers, strict=True
        ):
            seconds.append(_step(model, optimizer, centres[labels] + noise, labels))
    norms = [_norm(layer) for layer in layers]
    scalings = [layer.get_submodule("parametrizations.weight.0") for layer in layers]
    proofs = sum(int(getattr(scaling, "proofs", 0)) for scaling in scalings)
    return Training(times[0][1:], times[1][1:], norms, proofs)


def resnet18() -> nn.Module:
    """With a stem for small images."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [_normalised(3, 64, 3, 1), nn.ReLU()]
    before = 64
    for width in (64, 128, 256, 512):
        for stride in (1 if width == 64 else 2, 1):
            layers.append(Block(before, width, stride))
            before = width
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)
    return nn.Sequential(*layers, *head)


def bounded_text(found: Training) -> str:
    """Medians, means and their ratios; both, as proofs are not in every step."""
    medians = [statistics.median(each) for each in (found.plain, found.bounded)]
    means = [statistics.fmean(each) for each in (found.plain, found.bounded)]
    held = "kept" if found.is_right else "BROKEN"
    return (
        f"ResNet-18, 32 x 32, {len(found.plain)} steps: norms from "
        f"{min(found.norms):.3f} to {max(found.norms):.6f}, bound {held}; "
        f"{found.proofs} proofs\n"
        f"median step {medians[0]:.2f} s plain, {medians[1]:.2f} s bounded, "
        f"{medians[1] / medians[0]:.2f}x\n"
        f"mean step   {means[0]:.2f} s plain, {means[1]:.2f} s bounded, "
        f"{means[1] / means[0]:.2f}x (aim 1.5x)"
    )


def _normalised(inputs: int, outputs: int, taps: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, taps, stride, taps // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> float:
    start = time.perf_counter()
    loss = nn.functional.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return time.perf_counter() - start


def _norm(layer: nn.Conv2d) -> float:
    """Of the weight that the next pass in training takes."""
    stride: Sequence[int] = layer.stride
    weight = layer.weight.detach()
    return cs.worst_case_norm(weight, stride=stride, padding=1, rtol=1e-2).upper
