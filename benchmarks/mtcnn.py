"""The first two networks of MTCNN (Zhang et al., 2016), with their trained weights."""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn

from benchmarks.trained import MTCNN, fetched

__all__ = ["PNet", "RNet", "pnet", "rnet"]


class PNet(nn.Module):
    """Proposals: 12 x 12 pixels to a class and a box."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of two classes and four numbers of a box."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return torch.cat([self.conv4_1(x), self.conv4_2(x)], 1)


class RNet(nn.Module):
    """Refinement: 24 x 24 pixels to a class and a box."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of two classes and four numbers of a box."""
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.prelu3(self.conv3(self.pool2(self.prelu2(self.conv2(x)))))
        # columns come before rows in these weights, and channels last
        x = x.permute(0, 3, 2, 1).flatten(1)
        x = self.prelu4(self.dense4(x))
        return torch.cat([self.dense5_1(x), self.dense5_2(x)], 1)


def pnet() -> nn.Module:
    """PNet with its weights."""
    return _loaded(PNet(), "pnet")


def rnet() -> nn.Module:
    """RNet with its weights."""
    return _loaded(RNet(), "rnet")


def _loaded(model: nn.Module, name: str) -> nn.Module:
    content = io.BytesIO(fetched(MTCNN[name]))
    model.load_state_dict(torch.load(content, map_location="cpu", weights_only=True))
    return model.eval()
