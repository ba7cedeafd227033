"""A small trained classifier of handwritten digits with one convolution of every kind."""

from __future__ import annotations

from importlib import resources

import torch
from torch import Tensor, nn

from convspec.extras import import_extra

__all__ = ["INPUT_SHAPE", "DigitsNet", "load_digits_net"]

INPUT_SHAPE = (1, 8, 8)
WEIGHTS = "digits.safetensors"


class DigitsNet(nn.Module):
    """Ten logits for scikit-learn's 8x8 digits; untrained, see :func:`load_digits_net`.

    Six convolutions, no two of a kind, with all four padding modes among them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(
            16, 16, 3, padding=1, groups=16, padding_mode="circular"
        )
        self.pointwise = nn.Conv2d(16, 24, 1)
        self.dilated = nn.Conv2d(24, 24, 3, padding=2, dilation=2, padding_mode="reflect")
        self.strided = nn.Conv2d(24, 32, 3, stride=2, padding=1, padding_mode="replicate")
        self.transposed = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.relu = nn.ReLU()
        self.pool = nn.AvgPool2d(2)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, 10) of images (batch, 1, 8, 8) with values from 0 to 1."""
        x = self.relu(self.norm(self.dense(x)))  # (batch, 16, 8, 8)
        x = self.relu(self.pointwise(self.depthwise(x)))  # (batch, 24, 8, 8)
        x = self.relu(self.dilated(x))  # (batch, 24, 8, 8)
        x = self.relu(self.strided(x))  # (batch, 32, 4, 4)
        x = self.relu(self.transposed(x))  # (batch, 16, 8, 8)
        logits: Tensor = self.head(
            self.flatten(self.pool(x))
        )  # pooled: (batch, 16, 4, 4)
        return logits


def load_digits_net() -> DigitsNet:
    """The :class:`DigitsNet` that ``convspec.demo.train_digits`` trained, to evaluate.

    Raises:
        MissingExtra: Without safetensors, which ``convspec[cli]`` installs.
    """
    safetensors = import_extra("safetensors.torch", "cli")
    content = (resources.files("convspec.demo") / WEIGHTS).read_bytes()
    with torch.device("meta"):  # draws no random numbers for weights about to be replaced
        net = DigitsNet()
    net.load_state_dict(safetensors.load(content), strict=True, assign=True)
    return net.eval()
