"""What ``analyze`` finds: every convolution, its sizes, its exact values."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convspec as cs
from convspec.demo.digits import INPUT_SHAPE, DigitsNet, load_digits_net
from tests.oracles import frobenius, onehot_matrix, singular_values, svd_tolerance

# below the cost of the one large SVD of the digits network, above all others
DIGITS_MAX_FLOPS = 5e9

# name, type, geometry, input, output, method
DIGITS = [
    ("dense", "Conv2d", "3x3 p1", (1, 8, 8), (16, 8, 8), "dense"),
    ("depthwise", "Conv2d", "3x3 p1 g16 circular", (16, 8, 8), (16, 8, 8), "fourier"),
    ("pointwise", "Conv2d", "1x1", (16, 8, 8), (24, 8, 8), "fourier"),
    ("dilated", "Conv2d", "3x3 p2 d2 reflect", (24, 8, 8), (24, 8, 8), "dense"),
    ("strided", "Conv2d", "3x3 s2 p1 replicate", (24, 8, 8), (32, 4, 4), "dense"),
    (
        "transposed",
        "ConvTranspose2d",
        "2x2 s2 transposed",
        (32, 4, 4),
        (16, 8, 8),
        "fourier",
    ),
]
NAMES = [case[0] for case in DIGITS]
EXACT = [case[0] for case in DIGITS if case[-1] != "envelope"]


@pytest.fixture(scope="module")
def digits() -> DigitsNet:
    return load_digits_net()


@pytest.fixture(scope="module")
def report(digits: DigitsNet) -> cs.ModelReport:
    return cs.analyze(digits, INPUT_SHAPE, max_flops=DIGITS_MAX_FLOPS)


# -- the embedded network ---------------------------------------------------------------


def test_rows_are_the_convolutions_in_order(report: cs.ModelReport) -> None:
    assert [row.name for row in report] == NAMES
    assert report.unused == ()
    assert report.notes == ("not analysed: 1 BatchNorm2d, 1 Linear",)
    assert report.input_shape == INPUT_SHAPE


@pytest.mark.parametrize("case", DIGITS, ids=NAMES)
def test_row_describes_its_layer(report: cs.ModelReport, case: Any) -> None:
    name, kind, geometry, input_shape, output_shape, method = case
    row = report[name]
    assert (row.type, row.geometry, row.method) == (kind, geometry, method)
    assert row.calls == 1
    assert row.seconds >= 0
    assert row.operator.input_shape == input_shape
    assert row.operator.output_shape == output_shape


@pytest.mark.parametrize("name", NAMES)
def test_frobenius_norm_is_that_of_the_layer(
    report: cs.ModelReport, digits: DigitsNet, name: str
) -> None:
    layer = copy.deepcopy(digits.get_submodule(name)).double()
    exact = frobenius(onehot_matrix(layer, report[name].operator.input_shape[1:]))
    assert abs(report[name].frobenius_norm - exact) <= 1e-13 * exact


@pytest.mark.parametrize("name", EXACT)
def test_values_are_those_of_spectrum(
    report: cs.ModelReport, digits: DigitsNet, name: str
) -> None:
    row = report[name]
    size = row.operator.input_shape[1:]
    op = cs.ConvOperator.from_layer(digits.get_submodule(name), size)
    alone = cs.spectrum(op)
    assert np.array_equal(row.spectrum.values, alone.values)
    assert (row.method, row.spectrum.error) == (alone.method, alone.error)
    assert row.reason == cs.explain(op).reason
    assert row.circular is None


# -- small networks against NumPy ---------------------------------------------------


def chain(dim: int) -> nn.Sequential:
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dim - 1]
    back = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dim - 1]
    torch.manual_seed(dim)
    return nn.Sequential(
        conv(2, 3, 3, padding=1),
        nn.ReLU(),
        conv(3, 4, 2, stride=2, groups=1, padding_mode="circular"),
        back(4, 2, 3, padding=1, bias=False),
    ).double()


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_small_networks(dim: int) -> None:
    """The layer itself, image by image, gives the matrix; NumPy its singular values."""
    model = chain(dim)
    report = cs.analyze(model, (2, *[4] * dim))
    assert [row.name for row in report] == ["0", "2", "3"]
    sizes = {"0": (4,) * dim, "2": (4,) * dim, "3": (2,) * dim}
    for row in report:
        assert row.operator.input_shape[1:] == sizes[row.name]
        matrix = onehot_matrix(model.get_submodule(row.name), sizes[row.name])
        expected = singular_values(matrix)
        assert row.operator.shape == matrix.shape
        assert np.abs(row.spectrum.values - expected).max() <= svd_tolerance(matrix)


def test_dict_of_a_row_holds_what_the_values_say() -> None:
    model = chain(2)
    row = cs.analyze(model, (2, 4, 4))["0"].to_dict()
    values = singular_values(onehot_matrix(model[0], (4, 4)))
    share = values / values.sum()
    expected = {
        "norm": values[0],
        "smallest": values[-1],
        "rank": len(values),
        "nullity": 0,
        "condition_number": values[0] / values[-1],
        "stable_rank": (values**2).sum() / values[0] ** 2,
        "effective_rank": math.exp(-(share * np.log(share)).sum()),
        "nuclear_norm": values.sum(),
        "log_volume": np.log(values).sum(),
        "frobenius_norm": np.linalg.norm(values),
    }
    assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-10)
    assert (row["rows"], row["columns"]) == (48, 32)
    assert (row["input_shape"], row["output_shape"]) == ([2, 4, 4], [3, 4, 4])
    quantiles = np.quantile(values, np.arange(21) / 20)
    assert row["quantiles"] == pytest.approx(quantiles.tolist(), rel=1e-10)
    assert row["worst_case_lower"] <= row["worst_case_upper"]
    assert row["circular_norm"] is None


@pytest.mark.parametrize(
    ("layer", "geometry"),
    [
        (nn.Conv1d(1, 1, 5), "5"),
        (nn.Conv2d(1, 1, (3, 1), stride=(2, 1)), "3x1 s2,1"),
        (nn.Conv2d(2, 2, 3, padding=(0, 1), dilation=(1, 2)), "3x3 p0,1 d1,2"),
        (nn.Conv2d(2, 4, 2, padding="same", groups=2), "2x2 p(0,1) g2"),
        (nn.Conv3d(1, 1, 1, stride=2), "1x1x1 s2"),
        (nn.ConvTranspose1d(1, 1, 4, stride=2, padding=1), "4 s2 p1 transposed"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_geometry_in_words(layer: nn.Module, geometry: str) -> None:
    shape = layer.in_channels, *[8] * len(layer.kernel_size)
    assert [row.geometry for row in cs.analyze(layer, shape)] == [geometry]


# -- which rows there are -----------------------------------------------------------


def test_bare_convolution_is_named_by_its_class() -> None:
    report = cs.analyze(nn.Conv2d(1, 2, 3), (1, 5, 6))
    assert [row.name for row in report] == ["Conv2d"]
    assert report["Conv2d"].operator.shape == (2 * 3 * 4, 5 * 6)


class Calls(nn.Module):
    """One convolution called on images pooled by each of the factors, one unused."""

    def __init__(self, *factors: int) -> None:
        super().__init__()
        self.factors = factors
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.spare = nn.Conv2d(1, 1, 1)
        self.after = nn.Conv2d(1, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        images = [nn.functional.avg_pool2d(x, factor) for factor in self.factors]
        return [self.after(self.conv(images[0])), *map(self.conv, images[1:])]


def test_layer_called_twice_on_one_size_is_one_row() -> None:
    report = cs.analyze(Calls(1, 1), (1, 4, 6))
    assert [(row.name, row.calls) for row in report] == [("conv", 2), ("after", 1)]
    assert "conv (x2) " in repr(report)


def test_layer_called_on_two_sizes_is_two_rows() -> None:
    report = cs.analyze(Calls(1, 2, 2), (1, 4, 6))
    rows = [(row.name, row.calls, row.operator.input_shape) for row in report]
    assert rows == [
        ("conv [4x6]", 1, (1, 4, 6)),
        ("after", 1, (1, 4, 6)),
        ("conv [2x3]", 2, (1, 2, 3)),
    ]
    assert len(report["conv [2x3]"].spectrum.values) == 6


def test_unused_layers_are_listed() -> None:
    report = cs.analyze(Calls(1), (1, 4, 4))
    assert report.unused == ("spare",)
    assert "not called: spare" in repr(report).splitlines()
    assert report.to_dict()["unused"] == ["spare"]


def test_module_under_two_names_is_one_row_and_a_note() -> None:
    conv = nn.Conv2d(1, 1, 3, padding=1)
    model = nn.ModuleDict({"first": conv, "again": conv})
    model.forward = lambda x: conv(conv(x))
    report = cs.analyze(model, (1, 4, 4))
    assert [(row.name, row.calls) for row in report] == [("first", 2)]
    (note,) = report.notes
    assert note.startswith("first is also again")
    assert note in repr(report)


def test_modules_with_one_weight_are_two_rows_and_a_note() -> None:
    model = nn.Sequential(*[nn.Conv2d(2, 2, 3, padding=1) for _ in range(3)])
    model[2].weight = model[0].weight
    report = cs.analyze(model, (2, 4, 4))
    assert [row.name for row in report] == ["0", "1", "2"]
    assert report.notes == ("0, 2 share one weight",)
    assert np.array_equal(report["0"].spectrum.values, report["2"].spectrum.values)


def test_a_common_bias_is_no_common_weight() -> None:
    model = nn.Sequential(nn.Conv1d(1, 1, 3), nn.Conv1d(1, 1, 3))
    model[1].bias = model[0].bias
    assert cs.analyze(model, (1, 8)).notes == ()


def test_parametrized_layer_has_the_type_it_was_made_as() -> None:
    model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv1d(1, 2, 3)))
    (row,) = cs.analyze(model, (1, 8))
    assert (row.name, row.type) == ("0", "Conv1d")


def test_user_hook_that_changes_the_input_is_seen() -> None:
    conv = nn.Conv1d(1, 1, 3)
    pad = nn.ConstantPad1d((2, 2), 0.0)
    conv.register_forward_pre_hook(lambda _, args: (pad(args[0]),))
    row = cs.analyze(conv, (1, 5))["Conv1d"]
    assert row.operator.input_shape == (1, 5)
    assert row.geometry == "3 p2 (zeros 2 before)"


def _twice(_: nn.Module, args: Any, y: Tensor) -> None:
    y.mul_(2)


@pytest.mark.parametrize(
    "hook",
    [
        lambda _, args, y: y[..., :6],
        lambda _, args, y: nn.functional.interpolate(y, scale_factor=2),
        lambda _, args, y: nn.functional.max_pool2d(y, 2),
        lambda _, args, y: 2 * y,
        lambda _, args, y: (y, y.mean()),
        lambda _, args, y: {"image": y},
        _twice,
    ],
    ids=["crops", "enlarges", "pools", "scales", "tuple", "dict", "in place"],
)
def test_hooks_that_change_an_output(hook: Any) -> None:
    """The row is the convolution that was called, whatever is made of its output."""
    model = nn.ModuleDict({"hooked": conv2d(2, 3), "plain": conv2d(2, 1)})
    model["hooked"].register_forward_hook(hook)
    model.forward = lambda x: (model["hooked"](x), model["plain"](x))
    report = cs.analyze(model, (2, 8, 8))
    assert [row.name for row in report] == ["hooked", "plain"]
    assert report.unused == ()
    hooked, plain = report
    alone = cs.spectrum(cs.ConvOperator.from_layer(model["hooked"], (8, 8)))
    assert np.array_equal(hooked.spectrum.values, alone.values)
    assert report.notes == ()
    assert plain.operator.output_shape == (1, 8, 8)


def test_hooks_that_look_on_change_nothing() -> None:
    layer, seen = conv2d(2, 3), []
    layer.register_forward_hook(lambda _, args, y: seen.append(y.shape))
    layer.register_forward_hook(lambda _, args, y: y)
    (row,) = cs.analyze(layer, (2, 8, 8))
    assert seen == [(1, 3, 8, 8)]
    assert row.operator.output_shape == (3, 8, 8)


def test_a_global_hook_that_crops_ends_nothing() -> None:
    crop = nn.modules.module.register_module_forward_hook
    handle = crop(lambda module, args, y: y[..., :6])
    try:
        report = cs.analyze(nn.Sequential(conv2d(2, 3)), (2, 8, 8))
    finally:
        handle.remove()
    (row,) = report
    assert row.operator.output_shape == (3, 8, 8)  # 6 would read one pixel less
    assert row.left_out == (
        "what cuts its output, aten::slice, is no part of it: the numbers hold for the "
        "convolution alone",
    )


def conv2d(c_in: int, c_out: int) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, padding=1)


# -- inputs -----------------------------------------------------------------------------


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(1, 2, 3)
        self.right = nn.Conv1d(3, 1, 2)

    def forward(self, image: Tensor, signal: Tensor, flip: bool = False) -> Any:
        first = self.right(input=signal.flip(2)) if flip else None
        return self.left(input=image), self.right(input=signal), first


def test_several_input_shapes_and_keyword_calls() -> None:
    report = cs.analyze(TwoInputs(), [(1, 4, 5), (3, 7)])
    found = [(row.name, row.calls, row.operator.input_shape) for row in report]
    assert found == [("left", 1, (1, 4, 5)), ("right", 1, (3, 7))]


def test_given_inputs_are_the_arguments_of_the_call() -> None:
    inputs = [torch.zeros(2, 1, 4, 5), torch.zeros(3, 7), True]
    report = cs.analyze(TwoInputs(), inputs=[inputs[0], inputs[1][None], True])
    found = [(row.name, row.calls, row.operator.input_shape) for row in report]
    assert found == [("right", 2, (3, 7)), ("left", 1, (1, 4, 5))]
    assert report.input_shape == [[2, 1, 4, 5], [1, 3, 7], "bool"]


def test_images_without_a_batch() -> None:
    report = cs.analyze(nn.Conv2d(2, 1, 3), inputs=[torch.zeros(2, 4, 5)])
    assert report["Conv2d"].operator.input_shape == (2, 4, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_models_of_another_precision(dtype: torch.dtype) -> None:
    """They run on inputs of their dtype; the spectrum is their own weights'."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 1, 1)).to(dtype)
    report = cs.analyze(model, (2, 5, 4))
    for row, layer in zip(report, (model[0], model[2]), strict=True):
        assert row.operator.dtype == dtype
        matrix = onehot_matrix(
            copy.deepcopy(layer).double(), row.operator.input_shape[1:]
        )
        assert row.frobenius_norm == pytest.approx(frobenius(matrix), rel=1e-13)
        difference = row.spectrum.values - singular_values(matrix)
        assert np.abs(difference).max() <= svd_tolerance(matrix)
