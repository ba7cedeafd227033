"""A report as notebooks show it: the plain table's cells, names escaped."""

from __future__ import annotations

import torch
from torch import nn

import convspec as cs
from tests.html_report import read_page

HOSTILE = "<script>x</script>&"


def test_cells_are_those_of_the_plain_table() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    report = cs.analyze(net, (1, 8, 8))
    page = read_page(report._repr_html_())
    lines = repr(report).splitlines()
    titles = [cell.text for cell in page.one("thead").all("th")]
    assert " ".join(titles) == " ".join(lines[0].split())
    rows = [[x.text for x in row.all("td")] for row in page.one("tbody").all("tr")]
    for row, line in zip(rows, lines[2:4], strict=True):
        assert " ".join(row) == " ".join(line.split())
    notes = [note.text for note in page.all("p")]
    assert notes[0] == report.summary()
    assert notes[1:] == [*report.remarks, *report.legend]


def test_names_are_escaped() -> None:
    net = nn.Sequential()
    net.add_module(HOSTILE, nn.Conv1d(1, 1, 3))
    found = cs.analyze(net, (1, 8))._repr_html_()
    assert "<script>" not in found
    assert read_page(found).one("tbody").all("td")[0].text == HOSTILE


def test_a_report_without_rows() -> None:
    found = cs.analyze(nn.Identity(), (1, 8))._repr_html_()
    assert "no convolutions found" in read_page(found).all("p")[0].text


def test_bounds_are_short() -> None:
    op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 3, padding=1)
    # ||A||_F = 4, rounded up, and at least that over sqrt(3)
    assert (
        repr(cs.bounds.frobenius(op)) == "<frobenius: 2.309401 ... 4.000001, certified>"
    )
    assert repr(cs.Bound(1 / 3, 2 / 3, "some", "any", "no one", "estimate")) == (
        "<some: 0.3333333 ... 0.6666667, estimate>"
    )
    assert repr(cs.Bound(1 / 3, float("inf"), "some", "any", "no one")) == (
        "<some: >= 0.3333333, certified>"
    )
    assert repr(cs.Bound(0.0, 2 / 3, "some", "any", "no one")) == (
        "<some: <= 0.6666667, certified>"
    )
    assert repr(cs.worst_case_norm(op)).startswith("<worst_case_norm: ")


def test_what_is_said_of_several_rows_is_said_once() -> None:
    class Cut(nn.Conv1d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x * 2)[..., 1:]

    def remarks(count: int) -> list[str]:
        layers = [Cut(1, 1, 3) for _ in range(count)]
        found = cs.analyze(nn.Sequential(*layers), (1, 40), max_flops=0).remarks
        return [words.partition(": ")[0] for words in found if "slice" in words]

    assert remarks(1) == ["0"]
    assert remarks(3) == ["0, 1, 2"]
    assert remarks(7) == ["0, 1, 2, 3 and 3 more"]
