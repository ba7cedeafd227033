"""Train the digits network: ``python -m convspec.demo.train_digits [--out FILE]``.

Seeded and split the same way every time, so that one machine writes the same file twice.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convspec.demo.digits import INPUT_SHAPE, WEIGHTS, DigitsNet
from convspec.extras import import_extra

__all__ = ["Split", "accuracy", "load_split", "main", "train"]

BATCH = 64
EPOCHS = 30
LEARNING_RATE = 0.02  # the largest; it rises to it and falls again
WEIGHT_DECAY = 0.3
LABEL_SMOOTHING = 0.1


class Split(NamedTuple):
    """Images (j, 1, 8, 8) with values from 0 to 1, and their labels (j,)."""

    images: Tensor
    labels: Tensor


def load_split() -> tuple[Split, Split]:
    """Scikit-learn's digits: three quarters to train on, one quarter held out.

    Raises:
        MissingExtra: Without scikit-learn, which ``convspec[train]`` installs.
    """
    datasets = import_extra("sklearn.datasets", "train")
    digits = datasets.load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target, dtype=torch.int64)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images = images.reshape(len(labels), *INPUT_SHAPE)
    test, rest = order[: len(labels) // 4], order[len(labels) // 4 :]
    return Split(images[rest], labels[rest]), Split(images[test], labels[test])


def train(data: Split, *, epochs: int = EPOCHS, seed: int = 0) -> DigitsNet:
    """A :class:`DigitsNet` trained on the data, in evaluation mode.

    The global random state is left as it was found.

    Args:
        data: What to train on.
        epochs: How often each image is seen.
        seed: Of the first weights and of the order of the images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = DigitsNet().train()
        _descend(net, data, epochs)
    return net.eval()


def accuracy(net: nn.Module, data: Split) -> float:
    """The fraction of the images whose largest logit is their label's."""
    with torch.no_grad():
        hits = net(data.images).argmax(dim=1) == data.labels
    return int(hits.sum()) / len(hits)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, say how good the network is, write its weights.

    Args:
        arguments: The command line; that of the process by default.
    """
    parser = argparse.ArgumentParser(description="Train the digits network.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name(WEIGHTS))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args(arguments)
    safetensors = import_extra("safetensors.torch", "train")
    training, held_out = load_split()
    net = train(training, epochs=options.epochs)
    options.out.write_bytes(safetensors.save(net.state_dict()))
    right = accuracy(net, held_out)
    sys.stdout.write(f"{right:.2%} of {len(held_out.labels)} held-out digits right\n")


def _descend(net: nn.Module, data: Split, epochs: int) -> None:
    """Adam on the smoothed cross entropy; its step grows for a third, then shrinks."""
    size = len(data.labels)
    loss = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=epochs * -(-size // BATCH)
    )
    for _ in range(epochs):
        order = torch.randperm(size)
        for start in range(0, size, BATCH):
            batch = order[start : start + BATCH]
            optimizer.zero_grad()
            torch.autograd.backward(loss(net(data.images[batch]), data.labels[batch]))
            optimizer.step()
            schedule.step()


if __name__ == "__main__":
    main()
