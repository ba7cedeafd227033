"""A network for scikit-learn's digits, trained to have radii worth proving."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from convspec.demo.train_digits import Split
from tests.gaussian import gaussian

__all__ = ["margins", "robust", "unfilled"]

BATCH = 64
EPOCHS = 60
LEARNING_RATE = 1e-2
# margins over the product of norms are pushed up to this
WANTED = 0.3


def unfilled() -> nn.Sequential:
    """Two convolutions, pooling and a linear layer; images are (1, 8, 8)."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def robust(data: Split, seed: int = 0) -> nn.Sequential:
    """Trained by a hinge on ``(y_i - y_j) / (sqrt(2) product of norms)``, i the label.

    As in Tsuzuku, Sato and Sugiyama (2018) and Leino, Wang and Fredrikson (2021) the
    norms are estimates of a power iteration that goes on from step to step: nothing that
    is proven afterwards depends on them.
    """
    net = unfilled()
    for number, parameter in enumerate(net.parameters()):
        fan = parameter[0].numel() if parameter.ndim > 1 else 16
        numbers = gaussian(100 * seed + number, *parameter.shape, dtype=torch.float32)
        parameter.data = numbers / math.sqrt(fan)
    vectors = [
        gaussian(seed, *shape, dtype=torch.float32)
        for shape in ((1, 1, 8, 8), (1, 8, 8, 8), (1, 16, 4, 4), (1, 64))
    ]
    generator = torch.Generator(device="cpu").manual_seed(seed)
    adam = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    batches = EPOCHS * -(-len(data.labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam, LEARNING_RATE, total_steps=batches
    )
    for _ in range(EPOCHS):
        order = torch.randperm(len(data.labels), generator=generator)
        for rows in order.split(BATCH):
            adam.zero_grad()
            apart = margins(net(data.images[rows]), data.labels[rows])
            size = math.sqrt(2) * _product(net, vectors)
            nn.functional.relu(WANTED - apart / size).sum(dim=1).mean().backward()
            adam.step()
            schedule.step()
    return net.requires_grad_(False).eval()


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """``y_i - y_j`` for the label i and all other classes j; (b, K - 1)."""
    own = logits.gather(1, labels[:, None])
    others = nn.functional.one_hot(labels, logits.shape[1]) == 0
    return (own - logits)[others].reshape(len(logits), -1)


def _product(net: nn.Sequential, vectors: list[Tensor]) -> Tensor:
    """The product of the norms of all linear layers, by one power step for each."""
    product = torch.ones((), dtype=torch.float32, device="cpu")
    linear = [layer for layer in net if not isinstance(layer, nn.ReLU | nn.Flatten)]
    for place, layer in enumerate(linear):
        vectors[place], norm = _power_step(layer, vectors[place])
        product = product * norm
    return product


def _power_step(layer: nn.Module, start: Tensor) -> tuple[Tensor, Tensor]:
    """The vector one step on, and ``|A v|`` there, to be differentiated."""
    bias = layer(torch.zeros_like(start))
    v = start.clone().requires_grad_()
    image = layer(v) - bias
    (back,) = torch.autograd.grad(image, v, image.detach(), retain_graph=True)
    v = (back / torch.linalg.vector_norm(back)).detach()
    return v, torch.linalg.vector_norm(layer(v) - bias)
