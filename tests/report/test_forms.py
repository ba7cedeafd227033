"""The forms a report is read in: table, dict, JSON, CSV, DataFrame, by name."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import convspec as cs
from convspec.extras import MissingExtra
from convspec.quantity.enclosure import Enclosure
from convspec.report.columns import COLUMNS
from convspec.report.known import Exact
from convspec.report.model import LEGEND
from convspec.report.print import enclosed, written
from convspec.report.quantities import QUANTITIES
from tests.other_layer import OtherConvolution

# between the cost of the small SVDs and of the large one
MAX_FLOPS = 1e6
AWKWARD = 'a "quoted", name'
LEFT = ["layer", "kernel", "input", "output"]
RIGHT = [  # but for the method
    "sigma_1",
    "worst case",
    "reshaped",
    "circular",
    "sigma_min",
    "rank",
    "cond",
    "stable rank",
    "method",
    "time [s]",
]


@pytest.fixture(scope="module")
def report() -> cs.ModelReport:
    """Rows of every kind, and one convolution that is not called."""
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("stand_in", nn.Conv2d(1, 2, 3, padding=1))
    model.add_module("pool", nn.AvgPool2d(3))
    model.add_module("exact", nn.Conv2d(2, 2, 3, padding=1))
    model.add_module("singular", nn.Conv2d(2, 2, 1))
    model.add_module("unknown", OtherConvolution(2, 2, 1))
    model.add_module(AWKWARD, nn.Conv2d(2, 1, 2))
    model.add_module("spare", nn.Conv2d(1, 1, 1))
    nn.init.constant_(model.singular.weight, 1234.5)
    *layers, _ = model.children()

    def forward(x: Tensor) -> Tensor:
        for layer in layers:
            x = layer(x)
            if layer is model.exact:
                x = layer(x)
        return x

    model.forward = forward
    return cs.analyze(model, (1, 15, 15), max_flops=MAX_FLOPS)


@pytest.fixture(scope="module")
def empty() -> cs.ModelReport:
    return cs.analyze(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (3,))


def test_the_report_has_rows_of_every_kind(report: cs.ModelReport) -> None:
    """What the tests below rely on."""
    assert [(row.name, row.method, row.calls) for row in report] == [
        ("stand_in", "envelope", 1),
        ("exact", "dense", 2),
        ("singular", "fourier", 1),
        ("unknown", "none", 1),
        (AWKWARD, "dense", 1),
    ]
    assert report["stand_in"].circular is not None
    assert report["singular"].spectrum.condition_number == math.inf
    assert report["unknown"].operator is None
    assert report.unused == ("spare",)


# -- the table --------------------------------------------------------------------------


def table(report: cs.ModelReport) -> list[str]:
    """Header, rule and rows."""
    return repr(report).split("\n\n")[0].splitlines()


def cells(line: str) -> list[re.Match[str]]:
    """Cells are two spaces apart; single spaces lie within them."""
    return list(re.finditer(r"\S+(?: \S+)*", line))


def by_column(report: cs.ModelReport) -> list[dict[str, str]]:
    _, _, *rows = table(report)
    return [
        dict(zip(LEFT + RIGHT, [cell[0] for cell in cells(row)], strict=True))
        for row in rows
    ]


def test_columns_line_up(report: cs.ModelReport) -> None:
    header, rule, *rows = table(report)
    names = cells(header)
    assert [cell[0] for cell in names] == LEFT + RIGHT
    assert set(rule) == {"-"}
    assert len(rule) == max(map(len, [header, *rows]))
    assert len(rows) == len(report)
    for row in rows:
        found = cells(row)
        assert len(found) == len(names)
        for cell, name in zip(found, names, strict=True):
            if name[0] in (*LEFT, "method"):
                assert cell.start() == name.start()
            else:
                assert cell.end() == name.end()


def printed(value: float | tuple[float, float] | None) -> Any:
    """What four significant digits may stand for this value, or these bounds."""
    if isinstance(value, tuple | Enclosure):
        return tuple(pytest.approx(end, rel=1.001e-3) for end in value)
    if value is None:
        return "-"
    return "inf" if value == math.inf else pytest.approx(value, rel=5.001e-4, abs=0)


def parsed(cell: str) -> Any:
    """A number, a pair of bounds, or a word."""
    if cell in ("-", "inf"):
        return cell
    if cell.startswith(">= "):
        return float(cell[3:]), math.inf
    if cell.startswith("<= "):
        return 0.0, float(cell[3:])
    ends = tuple(float(end) for end in cell.removeprefix("~").split(".."))
    return ends if len(ends) == 2 else ends[0]


@pytest.mark.parametrize("index", range(5))
def test_numbers_are_the_rows_values(report: cs.ModelReport, index: int) -> None:
    row, text = report.layers[index], by_column(report)[index]
    exact = row.spectrum
    expected = {
        "sigma_1": exact and exact.norm,
        "sigma_min": exact and float(exact.values[-1]),
        "rank": exact and exact.rank(),
        "cond": exact and exact.condition_number,
        "stable rank": exact and exact.stable_rank,
        "circular": row.circular and row.circular.norm,
        "reshaped": row.reshaped and row.reshaped[0],
    }
    if row.name == "singular":  # its least values are below their error
        expected |= {
            "sigma_min": (0, row.quantities["smallest"][1]),
            "cond": (row.quantities["condition_number"][0], math.inf),
        }
    if row.envelope is not None:
        expected |= {
            "sigma_1": row.envelope.norm,
            "sigma_min": (0, row.envelope.smallest[1]),
            "rank": row.estimates["rank"].value,
            "cond": (row.envelope.condition_number[0], math.inf),
            "stable rank": row.envelope.stable_rank,
        }
    for column, value in expected.items():
        cell, _, total = text[column].partition(" of ")
        assert parsed(cell) == printed(value), column
        assert total == (
            str(min(row.operator.shape)) if column == "rank" and cell != "-" else ""
        )
    assert abs(float(text["time [s]"]) - row.seconds) <= 0.005001
    assert text["method"] == row.method
    assert text["kernel"] == (row.geometry or row.type)
    if row.worst_case is None:
        assert text["worst case"] == "-"
    else:  # rounded up
        printed_end = float(text["worst case"])
        assert row.worst_case.upper <= printed_end < 1.001 * row.worst_case.upper


def test_unknown_cells_and_words(report: cs.ModelReport) -> None:
    rows = by_column(report)
    by_name = {row["layer"]: row for row in rows}
    unknown = by_name["unknown"]
    assert [key for key, cell in unknown.items() if cell != "-"] == [
        "layer",
        "kernel",
        "method",
        "time [s]",
    ]
    assert unknown["kernel"] == "OtherConvolution"
    assert by_name["singular"]["cond"].startswith(">= ")
    assert by_name["singular"]["rank"] == "25 of 50"
    assert by_name["exact (x2)"]["input"] == "2x5x5"
    assert "exact (x2)" not in report.to_dict()["layers"][1]["name"]


def test_text_around_the_table(report: cs.ModelReport) -> None:
    _, summary, legend = repr(report).split("\n\n")
    first, *notes = summary.splitlines()
    assert first.startswith(
        "5 convolutions on input (1, 15, 15): 3 with their exact spectrum "
        "(1 by fourier, 2 by dense), 1 with certified bounds (1 by envelope), "
        "1 with the circular one beside, 1 unknown; "
    )
    less = [f"stand_in: {words}" for words in report["stand_in"].left_out]
    assert notes == [*report.notes, *less, "not called: spare"]
    assert "another operator: neither exact nor a bound" in " ".join(legend.split())
    total = float(first.removesuffix(" s").split()[-1])
    assert abs(total - sum(row.seconds for row in report)) <= 0.05001


def test_empty_report_reads_as_such(empty: cs.ModelReport) -> None:
    assert len(empty) == 0
    assert list(empty) == []
    words = "no convolutions found on input (3,)\nnot analysed: 1 Linear"
    assert repr(empty) == words


def test_words_are_of_what_occurs(report: cs.ModelReport) -> None:
    exact = cs.ModelReport((report["exact"],), (1, 15, 15))
    assert re.fullmatch(
        r"1 convolution on input \(1, 15, 15\): 1 with their exact spectrum "
        r"\(1 by \w+\); \d+\.\d s",
        exact.summary(),
    )
    assert "a..b" not in repr(exact)
    assert "circular: sigma_1" not in repr(exact)
    assert "are exact for the layer" in repr(exact)
    bounds = repr(cs.ModelReport((report["stand_in"],), (1, 15, 15)))
    assert "a..b" in bounds
    assert "are exact for the layer" not in bounds
    assert " 0 with" not in bounds
    assert report.legend == tuple(sentence for sentence, _ in LEGEND)


# -- by name ----------------------------------------------------------------------------


def test_rows_by_place(report: cs.ModelReport) -> None:
    assert [report[place] for place in range(5)] == list(report.layers)
    assert report[np.int64(-1)] is report[-1] is report.layers[-1]
    for place in (5, -6):
        with pytest.raises(IndexError, match=f"no layer at {place}; there are 5"):
            report[place]
    with pytest.raises(TypeError):
        report[1.0]  # type: ignore[index]


def test_rows_by_name(report: cs.ModelReport) -> None:
    assert len(report) == 5
    assert [report[row.name] for row in report] == list(report.layers)
    with pytest.raises(KeyError, match="nowhere") as info:
        report["nowhere"]
    names = "stand_in, exact, singular, unknown, " + AWKWARD
    assert info.value.args[0] == f"no layer 'nowhere'; there are: {names}"


# -- JSON -------------------------------------------------------------------------------


def forbidden(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=forbidden)


def test_json_is_strict_and_holds_every_number(
    report: cs.ModelReport, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    report.to_json(path)
    found = read_json(path)
    assert found["input_shape"] == [1, 15, 15]
    assert found["unused"] == ["spare"]
    assert found["notes"] == list(report.notes)
    assert [row["name"] for row in found["layers"]] == [row.name for row in report]
    assert len({tuple(row) for row in found["layers"]}) == 1  # the same keys for all
    for row, read in zip(report, found["layers"], strict=True):
        assert read["frobenius_norm"] == row.frobenius_norm
        assert (read["method"], read["reason"]) == (row.method, row.reason)
        if row.spectrum is None:
            assert read["quantiles"] is None
            bounds = [None, None] if row.envelope is None else list(row.envelope.norm)
            assert [read["norm_lower"], read["norm_upper"]] == bounds
            assert read["norm"] == bounds[0]  # attained
            assert read["norm_kind"] == (None if row.envelope is None else "enclosure")
            continue
        assert read["quantiles_lower"] is None
        assert read["norm_kind"] == read["rank_kind"] == "exact"
        assert read["norm_lower"] <= read["norm"] == row.spectrum.norm
        assert read["norm"] <= read["norm_upper"]
        assert read["rank_lower"] == read["rank"] == read["rank_upper"]
        if row.name == "singular":
            assert read["smallest_kind"] == "enclosure"
            assert 0 < read["smallest"] == read["smallest_upper"]
            assert read["smallest_upper"] <= 2.1 * np.max(row.spectrum.error)
        else:
            assert read["smallest"] == row.spectrum.values[-1]
        assert read["stable_rank"] == row.spectrum.stable_rank
        assert read["rank"] == row.spectrum.rank()
        assert read["quantiles"][0] == row.spectrum.values[-1]
        assert read["quantiles"][-1] == row.spectrum.norm
    assert found["layers"][0]["circular_norm"] == report["stand_in"].circular.norm


def test_infinities_are_words(report: cs.ModelReport) -> None:
    row = report["singular"].to_dict()
    assert row["condition_number_upper"] == "inf"
    assert row["log_volume_lower"] == "-inf"


def test_what_hangs_on_values_below_their_error_is_enclosed(
    report: cs.ModelReport,
) -> None:
    """A computed value of 1e-17 is no proof of rank deficiency."""
    row = report["singular"]
    spec, known = row.spectrum, row.quantities
    error = float(np.max(spec.error))
    assert spec.values[-1] <= error
    assert known["rank"] == spec.rank() < len(spec.values)
    low, high = known["smallest"]
    assert (low, high) == (0, pytest.approx(spec.values[-1] + error))
    low, high = known["condition_number"]
    assert (low, high) == (pytest.approx(spec.norm / known["smallest"][1]), math.inf)
    low, high = known["log_volume"]
    assert (low, high) == (-math.inf, pytest.approx(np.log(spec.values + error).sum()))
    zero = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.zeros_(zero.weight)
    known = cs.analyze(zero, (1, 3, 3)).layers[0].quantities
    assert (known["smallest"], known["condition_number"]) == (0.0, math.inf)


# smallest value, error, and what is said of the smallest and of 2 / smallest
NEAR_ERROR = {
    "far-above": (0.5, 1e-13, 0.5, 4.0),
    "resolved-below-the-rank": (1e-17, 1e-23, 1e-17, 2e17),
    "not-to-four-digits": (1e-10, 1e-14, (9.999e-11, 1.0001e-10), (1.9998e10, 2.0002e10)),
    "deficient-but-not-0": (2.4e-12, 2.5e-13, (2.15e-12, 2.65e-12), (7.547e11, 9.303e11)),
    "hardly-above": (3e-13, 2e-13, (1e-13, 5e-13), (4e12, 2e13)),
    "at-its-error": (2e-13, 2e-13, (0, 4e-13), (5e12, math.inf)),
    "below": (1e-13, 3e-13, (0, 4e-13), (5e12, math.inf)),
    "zero-up-to-an-error": (0.0, 1e-13, (0, 1e-13), (2e13, math.inf)),
    "zero": (0.0, 0.0, 0.0, math.inf),
}


@pytest.mark.parametrize("name", NEAR_ERROR)
def test_one_rule_for_all_that_hangs_on_the_smallest(name: str) -> None:
    """A number where s - e and s + e agree to four digits, else what both allow."""
    value, error, smallest, ratio = NEAR_ERROR[name]
    spec = cs.Spectrum(np.array([2.0, 1.0, value]), error, (9**5, 3), "fourier")
    known = {q.name: q.of_spectrum(spec).known for q in QUANTITIES}
    for key, expected in (("smallest", smallest), ("condition_number", ratio)):
        assert isinstance(known[key], Enclosure) == isinstance(expected, tuple), key
        assert known[key] == pytest.approx(expected, rel=1e-3), key
    if smallest == 0:
        assert known["log_volume"] == -math.inf
    if isinstance(smallest, tuple):
        least, most = known["smallest"]
        assert least <= max(0, value - error) <= value + error <= most
        low, high = known["condition_number"]
        assert low <= (2 - error) / (value + error)
        if value > error:
            assert (2 + error) / (value - error) <= high < math.inf
            assert "inf" not in written(known["condition_number"])


@given(
    st.floats(1e-16, 1.0),
    st.floats(1e-18, 1e-9),
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
)
def test_enclosures_hold_for_every_spectrum_within_the_error(
    least: float, error: float, shares: list[float]
) -> None:
    values = np.array([2.0, 1.5, 1.0, least])
    spec = cs.Spectrum(values, error, (4, 4), "dense")
    moved = [
        Fraction(v) + Fraction(s) * Fraction(error)
        for v, s in zip(values.tolist(), shares, strict=True)
    ]
    true = {"smallest": abs(moved[-1])}
    if moved[-1]:
        true["condition_number"] = moved[0] / true["smallest"]
        with mpmath.workdps(40):
            true["log_volume"] = sum(
                mpmath.log(mpmath.mpf(abs(x).numerator) / abs(x).denominator)
                for x in moved
            )
    for q in QUANTITIES:
        if q.name in true:
            found = q.of_spectrum(spec)
            lower, upper = found.ends
            assert lower <= true[q.name] <= upper, q.name
            if found.kind == "enclosure":
                assert found.known == found.ends
            else:
                off = abs(float(true[q.name]) - found.value)
                assert off <= 1.0001e-4 * abs(found.value), q.name


def test_latex_prints_no_digit_below_the_error(report: cs.ModelReport) -> None:
    row = dataclasses.replace(
        report["exact"],
        known=Exact(cs.Spectrum(np.array([2.0, 1.23456789e-6]), 1e-12, (2, 2), "dense")),
    )
    text = cs.ModelReport((row,), (1,)).to_latex(
        columns=["norm", "smallest", "condition_number"], digits=9
    )
    assert r"$1.23457 \times" in text


def test_json_of_inputs_and_of_nothing(empty: cs.ModelReport, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    empty.to_json(str(path))
    assert read_json(path) == {
        "input_shape": [3],
        "layers": [],
        "partial": False,
        "unused": [],
        "notes": ["not analysed: 1 Linear"],
        "provenance": dataclasses.asdict(empty.provenance),
    }
    dataclasses.replace(empty, provenance=None).to_json(path)
    assert read_json(path)["provenance"] is None
    cs.analyze(nn.Conv1d(1, 1, 2), inputs=(torch.zeros(3, 1, 4),)).to_json(path)
    assert read_json(path)["input_shape"] == [[3, 1, 4]]


def test_texts_need_no_file(report: cs.ModelReport, tmp_path: Path) -> None:
    for write in (report.to_json, report.to_csv):
        assert write(tmp_path / "file") is None
        assert write() == (tmp_path / "file").read_bytes().decode("utf-8")


def test_what_json_lacks_is_refused_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        cs.ModelReport((), (math.nan,)).to_json(tmp_path / "report.json")
    assert list(tmp_path.iterdir()) == []


# -- CSV --------------------------------------------------------------------------------


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


def test_csv_has_a_line_per_row_and_empty_cells(
    report: cs.ModelReport, tmp_path: Path
) -> None:
    path = tmp_path / "layers.csv"
    report.to_csv(path)
    rows = read_csv(path)
    assert [row["name"] for row in rows] == [row.name for row in report]
    for read, row in zip(rows, report, strict=True):
        known = row.to_dict()
        assert set(read) == {key for key in known if "quantiles" not in key}
        for key, text in read.items():
            value = known[key]
            if value is None:
                assert text == ""
            elif isinstance(value, list):
                assert text == "x".join(str(number) for number in value)
            elif isinstance(value, (int, float)):
                assert float(text) == value
            else:
                assert text == value
    assert rows[1]["input_shape"] == "2x5x5"
    assert rows[3]["norm"] == rows[3]["rows"] == ""
    assert rows[2]["condition_number_upper"] == "inf"


def test_csv_of_nothing_is_a_header(empty: cs.ModelReport, tmp_path: Path) -> None:
    empty.to_csv(tmp_path / "layers.csv")
    assert read_csv(tmp_path / "layers.csv") == []
    assert (tmp_path / "layers.csv").read_text() == "name\n"


# -- DataFrame --------------------------------------------------------------------------


def test_dataframe_is_the_csv(report: cs.ModelReport, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    frame = report.to_dataframe()
    report.to_csv(tmp_path / "layers.csv")
    (header, *_) = csv.reader(io.StringIO((tmp_path / "layers.csv").read_text()))
    assert list(frame.columns) == header
    assert list(frame["name"]) == [row.name for row in report]
    assert frame["norm"].isna().tolist() == [row.operator is None for row in report]
    assert frame.loc[1, "norm"] == report["exact"].spectrum.norm
    assert frame.loc[1, "output_shape"] == "2x5x5"


def test_dataframe_of_nothing(empty: cs.ModelReport) -> None:
    pytest.importorskip("pandas")
    assert len(empty.to_dataframe()) == 0


def test_dataframe_without_pandas(
    report: cs.ModelReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        MissingExtra, match=r"pandas must .*convspec\[dataframe\]"
    ) as info:
        report.to_dataframe()
    assert isinstance(info.value, cs.ConvSpecError)
    assert isinstance(info.value, ImportError)


VALUES = (4.8777, 0.99999, 1.00009, 9999.5, 123456.0, 9999999.5, 2.5, 7e-12, 5e88)


@pytest.mark.parametrize("value", VALUES)
def test_printed_bounds_are_rounded_outward(value: float) -> None:
    least, most = (
        parsed(enclosed(Enclosure(*ends))) for ends in ((value, math.inf), (0.0, value))
    )
    assert value * (1 - 1e-3) < least[0] <= value <= most[1] < value * (1 + 1e-3)
    low, high = parsed(enclosed(Enclosure(value, 1.5 * value)))
    assert value * (1 - 1e-3) < low <= value
    assert 1.5 * value <= high < 1.5 * value * (1 + 1e-3)


@pytest.mark.parametrize(
    ("known", "cell"),
    [
        ((1.23456, 1.34567), "1.234..1.346"),
        ((1.0, 1.0), "1"),
        ((123456.0, 234567.0), "123400..234600"),
        ((12345678.0, math.inf), ">= 1.234e+07"),
        ((0.0, 0.00012345), "<= 0.0001235"),
        ((1234567, 7654321), "1234567..7654321"),
        ((7, 7), "7"),
        ((0.0, math.inf), "-"),
        ((math.inf, math.inf), "inf"),
        (12345, "12345"),
        (1.23456, "1.235"),
        (math.inf, "inf"),
        (None, "-"),
    ],
)
def test_cells_of_quantities(known: Any, cell: str) -> None:
    assert written(Enclosure(*known) if isinstance(known, tuple) else known) == cell


def test_a_rank_that_shape_bounds_is_open_above() -> None:
    layer = nn.Conv1d(1, 2, 3, padding=1)
    nn.init.constant_(layer.weight, 0.5)  # so wide that an estimate stands beside
    (row,) = cs.analyze(layer, (1, 200), max_flops=1e3)
    (column,) = (column for column in COLUMNS if column.name == "rank")
    assert row.quantities["rank"].upper == 200
    assert column.cell(row) == f"~{row.estimates['rank'].value:.4g} of 200"
    bare = replace(row, known=replace(row.known, estimates={}))
    assert re.fullmatch(r">= \d+ of 200", column.cell(bare))
