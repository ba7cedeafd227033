"""What every function of ``convspec.plot`` promises, whatever it draws."""

from __future__ import annotations

import inspect
import io
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

import convspec as cs
from convspec import plot
from convspec.network.depth import Depth
from convspec.network.result import NetworkBound, Step

NETWORK = NetworkBound(
    2.5,
    8.0,
    (
        Step("product", 90.0, 0.1, "norms of all layers"),
        Step("ellipsoid", math.inf, 0.1, "does not apply: a reason of some words; more"),
        Step("dense ellipsoid", 8.0, 1.0, "multipliers searched, vectors"),
    ),
    depth=(Depth("first", 9.0, 9.0, 4.0), Depth("last", 10.0, 90.0, 2.5)),
)
STYLE = {"svg.fonttype": "none", "pdf.fonttype": 42}


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def report() -> cs.ModelReport:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 1))
    return cs.analyze(model, (2, 4, 5))


@pytest.fixture(scope="module")
def data(report: cs.ModelReport) -> dict[str, Any]:
    """What each function draws."""
    first, second = report
    op = first.operator
    return {
        "bounds": cs.bounds.table(op),
        "compare": {"one": first.spectrum, "two": second.spectrum},
        "density": cs.spectral_density(op, probes=2, steps=5),
        "envelope": cs.spectral_envelope(op),
        "frequency_response": cs.frequency_response(op, 8),
        "layers": report,
        "gains": NETWORK,
        "lipschitz": NETWORK,
        "operator": op,
        "singular_vectors": cs.spectrum(op, vectors=True),
        "spectrum": first.spectrum,
        "training": [report, report],
    }


Draw = Callable[..., Axes]


@pytest.fixture(params=plot.__all__)
def draw(request: pytest.FixtureRequest, data: dict[str, Any]) -> Draw:
    """The function with its data."""
    function = getattr(plot, request.param)
    return lambda **options: function(data[request.param], **options)


@pytest.fixture
def figure() -> Figure:
    """One that pyplot does not know."""
    return Figure(layout="constrained")


def test_these_are_all_the_functions() -> None:
    assert sorted(plot.__all__) == [
        "bounds",
        "compare",
        "density",
        "envelope",
        "frequency_response",
        "gains",
        "layers",
        "lipschitz",
        "operator",
        "singular_vectors",
        "spectrum",
        "training",
    ]


@pytest.mark.parametrize("name", plot.__all__)
def test_data_first_then_keywords_with_ax_in_front(name: str) -> None:
    first, ax, *others = inspect.signature(getattr(plot, name)).parameters.values()
    assert first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert first.default is inspect.Parameter.empty
    assert (ax.name, ax.default) == ("ax", None)
    allowed = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
    assert {parameter.kind for parameter in (ax, *others)} <= allowed


def test_returns_the_axes_given_and_opens_no_other_figure(
    draw: Draw, figure: Figure
) -> None:
    ax = figure.add_subplot()
    assert draw(ax=ax) is ax
    assert ax.has_data()
    assert plt.get_fignums() == []
    figure.canvas.draw()


def test_makes_its_own_axes(draw: Draw) -> None:
    ax = draw()
    assert len(plt.get_fignums()) == 1
    assert ax.get_figure() is plt.figure(plt.get_fignums()[0])
    assert ax.has_data()
    ax.get_figure().canvas.draw()


def test_a_second_call_makes_a_second_figure(draw: Draw) -> None:
    assert draw() is not draw()
    assert len(plt.get_fignums()) == 2


def test_draws_in_a_part_of_a_figure(draw: Draw, figure: Figure) -> None:
    left, right = figure.subfigures(1, 2)
    ax = left.add_subplot()
    assert draw(ax=ax) is ax
    assert right.axes == []
    figure.canvas.draw()


def test_leaves_the_neighbours_alone(draw: Draw, figure: Figure) -> None:
    ax, neighbour = figure.subplots(1, 2)
    draw(ax=ax)
    assert not neighbour.has_data()
    assert (neighbour.get_xscale(), neighbour.get_xlim()) == ("linear", (0.0, 1.0))
    assert neighbour.get_xlabel() == neighbour.get_title() == ""


def test_changes_no_style(draw: Draw, figure: Figure) -> None:
    before = dict(mpl.rcParams)
    draw(ax=figure.add_subplot())
    draw()
    assert dict(mpl.rcParams) == before


def forbidden(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("a plot must not do this")


def test_saves_and_shows_nothing(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in ((plt, "show"), (plt, "savefig"), (plt, "pause")):
        monkeypatch.setattr(owner, name, forbidden)
    for name in ("show", "savefig"):
        monkeypatch.setattr(Figure, name, forbidden)
    assert draw().has_data()


def test_computes_no_spectrum(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("svd", "svdvals", "eigh", "eigvalsh"):
        monkeypatch.setattr(torch.linalg, name, forbidden)
    monkeypatch.setattr(np.linalg, "svd", forbidden)
    monkeypatch.setattr(torch.Tensor, "__matmul__", forbidden)
    assert draw().has_data()


def test_leaves_its_data_alone(draw: Draw, data: dict[str, Any]) -> None:
    before = pickle.dumps(data)
    draw()
    assert pickle.dumps(data) == before


@pytest.mark.parametrize("extension", ["svg", "pdf"])
def test_vector_output_is_clean(draw: Draw, figure: Figure, extension: str) -> None:
    """Text stays text, and no picture becomes thousands of paths."""
    with mpl.rc_context(STYLE):
        draw(ax=figure.add_subplot())
        stream = io.BytesIO()
        figure.savefig(stream, format=extension)
    content = stream.getvalue()
    assert len(content) < 300_000
    if extension == "svg":
        text = content.decode()
        assert text.count("<path") + text.count("<use") < 600
        assert "<text" in text


def test_the_style_is_packaged_and_applies_where_it_is_asked_for(
    draw: Draw, figure: Figure
) -> None:
    before = dict(mpl.rcParams)
    with plt.style.context("convspec.convspec"):
        assert mpl.rcParams["figure.figsize"] == [3.3, 2.4]
        assert mpl.rcParams["font.size"] == 8
        draw().get_figure().canvas.draw()
        draw(ax=figure.add_subplot())
    assert dict(mpl.rcParams) == before


def test_text_grows_with_the_font(draw: Draw) -> None:
    """No size is fixed in points, but for the names of many layers."""
    largest = []
    for size in (6, 12):
        with mpl.rc_context({"font.size": size}):
            ax = draw()
            ax.get_figure().canvas.draw()
            texts = [*ax.texts, ax.xaxis.label, *ax.get_xticklabels()]
            largest.append(max(text.get_fontsize() for text in texts))
    assert largest[1] == pytest.approx(2 * largest[0])


@pytest.mark.parametrize("name", plot.__all__)
def test_its_docstring_tells_every_argument(name: str) -> None:
    function = getattr(plot, name)
    words = inspect.getdoc(function) or ""
    for parameter in inspect.signature(function).parameters.values():
        stars = "**" * (parameter.kind is inspect.Parameter.VAR_KEYWORD)
        assert f"\n    {stars}{parameter.name}: " in words, parameter.name
