"""Reading torch's layers: the weight in force, nothing changed, nothing guessed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import convspec as cs
from tests.agreement import assert_representations_agree
from tests.oracles import onehot_matrix

# id, layer class, kernel, input size, options
LAYERS = [
    ("conv1d", nn.Conv1d, 3, (7,), {"stride": 2, "padding": 1}),
    ("conv2d", nn.Conv2d, (3, 2), (5, 6), {"dilation": (2, 1), "groups": 2}),
    ("conv2d-reflect", nn.Conv2d, 3, (4, 5), {"padding": 2, "padding_mode": "reflect"}),
    ("conv2d-same", nn.Conv2d, 3, (4, 5), {"padding": "same"}),
    ("conv3d", nn.Conv3d, 2, (2, 3, 4), {"padding": (0, 1, 0), "bias": False}),
    ("conv_transpose1d", nn.ConvTranspose1d, 3, (5,), {"stride": 2, "output_padding": 1}),
    ("conv_transpose2d", nn.ConvTranspose2d, (2, 3), (3, 4), {"groups": 2, "padding": 1}),
    ("conv_transpose3d", nn.ConvTranspose3d, 2, (2, 2, 3), {"stride": (1, 2, 1)}),
]


@pytest.mark.parametrize(
    ("kind", "kernel", "size", "options"),
    [c[1:] for c in LAYERS],
    ids=[c[0] for c in LAYERS],
)
def test_six_layers(kind: Any, kernel: Any, size: Any, options: Any) -> None:
    torch.manual_seed(0)
    layer = kind(2, 4, kernel, dtype=torch.float64, **options)
    op = cs.ConvOperator.from_layer(layer, size)
    assert_representations_agree(op, onehot_matrix(layer, size))
    bias = layer.bias if layer.bias is not None else torch.zeros(4, dtype=torch.float64)
    assert torch.equal(op.offset.reshape(4, -1).unique(dim=1), bias.detach()[:, None])


# -- the weight in force ----------------------------------------------------------------


def deprecated(name: str) -> pytest.MarkDecorator:
    """torch's older function of this name works, and warns that it will go."""
    message = rf"ignore:`torch.nn.utils.{name}` is deprecated:FutureWarning"
    return pytest.mark.filterwarnings(message)


def move(layer: nn.Module) -> None:
    """Change all parameters, as an optimizer would, without running the layer."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1.5).add_(0.25)


def _pruned(layer: nn.Module) -> nn.Module:
    return prune.l1_unstructured(layer, "weight", amount=0.5)


def _pruned_twice(layer: nn.Module) -> nn.Module:
    prune.random_unstructured(layer, "weight", amount=2)
    return prune.ln_structured(layer, "weight", amount=1, n=2, dim=0)


def _old(name: str) -> Callable[[nn.Module], nn.Module]:
    return lambda layer: getattr(nn.utils, name)(layer)


REPARAMETRIZED = [
    pytest.param(lambda layer: layer, id="plain"),
    pytest.param(parametrizations.weight_norm, id="weight_norm"),
    pytest.param(parametrizations.spectral_norm, id="spectral_norm"),
    pytest.param(parametrizations.orthogonal, id="orthogonal"),
    pytest.param(
        _old("weight_norm"), id="old-weight_norm", marks=deprecated("weight_norm")
    ),
    pytest.param(
        _old("spectral_norm"), id="old-spectral_norm", marks=deprecated("spectral_norm")
    ),
    pytest.param(_pruned, id="pruned"),
    pytest.param(_pruned_twice, id="pruned-twice"),
]


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
@pytest.mark.parametrize("wrap", REPARAMETRIZED)
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
class TestWeightInForce:
    def layer(self, kind: Any, wrap: Any, training: bool) -> nn.Module:
        torch.manual_seed(1)
        return wrap(kind(2, 3, 2, dtype=torch.float64)).train(training)

    def test_matrix_is_the_layer_in_eval_mode(self, kind, wrap, training) -> None:
        """Also after the parameters moved while ``layer.weight`` was left behind."""
        layer = self.layer(kind, wrap, training)
        layer(torch.ones(1, 2, 3, 4, dtype=torch.float64))
        move(layer)
        found = cs.to_matrix(layer, (3, 4)).detach()
        expected = onehot_matrix(layer.eval(), (3, 4))
        tolerance = 64 * 2.0**-52 * (found.norm() + layer.bias.detach().norm())
        assert (found - torch.from_numpy(expected)).abs().max() <= tolerance

    def test_reading_changes_nothing(self, kind, wrap, training) -> None:
        """Neither parameters, buffers (u, v of power iterations), modes nor hooks."""
        layer = self.layer(kind, wrap, training)
        before = copy.deepcopy(layer.state_dict())
        modes = [module.training for module in layer.modules()]
        hooks = list(layer._forward_pre_hooks)
        first = cs.to_matrix(layer, (3, 4)).detach()
        second = cs.to_matrix(layer, (3, 4)).detach()
        assert torch.equal(first, second)
        after = layer.state_dict()
        assert list(after) == list(before)
        assert all(torch.equal(after[key], before[key]) for key in before)
        assert [module.training for module in layer.modules()] == modes
        assert list(layer._forward_pre_hooks) == hooks

    def test_gradient_reaches_the_parameters(self, kind, wrap, training) -> None:
        layer = self.layer(kind, wrap, training)
        cs.to_matrix(layer, (3, 4)).square().sum().backward()
        reached = [name for name, p in layer.named_parameters() if p.grad is not None]
        assert any("weight" in name for name in reached)


def test_state_is_restored_when_reading_fails() -> None:
    class Broken(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            if not self.training:
                raise RuntimeError("broken")
            return weight

    layer = nn.Conv1d(1, 1, 3)
    parametrize.register_parametrization(layer, "weight", Broken())
    with pytest.raises(RuntimeError, match="broken"):
        cs.to_matrix(layer, 5)
    assert all(module.training for module in layer.modules())


def test_parametrized_bias() -> None:
    class Doubled(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return 2 * values

    layer = nn.Conv1d(1, 2, 3)
    before = layer.bias.detach().clone()
    parametrize.register_parametrization(layer, "bias", Doubled())
    op = cs.ConvOperator.from_layer(layer, 3)
    assert torch.equal(op.offset.detach(), 2 * before)


# -- what is accepted and what is not ---------------------------------------------------


class Overridden(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.abs())


class Standardized(nn.Conv2d):
    """Weight standardization, as it is usually written."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x, weight - weight.mean(), bias)


class Renamed(nn.Conv2d):
    """A subclass that only adds: it computes what Conv2d computes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.note = "nothing else"


def _patched() -> nn.Module:
    layer = nn.Conv2d(1, 1, 3)
    layer.forward = lambda x: x
    return layer


def _quantized() -> nn.Module:
    return torch.ao.nn.quantized.Conv2d(1, 1, 3)


UNSUPPORTED = [
    pytest.param(
        lambda: nn.LazyConv2d(2, 3), r"LazyConv2d.*lazy.*run it once", id="lazy"
    ),
    pytest.param(
        _quantized,
        r"got .*quantized.*; dequantize",
        id="quantized",
        marks=[
            pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
            pytest.mark.filterwarnings("ignore:.*torch.ao.*:DeprecationWarning"),
        ],
    ),
    pytest.param(
        lambda: nn.Linear(2, 3),
        r"Conv1d, Conv2d.*got Linear; give the weight",
        id="linear",
    ),
    pytest.param(
        lambda: nn.Sequential(nn.Conv2d(1, 1, 3)), "got Sequential", id="sequential"
    ),
    pytest.param(lambda: nn.MaxPool2d(2), "got MaxPool2d", id="pooling"),
    pytest.param(
        lambda: Overridden(1, 1, 3),
        r"torch.nn.Conv2d computes; .*Overridden.* overrides forward",
        id="forward",
    ),
    pytest.param(
        lambda: Standardized(1, 1, 3),
        r"Standardized.* overrides _conv_forward; give the weight",
        id="conv-forward",
    ),
    pytest.param(_patched, "Conv2d overrides forward", id="patched-instance"),
    pytest.param(
        lambda: nn.Conv2d(1, 1, 3, device="meta"),
        r"Conv2d must have values; .*meta device; load the weights",
        id="meta",
    ),
    pytest.param(lambda: torch.ones(2), r"got .*Tensor", id="tensor"),
    pytest.param(lambda: None, r"got .*NoneType", id="none"),
]


@pytest.mark.parametrize(("make", "message"), UNSUPPORTED)
def test_unsupported(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(cs.UnsupportedLayer, match=message) as caught:
        cs.ConvOperator.from_layer(make(), 5)
    assert isinstance(caught.value, TypeError)


def test_subclass_that_overrides_nothing() -> None:
    layer = Renamed(1, 2, 3, dtype=torch.float64)
    assert_representations_agree(
        cs.ConvOperator.from_layer(layer, 4), onehot_matrix(layer, (4, 4))
    )


def test_lazy_layer_once_it_ran() -> None:
    layer = nn.LazyConv2d(2, 3)
    layer(torch.zeros(1, 3, 5, 5))
    assert cs.to_matrix(layer, 5).shape == (18, 75)


def test_hooks_of_the_user_do_not_matter() -> None:
    """Forward hooks see activations; the matrix is the layer's own."""
    layer = nn.Conv1d(1, 1, 2)
    layer.register_forward_pre_hook(lambda module, inputs: None)
    layer.register_forward_hook(lambda module, inputs, output: output * 2)
    assert torch.equal(
        cs.to_matrix(layer, 3), cs.ConvOperator(layer.weight, 3).to_dense()
    )


def test_model_cast_to_half() -> None:
    layer = nn.Conv2d(2, 3, 3).half()
    op = cs.ConvOperator.from_layer(layer, 4)
    assert op.dtype == op.offset.dtype == torch.float16


def test_fused_model_reads_after_deepcopy() -> None:
    """A deep copy of a reparametrized layer is another layer with the same matrix."""
    layer = parametrizations.weight_norm(nn.Conv1d(2, 2, 3, dtype=torch.float64))
    other = copy.deepcopy(layer)
    move(other)
    assert not torch.equal(cs.to_matrix(layer, 4), cs.to_matrix(other, 4))
    assert torch.equal(cs.to_matrix(copy.deepcopy(layer), 4), cs.to_matrix(layer, 4))
