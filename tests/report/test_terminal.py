"""Reports on a terminal: width, colour, names that look like markup; files get text."""

from __future__ import annotations

import dataclasses
import io
import re
import sys

import pytest
import torch
from torch import nn

import convspec as cs
from convspec.extras import MissingExtra
from convspec.quantity.aligned import aligned
from convspec.report.columns import TABLE as COLUMNS
from convspec.report.terminal import SHORTEST, fitting, print_report
from tests.html_report import CONTROL, IMAGE, hostile_report

console_of = pytest.importorskip("rich.console").Console
cell_len = pytest.importorskip("rich.cells").cell_len

MARKUP = "[bold red]hot[/bold red] [/] :smile:"
WIDE = "\N{CJK UNIFIED IDEOGRAPH-5C64}" * 12  # two places each
LONG = "stage.block.branch." * 5 + "conv"
CODE = re.compile(r"\x1b\[([\d;]*)m")


@pytest.fixture(autouse=True)
def no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whoever runs the tests."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def report() -> cs.ModelReport:
    """Hostile names, and one that is long."""
    found = hostile_report()
    names = [IMAGE, MARKUP, WIDE, LONG, CONTROL, "unknown"]
    rows = [dataclasses.replace(row, name=n) for row, n in zip(found, names, strict=True)]
    return dataclasses.replace(found, layers=tuple(rows))


@pytest.fixture(scope="module")
def plain() -> cs.ModelReport:
    torch.manual_seed(0)
    return cs.analyze(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1)), (1, 5, 5))


def printed(report: cs.ModelReport, width: int, *, terminal: bool = True) -> str:
    stream = io.StringIO()
    colours = "truecolor" if terminal else None
    print_report(
        report,
        console_of(
            file=stream, force_terminal=terminal, width=width, color_system=colours
        ),
    )
    return stream.getvalue()


def words(text: str) -> list[str]:
    """The lines without colours."""
    return CODE.sub("", text).splitlines()


# -- where it goes ----------------------------------------------------------------------


def test_what_is_no_terminal_gets_the_plain_text(report: cs.ModelReport) -> None:
    assert printed(report, 40, terminal=False) == f"{report!r}\n"


def test_standard_output_by_default(
    plain: cs.ModelReport, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(plain)
    assert capsys.readouterr() == (f"{plain!r}\n", "")


def test_plain_text_needs_no_rich(
    plain: cs.ModelReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [x for x in sys.modules if x.split(".")[0] == "rich"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert "sigma_1" in repr(plain)
    with pytest.raises(MissingExtra, match=r"rich.* must .*convspec\[cli\]"):
        print_report(plain)


# -- width ------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 7, 20, 33, 40, 60, 80, 100, 140, 200, 400])
def test_no_line_is_wider_than_the_terminal(report: cs.ModelReport, width: int) -> None:
    lines = words(printed(report, max(width, 2)))
    assert max(map(cell_len, lines)) <= max(width, 2)


@pytest.mark.parametrize("width", range(20, 240, 11))
def test_columns_go_by_priority(report: cs.ModelReport, width: int) -> None:
    shown = fitting(report.layers, width)
    gone = [column for column in COLUMNS if column not in shown]
    assert [column for column in COLUMNS if column in shown] == shown
    assert {column.name for column in shown} >= {"layer", "norm"}
    most = max(column.priority for column in shown)
    assert all(column.priority > most for column in gone)
    assert set(fitting(report.layers, width + 11)) >= set(shown)


def test_priorities_are_an_order() -> None:
    ranks = [column.priority for column in COLUMNS if column.priority]
    assert sorted(ranks) == list(range(1, len(ranks) + 1))


def test_all_columns_where_there_is_room(report: cs.ModelReport) -> None:
    lines = words(printed(report, 300))
    headings = [column.title for column in COLUMNS]
    assert re.split(r"  +", lines[0].strip()) == headings
    assert not any("Not shown" in line for line in lines)


def test_what_is_left_out_is_named(report: cs.ModelReport) -> None:
    text = " ".join(" ".join(words(printed(report, 60))).split())
    assert "Not shown at this width: " in text
    named = text.split("Not shown at this width: ")[1].split(".")[0].split(", ")
    shown = fitting(report.layers, 60)
    assert named == [column.heading for column in COLUMNS if column not in shown]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_names_fold_and_numbers_do_not(report: cs.ModelReport, width: int) -> None:
    text = "\n".join(words(printed(report, width)))
    for column in fitting(report.layers, width)[1:]:
        assert column.heading in text
        for layer in report:
            assert column.cell(layer) in text
    joined = re.sub(r"\s", "", text)
    assert LONG[:SHORTEST] in joined


def test_columns_line_up_behind_wide_names(report: cs.ModelReport) -> None:
    """Of the terminal and of plain text: every cell ends where its heading does."""
    rows = words(printed(report, 400))[2 : 2 + len(report)]
    table = repr(report).split("\n\n")[0].splitlines()
    for lines in ([words(printed(report, 400))[0], *rows], [table[0], *table[2:]]):
        end = cell_len(lines[0][: lines[0].index("sigma_1") + len("sigma_1")])
        for line, layer in zip(lines[1:], report, strict=True):
            cell = COLUMNS[4].cell(layer)
            ends = [cell_len(line[: m.end()]) for m in re.finditer(re.escape(cell), line)]
            assert end in ends


def test_combining_characters_take_no_room() -> None:
    rows = [["e\N{COMBINING ACUTE ACCENT}", "1"], ["ab", "2"]]
    _, _, first, second = aligned(["x", "n"], rows, [True, False]).splitlines()
    assert first == "e\N{COMBINING ACUTE ACCENT}   1"
    assert second == "ab  2"


# -- colour -----------------------------------------------------------------------------


def colours(text: str) -> set[str]:
    """The codes of foreground colours."""
    codes = {code for found in CODE.findall(text) for code in found.split(";")}
    return {code for code in codes if re.fullmatch(r"[39]\d", code)}


def test_guarantees_are_told_by_colour(report: cs.ModelReport) -> None:
    assert colours(printed(report, 200)) == {"34", "32"}  # exact blue, enclosed green


def test_no_colour_where_none_is_wanted(
    report: cs.ModelReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    coloured = printed(report, 120)
    monkeypatch.setenv("NO_COLOR", "1")
    found = printed(report, 120)
    assert colours(found) == set()
    assert words(found) == words(coloured)


def test_no_colour_in_files(report: cs.ModelReport) -> None:
    assert "\x1b" not in printed(report, 120, terminal=False)


# -- names ------------------------------------------------------------------------------


def test_names_are_not_markup(report: cs.ModelReport) -> None:
    lines = words(printed(report, 400))
    for name in (MARKUP, IMAGE, WIDE):
        assert any(name in line for line in lines)


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "file"])
def test_escapes_in_names_do_not_reach_the_terminal(
    report: cs.ModelReport, terminal: bool
) -> None:
    text = printed(report, 400, terminal=terminal)
    assert r"esc\x1b[31m\n\u202eleft \ud800" in text
    assert "\u202e" not in text
    assert "\x1b[31m" not in text
