"""What the figures show: MobileNetV2, its first layer cropped, a network in training."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import nn

import convspec as cs
from convspec.demo.digits import INPUT_SHAPE, DigitsNet
from convspec.demo.run import Network, choose_network
from convspec.demo.train_digits import Split, load_split

CROP = 24
CONSTANT_EPOCHS, CONSTANT_SECONDS = 10, 120
CHECKPOINTS = (0, 1, 2, 3, 4, 6, 8, 11, 15, 20)  # epochs


@cache
def network() -> Network:
    """MobileNetV2 with its weights; nothing else will do."""
    found = choose_network(offline=False)
    if found.notice:
        raise SystemExit(found.notice)
    return found


@cache
def report() -> cs.ModelReport:
    """Of all its convolutions."""
    return cs.analyze(network().model, network().input_shape)


@cache
def constant() -> cs.NetworkBound:
    """Of a small network that has learnt to tell handwritten digits."""
    data, _ = load_split()
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))
    learn(net, data, CONSTANT_EPOCHS)
    return cs.lipschitz(net, INPUT_SHAPE, starts=data.images, seconds=CONSTANT_SECONDS)


def stem(size: int = CROP) -> cs.ConvOperator:
    """Its first layer on a smaller image."""
    layer = network().model.get_submodule("features.0.0")
    return cs.ConvOperator.from_layer(layer, size)


def gaussian(*shape: int) -> torch.Tensor:
    """The same numbers every time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@cache
def checkpoints() -> tuple[cs.ModelReport, ...]:
    """Reports of a small network while it learns handwritten digits."""
    data, _ = load_split()
    torch.manual_seed(0)
    net = DigitsNet().train()
    found = []

    def look(epoch: int) -> None:
        if epoch in CHECKPOINTS:
            found.append(cs.analyze(net, INPUT_SHAPE, worst_case_seconds=0))

    learn(net, data, CHECKPOINTS[-1] + 1, look)
    return tuple(found)


def learn(
    net: nn.Module, data: Split, epochs: int, look: Callable[[int], None] | None = None
) -> None:
    """Train a network to tell digits, and look at it before each epoch."""
    descent = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.05)
    for epoch in range(epochs):
        if look is not None:
            look(epoch)
        for batch in torch.randperm(len(data.labels)).split(64):
            descent.zero_grad()
            loss = nn.functional.cross_entropy(
                net(data.images[batch]), data.labels[batch]
            )
            loss.backward()
            descent.step()
