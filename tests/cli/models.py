"""Factories that the command line is given by name."""

from __future__ import annotations

import sys
import time

import torch
from torch import Tensor, nn

from tests.other_layer import OtherConvolution

SHAPE = (3, 8, 8)


def small() -> nn.Module:
    """Padding in front, batch norm, stride, a linear layer."""
    torch.manual_seed(0)
    layers = [nn.ReflectionPad2d(1), nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()]
    layers += [nn.Conv2d(8, 4, 3, 2, 1), nn.Flatten(), nn.Linear(64, 5)]
    return nn.Sequential(*layers).eval()


def partly() -> nn.Module:
    """One convolution of two is none of torch's."""
    return nn.Sequential(nn.Conv2d(3, 2, 3), OtherConvolution(2, 2, 1))


def failing() -> nn.Module:
    """Raises while it is made."""
    raise RuntimeError("no such\nthing")


def nothing() -> int:
    """Makes no module."""
    return 3


class Squared(nn.Module):
    """No constant bounds it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


def squared() -> nn.Module:
    """Refused by what asks for a constant."""
    return nn.Sequential(nn.Linear(3, 3), Squared())


instance = small()


def wide() -> nn.Module:
    """Small layers and wide ones, of which one decomposition takes seconds."""
    torch.manual_seed(0)
    convs = [nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1500, 1)]
    convs += [nn.Conv2d(1500, 1500, 1), nn.Conv2d(1500, 1500, 1)]
    return nn.Sequential(*convs)


class Waiting(nn.Conv2d):
    """A layer on which a model stays until it is interrupted."""

    def forward(self, x: Tensor) -> Tensor:
        sys.stderr.write("waiting\n")
        time.sleep(60)
        return super().forward(x)


def waiting() -> nn.Module:
    """A model that does not come to its end."""
    return nn.Sequential(Waiting(3, 4, 1))
