"""Tables in LaTeX: what is printed is a bound still, and names come out as they are."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import convspec as cs
from convspec.quantity import latex
from tests.other_layer import OtherConvolution

POSITIVE = st.floats(min_value=1e-300, max_value=1e300)


def value(printed: str) -> Fraction:
    """The number that a reader sees, exactly."""
    mantissa, _, exponent = printed.strip("$").partition(r" \times 10^")
    return Fraction(mantissa) * Fraction(10) ** int(exponent.strip("{}") or 0)


def rows_of(table: str) -> list[list[str]]:
    """Cells of the header and of the lines, the rules checked."""
    first, top, header, middle, *lines, bottom, last = table.splitlines()
    rules = [rule.strip() for rule in (top, middle, bottom)]
    assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert last == r"\end{tabular}"
    width = len(first.removeprefix(r"\begin{tabular}{").removesuffix("}"))
    rows = []
    for line in (header, *lines):
        assert line.endswith(r" \\")
        cells = line.strip().removesuffix(r" \\").split(" & ")
        assert len(cells) == width
        rows.append(cells)
    return rows


# Numbers and words ---------------------------------------------------------------------


@given(POSITIVE, st.integers(1, 12))
def test_printed_ends_are_on_their_side(number: float, digits: int) -> None:
    low = value(latex.rounded_down(number, digits))
    high = value(latex.rounded_up(number, digits))
    assert low <= Fraction(number) <= high
    assert high - low <= Fraction(number) * Fraction(10) ** (1 - digits)


@given(POSITIVE)
def test_the_nearest_number_is_within_half_a_digit(number: float) -> None:
    shown = value(latex.number(number, 5))
    assert abs(shown - Fraction(number)) <= Fraction(number) / 20_000


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0.0, "$0$"),
        (3, "$3$"),
        (394208, "$394208$"),
        (12345678, r"$1.235 \times 10^{7}$"),
        (1.5, "$1.500$"),
        (14306.2, "$14310$"),
        (6.0221e23, r"$6.022 \times 10^{23}$"),
        (1e-9, r"$1.000 \times 10^{-9}$"),
        (math.inf, r"$\infty$"),
        (-math.inf, r"$-\infty$"),
    ],
)
def test_numbers(number: float, printed: str) -> None:
    assert latex.number(number) == printed


@pytest.mark.parametrize(
    ("ends", "printed"),
    [
        ((1.23456, 1.23467), "$[1.234, 1.235]$"),
        ((2.0, 2.0), "$2.000$"),
        ((2.00001, math.inf), r"$\ge 2.000$"),
        ((0.0, 2.00001), r"$\le 2.001$"),
        ((0.0, math.inf), "---"),
        ((100, 120), "$[100, 120]$"),
    ],
)
def test_enclosures(ends: tuple[float, float], printed: str) -> None:
    assert latex.enclosure(*ends) == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("layer1.0_a", r"layer1.0\_a"),
        ("100% & #1 $x$", r"100\% \& \#1 \$x\$"),
        ("{a}^b~c", r"\{a\}\textasciicircum{}b\textasciitilde{}c"),
        ("\\input|<x>", r"\textbackslash{}input\textbar{}\textless{}x\textgreater{}"),
        ('a "name"', 'a "name"'),  # its command needs a font encoding that few load
        ("two\nlines\x07", "two lines "),
    ],
)
def test_names_are_escaped(text: str, printed: str) -> None:
    assert latex.escaped(text) == printed


@given(st.text())
def test_no_special_character_is_left(text: str) -> None:
    printed = latex.escaped(text)
    assert "\n" not in printed
    bare = re.sub(r"\\(text[a-z]+\{\}|[&%$#_{}])", "", printed)
    assert not set(bare) & set("\\&%$#_{}~^<>|")


# The table of bounds -------------------------------------------------------------------


@pytest.fixture(scope="module")
def ladder() -> cs.bounds.BoundTable:
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    return cs.bounds.table(cs.ConvOperator(weight, (6, 5), padding=1))


@pytest.mark.parametrize("digits", [3, 5])
def test_every_bound_has_its_line(ladder: cs.bounds.BoundTable, digits: int) -> None:
    header, *rows = rows_of(ladder.to_latex(digits=digits))
    assert header == ["Bound", "Lower", "Upper", "Guarantee", "Reference"]
    assert len(rows) == len(ladder)
    for (name, lower, upper, guarantee, reference), bound in zip(
        rows, ladder, strict=True
    ):
        assert isinstance(bound, cs.Bound)
        assert name == rf"\texttt{{{latex.escaped(bound.name)}}}"
        assert (lower == "---") == (bound.lower == 0)
        assert lower == "---" or value(lower) <= Fraction(bound.lower)
        assert (upper == "---") == math.isinf(bound.upper)
        assert upper == "---" or value(upper) >= Fraction(bound.upper)
        assert (guarantee, reference) == (
            bound.guarantee,
            latex.escaped(bound.reference),
        )


def test_references_may_be_left_out(ladder: cs.bounds.BoundTable) -> None:
    header, *_ = rows_of(ladder[:3].to_latex(references=False))
    assert header == ["Bound", "Lower", "Upper", "Guarantee"]


def test_bounds_that_do_not_apply_are_dashes() -> None:
    reason = cs.NotApplicable("the operator must be small; got a large one", "refuses")
    _, row = rows_of(cs.bounds.BoundTable((reason,), (0.0,)).to_latex())
    assert row == [r"\texttt{refuses}", "---", "---", "not applicable", "---"]


def test_bounds_need_a_digit(ladder: cs.bounds.BoundTable) -> None:
    with pytest.raises(ValueError, match="digits must be at least 1; got 0"):
        ladder.to_latex(digits=0)


# The table of layers -------------------------------------------------------------------


@pytest.fixture(scope="module")
def report() -> cs.ModelReport:
    """An exact row, an enclosed one, one of a layer called twice, one not supported."""
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("first_one", nn.Conv2d(1, 2, (3, 1), padding=(1, 0)))
    net.add_module("big", nn.Conv2d(2, 2, 5, padding=2))
    net.add_module("twice", nn.Conv2d(2, 2, 1))
    net.add_module("again", net.twice)
    net.add_module("refused", OtherConvolution(2, 2, 1))
    return cs.analyze(net, (1, 9, 9), max_flops=2e6)


def test_one_line_per_layer(report: cs.ModelReport) -> None:
    header, *rows = rows_of(report.to_latex())
    assert header[:4] == ["Layer", "Kernel", r"$\sigma_1$", r"$\sup \sigma_1$"]
    assert [row[:2] for row in rows] == [
        [r"\texttt{first\_one}", r"3$\times$1 p1,0"],
        [r"\texttt{big}", r"5$\times$5 p2"],
        [r"\texttt{twice} ($\times 2$)", r"1$\times$1"],
        [r"\texttt{refused}", "OtherConvolution"],
    ]
    assert rows[-1][2:] == ["---"] * 5


def test_enclosures_stay_enclosures(report: cs.ModelReport) -> None:
    rows = rows_of(report.to_latex(columns=["norm", "worst_case"], digits=6))[1:]
    layer = report["big"]
    assert layer.method == "envelope"
    assert layer.norm is not None
    assert layer.worst_case is not None
    low, high = rows[1][0].strip("$[]").split(", ")
    assert value(low) <= Fraction(layer.norm.lower)
    assert value(high) >= Fraction(layer.norm.upper)
    assert value(rows[1][1]) >= Fraction(layer.worst_case.upper)


def test_columns_and_layers_are_chosen(report: cs.ModelReport) -> None:
    columns = ["layer", "input", "output", "rank", "effective_rank", "circular", "method"]
    header, big, first = rows_of(
        report.to_latex(columns=columns, layers=["big", "first_one"])
    )
    assert header == [
        "Layer", "Input", "Output", "Rank", "Effective rank", "Circular", "Method"
    ]  # fmt: skip
    assert [big[0], first[0]] == [r"\texttt{big}", r"\texttt{first\_one}"]
    assert first[1:4] == [
        r"$1 \times 9 \times 9$",
        r"$2 \times 9 \times 9$",
        "$81$ of $81$",
    ]
    circular = report["big"].circular
    assert circular is not None
    assert big[5] == latex.number(circular.norm)
    assert (big[6], first[5:]) == ("envelope", ["---", "dense"])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"columns": ["norms"]}, ValueError, r"columns must be some of layer, .*'norms'"),
        ({"columns": []}, ValueError, r"columns must be some of .*got \[\]"),
        ({"digits": 0}, ValueError, "digits must be at least 1; got 0"),
        ({"layers": ["missing"]}, KeyError, "no layer 'missing'"),
    ],
    ids=["unknown-column", "no-column", "no-digit", "unknown-layer"],
)
def test_bad_arguments(
    report: cs.ModelReport, options: dict[str, object], error: type, words: str
) -> None:
    with pytest.raises(error, match=words):
        report.to_latex(**options)  # type: ignore[arg-type]
