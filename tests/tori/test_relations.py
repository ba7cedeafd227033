"""The integer statements behind envelopes, checked on explicit matrices of every axis."""

from __future__ import annotations

import cmath
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

import mpmath
import numpy as np
import pytest
import torch

import convspec as cs
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.geometry import Axis, ConvGeometry
from convspec.operators.reads import Reads
from convspec.spectrum.envelope.bands import Shift
from convspec.spectrum.envelope.torus import Torus, torus_values, turns_of
from convspec.tori.relation import Relation
from convspec.tori.relations import relations
from tests import oracles

MODES = ("zeros", "circular", "reflect", "replicate", "symmetric")
TURNS = (Fraction(0), Fraction(1, 2), Fraction(1, 4), Fraction(3, 8))


def axes(mode: str, seed: int) -> Iterator[Axis]:
    """Endless: axes that more than one tap reads and that are no torus themselves."""
    rng = np.random.default_rng(seed)
    while True:
        kernel, stride = int(rng.integers(2, 6)), int(rng.integers(1, 4))
        try:
            found = ConvGeometry.of(
                (1, 1, kernel),
                int(rng.integers(1, 13)),
                ConvArguments(
                    stride=stride,
                    dilation=int(rng.integers(1, 4)),
                    padding=(tuple(rng.integers(0, 6, 2).tolist()),),
                    padding_mode=mode,
                ),
            ).axes[0]
        except cs.GeometryError:
            continue
        read = Reads.of(found)
        if not read.single and not read.cyclic:
            yield found


def operator_tables(read: Reads) -> oracles.Array:
    """``S[t]`` on live outputs and read pixels, (k, m, n)."""
    taps, outputs = read.source.shape
    matrix = np.zeros((taps, outputs, len(read.pixels)))
    for t, o in zip(*np.nonzero(read.source >= 0), strict=True):
        matrix[t, o, read.source[t, o]] = 1
    return matrix


def torus_tables(relation: Relation, turn: Fraction) -> oracles.Array:
    """``C[t]`` with wrapped entries times ``exp(2 pi i turn)``, (k, M, N)."""
    count, size = relation.frequencies, relation.frequencies * relation.stride
    matrix = np.zeros((len(relation.lags), count, size), dtype=complex)
    for t, lag in enumerate(relation.lags):
        for row in range(count):
            turns, column = divmod(relation.stride * row + lag, size)
            matrix[t, row, column] = phase(turns * turn)
    return matrix


def phase(turn: Fraction) -> complex:
    return cmath.exp(2j * cmath.pi * float(turn % 1))


def maps(
    read: Reads, relation: Relation, turn: Fraction
) -> tuple[oracles.Array, oracles.Array]:
    """J, (m, M), and P, (N, n)."""
    count, size = relation.frequencies, relation.frequencies * relation.stride
    if relation.kind == "unfolding":
        taps, outputs = read.source.shape
        spread = np.zeros((size, len(read.pixels)))
        for t, o in zip(*np.nonzero(read.source >= 0), strict=True):
            spread[taps * o + t, read.source[t, o]] = 1
        return np.eye(outputs), spread
    steps = read.rows * (read.axis.stride // relation.stride)
    spread_rows = np.zeros((len(steps), count), dtype=complex)
    for o, step in enumerate(steps):
        turns, place = divmod(int(step), count)
        spread_rows[o, place] = phase(turns * turn)
    if relation.kind in ("compression", "larger"):
        places, shows = read.used
    else:
        places, shows = read.pixels, np.arange(len(read.pixels))
    spread_columns = np.zeros((size, len(read.pixels)), dtype=complex)
    for x, column in zip(places, shows, strict=True):
        turns, place = divmod(int(x), size)
        spread_columns[place, column] = phase(-turns * turn)
    return spread_rows, spread_columns


def assert_relation(read: Reads, relation: Relation, turn: Fraction) -> None:
    """``S[t] = J C[t] P`` on the kept part, whose dimensions are as stated."""
    repeat, spread = maps(read, relation, turn)
    torus = torus_tables(relation, turn)
    rows, columns = relation.rows, relation.columns
    difference = operator_tables(read) - repeat @ torus @ spread
    difference[abs(difference) < 1e-9] = 0
    assert difference.shape[1:] == (rows.total, columns.total)

    shown = (abs(spread) > 0).sum(axis=0)
    keep = list(relation.outputs)
    assert len(keep) == rows.kept
    hit = (abs(repeat[keep]) > 0).sum(axis=0)
    assert (hit > 0).sum() == rows.hit
    assert sorted(hit[hit > 0]) == sorted(rows.counts)
    assert len(columns.counts) == columns.hit
    difference = difference[:, keep]
    if relation.kind == "perturbation":
        stacked = difference.reshape(-1, columns.total)
        lost = np.linalg.matrix_rank(stacked) if stacked.size else 0
        assert lost <= columns.total - columns.kept
        assert columns.hit == columns.kept == sum(columns.counts)
    else:
        assert columns.kept == columns.hit == columns.total
        assert sorted(shown) == sorted(columns.counts)
        assert not difference.any()
    live = (abs(torus) > 0).any(axis=(0, 1)) | (abs(spread) > 0).any(axis=1)
    assert live.sum() == columns.torus
    assert rows.torus == relation.frequencies


def assert_axis_relations(axis: Axis) -> None:
    read = Reads.of(axis)
    live = read.live
    found = relations(read)
    assert {"compression", "unfolding"} <= set(found)
    for relation in [r for several in found.values() for r in several]:
        for turn in TURNS:
            if relation.twisted if turn else relation.untwisted:
                assert_relation(live, relation, turn)


def assert_axes_relations(mode: str, seed: int, count: int) -> None:
    for axis in islice(axes(mode, seed), count):
        assert_axis_relations(axis)


@pytest.mark.parametrize("mode", MODES)
def test_relations_hold(mode: str) -> None:
    assert_axes_relations(mode, seed=0, count=150)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "pads", "mode"),
    [(6, 3, 2, 3, (3, 0), "circular"), (7, 5, 1, 1, (0, 4), "reflect")],
)
def test_pixels_cannot_be_equated_across_a_phase(
    size: int,
    kernel: int,
    stride: int,
    dilation: int,
    pads: tuple[int, int],
    mode: str,
) -> None:
    """All that wraps differs already at phase 0, yet other phases cost more pixels."""
    axis = ConvGeometry.of(
        (1, 1, kernel),
        size,
        ConvArguments(
            stride=stride, dilation=dilation, padding=(pads,), padding_mode=mode
        ),
    ).axes[0]
    assert_axis_relations(axis)
    found = relations(Reads.of(axis))["perturbation"]
    kept = {
        twisted: max(r.columns.kept for r in found if r.twisted == twisted)
        for twisted in (False, True)
    }
    assert kept[True] <= kept[False]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_relations_hold_many(mode: str) -> None:
    assert_axes_relations(mode, seed=1, count=1500)


@pytest.mark.parametrize("pads", [(1, 1), (0, 2), (2, 0), (0, 0), (2, 1)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_zero_padding_needs_the_torus_of_the_larger_pad(
    pads: tuple[int, int], dilation: int
) -> None:
    """The smallest torus is ``n + max(before, after)``, for pads below the extent."""
    geometry = ConvGeometry.of(
        (1, 1, 3), 9, ConvArguments(padding=(pads,), dilation=dilation)
    )
    axis = geometry.axes[0]
    smallest = relations(Reads.of(axis))["compression"][0]
    assert smallest.frequencies == 9 + max(pads)


def test_zero_padding_is_a_submatrix_of_a_torus() -> None:
    """Rows 0 .. m - 1 and columns before .. before + n - 1 of the torus, in 2-D."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        size, kernel = rng.integers(3, 6, 2).tolist(), rng.integers(1, 4, 2).tolist()
        pads = [tuple(rng.integers(0, k, 2).tolist()) for k in kernel]
        weight = rng.standard_normal((2, 1, *kernel))
        matrix = oracles.loop_matrix(weight, size, [1, 1], pads, [1, 1])
        torus = [n + max(pad) for n, pad in zip(size, pads, strict=True)]
        wrap = [(0, k - 1) for k in kernel]
        whole = oracles.loop_matrix(
            weight, torus, [1, 1], wrap, [1, 1], padding_mode="circular"
        ).reshape(2, *torus, *torus)
        outputs = [
            n + sum(pad) - k + 1 for n, pad, k in zip(size, pads, kernel, strict=True)
        ]
        (a, b), (c, d) = (
            [slice(pad[0], pad[0] + n) for pad, n in zip(pads, size, strict=True)],
            [slice(m) for m in outputs],
        )
        part = whole[:, c, d, a, b].reshape(matrix.shape)
        assert (part == matrix).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("turns", [(0, 0), (1, 0), (1, 2), (2, 2), (1, 3)])
def test_torus_values(dtype: torch.dtype, stride: int, turns: tuple[int, int]) -> None:
    """Against the dense matrix of a twisted torus, in quarter turns."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 2, 3, 2, dtype=dtype, generator=generator)
    shape, lags = (3, 4), ((-1, 0, 1), (0, 3))
    quarter = tuple(Fraction(t, 4) for t in turns)
    values, error = torus_values(weight, 2, Torus(shape, (stride, 1), lags), quarter)
    tables = [
        torus_tables(
            Relation("rows", s, size, lag, (), None, None, True, True),  # type: ignore[arg-type]
            turn,
        )
        for s, size, lag, turn in zip((stride, 1), shape, lags, quarter, strict=True)
    ]
    for group in range(2):
        taps = weight[2 * group : 2 * group + 2].numpy()
        matrix = np.einsum("oitu,tab,ucd->oacibd", taps, *tables)
        dense = oracles.singular_values(matrix.reshape(2 * 12, -1))
        assert values[group] == pytest.approx(dense, abs=1e-12)
    assert (error < 1e-11).all()


def test_torus_on_which_no_tap_wraps_has_one_block() -> None:
    """Stride 3 and taps 0, 1, 2: every output reads pixels of its own."""
    weight = torch.randn(2, 2, 3, 2, generator=torch.Generator().manual_seed(1)).double()
    torus = Torus((4, 5), (3, 1), ((0, 1, 2), (0, 1)))
    assert torus.varying == (1, 5)
    assert Torus((4,), (2,), ((0, 2),)).varying == (4,)
    values, _ = torus_values(weight, 1, torus, (Fraction(0), Fraction(1, 2)))
    assert values.shape == (1, 40)
    lines = weight.reshape(2, 2, 3, 2).flatten(1, 2)  # one axis, six channels
    single, _ = torus_values(lines, 1, Torus((5,), (1,), ((0, 1),)), (Fraction(1, 2),))
    assert values[0] == pytest.approx(np.repeat(single[0], 4), abs=1e-12)


@pytest.mark.parametrize("taps", [(1.0, -2.0, 1.0), (0.1, 0.7, -0.9), (1.0, 1e-9, -1.0)])
@pytest.mark.parametrize("turn", [Fraction(0), Fraction(1, 2), Fraction(3, 8)])
@pytest.mark.parametrize("size", [7, 16, 33])
def test_torus_error_holds(taps: tuple[float, ...], turn: Fraction, size: int) -> None:
    """Against 50 digits, without any tolerance; some error there is."""
    weight = torch.tensor([[taps]], dtype=torch.float64)
    torus = Torus((size,), (1,), ((-1, 0, 1),))
    values, error = torus_values(weight, 1, torus, (turn,))
    with mpmath.workdps(50):
        step = 2 * mpmath.pi / size
        grid = [
            step * (j + mpmath.mpf(turn.numerator) / turn.denominator)
            for j in range(size)
        ]
        truth = [
            abs(sum(tap * mpmath.expj(w * lag) for lag, tap in enumerate(taps)))
            for w in grid
        ]
        off = [
            abs(mpmath.mpf(value) - true)
            for value, true in zip(
                values[0].tolist(), sorted(truth, reverse=True), strict=True
            )
        ]
        assert 0 < max(off) <= error[0, 0] < 1e-12


def test_phases_are_nested_and_distinct() -> None:
    first = turns_of((True, True), 4, True)
    halves = {Fraction(0), Fraction(1, 2)}
    assert len(set(first)) == 4
    assert all(set(turns) <= halves for turns in first)
    for real in (False, True):
        longer = turns_of((True, True), 40, real)
        assert longer[:4] == first
        assert len(set(longer)) == 40
    mirrored = {tuple(-t % 1 for t in turns) for turns in longer[4:]}
    self_conjugate = {t for t in longer if all(2 * x % 1 == 0 for x in t)}
    assert not (mirrored - self_conjugate) & set(longer)
    assert turns_of((False, False), 9, True) == [(Fraction(0),) * 2]
    assert [t[1] for t in turns_of((False, True), 3, False)][:2] == [0, Fraction(1, 2)]


def test_same_size_rank_counts() -> None:
    """Zeros: the border outputs; replicate: one functional per axis, not two."""
    for mode, rise in (("zeros", 28), ("reflect", 28), ("replicate", 15)):
        axis = ConvGeometry.of(
            (1, 1, 3), 8, ConvArguments(padding=1, padding_mode=mode)
        ).axes[0]
        found = relations(Reads.of(axis))["perturbation"]
        plain = [relation for relation in found if relation.untwisted]
        shifts = [shift for a in plain for shift in Shift.all_of((a, a), 1, 1)]
        assert min(shift.rise for shift in shifts) == rise
        assert min(shift.drop for shift in shifts) == rise
