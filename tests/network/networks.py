"""Small networks, the same in every process."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["IMAGE", "convolutional", "filled", "mixing", "perceptron"]

IMAGE = (1, 8, 8)


def filled(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with weights of its own generator, evaluating."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 4
            numbers = torch.randn(
                parameter.shape, generator=generator, dtype=torch.float64, device="cpu"
            )
            parameter.copy_(numbers / fan**0.5)
    return model.eval()


def convolutional() -> nn.Module:
    """Two convolutions, one with a stride, and a linear layer."""
    return filled(
        nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64, 5),
        )
    )


def perceptron() -> nn.Module:
    """Two layers on vectors."""
    return filled(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4)))


class Turned(nn.Module):
    """A map between channels of which only a constant is known, between weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.last = nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.softmax(self.first(x), dim=1))


def mixing() -> nn.Module:
    """Softmax between layers of which the last weighs its entries unevenly."""
    return filled(Turned())
