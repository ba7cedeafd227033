"""Rows without an exact spectrum: their bounds hold, and say what was left out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs
from convspec.spectrum.envelope.plan import EnvelopePlan
from tests.oracles import onehot_matrix, singular_values, svd_tolerance

NAMES = (
    "norm",
    "smallest",
    "rank",
    "nullity",
    "condition_number",
    "stable_rank",
    "effective_rank",
    "participation_ratio",
    "nuclear_norm",
    "schatten_4",
    "log_volume",
)
LAYERS = {
    "zeros": nn.Conv2d(3, 4, 3, padding=1),
    "strided": nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "depthwise": nn.Conv2d(6, 6, 3, padding=1, groups=6),
    "reflect": nn.Conv2d(6, 4, 3, padding=1, padding_mode="reflect"),
    "replicate": nn.Conv2d(4, 4, 5, padding=2, padding_mode="replicate"),
    "partial circular": nn.Conv2d(4, 3, 3, padding=0, padding_mode="circular"),
    "transposed": nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1),
}
# below the cost of the spectrum of each layer above; only bounds are left
LITTLE = 3e5


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    torch.manual_seed(0)
    for layer in LAYERS.values():
        nn.init.normal_(layer.weight)
    named = {name.replace(" ", "_"): layer for name, layer in LAYERS.items()}
    found = nn.Sequential()
    for name, layer in named.items():
        found.add_module(name, layer.double())
    return found


@pytest.fixture
def unaffordable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No spectrum is within the limits, everything else is."""
    plan = cs.Plan("dense", "it is a test", math.inf, 0)
    begun = __import__("sys").modules["convspec.report.begun"]
    monkeypatch.setattr(begun, "explain", lambda *args, **options: plan)


@pytest.fixture
def report(model: nn.Sequential, unaffordable: None) -> cs.ModelReport:
    return cs.analyze(model, (3, 12, 12))


def truth(model: nn.Module, row: cs.LayerReport) -> tuple[np.ndarray, float]:
    matrix = onehot_matrix(model.get_submodule(row.name), row.operator.input_shape[1:])
    return singular_values(matrix), svd_tolerance(matrix)


def test_every_quantity_is_enclosed(model: nn.Sequential, report: cs.ModelReport) -> None:
    assert [row.name for row in report] == [name.replace(" ", "_") for name in LAYERS]
    for row in report:
        assert row.method == "envelope"
        assert row.spectrum is None
        values, error = truth(model, row)
        share = values / values.sum()
        share = share[share > 0]
        exact = {
            "norm": values[0],
            "smallest": values[-1],
            "rank": int((values > 1e-10 * values[0]).sum()),
            "nullity": row.operator.shape[1] - int((values > 1e-10 * values[0]).sum()),
            "condition_number": values[0] / values[-1],
            "stable_rank": (values**2).sum() / values[0] ** 2,
            "effective_rank": math.exp(-(share * np.log(share)).sum()),
            "participation_ratio": (values**2).sum() ** 2 / (values**4).sum(),
            "nuclear_norm": values.sum(),
            "schatten_4": (values**4).sum() ** 0.25,
            "log_volume": np.log(values).sum(),
        }
        assert tuple(row.quantities) == tuple(exact) == NAMES
        found = row.to_dict()
        for name, number in exact.items():
            low, high = row.quantities[name]
            slack = 1e-9 * abs(number) + error
            assert low - slack <= number <= high + slack, (row.name, name)
            assert found[f"{name}_kind"] == "enclosure"
            assert float(found[name]) in (low, high)
            assert float(found[f"{name}_lower"]) == low
            assert float(found[f"{name}_upper"]) == high
        low, high = row.norm.lower, row.norm.upper
        assert (low, high) == row.quantities["norm"] == row.envelope.norm
        assert 0.999 * values[0] <= low <= values[0] + error
        assert row.norm.guarantee == "certified"
        quantiles = np.quantile(values, np.arange(21) / 20)
        assert (np.array(found["quantiles_lower"]) <= quantiles + error).all()
        assert (np.array(found["quantiles_upper"]) >= quantiles - error).all()


def test_the_norm_is_enclosed_closely(report: cs.ModelReport) -> None:
    for name in ("zeros", "strided", "depthwise", "transposed"):
        assert report[name].norm.gap < 0.1


def test_exact_rows_have_numbers_and_a_norm_within_their_error(
    model: nn.Sequential,
) -> None:
    for row in cs.analyze(model, (3, 12, 12)):
        values, error = truth(model, row)
        assert row.envelope is None
        assert row.norm.lower <= row.spectrum.norm <= row.norm.upper
        assert row.norm.width <= 2.1 * row.spectrum.error
        assert row.norm.lower - error <= values[0] <= row.norm.upper + error
        found = row.to_dict()
        for name in NAMES:
            assert found[name] is not None
            known = row.known.readings[name]
            if known.kind == "exact":
                assert found[f"{name}_lower"] <= found[name] <= found[f"{name}_upper"]
            assert (found[name], found[f"{name}_kind"]) == (known.value, known.kind)


def test_bounds_survive_json_and_csv(report: cs.ModelReport, tmp_path: Path) -> None:
    report.to_json(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())["layers"]
    assert read == [row.to_dict() for row in report]
    report.to_csv(tmp_path / "layers.csv")
    header = (tmp_path / "layers.csv").read_text().splitlines()[0].split(",")
    for name in NAMES:
        place = header.index(name)
        rest = [f"{name}_lower", f"{name}_upper", f"{name}_kind"]
        assert header[place + 1 : place + 4] == rest
    assert not any("quantiles" in name for name in header)


def test_data_frames_have_columns_of_bounds(report: cs.ModelReport) -> None:
    pytest.importorskip("pandas")
    frame = report.to_dataframe()
    assert (frame["norm_lower"] <= frame["norm_upper"]).all()
    assert (frame["norm"] == frame["norm_lower"]).all()  # attained
    assert (frame["smallest"] == frame["smallest_upper"]).all()
    for name in NAMES:
        numbers = [name, f"{name}_lower", f"{name}_upper"]
        assert all(np.issubdtype(frame[key].dtype, np.number) for key in numbers)
        assert set(frame[f"{name}_kind"]) == {"enclosure"}
    ranks = [row.envelope.rank()[0] for row in report]
    assert (frame["rank_lower"] >= ranks).all()


def test_quantities_are_computed_once(report: cs.ModelReport) -> None:
    row = report["zeros"]
    assert row.quantities is row.quantities


def test_summary_counts_bounds(report: cs.ModelReport) -> None:
    assert "7 with certified bounds (7 by envelope), 6 with" in report.summary()


# -- what is left out -------------------------------------------------------------------


def only(report: cs.ModelReport) -> cs.LayerReport:
    (row,) = report
    return row


@pytest.mark.usefixtures("unaffordable")
class TestLeftOut:
    def test_tori_beyond_the_budget(self) -> None:
        layer = nn.Conv2d(2, 2, 3, padding=1)
        row = only(cs.analyze(layer, (2, 9, 9), envelope_flops=2e4, phases=4))
        done, planned = row.envelope.tori
        assert 0 < done < planned
        assert row.method == "envelope"
        (words,) = row.left_out
        assert words.startswith(f"envelope by {done} of {planned} tori, those within ")
        assert words in row.to_dict()["left_out"]

    def test_all_tori(self) -> None:
        report = cs.analyze(nn.Conv2d(2, 2, 3, padding=1), (2, 9, 9), envelope_flops=0)
        row = only(report)
        assert row.method == "norm"
        assert "envelope by 0 of 3 tori" in repr(report)
        assert "1 with certified bounds (1 by norm)" in repr(report)
        assert row.norm.upper <= row.frobenius_norm * (1 + 1e-12)

    def test_no_phases(self) -> None:
        row = only(cs.analyze(nn.Conv2d(2, 2, 3, padding=1), (2, 9, 9), phases=0))
        assert row.method == "norm"
        assert row.left_out == ()
        assert row.envelope.tori == (0, 0)

    def test_an_envelope_that_needs_too_much_memory(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The norm is enclosed all the same."""

        def refuse(*args: Any) -> EnvelopePlan:
            raise cs.TooLargeError("the envelope must fit")

        monkeypatch.setattr(EnvelopePlan, "of", refuse)
        row = only(cs.analyze(nn.Conv2d(1, 2, 3, padding=1), (1, 9, 9)))
        assert row.envelope is None
        assert row.method == "norm"
        assert row.left_out == ("no envelope: the envelope must fit",)
        norm = cs.spectrum(row.operator, method="dense").norm
        assert 0.999 * norm <= row.norm.lower <= norm <= row.norm.upper <= 1.001 * norm
        assert row.to_dict()["norm_upper"] == row.norm.upper
        exact = cs.spectrum(row.operator, method="dense")
        assert 50 < row.quantities["rank"].lower <= exact.rank() <= 81
        low, high = row.quantities["stable_rank"]
        assert low <= exact.stable_rank <= high <= 1.001 * low
        assert row.quantities["condition_number"] is None
        assert row.to_dict()["condition_number_upper"] == "inf"

    def test_nothing_fits_the_memory(self) -> None:
        report = cs.analyze(nn.Conv2d(2, 2, 3, padding=1), (2, 9, 9), max_bytes=1000)
        row = only(report)
        assert row.envelope is row.circular is None
        assert row.method == "none"
        assert [words.split(":")[0] for words in row.left_out] == [
            "no norm",
            "no envelope",
            "no worst case",
        ]
        assert all(f"Conv2d: {words}" in repr(report) for words in row.left_out)
        assert row.norm.lower == 0
        assert row.norm.upper == pytest.approx(row.frobenius_norm, rel=1e-9)

    def test_no_norm(self) -> None:
        layer = nn.Conv2d(2, 2, 3, padding=1)
        row = only(cs.analyze(layer, (2, 9, 9), norm_flops=0, worst_case_flops=0))
        assert row.left_out == ("no norm: norm_flops=0",)
        assert row.norm.upper <= row.frobenius_norm * (1 + 1e-12)
        assert row.envelope is not None


@pytest.mark.parametrize("phases", [-1, 2.0, True])
def test_refuses_phases(phases: Any) -> None:
    with pytest.raises(ValueError, match="phases must be an integer of at least 0; got"):
        cs.analyze(nn.Conv1d(1, 1, 3), (1, 9), phases=phases)


def test_a_circulant_layer_out_of_reach_is_bounded() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular")
    row = only(cs.analyze(layer, (3, 16, 16), max_flops=1e4))
    assert row.method in ("envelope", "norm")
    exact = cs.spectrum(row.operator)
    assert row.norm.lower <= exact.norm <= row.norm.upper
