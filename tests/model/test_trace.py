"""Convolutions as models call them: functional, overridden, shared, under which names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convspec as cs
from tests.gaussian import gaussian


class Blur(nn.Module):
    """A box filter, a buffer, called by its function."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("f", torch.ones(3, 1, 3, 3, dtype=torch.float64) / 9)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.f, padding=1, groups=3)


class Standardised(nn.Conv2d):
    """Weight standardisation, without the scale."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class Same(nn.Conv2d):
    """TensorFlow's SAME: as much padding as the size asks for, the odd zero behind."""

    def forward(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for n, k, s in zip(x.shape[2:], self.kernel_size, self.stride, strict=True):
            total = max(0, (-(-n // s) - 1) * s + k - n)
            pads = [total // 2, total - total // 2, *pads]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride)


class Bank(nn.Module):
    """Two filters of one module, and one of no name."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Parameter(gaussian(0, 2, 1, 3))
        self.register_buffer("high", gaussian(1, 2, 1, 4))

    def forward(self, x: Tensor) -> Any:
        made = F.conv_transpose1d(x, self.low.transpose(0, 1) * 2, stride=2)
        return F.conv1d(x, self.low), F.conv1d(x, self.high, stride=2), made


def run(model: nn.Module, *shape: int) -> cs.ModelReport:
    model = model.double()
    return cs.analyze(model, inputs=torch.zeros(1, *shape, dtype=torch.float64))


def test_a_function_of_a_buffer_is_a_row() -> None:
    (row,) = run(Blur(), 3, 16, 16)
    assert (row.name, row.type, row.geometry) == ("Blur", "Blur", "3x3 p1 g3")
    box = cs.ConvOperator(torch.ones(1, 1, 3, dtype=torch.float64) / 3, 16, padding=1)
    assert row.spectrum.norm == pytest.approx(cs.spectrum(box).norm ** 2, rel=1e-14)
    assert row.spectrum.norm == pytest.approx(0.9774264, abs=1e-7)


def test_no_row_is_missing_beside_others() -> None:
    report = run(nn.Sequential(nn.Conv2d(3, 3, 1), Blur()), 3, 8, 8)
    assert [(row.name, row.type) for row in report] == [("0", "Conv2d"), ("1", "Blur")]


def test_the_weight_in_force_is_the_one_that_is_called() -> None:
    torch.manual_seed(0)
    layer = Standardised(3, 4, 3, padding=1)
    (row,) = run(nn.Sequential(layer), 3, 6, 6)
    weight = layer.weight - layer.weight.mean((1, 2, 3), keepdim=True)
    alone = cs.ConvOperator(weight, (6, 6), padding=1)
    assert np.array_equal(row.spectrum.values, cs.spectrum(alone).values)
    assert (row.name, row.type) == ("0", "Standardised")


@pytest.mark.parametrize("size", [7, 8])
def test_padding_to_the_same_size(size: int) -> None:
    torch.manual_seed(0)
    layer = Same(1, 2, 3, stride=2)
    (row,) = run(layer, 1, size, size)
    pads = ((1, 1),) * 2 if size == 7 else ((0, 1),) * 2
    alone = cs.ConvOperator(layer.weight, size, stride=2, padding=pads)
    assert torch.equal(row.operator.to_dense(), alone.to_dense())


def test_several_filters_of_one_module_have_the_names_of_their_weights() -> None:
    report = run(nn.Sequential(Bank()), 1, 9)
    names = [row.name for row in report]
    assert names[1:] == ["0.low", "0.high"]
    assert names[0].startswith("0 (test_trace.py:")
    assert [row.type for row in report] == ["conv_transpose1d", "conv1d", "conv1d"]
    alone = cs.ConvOperator(gaussian(0, 2, 1, 3), 9)
    assert torch.equal(report["0.low"].operator.to_dense(), alone.to_dense())
    assert report[0].operator.transposed


def test_a_convolution_in_a_loop_is_as_many_rows_as_it_has_weights() -> None:
    weights = [gaussian(seed, 1, 1, 3) for seed in range(3)]

    class Loop(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for weight in (*weights, weights[0]):
                x = F.conv1d(x, weight, padding=1)
            return x

    report = run(Loop(), 1, 8)
    assert [row.calls for row in report] == [2, 1, 1]
    assert len({row.name for row in report}) == 3
    for row, weight in zip(report, weights, strict=True):
        alone = cs.ConvOperator(weight, 8, padding=1)
        assert torch.equal(row.operator.to_dense(), alone.to_dense())


def test_one_weight_of_two_modules_has_both_names() -> None:
    first, second = nn.Conv1d(1, 1, 3), nn.Conv1d(1, 1, 3, padding=1)
    second.weight = first.weight
    report = run(nn.Sequential(first, second), 1, 8)
    assert [(row.name, row.geometry) for row in report] == [("0", "3"), ("1", "3 p1")]


NORMALISED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight_norm": nn.utils.parametrizations.weight_norm,
    "spectral_norm": nn.utils.parametrizations.spectral_norm,
    "orthogonal": nn.utils.parametrizations.orthogonal,
}


@pytest.mark.parametrize("kind", NORMALISED)
def test_parametrized_weights(kind: str) -> None:
    torch.manual_seed(0)
    layer = NORMALISED[kind](nn.Conv1d(2, 2, 3)).double().eval()
    (row,) = run(nn.Sequential(layer), 2, 7)
    alone = cs.ConvOperator.from_layer(layer, 7)
    assert torch.equal(row.operator.to_dense(), alone.to_dense())
    assert (row.name, row.type) == ("0", "Conv1d")


def test_pruned_weights() -> None:
    layer = nn.Conv1d(2, 2, 3)
    nn.utils.prune.random_unstructured(layer, "weight", 0.5)
    (row,) = run(layer, 2, 7)
    assert row.operator.weight.eq(0).sum() == 6


def test_a_causal_block_is_as_badly_conditioned_as_it_is() -> None:
    layer = nn.Conv1d(1, 1, 2, padding=1, bias=False)
    layer.weight.data = torch.tensor([[[2.0, 1.0]]])

    class Chomp(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[..., :-1]

    (row,) = run(nn.Sequential(layer, Chomp()), 1, 40)
    assert row.spectrum.condition_number == pytest.approx(2.1977e12, rel=1e-3)


def test_reflection_in_front_has_the_norm_of_the_block() -> None:
    layer = nn.Conv1d(1, 1, 3, bias=False)
    nn.init.constant_(layer.weight, 1 / 3)
    (row,) = run(nn.Sequential(nn.ReflectionPad1d(1), layer), 1, 8)
    assert row.spectrum.norm == pytest.approx(1.0293, abs=5e-5)
    assert row.spectrum.condition_number == pytest.approx(13.23, abs=5e-3)
    assert row.worst_case.upper >= row.spectrum.norm


@pytest.mark.filterwarnings("ignore:The current implementation of the Dyn:UserWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_a_quantized_convolution_is_a_row_with_a_reason() -> None:
    pytest.importorskip("torch.ao.nn.quantized")
    layer = torch.ao.nn.quantized.dynamic.Conv1d(1, 1, 3)
    try:
        report = cs.analyze(nn.Sequential(nn.Conv1d(1, 1, 3), layer), (1, 8))
    except cs.UnreadableModel:
        pytest.skip("this build of torch has no quantized convolutions")
    assert [row.method for row in report] == ["dense", "none"]
    assert "dequantize the model" in report[1].reason


def test_a_thread_beside_is_not_seen() -> None:
    from threading import Thread

    other = nn.Conv1d(1, 1, 3)

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = nn.Conv1d(1, 1, 2)

        def forward(self, x: Tensor) -> Tensor:
            thread = Thread(target=lambda: other(torch.zeros(1, 1, 8)))
            thread.start()
            thread.join()
            return self.own(x)

    report = cs.analyze(Beside(), (1, 8))
    assert [row.name for row in report] == ["own"]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("mode", ["zeros", "circular", "reflect", "replicate"])
@pytest.mark.parametrize("padding", [(1, 2), "same", "valid"], ids=str)
def test_layers_made_in_inference_mode(padding: Any, mode: str) -> None:
    """Their operations are dispatched whole: other operators, the same convolutions."""
    with torch.inference_mode():
        layer = nn.Conv2d(1, 2, (2, 3), padding=padding, padding_mode=mode, dilation=2)
        (row,) = cs.analyze(nn.Sequential(layer), (1, 7, 8))
        alone = cs.ConvOperator.from_layer(layer, (7, 8))
        assert torch.equal(row.operator.to_dense(), alone.to_dense())
    assert row.fused == ()


@pytest.mark.parametrize("made", [True, False], ids=["made there", "made before"])
def test_all_of_a_model_in_inference_mode(made: bool) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.ConstantPad1d(1, 2.0), nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3)]
        layers += [nn.ConvTranspose1d(3, 1, 4, 2), nn.Flatten(), nn.Linear(18, 2)]
        return nn.Sequential(*layers)

    model = build()
    with torch.inference_mode():
        if made:
            model = build()
        report = cs.analyze(model, (2, 8), linear=True, fold_batch_norm=True)
    names = [(row.name, row.fused) for row in report]
    assert names == [
        ("1", ("zeros 1 before", "batch norm after")),
        ("3", ()),
        ("5", ()),
    ]
