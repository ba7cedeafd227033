"""Batch norm as a part of convolutions, and linear layers as rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import convspec as cs
from tests.gaussian import gaussian
from tests.model.test_fusing import layer, only, written_out

X = torch.zeros(1, 4, 5, 6, dtype=torch.float64)


def normalised(conv: nn.Module, channels: int, **given: bool) -> nn.Module:
    norm = nn.BatchNorm2d(channels, eps=1e-2, **given).double()
    for place, (name, values) in enumerate(norm.state_dict().items()):
        if values.ndim:
            values.copy_(gaussian(place, channels).abs() + (name == "running_var"))
    return nn.Sequential(conv, norm).eval()


CASES: dict[str, nn.Module] = {
    "plain": normalised(layer(nn.Conv2d, 4, 6, 3), 6),
    "groups": normalised(layer(nn.Conv2d, 4, 6, 3, groups=2, padding=1), 6),
    "no factors": normalised(layer(nn.Conv2d, 4, 3, 3), 3, affine=False),
    "transposed": normalised(layer(nn.ConvTranspose2d, 4, 6, 3, stride=2, groups=2), 6),
}


@pytest.mark.parametrize("case", CASES)
def test_both_are_one_operator(case: str) -> None:
    block = CASES[case]
    row = only(cs.analyze(block, inputs=X, fold_batch_norm=True))
    truth = written_out(block, (4, 5, 6))
    found = row.operator.to_dense()
    assert torch.allclose(found, truth, rtol=0, atol=1e-14 * float(truth.abs().max()))
    constant = block(X).flatten()
    assert torch.allclose(row.operator.offset, constant, rtol=0, atol=1e-14 * 10)
    assert row.fused == ("batch norm after",)


def test_it_is_left_alone_unless_it_is_asked_for() -> None:
    report = cs.analyze(CASES["plain"], inputs=X)
    alone = cs.ConvOperator.from_layer(CASES["plain"][0], (5, 6))
    assert torch.equal(report[0].operator.to_dense(), alone.to_dense())
    assert report.notes == ("not analysed: 1 BatchNorm2d",)


def test_single_precision_is_folded_in_double() -> None:
    block = normalised(nn.Conv2d(4, 3, 3), 3).float()
    row = only(cs.analyze(block, (4, 5, 6), fold_batch_norm=True))
    assert row.operator.weight.dtype == torch.float64
    norm = block[1]
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = block[0].weight.double() * factor[:, None, None, None]
    assert torch.allclose(row.operator.weight, weight, rtol=1e-15, atol=0)


def test_an_output_that_others_read_is_not_folded() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = CASES["plain"]

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return self.norm(y) + y

    row = only(cs.analyze(Beside().eval(), inputs=X, fold_batch_norm=True))
    assert row.fused == ()


def test_linear_layers_are_rows_on_request() -> None:
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(12, 5), nn.ReLU())
    model.append(nn.Linear(5, 2, bias=False))
    report = cs.analyze(model, (2, 6), linear=True)
    assert [(row.name, row.type) for row in report] == [
        ("0", "Conv1d"),
        ("2", "Linear"),
        ("4", "Linear"),
    ]
    truth = torch.linalg.svdvals(model[2].weight.double())
    assert report["2"].spectrum.values == pytest.approx(truth.tolist(), rel=1e-6)
    assert report["2"].operator.shape == (5, 12)
    assert torch.equal(report["2"].operator.offset, model[2].bias)
    assert report.notes == ()
    assert cs.analyze(model, (2, 6)).notes == ("not analysed: 2 Linear",)


def test_a_linear_layer_on_many_vectors_is_one_row() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    report = cs.analyze(model, (7, 4), linear=True)
    assert [(row.name, row.operator.shape) for row in report] == [("0", (3, 4))]


def test_what_has_weights_and_no_row_is_counted() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(2, 4, 1)
            self.lstm = nn.LSTM(4, 3, batch_first=True)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x).mT
            y = self.attention(y, y, y)[0]
            return self.lstm(y)[0]

    report = cs.analyze(Mixed(), (2, 5))
    (note,) = report.notes
    assert note.startswith("not analysed: ")
    assert "1 LSTM" in note
    assert "1 MultiheadAttention" in note
    assert note in repr(report)


def test_a_product_with_a_factor_is_no_linear_layer() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.addmm(self.linear.bias, x, self.linear.weight.mT, alpha=2.0)

    assert len(cs.analyze(Scaled(), (4,), linear=True)) == 0
