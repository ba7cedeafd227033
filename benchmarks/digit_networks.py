"""Small networks for scikit-learn's digits, trained here, the same for every seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.problem import Unavailable
from convspec.demo.train_digits import Split, load_split
from convspec.errors import ConvSpecError

__all__ = ["DIGIT_NETWORKS", "DigitNetwork", "chain", "digit_network"]

EPOCHS = 20
BATCH = 64
LEARNING_RATE = 5e-3


@dataclass(frozen=True)
class DigitNetwork:
    """A network before it is trained.

    Attributes:
        title: What it is.
        build: Its layers, in an order in which the last is linear.
        shape: Of its input.
        output: The only output that is kept after training; None for all.
    """

    title: str
    build: Callable[[], nn.Sequential]
    shape: tuple[int, ...]
    output: int | None = None


def _perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, width in pairwise(widths):
        layers += [nn.Linear(before, width), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _strided() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


def _wide() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)
    )


DIGIT_NETWORKS = {
    "fnn2": DigitNetwork("64-32-10", lambda: _perceptron(64, 32, 10), (64,)),
    "fnn2-8": DigitNetwork(
        "64-32-10, logit 8", lambda: _perceptron(64, 32, 10), (64,), 8
    ),
    "fnn3": DigitNetwork("64-32-32-10", lambda: _perceptron(64, 32, 32, 10), (64,)),
    "cnn": DigitNetwork("two convolutions, 48 units", _strided, (1, 8, 8)),
    "cnn512": DigitNetwork("a convolution, 512 units", _wide, (1, 8, 8)),
}


def digit_network(name: str, seed: int) -> nn.Sequential:
    """The network, trained by Adam on the cross entropy, in float64.

    Raises:
        Unavailable: Without scikit-learn.
    """
    network = DIGIT_NETWORKS[name]
    try:
        training, _ = load_split()
    except ConvSpecError as error:
        raise Unavailable(str(error)) from error
    with torch.random.fork_rng(devices=[]):
        net = network.build()
    generator = torch.Generator(device="cpu").manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 16
            drawn = torch.randn(
                parameter.shape, generator=generator, dtype=torch.float32, device="cpu"
            )
            parameter.copy_(drawn / fan**0.5)
    images = training.images.reshape(-1, *network.shape)
    _descend(net, Split(images, training.labels), generator)
    if network.output is not None:
        _keep(net[-1], network.output)
    return net.requires_grad_(False).double().eval()


def _keep(last: nn.Module, output: int) -> None:
    """Leave one output of a linear layer."""
    assert isinstance(last, nn.Linear)
    last.weight = nn.Parameter(last.weight[output : output + 1].detach())
    last.bias = nn.Parameter(last.bias[output : output + 1].detach())
    last.out_features = 1


def _descend(net: nn.Module, data: Split, generator: torch.Generator) -> None:
    adam = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    for _ in range(EPOCHS):
        order = torch.randperm(len(data.labels), generator=generator, device="cpu")
        for rows in torch.split(order, BATCH):
            adam.zero_grad()
            loss = nn.functional.cross_entropy(net(data.images[rows]), data.labels[rows])
            torch.autograd.backward(loss)
            adam.step()


def chain(net: nn.Sequential, shape: tuple[int, ...]) -> list[NDArray[Any]]:
    """The matrices of all linear layers between ReLUs, first to last, biases left out.

    Raises:
        TypeError: If the last layer is a ReLU.
    """
    runs: list[list[nn.Module]] = [[]]
    for layer in net:
        if isinstance(layer, nn.ReLU):
            runs.append([])
        else:
            runs[-1].append(layer)
    if not runs[-1]:
        raise TypeError("the last layer must be linear; got a ReLU; leave it out")
    found, sizes = [], shape
    for run in runs:
        matrix, sizes = _matrix(nn.Sequential(*run), sizes)
        found.append(matrix)
    return found


def _matrix(
    linear: nn.Module, shape: tuple[int, ...]
) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Column by column from the images of unit vectors; and the shape of an output."""
    zero = torch.zeros((1, *shape), dtype=torch.float64, device="cpu")
    units = torch.eye(zero.numel(), dtype=torch.float64, device="cpu")
    with torch.no_grad():
        bias: Tensor = linear(zero)
        columns: Tensor = linear(units.reshape(-1, *shape)) - bias
    return np.asarray(columns.flatten(1).T), tuple(bias.shape[1:])
