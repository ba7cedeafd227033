"""A convolution and the batch norm behind it as one operator, beside torch's layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import fuse_conv_bn_eval, parametrizations

import convspec as cs
from tests import oracles
from tests.agreement import assert_near
from tests.gaussian import gaussian

NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
PLAIN = {
    "1d": (nn.Conv1d(2, 3, 4, stride=2, padding=1), (9,)),
    "2d": (nn.Conv2d(4, 6, (3, 2), dilation=(1, 2), groups=2), (5, 6)),
    "2d-no-bias": (nn.Conv2d(3, 2, 3, padding=1, bias=False), (4, 3)),
    "2d-reflect": (nn.Conv2d(2, 2, 3, padding=2, padding_mode="reflect"), (4, 5)),
    "3d": (nn.Conv3d(1, 2, 2, padding=(0, 1, 0)), (2, 2, 3)),
    "depthwise": (nn.Conv2d(3, 6, 3, padding=1, groups=3, bias=False), (4, 4)),
}
TRANSPOSED = {
    "1d": (nn.ConvTranspose1d(2, 3, 3, stride=2, output_padding=1), (4,)),
    "2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), (3, 4)),
    "2d-no-bias": (nn.ConvTranspose2d(4, 2, (2, 3), groups=2, bias=False), (3, 2)),
    "3d": (nn.ConvTranspose3d(2, 4, 2, groups=2), (2, 1, 2)),
}
BLOCKS = {
    **{f"conv-{name}": block for name, block in PLAIN.items()},
    **{f"transposed-{name}": block for name, block in TRANSPOSED.items()},
}


def drawn(layer: nn.Module, seed: int) -> nn.Module:
    """The layer in double precision, its parameters and statistics drawn anew."""
    layer = copy.deepcopy(layer).double().eval()
    for place, (name, values) in enumerate(layer.state_dict().items()):
        if values.is_floating_point():
            fresh = gaussian(seed + place, *values.shape)
            values.copy_(fresh.abs() + 0.1 if name == "running_var" else fresh)
    return layer


def block(name: str, **given: Any) -> tuple[nn.Module, nn.Module, tuple[int, ...]]:
    conv, size = BLOCKS[name]
    bn = NORMS[len(size)](conv.out_channels, **given)
    return drawn(conv, 10), drawn(bn, 20), size


@torch.no_grad()
def assert_is_both(conv: nn.Module, bn: nn.Module, size: tuple[int, ...]) -> None:
    """Image by image, and the matrix from one-hot images through both layers."""
    op = cs.ConvOperator.from_layers(conv, bn, size)
    x = gaussian(1, 3, *op.input_shape)
    wanted = bn(conv(x))
    assert wanted.shape[1:] == op.output_shape
    found = op.apply(x) + op.offset.reshape(op.output_shape)
    factor = float((wanted.abs().max() + 1) * 64 * op.geometry.reads)
    assert (found - wanted).abs().max() <= factor * 2.0**-52
    both = nn.Sequential(conv, bn)
    both.weight, both.in_channels = conv.weight, conv.in_channels
    matrix = oracles.onehot_matrix(both, size)
    scale = oracles.frobenius(matrix) + float(op.offset.norm())
    assert_near(op.to_dense().numpy(), matrix, scale)
    constant = both(torch.zeros(1, *op.input_shape, dtype=torch.float64))
    assert_near(op.offset.numpy(), constant.flatten().numpy(), scale)


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("name", BLOCKS)
def test_is_both_layers(name: str, affine: bool) -> None:
    assert_is_both(*block(name, affine=affine, eps=1e-2))


@pytest.mark.parametrize("name", [f"conv-{name}" for name in PLAIN])
def test_is_torchs_own_fusion(name: str) -> None:
    conv, bn, size = block(name)
    fused = fuse_conv_bn_eval(conv, bn)
    wanted = cs.ConvOperator.from_layer(fused, size)
    found = cs.ConvOperator.from_layers(conv, bn, size)
    assert torch.allclose(found.weight, wanted.weight, rtol=1e-14, atol=1e-14)
    assert torch.allclose(found.bias, wanted.bias, rtol=1e-13, atol=1e-13)
    assert found.geometry == wanted.geometry


def test_single_precision_is_folded_in_double() -> None:
    conv, bn, size = block("conv-2d")
    wanted = cs.ConvOperator.from_layers(conv.float().double(), bn.float().double(), size)
    for dtype in (torch.float32, torch.float64):
        found = cs.ConvOperator.from_layers(conv.to(dtype), bn.to(dtype), size)
        assert found.dtype == found.offset.dtype == torch.float64
        assert torch.equal(found.weight, wanted.weight)
        assert torch.equal(found.bias, wanted.bias)


def test_the_row_of_a_report_is_the_same_operator() -> None:
    conv, bn, size = block("transposed-2d")
    found = cs.ConvOperator.from_layers(conv, bn, size)
    x = torch.zeros(1, 4, *size, dtype=torch.float64)
    (row,) = cs.analyze(nn.Sequential(conv, bn), inputs=x, fold_batch_norm=True)
    assert torch.equal(row.operator.to_dense(), found.to_dense())
    assert torch.equal(row.operator.offset, found.offset)


def test_gradients_reach_both() -> None:
    conv, bn, size = block("conv-1d")
    parameters = [*conv.parameters(), *bn.parameters()]
    op = cs.ConvOperator.from_layers(conv, bn, size)
    x = gaussian(3, *op.input_shape)
    found = torch.autograd.grad(
        (op.apply(x) + op.offset.reshape(op.output_shape)).square().sum(), parameters
    )
    wanted = torch.autograd.grad(bn(conv(x[None])).square().sum(), parameters)
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)


def test_the_weight_in_force_is_read() -> None:
    conv, bn, size = block("conv-2d")
    conv = parametrizations.weight_norm(conv)
    with torch.no_grad():
        conv.parametrizations.weight.original0.mul_(3)
    op = cs.ConvOperator.from_layers(conv, bn, size)
    x = gaussian(4, 1, *op.input_shape)
    with torch.no_grad():
        found = op.apply(x) + op.offset.reshape(op.output_shape)
        assert torch.allclose(found, bn(conv(x)), rtol=1e-12, atol=1e-12)


def test_the_layers_are_left_as_they_are() -> None:
    conv, bn, size = block("conv-2d")
    before = copy.deepcopy({**conv.state_dict(), **bn.state_dict()})
    op = cs.ConvOperator.from_layers(conv, bn, size)
    with torch.no_grad():
        op.weight.zero_()
        op.bias.zero_()
    after = {**conv.state_dict(), **bn.state_dict()}
    assert all(torch.equal(after[name], before[name]) for name in before)


class Doubled(nn.BatchNorm2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def _with(name: str, value: float) -> nn.Module:
    bn = nn.BatchNorm2d(3).eval()
    getattr(bn, name).data[1] = value
    return bn


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "training": (
        lambda: nn.BatchNorm2d(3),
        cs.UnsupportedLayer,
        r"must be in evaluation.*BatchNorm2d is in training.*call \.eval\(\)",
    ),
    "no statistics": (
        lambda: nn.BatchNorm2d(3, track_running_stats=False).eval(),
        cs.UnsupportedLayer,
        r"BatchNorm2d has track_running_stats=False and normalises by those of each",
    ),
    "no statistics in training": (
        lambda: nn.BatchNorm2d(3, track_running_stats=False),
        cs.UnsupportedLayer,
        r"track_running_stats=False",
    ),
    "channels": (
        lambda: nn.BatchNorm2d(4).eval(),
        cs.GeometryError,
        r"BatchNorm2d of 3 channels, which is .* gives; got BatchNorm2d of 4",
    ),
    "axes": (
        lambda: nn.BatchNorm1d(3).eval(),
        cs.GeometryError,
        r"must be a BatchNorm2d of 3 channels.*; got BatchNorm1d of 3",
    ),
    "another layer": (
        lambda: nn.GroupNorm(1, 3).eval(),
        cs.UnsupportedLayer,
        r"BatchNorm2d, BatchNorm3d; got GroupNorm; .*to_operator",
    ),
    "no layer": (lambda: (4, 4), cs.UnsupportedLayer, "got .*tuple"),
    "lazy": (
        lambda: nn.LazyBatchNorm2d().eval(),
        cs.UnsupportedLayer,
        "got LazyBatchNorm2d; run it once",
    ),
    "overridden": (
        lambda: Doubled(3).eval(),
        cs.UnsupportedLayer,
        r"torch.nn.BatchNorm2d computes; .*Doubled.* overrides forward",
    ),
    "meta": (
        lambda: nn.BatchNorm2d(3, device="meta").eval(),
        cs.UnsupportedLayer,
        "the running_mean must have values; it is on the meta device",
    ),
    "NaN": (
        lambda: _with("running_mean", float("nan")),
        cs.NotFiniteError,
        "the running_mean must be finite",
    ),
    "factor": (
        lambda: _with("weight", float("inf")),
        cs.NotFiniteError,
        "the weight of the batch norm must be finite",
    ),
    "variance": (
        lambda: _with("running_var", -1.0),
        cs.NotFiniteError,
        r"running_var \+ eps must be positive in every channel; the least is -1; repair",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        cs.ConvOperator.from_layers(nn.Conv2d(2, 3, 3), make(), 4)


def test_convolutions_are_refused_as_from_layer_refuses_them() -> None:
    bn = nn.BatchNorm2d(3).eval()
    with pytest.raises(cs.UnsupportedLayer, match="got Linear"):
        cs.ConvOperator.from_layers(nn.Linear(2, 3), bn, 4)
    with pytest.raises(cs.GeometryError, match=r"^Conv2d\(2, 3.*the padded input"):
        cs.ConvOperator.from_layers(nn.Conv2d(2, 3, 5), bn, 4)
    with pytest.raises(cs.UnsupportedLayer, match=r"takes real numbers; .*complex64"):
        cs.ConvOperator.from_layers(nn.Conv2d(2, 3, 3, dtype=torch.complex64), bn, 4)


def test_a_model_in_training_but_for_its_norms() -> None:
    """What the convolution's mode is makes no difference."""
    conv, bn, size = block("conv-2d")
    wanted = cs.ConvOperator.from_layers(conv, bn, size)
    found = cs.ConvOperator.from_layers(conv.train(), bn, size)
    assert torch.equal(found.weight, wanted.weight)
