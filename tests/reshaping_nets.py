"""Small random networks that make images larger, pad them and repeat their pixels."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.gaussian import gaussian
from tests.random_nets import ACTIVATIONS, Mean, Net


class Unet(nn.Module):
    """A detour over a coarser image, beside the image itself."""

    def __init__(self, down: nn.Module, inner: nn.Module, up: nn.Module) -> None:
        super().__init__()
        self.down, self.inner, self.up = down, inner, up

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.up(self.inner(self.down(x)))], 1)


class Call(nn.Module):
    """A function of torch as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def reshaping_net(seed: int) -> tuple[nn.Module, tuple[int, ...]]:
    """A network in float64 and the shape of its input."""
    draw = random.Random(seed)
    made = _Made(draw, draw.choice((1, 2, 2)))
    for _ in range(draw.randint(2, 4)):
        made.block()
    net = Net(made.blocks, [made.head()]).double().eval()
    for number, (_, tensor) in enumerate(net.state_dict().items()):
        fan = max(1, tensor[0].numel()) if tensor.ndim > 1 else 4
        values = gaussian(2000 * seed + number, *tensor.shape) / math.sqrt(fan)
        tensor.copy_(values)
    return net, made.shape


class _Made:
    """Blocks, and the shape of the image behind them."""

    def __init__(self, draw: random.Random, dim: int) -> None:
        self.draw, self.dim = draw, dim
        self.channels = draw.randint(1, 2)
        self.sizes = [draw.choice((4, 6)) for _ in range(dim)]
        self.shape = (self.channels, *self.sizes)
        self.blocks: list[nn.Module] = []

    def block(self) -> None:
        if math.prod(self.sizes) > 100:
            return self._down()
        kinds = ("transposed", "nearest", "linear", "shuffled", "padded", "unet", "unet")
        kind = self.draw.choice((*kinds, "down", "repeated", "repeated", "pooled"))
        getattr(self, f"_{kind}")()
        self.blocks.append(self.draw.choice((*ACTIVATIONS, nn.Identity))())
        return None

    def head(self) -> nn.Module:
        return self.draw.choice(
            (nn.Identity(), nn.Sequential(Mean(), nn.Linear(self.channels, 2)))
        )

    def _module(self, name: str) -> type[nn.Module]:
        found: type[nn.Module] = getattr(nn, f"{name}{self.dim}d")
        return found

    def _add(self, module: nn.Module, channels: int, sizes: list[int]) -> None:
        self.blocks.append(module)
        self.channels, self.sizes = channels, sizes

    def _transposed(self) -> None:
        kernel, stride, pad, more = self.draw.choice(
            ((2, 2, 0, 0), (3, 2, 1, 1), (4, 2, 1, 0), (3, 1, 1, 0), (3, 2, 0, 0))
        )
        out = self.draw.randint(1, 2)
        module = self._module("ConvTranspose")(
            self.channels, out, kernel, stride, pad, more
        )
        sizes = [(n - 1) * stride - 2 * pad + kernel + more for n in self.sizes]
        self._add(module, out, sizes)

    def _nearest(self) -> None:
        module = nn.Upsample(scale_factor=2)
        self._add(module, self.channels, [2 * n for n in self.sizes])

    def _linear(self) -> None:
        mode = "linear" if self.dim == 1 else "bilinear"
        module = nn.Upsample(scale_factor=2, mode=mode, align_corners=False)
        self._add(module, self.channels, [2 * n for n in self.sizes])

    def _shuffled(self) -> None:
        if self.dim == 1:
            return self._nearest()
        self.blocks.append(nn.Conv2d(self.channels, 4, 1))
        self._add(nn.PixelShuffle(2), 1, [2 * n for n in self.sizes])
        return None

    def _padded(self) -> None:
        least = 0 if min(self.sizes) < 4 else -1
        pads = [self.draw.randint(least, 1) for _ in range(2 * self.dim)]
        module = Call(lambda x: F.pad(x, pads))
        pairs = zip(pads[::2][::-1], pads[1::2][::-1], strict=True)
        moved = [n + a + b for n, (a, b) in zip(self.sizes, pairs, strict=True)]
        self._add(module, self.channels, moved)

    def _repeated(self) -> None:
        if min(self.sizes) < 2:
            return
        mode = self.draw.choice(("reflect", "replicate", "circular"))
        conv = self._module("Conv")(self.channels, 2, 3, padding=1, padding_mode=mode)
        self._add(conv, 2, self.sizes)

    def _pooled(self) -> None:
        if min(self.sizes) < 3:
            return
        pool = self.draw.choice(
            (
                self._module("AvgPool")(3, 1, 1),
                self._module("AvgPool")(3, 1, 1, count_include_pad=False),
                self._module("MaxPool")(3, 1, 1),
            )
        )
        self.blocks.append(pool)

    def _down(self) -> None:
        if min(self.sizes) < 3:
            return
        conv = self._module("Conv")(self.channels, 2, 3, 2, 1)
        self._add(conv, 2, [(n - 1) // 2 + 1 for n in self.sizes])

    def _unet(self) -> None:
        if any(n % 2 or n < 2 for n in self.sizes) or self.channels > 3:
            return
        pool = self.draw.choice(("AvgPool", "MaxPool"))
        width = self.draw.randint(1, 2)
        inner = nn.Sequential(
            self._module("Conv")(self.channels, width, 3, padding=1),
            self.draw.choice(ACTIVATIONS)(),
        )
        up = self.draw.choice(
            (
                self._module("ConvTranspose")(width, width, 2, 2),
                nn.Upsample(scale_factor=2),
            )
        )
        module = Unet(self._module(pool)(2), inner, up)
        self._add(module, self.channels + width, self.sizes)
