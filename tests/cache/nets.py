"""Networks of small layers of all kinds, and a process that analyses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

SHAPE = (3, 12, 12)
# no spectrum of zero padded layers: enclosed, with envelope, sums, estimates, a torus
LIMITS = {"max_flops": 3e6, "norm_flops": 2e9}
# with norms that share too few operations, and cut envelopes and worst cases
TIGHT = {**LIMITS, "norm_flops": 3e5, "envelope_flops": 2e5, "worst_case_flops": 3e4}


class Twice(nn.Module):
    """One layer on two sizes, and a layer that holds infinity."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.broken = nn.Conv2d(4, 1, 1)
        with torch.no_grad():
            self.broken.weight.fill_(torch.inf)

    def forward(self, x: Tensor) -> Tensor:
        """Both sizes."""
        self.conv(x[..., ::2, ::2])
        return self.conv(x) + self.broken(x)


def mixed() -> nn.Sequential:
    """Exact by Fourier and dense, enclosed, on two sizes, not supported."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        Twice(),
    ]
    return nn.Sequential(*layers)


def chain(layers: int) -> nn.Sequential:
    """So many layers, of which every third is enclosed."""
    torch.manual_seed(1)
    convs: list[nn.Module] = [nn.Conv2d(3, 4, 1)]
    for place in range(layers - 1):
        mode = ("zeros", "circular", "zeros")[place % 3]
        kernel = 1 if place % 3 == 2 else 3
        convs.append(nn.Conv2d(4, 4, kernel, padding=kernel // 2, padding_mode=mode))
    return nn.Sequential(*convs)


CODE = """
import sys, torch
torch.set_num_threads(1)
import convspec as cs
from tests.cache.nets import LIMITS, SHAPE, chain
model = chain(int(sys.argv[2]))
print("begun", flush=True)
report = cs.analyze(model, SHAPE, cache=sys.argv[1], **LIMITS)
if len(sys.argv) > 3:
    report.to_json(sys.argv[3])
"""


def analysing(folder: Path, layers: int, *report: Path) -> subprocess.Popen[str]:
    """A process that analyses a chain; it says when it begins."""
    command = [sys.executable, "-c", CODE, str(folder), str(layers), *map(str, report)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
