"""Linear modules as maps, beside what torch makes of unit vectors, column by column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import convspec as cs
from tests.gaussian import gaussian


class Made(nn.Module):
    """A function, with the layers that it uses."""

    def __init__(self, function: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, *self.layers)


def norm(channels: int) -> nn.Module:
    layer = nn.BatchNorm2d(channels, eps=1e-3)
    layer.running_var = gaussian(1, channels).abs() + 0.1
    layer.running_mean = gaussian(2, channels)
    layer.weight.data = gaussian(3, channels)
    return layer


def conv(into: int, out: int, size: int = 3, **given: Any) -> nn.Module:
    given = {"padding": size // 2, **given}
    return nn.Conv2d(into, out, size, **given)


def block() -> nn.Module:
    return Made(
        lambda x, f, g: x + 0.5 * f(x) - g(f(x)),
        nn.Sequential(conv(2, 2), norm(2), conv(2, 2, groups=2)),
        conv(2, 2, padding_mode="circular"),
    )


IMAGE = (2, 6, 5)
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolution": (lambda: conv(2, 3, stride=2), IMAGE),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 3, stride=2), IMAGE),
    "reflect": (lambda: conv(2, 3, padding_mode="reflect"), IMAGE),
    "batch-norm": (lambda: norm(2), IMAGE),
    "linear": (lambda: nn.Linear(5, 3), IMAGE),
    "head": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(60, 4)), IMAGE),
    "average": (lambda: nn.AvgPool2d(2), IMAGE),
    "average-overlap": (lambda: nn.AvgPool2d(3, 2, 1), IMAGE),
    "average-not-counted": (
        lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        IMAGE,
    ),
    "average-ceil": (lambda: nn.AvgPool2d(2, ceil_mode=True), IMAGE),
    "average-ceil-padded": (
        lambda: nn.AvgPool2d(3, 2, (1, 0), ceil_mode=True),
        (2, 6, 8),
    ),
    "average-ceil-not-counted": (
        lambda: nn.AvgPool2d((2, 3), (3, 2), 1, True, False),
        IMAGE,
    ),
    "average-divisor": (lambda: nn.AvgPool2d(2, divisor_override=3), IMAGE),
    "average-divisor-ceil": (
        lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=7),
        IMAGE,
    ),
    "average-divisor-not-counted": (
        lambda: nn.AvgPool2d((3, 2), 2, 1, False, False, divisor_override=5),
        IMAGE,
    ),
    "average-1d": (lambda: nn.AvgPool1d(3, 2, 1, ceil_mode=True), (2, 8)),
    "average-3d": (lambda: nn.AvgPool3d(2, 1), (1, 3, 3, 2)),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d((4, 3)), IMAGE),
    "global": (lambda: nn.AdaptiveAvgPool2d(1), IMAGE),
    "nearest": (lambda: nn.Upsample(scale_factor=2), IMAGE),
    "nearest-exact": (lambda: nn.Upsample(size=(9, 4), mode="nearest-exact"), IMAGE),
    "bilinear": (lambda: nn.Upsample(scale_factor=1.7, mode="bilinear"), IMAGE),
    "bilinear-corners": (
        lambda: nn.Upsample(size=(4, 9), mode="bilinear", align_corners=True),
        IMAGE,
    ),
    "bicubic": (lambda: nn.Upsample(scale_factor=2, mode="bicubic"), IMAGE),
    "pixel-shuffle": (lambda: nn.PixelShuffle(2), (4, 3, 2)),
    "pixel-unshuffle": (lambda: nn.PixelUnshuffle(2), (2, 4, 6)),
    "channel-shuffle": (lambda: nn.ChannelShuffle(2), (4, 2, 3)),
    "flatten": (lambda: nn.Flatten(), IMAGE),
    "zero-pad": (lambda: nn.ZeroPad2d((1, 0, 2, -1)), IMAGE),
    "reflection-pad": (lambda: nn.ReflectionPad2d((1, 2, 0, 3)), IMAGE),
    "replication-pad": (lambda: nn.ReplicationPad2d((1, 2, 0, 3)), IMAGE),
    "constant-pad": (lambda: nn.ConstantPad2d(1, 3.5), IMAGE),
    "circular-pad": (lambda: nn.CircularPad2d(2), IMAGE),
    "slice": (lambda: Made(lambda x: x[:, 1:, ::2, 1:4]), IMAGE),
    "one-channel": (lambda: Made(lambda x: x[:, 0]), IMAGE),
    "flip": (lambda: Made(lambda x: x.flip(-1).transpose(2, 3)), IMAGE),
    "mean": (lambda: Made(lambda x: x - x.mean((2, 3), keepdim=True)), IMAGE),
    "cumulated": (lambda: Made(lambda x: x.cumsum(-1)), IMAGE),
    "same-twice": (lambda: Made(lambda x: torch.cat([x, x], 1) + 3), IMAGE),
    "twice": (lambda: Made(lambda x: x + x), IMAGE),
    "joined": (
        lambda: Made(lambda x, f: torch.cat([f(x), -x, f(x)], 1), conv(2, 1)),
        IMAGE,
    ),
    "divided": (lambda: Made(lambda x: x / 3 - 2 * x), IMAGE),
    "gated": (lambda: Made(lambda x: x * torch.arange(5.0).double()), IMAGE),
    "broadcast": (lambda: Made(lambda x: x.sum(1, keepdim=True) + x), IMAGE),
    "broadcast-factor": (
        lambda: Made(lambda x: x[:, :1] * torch.tensor([1.0, -2.0]).reshape(2, 1, 1)),
        IMAGE,
    ),
    "block": (block, IMAGE),
    "blocks": (lambda: nn.Sequential(*(block() for _ in range(12))), IMAGE),
    "nested": (
        lambda: Made(lambda x, f, g: x + g(f(x) + x) + f(x), block(), block()),
        IMAGE,
    ),
    "leaky-of-slope-1": (lambda: nn.LeakyReLU(1.0), IMAGE),
    "dropout": (lambda: nn.Dropout(), IMAGE),
    "all-together": (
        lambda: nn.Sequential(
            conv(2, 4, padding_mode="replicate"),
            nn.PixelShuffle(2),
            nn.AvgPool2d(3, 2, 1),
            nn.Flatten(),
            nn.Linear(30, 7),
        ),
        IMAGE,
    ),
}


def made(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    make, shape = CASES[name]
    module = make().double().eval()
    for turn, parameter in enumerate(module.parameters()):
        parameter.data = gaussian(turn + 5, *parameter.shape) / 2
    return module, shape


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_is_what_torch_computes(name: str) -> None:
    module, shape = made(name)
    op = cs.to_operator(module, shape)
    units = torch.eye(int(np.prod(shape)), dtype=torch.float64).reshape(-1, *shape)
    offset = module(torch.zeros(1, *shape, dtype=torch.float64))
    columns = [module(unit[None]) - offset for unit in units]
    wanted = torch.stack([each.flatten() for each in columns], dim=1)
    tolerance = 1e-12 * float(wanted.abs().sum(dim=1).max() + offset.abs().max())
    assert op.input_shape == shape
    assert op.output_shape == tuple(offset.shape[1:])
    assert op.dtype == torch.float64
    assert (op.to_dense() - wanted).abs().max() <= tolerance
    assert np.abs(op.to_sparse().toarray() - wanted.numpy()).max() <= tolerance
    assert (op.H.to_dense() - wanted.T).abs().max() <= tolerance
    assert (op.T.to_sparse().toarray() - wanted.numpy().T).max() <= tolerance
    single = op.to(torch.float32).apply(units[:2].float())
    assert single.dtype == torch.float32
    assert (single.flatten(1).double() - wanted.T[:2]).abs().max() <= 1e9 * tolerance


def test_a_convolution_is_one() -> None:
    module, shape = made("convolution")
    assert isinstance(cs.to_operator(module, shape), cs.ConvOperator)


def test_a_chain_of_blocks_stays_a_product() -> None:
    """Each block is there once, not once for every way through the chain."""
    module, shape = made("blocks")
    found = cs.to_operator(module, shape)
    assert repr(found).count("Sum") == 12
    assert len(found.parts) == 12


def test_batch_norm_adds_its_eps_in_double_precision() -> None:
    layer = nn.BatchNorm1d(1, eps=1e-12, affine=False).eval()
    layer.running_var.fill_(1.0)
    found = cs.to_operator(layer, (1, 2)).to_dense()[0, 0].item()
    assert found == 1 / (1 + 1e-12) ** 0.5 < 1.0


NONLINEAR: dict[str, tuple[nn.Module, str]] = {
    "relu": (nn.Sequential(conv(2, 2), nn.ReLU()), "relu of '1'"),
    "max-pool": (nn.Sequential(nn.MaxPool2d(2)), "max_pool2d.* of '0'"),
    "softmax": (nn.Sequential(nn.Identity(), nn.Softmax(1)), "softmax.* of '1'"),
    "product": (Made(lambda x: x * x), r"mul.*multiplies data with data"),
    "norm": (nn.Sequential(nn.LayerNorm(5)), "layer norm of '0'"),
}


@pytest.mark.parametrize("name", NONLINEAR)
def test_what_is_not_linear_is_named(name: str) -> None:
    module, words = NONLINEAR[name]
    with pytest.raises(cs.UnsupportedLayer, match=words):
        cs.to_operator(module, IMAGE)


def test_says_where_else_to_go() -> None:
    with pytest.raises(cs.UnsupportedLayer, match=r"is not linear; .* call cs.lipschitz"):
        cs.to_operator(nn.ReLU(), IMAGE)
    two = Made(lambda x: (x, functional.pad(x, (1, 1))))
    with pytest.raises(cs.UnsupportedLayer, match="takes modules of one output; got 2"):
        cs.to_operator(two, IMAGE)
    folded = Made(lambda x, f: f(x.reshape(2, 1, 6, 5)), conv(1, 1))
    with pytest.raises(cs.UnsupportedLayer, match=r"takes one image; .* write it with"):
        cs.to_operator(folded, IMAGE)
    with pytest.raises(TypeError, match=r"to_operator takes a torch.nn.Module; got int"):
        cs.to_operator(3, IMAGE)
    with pytest.raises(cs.UnreadableModel, match="shape of one input must be known"):
        cs.to_operator(nn.ReLU())
