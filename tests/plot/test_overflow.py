"""Pictures and reports of norms beyond float64, near its end, or not known at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

import convspec as cs

NOTHING = {"phases": 0, "max_flops": 0, "norm_flops": 0, "worst_case_seconds": 0}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def layer(size: float) -> nn.Module:
    conv = nn.Conv2d(3, 3, 3, padding=1).double()
    torch.nn.init.constant_(conv.weight, size)
    return conv


def ordinary() -> nn.Module:
    return nn.Conv2d(3, 2, 3).double()


MODELS = {
    "beyond": lambda: layer(1.7e308),
    "near the end": lambda: layer(1e307 / 2),
    "both": lambda: nn.Sequential(layer(1.7e308), ordinary()),
}


def drawn(ax: Any) -> None:
    """Whether it can be drawn, with finite axes."""
    ax.figure.canvas.draw()
    assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()


@pytest.mark.parametrize("limits", [{}, {"max_flops": 0}, NOTHING], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_reports(name: str, limits: dict[str, Any], tmp_path: Path) -> None:
    report = cs.analyze(MODELS[name](), (3, 8, 8), **limits)
    drawn(report.plot())
    drawn(cs.plot.training([report, report]))
    report.to_html(tmp_path / "report.html")
    assert "nan" not in repr(report).split()
    report.to_csv(tmp_path / "report.csv")
    report.to_latex()


def test_nothing_known(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    report = cs.analyze(model, (3, 16, 16), **NOTHING)
    assert all(layer.norm.gap > 0.5 for layer in report)  # ||A||_F, and its root mean
    drawn(report.plot())
    report.to_html(tmp_path / "report.html")


def test_an_overflowing_norm_is_said() -> None:
    ax = cs.analyze(MODELS["both"](), (3, 8, 8)).plot()
    assert "beyond float64" in [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("name", ["beyond", "near the end"])
def test_pictures_of_operators(name: str) -> None:
    op = cs.ConvOperator.from_layer(MODELS[name](), 8)
    drawn(cs.plot.bounds(cs.bounds.table(op)))
    drawn(cs.plot.operator(op))
    spec, band = cs.spectrum(op), cs.spectral_envelope(op)
    drawn(cs.plot.spectrum(spec, annotate=True))
    drawn(cs.plot.envelope(band))
    drawn(cs.plot.compare({"a": spec, "b": band}))
    assert spec.frobenius_norm > 0


def test_a_density_and_a_response_beyond_float64_are_refused() -> None:
    op = cs.ConvOperator.from_layer(layer(1.7e308), 8)
    for density in (cs.spectral_density(op), cs.symbol_density(op)):
        with pytest.raises(ValueError, match=r"density must .*; draw that of op\.with"):
            cs.plot.density(density)
    with pytest.raises(ValueError, match=r"response must be .*; draw that of op\.with"):
        cs.plot.frequency_response(cs.frequency_response(op))


def test_a_response_near_the_end_is_that_of_smaller_weights() -> None:
    op = cs.ConvOperator.from_layer(layer(1e307 / 2), 8)
    small = op.with_weight(op.weight * 2.0**-900)
    found, expected = cs.frequency_response(op, 8), cs.frequency_response(small, 8)
    top = expected.values.max()
    assert np.abs(np.ldexp(found.values, -900) - expected.values).max() <= 1e-14 * top
    drawn(cs.plot.frequency_response(found))
