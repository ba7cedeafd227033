"""Drawn spectra: the numbers on the axes are those of the spectrum."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

import convspec as cs
from convspec import plot
from convspec.plot.palette import CYCLE, ENCLOSED, ESTIMATED, EXACT
from tests.drawn import legend, lines, made_up, made_up_band, polygons, strips


@pytest.fixture(autouse=True)
def headless() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


DEFICIENT = made_up([4.0, 2.0, 1.0, 1e-20, 0.0], rows=7)
BAND = made_up_band([3.0, 1.0, 0.0], [4.0, 2.0, 0.5])


def laplacian(size: int) -> cs.ConvOperator:
    """Its circular form has one singular value 0, for the constant signal."""
    return cs.ConvOperator(
        torch.tensor([[[1.0, -2.0, 1.0]]]), size, padding=1, padding_mode="circular"
    )


# -- one spectrum -----------------------------------------------------------------------


def test_values_over_the_fraction_of_their_index() -> None:
    spec = made_up([3.0, 2.0, 1.0, 0.5])
    ax = plot.spectrum(spec, label="layer")
    (line,) = ax.lines
    assert line.get_xdata() == pytest.approx([0.125, 0.375, 0.625, 0.875])
    assert np.array_equal(line.get_ydata(), spec.values)
    assert line.get_color() == EXACT
    assert line.get_linestyle() == "-"
    assert legend(ax) == ["layer: exact"]
    assert (ax.get_yscale(), ax.get_xscale()) == ("log", "linear")
    assert ax.get_xlim() == (0, 1)
    assert ax.get_xlabel() == "index / 4"
    assert ax.get_ylabel() == "singular value"


def test_numerical_zeros_are_a_strip_at_the_foot_and_counted() -> None:
    ax = plot.spectrum(DEFICIENT)
    (line,) = lines(ax)
    (strip,) = strips(ax)
    assert line.get_xdata() == pytest.approx([0.1, 0.3, 0.5])
    assert line.get_ydata().tolist() == [4.0, 2.0, 1.0]
    assert strip.get_xdata() == pytest.approx([0.6, 1.0])
    assert 0 < strip.get_ydata()[0] < 0.05  # of the height of the axes
    assert strip.get_color() == line.get_color()
    assert legend(ax) == ["exact, 2 numerical zeros"]
    assert ax.get_ylim()[0] > 0.1  # they do not stretch the axis
    ax.get_figure().canvas.draw()


def test_the_legend_can_be_left_out() -> None:
    assert legend(plot.spectrum(DEFICIENT, legend=False)) == []


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("size", [8, 9], ids=["even", "odd"])
@pytest.mark.parametrize("method", ["fourier", "dense"])
def test_as_many_are_drawn_as_the_rank(
    method: str, size: int, dtype: torch.dtype
) -> None:
    spec = cs.spectrum(laplacian(size), method=method, dtype=dtype)
    ax = plot.spectrum(spec)
    assert len(lines(ax)[0].get_ydata()) == spec.rank() == size - 1
    assert legend(ax) == ["exact, 1 numerical zero"]


@pytest.mark.parametrize("k", [1, 3, 7])
def test_incomplete_spectra_lie_on_the_complete_one(k: int) -> None:
    torch.manual_seed(0)
    op = cs.ConvOperator(torch.randn(1, 1, 3), 8, padding=1)
    ax = plot.spectrum(cs.spectrum(op))
    plot.spectrum(cs.spectrum(op, k, "largest"), ax=ax)
    plot.spectrum(cs.spectrum(op, k, "smallest"), ax=ax)
    complete, largest, smallest = (line.get_xydata() for line in ax.lines)
    assert np.array_equal(largest, complete[:k])
    assert np.array_equal(smallest, complete[-k:])
    assert legend(ax) == ["exact", f"exact, {k} largest", f"exact, {k} smallest"]
    assert len({line.get_color() for line in ax.lines}) == 3
    low, high = ax.get_ylim()
    assert low < complete[:, 1].min() <= complete[:, 1].max() < high


def test_few_values_of_many_are_points() -> None:
    spec = made_up([2.0, 1.0], complete=False, shape=(1000, 1000))
    (line,) = plot.spectrum(spec).lines
    assert line.get_marker() == "o"
    (many,) = plot.spectrum(made_up(np.linspace(2, 1, 100).tolist())).lines
    assert many.get_marker() == "None"


def test_krylov_values_are_drawn_within_their_error() -> None:
    spec = made_up(
        [4.0, 2.0],
        complete=False,
        shape=(9, 9),
        method="krylov",
        error=np.array([0.1, 0.5]),
    )
    ax = plot.spectrum(spec)
    assert legend(ax) == ["Krylov, 2 largest, within error"]
    (vertices,) = polygons(ax)
    assert {round(float(y), 9) for y in vertices[:, 1]} == {3.9, 4.1, 1.5, 2.5}


def test_incomplete_spectra_count_no_zeros() -> None:
    """Their tolerance would need the largest value, or the number of all the others."""
    spec = made_up([1.0, 1e-30], complete=False, which="smallest", shape=(6, 5))
    ax = plot.spectrum(spec, annotate=True)
    (line,) = ax.lines
    assert np.array_equal(line.get_ydata(), spec.values)
    assert legend(ax) == ["exact, 2 smallest"]


@pytest.mark.parametrize("annotate", [False, True], ids=["plain", "annotated"])
def test_zero_operator(annotate: bool) -> None:
    spec = cs.spectrum(cs.ConvOperator(torch.zeros(1, 1, 3), 5))
    ax = plot.spectrum(spec, annotate=annotate)
    ax.get_figure().canvas.draw()
    words = "exact, 3 numerical zeros" + "\nrank 0 of 3, condition inf" * annotate
    assert legend(ax) == [words]
    assert sum(len(line.get_ydata()) for line in lines(ax)) == 0
    assert ax.get_yscale() == "linear"


def test_smallest_values_that_are_all_zero() -> None:
    spec = cs.spectrum(cs.ConvOperator(torch.zeros(1, 1, 3), 5), 2, "smallest")
    ax = plot.spectrum(spec)
    ax.get_figure().canvas.draw()
    assert ax.get_yscale() == "linear"


def test_single_value() -> None:
    spec = cs.spectrum(cs.ConvOperator(torch.full((1, 1, 1), -3.0), 1))
    ax = plot.spectrum(spec)
    (line,) = ax.lines
    assert line.get_xydata().tolist() == [[0.5, 3.0]]
    low, high = ax.get_ylim()
    assert low < 3.0 < high
    assert high / low > 3  # or the axis would have no labels
    ax.get_figure().canvas.draw()


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (made_up([8.0, 4.0, 1.6]), "rank 3 of 3, condition 5"),
        (DEFICIENT, "rank 3 of 5, condition inf"),
        (BAND, "rank 2 to 3 of 3, condition 5.99 to inf"),
    ],
    ids=["regular", "deficient", "enclosed"],
)
def test_annotation(spec: cs.Spectrum | cs.Envelope, text: str) -> None:
    (words,) = legend(plot.spectrum(spec, annotate=True))
    assert words.split("\n")[1] == text


def test_options_go_to_the_line() -> None:
    ax = plot.spectrum(DEFICIENT, color="red", linewidth=3, linestyle="--", marker="x")
    (line,) = lines(ax)
    assert (to_hex(line.get_color()), line.get_linewidth()) == ("#ff0000", 3)
    assert (line.get_linestyle(), line.get_marker()) == ("--", "x")
    assert to_hex(strips(ax)[0].get_color()) == "#ff0000"


def test_many_values_are_thinned_to_true_ones() -> None:
    values = np.geomspace(10, 1e-3, 300_000)
    (line,) = plot.spectrum(made_up(values.tolist())).lines
    x, y = line.get_xdata(), line.get_ydata()
    assert 500 < len(x) < 3000
    places = np.round(x * len(values) - 0.5).astype(int)
    assert np.array_equal(y, values[places])
    assert (places[0], places[-1]) == (0, len(values) - 1)
    assert np.array_equal(places[-50:], np.arange(len(values) - 50, len(values)))


def test_other_data_are_refused() -> None:
    for wrong in ([3.0, 2.0], np.ones(3), laplacian(4)):
        with pytest.raises(TypeError, match=r"a Spectrum, an Envelope or a Density; got"):
            plot.spectrum(wrong)  # type: ignore[arg-type]
    assert plt.get_fignums() == []


# -- enclosures -------------------------------------------------------------------------


def test_an_envelope_is_a_hatched_band_between_its_bounds() -> None:
    ax = plot.envelope(BAND)
    (area,) = ax.collections
    assert area.get_hatch() == "//////"
    assert to_hex(area.get_facecolor()[0]) == ENCLOSED.lower()
    lower, upper = ax.lines
    assert lower.get_ydata()[:2].tolist() == [3.0, 1.0]
    assert np.isnan(lower.get_ydata()[2])  # 0 has no place on the axis
    assert upper.get_ydata().tolist() == [4.0, 2.0, 0.5]
    assert legend(ax) == ["certified enclosure"]
    (vertices,) = polygons(ax)
    bottom = vertices[:, 1].min()
    foot = ax.get_ylim()[0]
    assert 0.1 < foot < 0.5
    assert 0 < bottom < 1e-9 * foot  # it goes on below the axis
    ax.plot([0.5], [1e-6])
    assert 0 < bottom < ax.get_ylim()[0] <= 1e-6  # wherever that is


def test_a_large_envelope_is_thinned_outward() -> None:
    """Over every gap the drawn band holds all the bounds that it leaves out."""
    rng = np.random.default_rng(0)
    upper = -np.sort(-rng.lognormal(size=50_000))
    lower = upper * 0.9
    ax = plot.envelope(made_up_band(lower.tolist(), upper.tolist()))
    low, high = ax.lines
    x = high.get_xdata()
    assert 500 < len(x) < 6000
    place = (np.arange(len(upper)) + 0.5) / len(upper)
    drawn = np.minimum(
        high.get_ydata()[np.searchsorted(x, place) - 1],
        high.get_ydata()[np.searchsorted(x, place)],
    )
    assert (drawn >= upper).all()
    drawn = np.maximum(
        low.get_ydata()[np.searchsorted(x, place) - 1],
        low.get_ydata()[np.searchsorted(x, place)],
    )
    assert (drawn <= lower).all()


def test_unbounded_values_are_left_out() -> None:
    ax = plot.envelope(made_up_band([3.0, 1.0], [np.inf, 2.0]))
    assert all(np.isfinite(vertices).all() for vertices in polygons(ax))
    ax.get_figure().canvas.draw()


def test_truth_lies_over_its_envelope() -> None:
    torch.manual_seed(0)
    op = cs.ConvOperator(torch.randn(3, 2, 3, 3), (6, 6), padding=1)
    spec = cs.spectrum(op)
    ax = plot.envelope(cs.spectral_envelope(op), truth=spec)
    *_, truth = ax.lines
    assert np.array_equal(truth.get_ydata(), spec.values)
    assert truth.get_color() == "black"
    assert legend(ax) == ["certified enclosure", "exact"]


def test_envelope_refuses_other_data() -> None:
    with pytest.raises(TypeError, match="draws an Envelope; got Spectrum"):
        plot.envelope(DEFICIENT)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="of 3 singular values; got one of 5"):
        plot.envelope(BAND, truth=DEFICIENT)
    assert plt.get_fignums() == []


# -- estimates --------------------------------------------------------------------------


def test_a_density_is_its_quantiles_in_a_band_of_standard_errors() -> None:
    torch.manual_seed(0)
    op = cs.ConvOperator(torch.randn(2, 2, 3), 100, padding=1)
    found = cs.spectral_density(op, probes=4, steps=10)
    ax = plot.spectrum(found, errors=3)
    (line,) = ax.lines
    expected = found.quantile(1 - line.get_xdata())
    assert np.array_equal(line.get_ydata(), expected.value)
    assert line.get_linestyle() == "-."
    assert line.get_color() == ESTIMATED
    assert legend(ax) == ["estimate, \u00b1 3 standard errors"]
    (vertices,) = polygons(ax)
    tops = vertices[:, 1].max()
    assert tops == pytest.approx((expected.value + 3 * expected.standard_error).max())
    # nothing is claimed of what lies below the smallest node
    assert line.get_ydata().min() > found.nodes.min()


def test_the_symbol_has_no_band() -> None:
    ax = plot.spectrum(cs.symbol_density(laplacian(50)))
    assert polygons(ax) == []
    assert legend(ax) == ["symbol: limit of large inputs"]


# -- several ----------------------------------------------------------------------------


def test_compare_draws_them_in_order_with_a_legend() -> None:
    spectra = {"b": made_up([3.0, 1.0]), "a": DEFICIENT, "c": made_up([5.0])}
    ax = plot.compare(spectra)
    assert [line.get_ydata().tolist() for line in lines(ax)] == [
        [3.0, 1.0],
        [4.0, 2.0, 1.0],
        [5.0],
    ]
    assert legend(ax) == ["b: exact", "a: exact, 2 numerical zeros", "c: exact"]
    assert [line.get_color() for line in lines(ax)] == list(CYCLE[:3])
    (strip,) = strips(ax)
    assert strip.get_color() == CYCLE[1]
    assert ax.get_xlabel() == "index / min(m, n)"
    assert (ax.get_yscale(), ax.get_xlim()) == ("log", (0, 1))


def test_compare_draws_each_kind_differently() -> None:
    torch.manual_seed(0)
    op = cs.ConvOperator(torch.randn(2, 2, 3), 60, padding=1)
    ax = plot.compare(
        {
            "a": cs.spectrum(op),
            "b": cs.spectral_envelope(op),
            "c": cs.spectral_density(op, probes=4, steps=10),
        }
    )
    assert legend(ax) == [
        "a: exact",
        "b: certified enclosure",
        "c: estimate, \u00b1 2 standard errors",
    ]
    assert [area.get_hatch() for area in ax.collections] == ["//////", None]
    assert ax.get_xlabel() == "index / 120"


def test_compare_of_one() -> None:
    ax = plot.compare({"only": made_up([2.0, 1.0])})
    assert legend(ax) == ["only: exact"]
    assert ax.get_xlabel() == "index / 2"


def test_strips_of_zeros_do_not_hide_one_another() -> None:
    ax = plot.compare({"a": DEFICIENT, "b": DEFICIENT})
    first, second = strips(ax)
    assert second.get_ydata()[0] > first.get_ydata()[0]


def test_many_stay_apart() -> None:
    ax = plot.compare({str(j): made_up([2.0 + j, 1.0]) for j in range(20)})
    looks = [(line.get_color(), str(line.get_linestyle())) for line in ax.lines]
    patterns = [(line.get_color(), line._dash_pattern) for line in ax.lines]
    assert len(set(map(str, patterns))) == 20
    assert ":" not in {style for _, style in looks}  # dotted stands for zeros


def test_compare_takes_options_for_all_lines() -> None:
    ax = plot.compare({"a": made_up([2.0]), "b": made_up([1.0])}, linewidth=4, color="k")
    assert {line.get_linewidth() for line in ax.lines} == {4}
    assert {line.get_color() for line in ax.lines} == {"k"}


def test_compare_with_a_zero_operator() -> None:
    zero = cs.spectrum(cs.ConvOperator(torch.zeros(1, 1, 3), 5))
    ax = plot.compare({"zero": zero, "one": made_up([1.0, 0.5])}, annotate=True)
    assert legend(ax) == [
        "zero: exact, 3 numerical zeros\nrank 0 of 3, condition inf",
        "one: exact\nrank 2 of 2, condition 2",
    ]
    ax.get_figure().canvas.draw()


def test_compare_refuses_nothing_and_other_data() -> None:
    with pytest.raises(ValueError, match="at least one spectrum; got none"):
        plot.compare({})
    with pytest.raises(TypeError, match="got list"):
        plot.compare({"a": [1.0]})  # type: ignore[dict-item]
    assert plt.get_fignums() == []
