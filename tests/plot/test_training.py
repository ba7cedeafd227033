"""Spectra over training: lines, bands and quantiles of the reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

import convspec as cs
from convspec import plot
from convspec.report.known import Enclosed, Exact
from tests.drawn import legend, made_up, made_up_band, polygons


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def row(name: str, known: cs.Spectrum | cs.Envelope | None) -> cs.LayerReport:
    if known is None:
        return cs.LayerReport(name, "Conv2d", 1, None, reason="beyond the limits")
    if isinstance(known, cs.Spectrum):
        return cs.LayerReport(name, "Conv2d", 1, None, Exact(known))
    norm = cs.Bound(*known.norm, "norm", "", "")
    return cs.LayerReport(name, "Conv2d", 1, None, Enclosed(norm, known.shape, known))


def report(**layers: cs.Spectrum | cs.Envelope | None) -> cs.ModelReport:
    rows = [row(name, known) for name, known in layers.items()]
    return cs.ModelReport(tuple(rows), (1,))


def spread(*tops: float) -> list[cs.ModelReport]:
    return [report(one=made_up([top, top / 2, 0.5]), two=made_up([1.0])) for top in tops]


REPORTS = spread(2.0, 4.0, 8.0)


def test_norms_of_all_layers() -> None:
    ax = plot.training(REPORTS, steps=[0, 10, 100])
    one, two = ax.lines
    assert one.get_xdata().tolist() == [0, 10, 100]
    assert one.get_ydata().tolist() == [2, 4, 8]
    assert two.get_ydata().tolist() == [1, 1, 1]
    assert legend(ax) == ["one", "two"]
    assert (one.get_color(), one.get_linestyle()) != (
        two.get_color(),
        two.get_linestyle(),
    )
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "norm")


def test_without_steps_checkpoints_are_counted() -> None:
    ax = plot.training(REPORTS)
    assert ax.lines[0].get_xdata().tolist() == [0, 1, 2]
    assert ax.get_xlabel() == "checkpoint"


def test_other_quantities() -> None:
    ax = plot.training(REPORTS, quantity="stable_rank", layers="one")
    (line,) = ax.lines
    expected = [found["one"].spectrum.stable_rank for found in REPORTS]
    assert line.get_ydata() == pytest.approx(expected)
    assert (ax.get_ylabel(), ax.get_yscale()) == ("stable rank", "linear")


def test_the_legend_follows_the_ends_of_the_lines() -> None:
    reports = [report(low=made_up([1.0]), high=made_up([top])) for top in (0.5, 9.0)]
    assert legend(plot.training(reports)) == ["high", "low"]


def test_enclosed_quantities_are_hatched_bands() -> None:
    bands = [made_up_band([low, 0.5], [low + 1, 1.0]) for low in (1.0, 2.0)]
    ax = plot.training([report(conv=band) for band in bands])
    upper, lower = ax.lines
    assert lower.get_ydata().tolist() == [1, 2]
    assert upper.get_ydata().tolist() == [2, 3]
    (area,) = ax.collections
    assert area.get_hatch() == "//////"
    assert legend(ax) == ["conv, enclosed"]


def test_unknown_and_infinite_quantities_are_gaps() -> None:
    reports = [report(conv=made_up([2.0, 1.0])), report(conv=None)]
    ax = plot.training(reports)
    assert np.isnan(ax.lines[0].get_ydata()[1])
    singular = [report(conv=made_up([2.0, 0.0]))] * 2
    ax = plot.training(singular, quantity="condition_number")
    ax.get_figure().canvas.draw()
    assert np.isnan(ax.lines[0].get_ydata()).all()


def test_distribution_of_one_layer() -> None:
    ax = plot.training(REPORTS, quantity="distribution", layers="one")
    outer, middle, inner = polygons(ax)
    values = [found["one"].spectrum.values for found in REPORTS]
    for vertices, levels in ((middle, (0.1, 0.9)), (inner, (0.25, 0.75))):
        low = min(np.quantile(x, levels[0]) for x in values)
        high = max(np.quantile(x, levels[1]) for x in values)
        assert vertices[:, 1].min() == pytest.approx(low)
        assert vertices[:, 1].max() == pytest.approx(high)
    assert (outer[:, 1].min(), outer[:, 1].max()) == (0.5, 8.0)
    median, _, norm = ax.lines
    assert median.get_ydata().tolist() == [1.0, 2.0, 4.0]
    assert norm.get_ydata().tolist() == [2.0, 4.0, 8.0]
    assert legend(ax) == ["all values", "middle 80 %", "middle 50 %", "median", "norm"]
    assert ax.get_title() == "one"


def test_distribution_of_an_enclosed_layer() -> None:
    bands = [made_up_band([low, 0.5, 0.0], [low + 1, 1.0, 0.7]) for low in (1.0, 2.0)]
    reports = [report(conv=band) for band in bands]
    ax = plot.training(reports, quantity="distribution")
    outer, *_ = polygons(ax)
    assert outer[:, 1].max() == 3.0
    assert 0 < outer[:, 1].min() < 0.1
    assert legend(ax)[:2] == ["all values lie within", "middle 80 % lies within"]


def test_numerical_zeros_do_not_stretch_the_distribution() -> None:
    reports = [report(conv=made_up([2.0, 1.0, 0.0]))] * 2
    ax = plot.training(reports, quantity="distribution")
    assert ax.get_ylim()[0] > 1e-5
    ax.get_figure().canvas.draw()


@pytest.mark.parametrize("quantity", ["norm", "distribution"])
def test_a_single_checkpoint(quantity: str) -> None:
    ax = plot.training(spread(2.0), quantity=quantity, layers="one")
    ax.get_figure().canvas.draw()
    assert ax.get_xlim()[0] < ax.get_xlim()[1]


def test_many_layers() -> None:
    values = {f"layer{j}": made_up([1.0 + j]) for j in range(120)}
    ax = plot.training([report(**values)] * 2)
    assert len(ax.lines) == 120
    assert len(legend(ax)) == 120
    assert ax.get_legend()._ncols == 5
    assert legend(plot.training([report(**values)] * 2, legend=False)) == []


def test_reports_of_a_network_in_training() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 1))
    reports = []
    for _ in range(3):
        reports.append(cs.analyze(net, (1, 6, 6), worst_case_seconds=0))
        with torch.no_grad():
            net[0].weight *= 2
    first, second = plot.training(reports).lines
    norm = reports[0]["0"].spectrum.norm
    assert first.get_ydata() == pytest.approx([norm, 2 * norm, 4 * norm], rel=1e-5)
    assert len(set(second.get_ydata())) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": [0, 1]}, "steps must be 3 increasing numbers"),
        ({"steps": [0, 2, 1]}, r"one per report; got \[0, 2, 1\]"),
        (
            {"quantity": "rang"},
            "quantity must be one of distribution, norm, .*; got 'rang'",
        ),
        (
            {"quantity": "distribution"},
            "one layer's; got 2; give layers= one of one, two",
        ),
        ({"layers": "three"}, "report 0 has no 'three'; there are: one, two"),
        ({"layers": []}, "at least one layer"),
    ],
    ids=str,
)
def test_arguments_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plot.training(REPORTS, **options)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ([], "at least one report; got none"),
        ([1, "a"], "reports of convspec.analyze; got int, str"),
        ([REPORTS[0], report(one=None)], "report 1 has no 'two'"),
    ],
    ids=["none", "others", "another-model"],
)
def test_reports_are_checked(reports: Sequence[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plot.training(reports)


def test_a_distribution_needs_one_in_every_report() -> None:
    reports = [report(conv=made_up([1.0])), report(conv=None)]
    with pytest.raises(ValueError, match="report 1 has neither: beyond the limits"):
        plot.training(reports, quantity="distribution")
    assert plt.get_fignums() == []


def test_ticks_are_plain_numbers_and_whole_steps() -> None:
    ax = plot.training(REPORTS[:3])
    ax.figure.draw_without_rendering()
    assert all(tick == round(tick) for tick in ax.get_xticks())
    written = [text.get_text() for text in ax.get_yticklabels(which="both")]
    assert any(written)
    assert all(float(words) > 0 for words in written if words)
