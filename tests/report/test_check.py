"""Limits of layers and changes since a report: every rule on both of its sides."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import convspec as cs
from convspec.quantity.enclosure import Enclosure
from convspec.report.saved import SavedLayer


def saved(**ends: tuple[float, float]) -> cs.SavedReport:
    """A report of one layer whose quantities lie between these ends."""
    known = {name: Enclosure(*pair) for name, pair in ends.items()}
    return cs.SavedReport((SavedLayer("a", "3x3", known),), (1, 8, 8))


def scaled(factor: float) -> nn.Conv1d:
    layer = nn.Conv1d(1, 1, 1, bias=False)
    nn.init.constant_(layer.weight, factor)
    return layer


# -- limits -----------------------------------------------------------------------------

LIMITS: list[tuple[tuple[float, float], float, str]] = [
    ((1.0, 2.0), 2.0, ""),
    ((1.0, 2.0), math.nextafter(2.0, 0.0), "norm 1..2 is not proven to be at most 2"),
    ((1.0, 2.0), 1.0, "norm 1..2 is not proven to be at most 1"),
    ((1.0, 2.0), math.nextafter(1.0, 0.0), "norm 1..2 is above 1"),
    ((2.0, 2.0), 2.0, ""),
    ((2.0, 2.0), 1.5, "norm 2 is above 1.5"),
    ((1.0, math.inf), 3.0, "norm >= 1 is not proven to be at most 3"),
    ((0.0, 0.0), 0.0, ""),
]


@pytest.mark.parametrize(("ends", "limit", "words"), LIMITS)
def test_limits(ends: tuple[float, float], limit: float, words: str) -> None:
    found = cs.check(saved(norm=ends), max_norm=limit)
    assert [each.words for each in found] == [words] * bool(words)
    assert [each.certain for each in found] == ["is above" in words] * bool(words)
    assert [str(each) for each in found] == [f"a: {words}"] * bool(words)


@pytest.mark.parametrize(
    ("argument", "quantity"),
    [
        ("max_norm", "norm"),
        ("max_worst_case", "worst_case"),
        ("max_condition", "condition_number"),
    ],
)
def test_each_limit_has_its_quantity(argument: str, quantity: str) -> None:
    asked = {argument: 1.5}
    assert cs.check(saved(**{quantity: (1.0, 1.2)}), **asked) == ()
    (above,) = cs.check(saved(**{quantity: (2.0, 2.5)}), **asked)
    assert (above.quantity, above.certain) == (quantity, True)
    (unknown,) = cs.check(saved(), **asked)
    assert (
        unknown.words
        == f"{quantity.replace('_', ' ')} is not known; at most 1.5 is asked"
    )
    assert not unknown.certain


def test_reports_are_taken_as_they_are() -> None:
    report = cs.analyze(nn.Sequential(scaled(2.0), scaled(0.5)), (1, 6))
    assert cs.check(report, max_norm=2.1, max_worst_case=2.1, max_condition=1.1) == ()
    (found,) = cs.check(report, max_norm=1.0)
    assert (found.layer, found.quantity, found.certain) == ("0", "norm", True)


# -- against an earlier report ----------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        ((1.0, 1.1), False),
        ((1.1, 1.2), False),  # they meet
        ((1.1005, 1.2), False),  # within rtol
        ((1.1012, 1.2), True),
        ((0.5, 0.9995), False),
        ((0.5, 0.9985), True),
        ((0.0, math.inf), False),
    ],
)
def test_norms_are_others_where_they_do_not_meet(
    now: tuple[float, float], changed: bool
) -> None:
    found = cs.check(saved(norm=now), against=saved(norm=(1.0, 1.1)))
    assert len(found) == changed
    assert all(each.certain for each in found)
    assert all(each.words.startswith("norm was 1..1.1") for each in found)


def test_norms_that_are_no_longer_known() -> None:
    known = saved(norm=(1, 2))
    for now, before in ((saved(), known), (known, saved()), (saved(), saved())):
        (found,) = cs.check(now, against=before)
        assert "not known" in found.words
        assert not found.certain


def test_layers_that_are_new_or_gone() -> None:
    one = cs.analyze(nn.Sequential(scaled(1.0)), (1, 6))
    two = cs.analyze(nn.Sequential(scaled(1.0), scaled(1.0)), (1, 6))
    assert [str(each) for each in cs.check(two, against=one)] == ["1: is new"]
    assert [str(each) for each in cs.check(one, against=two)] == ["1: is gone"]
    assert cs.check(one, against=two, layers="0") == ()
    assert cs.check(two, against=one, layers=["0"]) == ()
    assert len(cs.check(two, max_norm=0.5)) == 2
    assert len(cs.check(two, max_norm=0.5, layers="[1]")) == 1


def test_shapes_of_the_input() -> None:
    small, large = (cs.analyze(scaled(1.0), (1, size)) for size in (6, 7))
    (found,) = cs.check(large, against=small)
    assert str(found) == "the input's shape: was [1, 6], and is [1, 7]"


def test_layers_on_several_sizes_have_one_name() -> None:
    layer = scaled(1.0)
    net = nn.Sequential(layer, nn.MaxPool1d(2), layer)
    report = cs.analyze(net, (1, 8))
    assert len(report) == 2
    assert len(cs.check(report, max_norm=0.5, layers="0")) == 2


# -- what is asked ----------------------------------------------------------------------


def test_something_must_be_asked() -> None:
    with pytest.raises(ValueError, match=r"needs something to hold; give a limit"):
        cs.check(saved())


@pytest.mark.parametrize("wrong", [-1, math.nan, "2", True])
def test_wrong_limits(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"norm must be a number of at least 0; got"):
        cs.check(saved(), max_norm=wrong)
    with pytest.raises(ValueError, match=r"rtol must be a number of at least 0; got"):
        cs.check(saved(), against=saved(), rtol=wrong)


# -- what was written -------------------------------------------------------------------


def test_reading_gives_what_was_written(tmp_path: Path) -> None:
    large = nn.Conv2d(4, 4, 3, padding=1)
    report = cs.analyze(
        nn.Sequential(nn.Conv2d(1, 4, 1), large), (1, 12, 12), max_flops=0
    )
    report.to_json(tmp_path / "report.json")
    found = cs.read_report(tmp_path / "report.json")
    assert list(found) == [row.name for row in report]
    assert len(found) == 2
    assert found.input_shape == [1, 12, 12]
    for row in report:
        ends = found[row.name].ends
        assert ends["norm"] == tuple(row.norm)
        for name, known in row.quantities.items():
            if isinstance(known, Enclosure):
                assert ends[name] == tuple(known)
    assert cs.check(report, against=found) == ()
    with pytest.raises(KeyError, match=r"no layer 'x'; there are: 0, 1"):
        found["x"]


DAMAGED: dict[str, str] = {
    "no JSON": "{",
    "a list": "[]",
    "no layers": "{}",
    "layers of another kind": '{"layers": 3}',
    "a layer of another kind": '{"layers": [3]}',
    "a layer without a name": '{"layers": [{}]}',
    "two of one name": '{"layers": [{"name": "a"}, {"name": "a"}]}',
    "no end": '{"layers": [{"name": "a", "norm_kind": "exact"}]}',
    "an end in words": json.dumps(
        {"layers": [{"name": "a", "x_kind": "exact", "x_lower": "1", "x_upper": 2}]}
    ),
    "ends in the wrong order": json.dumps(
        {"layers": [{"name": "a", "x_kind": "exact", "x_lower": 3, "x_upper": 2}]}
    ),
    "NaN": '{"layers": [{"name": "a", "x_kind": "exact", "x_lower": NaN, "x_upper": 2}]}',
    "beyond float64": '{"layers": [{"name": "a", "x_kind": "e", "x_lower": 1, "x_upper": '
    + "9" * 400
    + "}]}",
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_files_that_are_no_reports(name: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(DAMAGED[name])
    with pytest.raises(cs.UnreadableModel, match=r"must be a report that to_json or"):
        cs.read_report(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").touch()
    for name in ("binary", "empty", "nowhere", "."):
        with pytest.raises(cs.UnreadableModel, match="must "):
            cs.read_report(tmp_path / name)
    torch.save({"a": 1}, tmp_path / "pickle")
    with pytest.raises(cs.UnreadableModel, match="must be a report"):
        cs.read_report(tmp_path / "pickle")
