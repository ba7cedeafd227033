"""The table of all bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Any

import pytest
import torch

import convspec as cs
from convspec import bounds

NAMES = [
    "frobenius",
    "one_inf",
    "reshaped_kernel",
    "tsuzuku",
    "fantastic_four",
    "tensor_norm",
    "lip_bound_v1",
    "lip_bound",
    "schatten",
    "gram_iteration_zero",
    "gram_iteration",
    "sampled_symbol",
    "supremum",
    "power_iteration",
    "krylov",
]
PROBABLE = {"power_iteration", "krylov"}
KERNEL_FORMULAS = {"fantastic_four", "tensor_norm", "gram_iteration_zero"}

ladder = import_module("convspec.bounds.table")  # the name is the function's


@pytest.fixture
def op() -> cs.ConvOperator:
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    return cs.ConvOperator(weight, (6, 5), padding=1)


def test_every_bound_once_with_its_time(op: cs.ConvOperator) -> None:
    table = bounds.table(op)
    assert isinstance(table, Sequence)
    assert [bound.name for bound in table] == NAMES
    assert len(table) == len(table.seconds) == len(NAMES)
    assert all(seconds >= 0 for seconds in table.seconds)
    truth = float(torch.linalg.matrix_norm(op.to_dense().double(), 2))
    for bound in table:
        assert isinstance(bound, cs.Bound)
        assert bound.lower <= truth * (1 + 1e-14)
        assert bound.upper >= truth * (1 - 1e-14)
        kind = "estimate" if bound.name == "tensor_norm" else "certified"
        assert bound.guarantee == ("probabilistic" if bound.name in PROBABLE else kind)
        assert bound.assumptions
        assert bound.reference


def test_the_ladder_of_upper_bounds(op: cs.ConvOperator) -> None:
    """What is known of their order holds in the table."""
    upper = {bound.name: bound.upper for bound in bounds.table(op)}
    assert upper["reshaped_kernel"] == math.inf
    ladders = [
        ("tensor_norm", "fantastic_four", "tsuzuku"),
        ("supremum", "gram_iteration_zero"),
        ("sampled_symbol", "gram_iteration", "lip_bound", "lip_bound_v1"),
    ]
    for names in ladders:
        for low, high in pairwise(names):
            assert upper[low] <= upper[high] * (1 + 1e-12)


def test_it_is_a_sequence(op: cs.ConvOperator) -> None:
    table = bounds.table(op)
    assert table[0].name == "frobenius"
    assert table[-1].name == "krylov"
    part = table[2:4]
    assert [bound.name for bound in part] == ["reshaped_kernel", "tsuzuku"]
    assert part.seconds == table.seconds[2:4]
    assert table[1] in table
    with pytest.raises(IndexError):
        table[len(table)]


def test_the_supremum_is_tight_for_large_sizes() -> None:
    weight = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(2))
    table = bounds.table(cs.ConvOperator(weight, 20, padding=1))
    upper = {bound.name: bound.upper for bound in table}
    for name in set(NAMES) - PROBABLE - {"reshaped_kernel", "tensor_norm", "schatten"}:
        assert upper["supremum"] <= upper[name], name


def noted(table: bounds.BoundTable) -> tuple[list[str], dict[str, str]]:
    """The lines of the table, and its notes by their marks."""
    above, _, below = repr(table).partition("\n\n")
    words = re.split(r"^(?=\[\d+\] )", below, flags=re.MULTILINE)
    pairs = [" ".join(note.split()).split(" ", 1) for note in words if note]
    return above.splitlines(), dict(pairs)


def said(row: str, notes: dict[str, str]) -> str:
    """The last cell of a row, or the note that it refers to."""
    mark = row.split()[-1]
    if mark in notes:
        return notes[mark]
    return row[row.index(re.search(r"\d+\.\d{3}  ", row)[0]) :].split("  ", 1)[1]


def test_its_repr_is_the_table(op: cs.ConvOperator) -> None:
    table = bounds.table(op)
    above, notes = noted(table)
    header, rule, *rows = above
    assert header.split() == list(ladder.HEADER)
    assert set(rule) == {"-"}
    assert len(rows) == len(table)
    for row, bound in zip(rows, table, strict=True):
        assert isinstance(bound, cs.Bound)
        name, lower, upper, guarantee, *_ = row.split()
        assert (name, guarantee) == (bound.name, bound.guarantee)
        assert float(lower) <= bound.lower
        assert float(upper) >= bound.upper
        assert said(row, notes) == bound.assumptions


def test_its_repr_is_no_wider_than_a_page() -> None:
    """Reasons that three rows share are one note, and every row stays on its line."""
    weight = torch.randn(16, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    op = cs.ConvOperator(weight, 40, stride=2, padding=2, padding_mode="reflect")
    text = repr(bounds.table(op))
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("[1, 1, 1] / 3 on 8 pixels") == 1
    above, notes = noted(bounds.table(op))
    refused = [row for row in above if "not applicable" in row]
    assert len(refused) == 3
    assert len({said(row, notes) for row in refused}) == 1
    assert len(set(notes.values())) == len(notes)


def test_printed_ends_move_outward() -> None:
    found = cs.Bound(1.23456789, 2.00000001, "example", "none", "no one")
    shown = repr(bounds.BoundTable((found,), (0.25,))).splitlines()[-1].split()
    assert shown[1:5] == ["1.23456", "2.00001", "certified", "0.250"]


def test_reasons_take_the_place_of_bounds(
    op: cs.ConvOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds that do not apply, or would not fit, do not stop the others."""

    def refuses(op: cs.ConvOperator, max_bytes: int) -> cs.Bound:
        raise cs.NotApplicable("the operator must be small; got a large one", "refuses")

    rows = (("refuses", refuses), ("krylov", bounds.krylov), ("one_inf", bounds.one_inf))
    monkeypatch.setattr(ladder, "BOUNDS", rows)
    table = bounds.table(op, max_bytes=1)
    assert [bound.name for bound in table] == ["refuses", "krylov", "one_inf"]
    assert isinstance(table[0], cs.NotApplicable)
    assert isinstance(table[1], cs.NotApplicable)
    assert "take fewer starts or steps" in str(table[1])
    shown = repr(table)
    assert "not applicable" in shown
    assert "the operator must be small; got a large one" in shown


@pytest.mark.parametrize(
    ("options", "repeats"),
    [
        ({"padding": 1, "padding_mode": "reflect"}, True),
        ({"padding": 2, "padding_mode": "replicate", "stride": 2}, True),
        ({"padding": 2, "padding_mode": "circular"}, True),
        ({"padding": 0, "padding_mode": "reflect"}, False),
        ({"padding": 1, "padding_mode": "circular", "stride": 2}, False),
        ({"padding": 3}, False),
        ({"stride": 3, "output_padding": 2, "transposed": True, "groups": 2}, False),
    ],
    ids=[
        "reflect",
        "replicate-stride",
        "circular-that-grows",
        "reflect-without-padding",
        "circular-stride",
        "zeros",
        "transposed-groups",
    ],
)
def test_formulas_of_the_kernel_need_padding_that_repeats_no_pixel(
    options: dict[str, Any], repeats: bool
) -> None:
    """All other bounds apply to every kind; the table shows why these do not."""
    weight = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(1))
    op = cs.ConvOperator(weight, 7, **options)
    table = bounds.table(op)
    assert [bound.name for bound in table] == NAMES
    refused = {bound.name for bound in table if isinstance(bound, cs.NotApplicable)}
    assert refused == (KERNEL_FORMULAS if repeats else set())
    above, notes = noted(table)
    for row, bound in zip(above[2:], table, strict=True):
        if isinstance(bound, cs.NotApplicable):
            assert row.split()[1:5] == ["-", "-", "not", "applicable"]
            assert f"{bound.name} {said(row, notes)}" == str(bound)


def test_the_supremum_has_a_budget(
    op: cs.ConvOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table passes one on; a bound that it stopped holds, and says so."""
    (limited,) = [bound for name, bound in ladder.BOUNDS if name == "supremum"]
    assert limited.keywords == {"max_flops": ladder.SUPREMUM_FLOPS}
    done, stopped = bounds.supremum(op), bounds.supremum(op, max_evaluations=1)
    assert "ended by its budget" not in done.assumptions
    assert "; ended by its budget at a gap of " in stopped.assumptions
    assert done.upper < stopped.upper < math.inf
    monkeypatch.setattr(ladder, "BOUNDS", (("supremum", lambda op, max_bytes: stopped),))
    above, notes = noted(bounds.table(op))
    assert said(above[-1], notes) == stopped.assumptions


def test_every_bound_gets_the_byte_limit(op: cs.ConvOperator) -> None:
    """Those of the kernel alone hold little; all others say what would not fit."""
    found = bounds.table(op, max_bytes=100)
    refused = {bound.name for bound in found if isinstance(bound, cs.NotApplicable)}
    alone = {"frobenius", "one_inf", "reshaped_kernel", "tsuzuku", "fantastic_four"}
    assert refused == {bound.name for bound in found} - alone
    for bound in found:
        if isinstance(bound, cs.NotApplicable):
            assert "must fit max_bytes = 100 bytes; it needs " in str(bound)


def test_public_names() -> None:
    for name in NAMES:
        if name != "lip_bound_v1":
            assert name in bounds.__all__
            assert callable(getattr(cs.bounds, name))
    assert cs.Bound is bounds.Bound
