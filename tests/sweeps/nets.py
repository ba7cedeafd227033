"""A small network, its checkpoints, and a sweep of them in another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from tests.gaussian import gaussian

SHAPE = (2, 8, 8)
ROOT = Path(__file__).parent.parent.parent
CODE = """
import sys
import torch
torch.set_num_threads(1)  # as in all tests: the last bits of products depend on it
import convspec as cs
from tests.sweeps.nets import SHAPE, net

def tell(done, total, what):
    print(done, flush=True)

cs.sweep(sys.argv[1], net, SHAPE, out=sys.argv[2], progress=tell)
"""


def net() -> nn.Module:
    """Three convolutions: an exact one, a strided one, one on a torus."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 2, stride=2),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular"),
    )


def weights(seed: int) -> dict[str, torch.Tensor]:
    """A state dict of the network."""
    found = dict(net().state_dict())
    for place, (name, held) in enumerate(found.items()):
        if held.ndim == 4:
            found[name] = gaussian(100 * seed + place, *held.shape).float() / 3
    return found


def save(path: Path, held: Mapping[str, torch.Tensor]) -> Path:
    """Write a checkpoint."""
    torch.save(dict(held), path)
    return path


def run(folder: Path, count: int) -> list[Path]:
    """Checkpoints of a training, epoch1 to the last, in their order."""
    folder.mkdir(exist_ok=True)
    return [save(folder / f"epoch{k}.pth", weights(k)) for k in range(1, count + 1)]


def sweeping(pattern: str, out: Path) -> subprocess.Popen[str]:
    """A sweep in another process, which prints how many checkpoints are done."""
    return subprocess.Popen(
        [sys.executable, "-c", CODE, pattern, str(out)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
