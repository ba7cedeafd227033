"""The page and the figure of a sweep, and its few lines."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import convspec as cs
from convspec import plot
from convspec.quantity.enclosure import Enclosure
from convspec.sweeps.summary import change, summary
from tests.sweeps.nets import SHAPE, net, run, weights


def reports(count: int, **settings: float) -> list[cs.ModelReport]:
    found = []
    for seed in range(1, count + 1):
        model = net()
        model.load_state_dict(weights(seed))
        found.append(cs.analyze(model, SHAPE, **settings))
    return found


@pytest.mark.parametrize("flops", [1e11, 1.0])
@pytest.mark.parametrize("quantity", ["norm", "condition_number", "effective_rank"])
def test_the_figure_is_that_of_training(
    tmp_path: Path, quantity: str, flops: float
) -> None:
    found = cs.sweep(run(tmp_path / "run", 3), net, SHAPE, max_flops=flops)
    ax = found.plot(quantity)
    wanted = plot.training(
        reports(3, max_flops=flops), steps=[1, 2, 3], quantity=quantity
    )
    assert ax.get_xlabel() == wanted.get_xlabel() == "step"
    assert ax.get_ylabel() == wanted.get_ylabel()
    assert ax.get_yscale() == wanted.get_yscale()
    for one, other in zip(ax.lines, wanted.lines, strict=True):
        assert one.get_label() == other.get_label()
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
    plt.close("all")


def test_layers_of_some_checkpoints_alone(tmp_path: Path) -> None:
    found = cs.sweep(run(tmp_path / "run", 3), net, SHAPE)
    some = cs.Sweep(
        found.rows[2:], found.checkpoints, (0, 1, 2), {"x<b>": "<i>"}, found.provenance
    )
    assert some.layers == ("4", "0", "2")
    assert some.evolution("0")[0] is None
    ax = some.plot(layers=["0"])
    assert math.isnan(ax.lines[0].get_ydata()[0])
    assert ax.get_xlabel() == "checkpoint"
    plt.close("all")
    some.to_html(tmp_path / "page.html", title="a < b")
    text = (tmp_path / "page.html").read_text()
    assert "<title>a &lt; b: over its checkpoints</title>" in text
    assert "x&lt;b&gt;" in text
    assert "in 2 checkpoints" in text


@pytest.mark.parametrize("flops", [1e11, 1.0])
def test_the_page_needs_nothing_else(tmp_path: Path, flops: float) -> None:
    found = cs.sweep(run(tmp_path / "run", 2), net, SHAPE, max_flops=flops)
    found.to_html(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count("<img ") == 3 * 3
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert "<script" not in text
    for layer in found.layers:
        assert f">{layer} <span>" in text
    assert "condition%20number" in text or "condition number" in text


def test_a_hundred_checkpoints_of_ten_layers_are_two_megabytes(tmp_path: Path) -> None:
    found = cs.sweep(run(tmp_path / "run", 1), net, SHAPE, max_flops=1.0)
    draw = np.random.default_rng(0)
    rows = [
        {
            **scaled(found.rows[0], draw.uniform(0.5, 1)),
            "checkpoint": f"{step}.pt",
            "step": step,
            "layer": f"layer{place}",
        }
        for step in range(100)
        for place in range(10)
    ]
    names = tuple(f"{step}.pt" for step in range(100))
    whole = cs.Sweep(tuple(rows), names, tuple(range(100)), {}, found.provenance)
    whole.to_html(tmp_path / "page.html")
    assert 1e5 < (tmp_path / "page.html").stat().st_size < 2e6


def scaled(row: dict[str, Any], by: float) -> dict[str, Any]:
    """The row with all its ends multiplied."""
    ends = [key for key in row if key.endswith(("_lower", "_upper"))]
    return row | {key: row[key] * by for key in ends if isinstance(row[key], float)}


def test_refusals(tmp_path: Path) -> None:
    found = cs.sweep(run(tmp_path / "run", 1), net, SHAPE)
    with pytest.raises(ValueError, match="quantity must be one of frobenius_norm, norm"):
        found.plot("size")
    with pytest.raises(ValueError, match="layer must be one of 0, 2, 4; got '1'"):
        found.evolution("1")
    with pytest.raises(TypeError, match="title must be a string"):
        found.to_html(tmp_path / "page.html", title=3)  # type: ignore[arg-type]


def test_changes() -> None:
    names = ["a", "b", "c", "d"]
    found = change([1.0, 2.0, None, 0.5], names)
    assert found is not None
    assert (found.ratio, found.checkpoint) == (0.25, "d")
    assert str(found) == "-75 %"
    found = change([Enclosure(1, 2), Enclosure(1, 3), 3.0, 3.0], names)
    assert found is not None
    assert (str(found), found.checkpoint) == ("+50 %", "b")
    assert change([1.0, 1.0, 1.0, 1.0], names) is None
    assert change([None, math.inf, 0.0, 1.0], names) is None


def test_the_summary() -> None:
    norms = {
        "still": [1.0, 1.0],
        "moved": [1.0, Enclosure(1.5, 2.0)],
        "none": [None] * 2,
    }
    lines = summary(norms, ["a", "b"], {"c": "why"}).splitlines()
    heading = "layer  first  last  least  largest  largest change  at"
    assert lines[0].split() == heading.split()
    moved = ["moved", "1", "1.5..2", "1", "1.5..2", "+100", "%", "b"]
    assert [line.split() for line in lines[2:5]] == [
        moved,
        ["still", "1", "1", "1", "1", "-"],
        ["none", "-", "-", "-", "-", "-"],
    ]
    assert "2 checkpoints, 3 layers; not analysed: 1 checkpoint" in lines
