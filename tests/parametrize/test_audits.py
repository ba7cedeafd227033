"""Layers of other packages that are meant to be 1-Lipschitz get their true constants.

``make test-networks`` installs them. Each is trained for no step: what is tested is what
the construction promises. Those above 1 are no bug of the packages where their
documentation asks for another padding; they are what a user gets who changes it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs

pytestmark = [
    pytest.mark.networks,
    pytest.mark.filterwarnings("ignore"),  # of those packages
]
# their iterations run in single precision, and end early
NEAR = 1e-4


def deel(**given: Any) -> nn.Module:
    layer: nn.Module = import_module("deel.torchlip").SpectralConv2d(
        8, 8, 3, padding=1, **given
    )
    return layer


def orthogonium(kernel: int = 3, **given: Any) -> nn.Module:
    module = import_module("orthogonium.layers.conv.AOC")
    layer: nn.Module = module.AdaptiveOrthoConv2d(
        8, 8, kernel, padding=(kernel - 1) // 2, **given
    )
    return layer


AUDITS: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "deel, zeros": (lambda: deel(), True),
    "deel, circular": (lambda: deel(padding_mode="circular"), True),
    "deel, stride": (lambda: deel(stride=2), True),
    "deel, reflect": (lambda: deel(padding_mode="reflect"), True),
    "orthogonium, circular": (lambda: orthogonium(padding_mode="circular"), True),
    "orthogonium, zeros": (lambda: orthogonium(padding_mode="zeros"), True),
    "orthogonium, groups": (
        lambda: orthogonium(padding_mode="circular", groups=2),
        True,
    ),
    "orthogonium, stride": (
        lambda: orthogonium(4, padding_mode="circular", stride=2),
        True,
    ),
    "orthogonium, reflect": (lambda: orthogonium(padding_mode="reflect"), False),
}


@pytest.mark.parametrize(("make", "holds"), AUDITS.values(), ids=AUDITS)
def test_its_true_constant(make: Callable[[], nn.Module], holds: bool) -> None:
    torch.manual_seed(0)
    layer = make()
    with torch.no_grad():
        for _ in range(3):  # power iterations go on in training
            layer.train()(torch.randn(1, 8, 10, 10))
    layer.eval()
    norm = cs.analyze(nn.Sequential(layer), (8, 10, 10))[-1].norm
    images = torch.eye(800).reshape(-1, 8, 10, 10)
    with torch.no_grad():
        matrix = (layer(images) - layer(torch.zeros(1, 8, 10, 10))).flatten(1).numpy()
    exact = np.linalg.norm(matrix.astype(np.float64), 2)
    assert norm.lower * (1 - 1e-5) <= exact <= norm.upper * (1 + 1e-5)
    assert (norm.upper <= 1 + NEAR) == holds
