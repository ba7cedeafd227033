"""Drawn densities: the numbers of the density, in a band of its standard errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.patches import StepPatch

import convspec as cs
from convspec import plot
from tests.drawn import legend, polygons


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


OP = cs.ConvOperator(
    torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0)), 60, padding=1
)
FOUND = cs.spectral_density(OP, probes=8, steps=12)
SYMBOL = cs.symbol_density(OP)
TRUTH = cs.spectrum(OP)


@pytest.mark.parametrize("log", [False, True], ids=["linear", "log"])
def test_density_is_the_blurred_one(log: bool) -> None:
    ax = plot.density(FOUND, log=log, errors=3)
    (line,) = ax.lines
    expected = FOUND.pdf(line.get_xdata(), log=log)
    assert np.array_equal(line.get_ydata(), expected.value)
    assert ax.get_xscale() == ("log" if log else "linear")
    assert legend(ax) == ["estimate \u00b1 3 s.e."]
    (vertices,) = polygons(ax)
    tops = (expected.value + 3 * expected.standard_error).max()
    assert vertices[:, 1].max() == pytest.approx(tops)
    assert vertices[:, 1].min() >= 0
    width = 2 / 12 if log else FOUND.node_distance
    assert f"(blur {width:.2g})" in ax.get_ylabel()


def test_counting() -> None:
    ax = plot.density(FOUND, kind="counting", truth=TRUTH)
    steps, line = ax.lines
    t = line.get_xdata()
    assert np.array_equal(line.get_ydata(), FOUND.counting(t).value)
    exact = [(TRUTH.values >= x).sum() for x in t]
    assert steps.get_ydata().tolist() == exact
    assert ax.get_ylabel() == "singular values \u2265 t"
    assert legend(ax) == ["exact: 120 values", "estimate \u00b1 2 s.e."]


def test_the_symbol_is_dashed_and_of_the_same_blur() -> None:
    ax = plot.density(FOUND, symbol=SYMBOL)
    line, dashed = ax.lines
    assert (line.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    expected = SYMBOL.pdf(dashed.get_xdata(), FOUND.node_distance)
    assert np.array_equal(dashed.get_ydata(), expected.value)
    assert len(polygons(ax)) == 1  # nothing random, no band
    assert legend(ax)[1] == "symbol, limit of large inputs"
    assert ax.get_xlim()[1] >= SYMBOL.largest_node


def test_truth_is_a_histogram_of_all_values() -> None:
    ax = plot.density(FOUND, truth=TRUTH)
    (patch,) = [p for p in ax.patches if isinstance(p, StepPatch)]
    heights, edges, _ = patch.get_data()
    total = (heights * np.diff(edges)).sum()
    assert total == pytest.approx(1.0)
    counts = np.histogram(TRUTH.values, edges)[0]
    assert heights * np.diff(edges) * 120 == pytest.approx(counts)


def test_symbol_alone() -> None:
    ax = plot.density(SYMBOL, label="layer")
    assert polygons(ax) == []
    assert legend(ax) == ["layer: symbol, limit of large inputs"]


def test_width_and_options() -> None:
    ax = plot.density(FOUND, width=0.5, color="red", linewidth=4)
    (line,) = ax.lines
    assert np.array_equal(line.get_ydata(), FOUND.pdf(line.get_xdata(), 0.5).value)
    assert (line.get_color(), line.get_linewidth()) == ("red", 4)


@pytest.mark.parametrize("kind", ["density", "counting"])
def test_zero_operator(kind: Any) -> None:
    zero = cs.spectral_density(cs.ConvOperator(torch.zeros(1, 1, 3), 9))
    ax = plot.density(zero, kind=kind)
    ax.get_figure().canvas.draw()  # without a warning
    assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
    assert ax.lines or ax.patches


def test_refusals() -> None:
    with pytest.raises(TypeError, match="the data must be a Density; got Spectrum"):
        plot.density(TRUTH)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="symbol must be a Density; got Symbol"):
        plot.density(FOUND, symbol=OP.symbol())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="truth must be a Spectrum; got Density"):
        plot.density(FOUND, truth=SYMBOL)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="truth must be a complete spectrum"):
        plot.density(FOUND, truth=cs.spectrum(OP, 3))
    with pytest.raises(ValueError, match="kind must be 'density' or 'counting'"):
        plot.density(FOUND, kind="cdf")  # type: ignore[arg-type]
    assert plt.get_fignums() == []
