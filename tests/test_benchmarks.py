"""The benchmarks judge before they time, and report every method."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import sparse

from benchmarks import dense_matrix, sparse_matrix
from benchmarks.__main__ import main
from benchmarks.catalogue import PROBLEMS, find_problem
from benchmarks.convolution import Convolution
from benchmarks.memory import peak_of_method
from benchmarks.problem import Method, Problem, Result, Target, Timing
from benchmarks.record import write
from benchmarks.runner import run
from benchmarks.table import table

# channels, size, kernel, padding
TINY = [(2, 5, 3, 1), (3, 4, 3, 0), (2, 4, 2, 1), (1, 3, 3, 2), (2, 3, 1, 0)]


def matrix_by_loops(conv: Convolution) -> np.ndarray:
    """The definition: each output reads pixel (y + a - padding, x + b - padding)."""
    (c_out, c_in), n, m, k = conv.channels, conv.size, conv.output, conv.kernel
    matrix = np.zeros((c_out, m, m, c_in, n, n), dtype=np.float32)
    for o, i, y, x, a, b in product(*map(range, (c_out, c_in, m, m, k, k))):
        u, v = y + a - conv.padding, x + b - conv.padding
        if 0 <= u < n and 0 <= v < n:
            matrix[o, y, x, i, u, v] = conv.weight[o, i, a, b]
    return matrix.reshape(conv.shape)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def toy(calls):
    """A problem whose result is its own error; three of its five methods are accurate."""

    def method(name, error, scale=1.0, part=""):
        def build():
            calls.append(name)
            return error

        return Method(name, f"how {name} works", build, scale, part)

    methods = (
        method("convspec", 0.5),
        method("wrong", 2.0),
        method("exact", 0.0),
        method("nan", float("nan")),
        method("partial", 1.0, scale=8.0, part="1 of 8 columns"),
    )
    target = Target(seconds=100.0, peak_bytes=2**30)
    return Problem("toy", "a toy", methods, float, target, memory=True)


def test_wrong_methods_are_built_for_the_check_only(toy, calls):
    measured = []
    result = run(toy, 3, peak=lambda problem, name: measured.append(name) or 1)
    by_name = {timing.method.name: timing for timing in result.timings}
    for name in ("wrong", "nan"):
        timing = by_name[name]
        assert calls.count(name) == 1
        assert not timing.accurate
        assert timing.seconds == ()
        assert timing.minimum is timing.median is timing.peak_bytes is None
        assert result.ratio(timing) is None
    for name in ("convspec", "exact", "partial"):
        assert calls.count(name) == 1 + 3
        assert len(by_name[name].seconds) == 3
    assert measured == ["convspec", "exact", "partial"]
    assert not result.accurate


def test_rounds_interleave_and_rotate(toy, calls):
    run(toy, 3, peak=lambda problem, name: 1)
    rounds = calls[len(toy.methods) :]
    assert rounds == [
        *("convspec", "exact", "partial"),
        *("exact", "partial", "convspec"),
        *("partial", "convspec", "exact"),
    ]


def test_no_time_is_compared_with_a_wrong_method_of_ours(toy):
    result = run(replace(toy, ours="wrong"), 1, peak=lambda problem, name: 1)
    assert [result.ratio(timing) for timing in result.timings] == [None] * 5
    assert "target: wrong" not in table(result)


def test_memory_is_measured_only_where_asked(toy):
    def never(problem, name):
        raise AssertionError("asked for peak memory")

    result = run(replace(toy, memory=False), 1, peak=never)
    assert all(timing.peak_bytes is None for timing in result.timings)
    assert "GiB" not in table(result)


def toy_result(toy):
    convspec, wrong, exact, nan, partial = toy.methods
    return Result(
        toy,
        (
            Timing(convspec, 0.5, (3.0, 1.0, 2.0), 2**29),
            Timing(wrong, 2.0),
            Timing(exact, 0.0, (5.0, 5.0, 8.0), 2**31),
            Timing(nan, float("nan")),
            Timing(partial, 1.0, (0.5, 0.25, 1.0), 2**28),
        ),
    )


def test_table_has_every_method_in_aligned_columns(toy):
    title, header, rule, *lines = table(toy_result(toy)).splitlines()
    assert title == "toy: a toy"
    rows = {line.split()[0]: line for line in lines[:5]}
    assert list(rows) == [method.name for method in toy.methods]
    assert rows["convspec"].split() == ["convspec", "1.00", "2.00", "1.00", "0.5", "0.50"]
    assert rows["exact"].split() == ["exact", "5.00", "5.00", "2.50", "0", "2.00"]
    assert rows["partial"].split()[:4] == ["partial", "2.00", "4.00", "2.00"]
    assert rows["partial"].endswith("0.25 (part)  extrapolated x8 from 1 of 8 columns")
    assert rows["wrong"].split()[1:4] == rows["nan"].split()[1:4] == ["-"] * 3
    assert rows["wrong"].endswith("WRONG, not timed")
    end = header.index("median s") + len("median s")
    assert all(row[end - 1] in "-0123456789" and row[end] == " " for row in rows.values())
    assert set(rule) == {"-"}


def test_table_explains_methods_and_targets(toy):
    text = table(toy_result(toy))
    assert all(f"{m.name}: how {m.name} works" in text for m in toy.methods)
    assert "target: convspec within 100 s; median 2.00 s, met" in text
    assert "target: convspec within 1 GiB; peak 0.50 GiB, met" in text
    missed = replace(toy, target=Target(seconds=1.5, peak_bytes=2**28))
    text = table(toy_result(missed))
    assert "within 1.5 s; median 2.00 s, missed" in text
    assert "within 0.25 GiB; peak 0.50 GiB, missed" in text


def test_json_has_every_method_and_the_environment(toy, tmp_path):
    path = tmp_path / "new" / "toy.json"
    write([toy_result(toy)], path)
    document = json.loads(path.read_text())
    (problem,) = document["problems"]
    methods = {method["name"]: method for method in problem["methods"]}
    assert list(methods) == [method.name for method in toy.methods]
    assert methods["partial"]["extrapolated"] is True
    assert methods["partial"]["seconds_measured"] == [0.5, 0.25, 1.0]
    assert methods["partial"]["median_s"] == 4.0
    assert methods["exact"]["median_over_ours"] == 2.5
    assert methods["exact"]["peak_bytes"] == 2**31
    assert methods["wrong"]["accurate"] is methods["nan"]["accurate"] is False
    assert methods["nan"]["error_over_allowed"] == "nan"
    assert methods["nan"]["median_s"] is None
    environment = document["environment"]
    assert set(environment["versions"]) == {"convspec", "torch", "numpy", "scipy"}
    assert environment["versions"]["numpy"] == np.__version__
    assert environment["threads"]["torch"] >= 1
    assert environment["cpu"]
    assert len(environment["load"]) == 3


@pytest.mark.parametrize("sizes", TINY)
def test_dense_methods_build_the_matrix_of_the_definition(sizes):
    expected = matrix_by_loops(Convolution.random(*sizes))
    problem = dense_matrix.problem(*sizes)
    for method in problem.methods:
        matrix = method.build()
        assert np.array_equal(np.asarray(matrix), expected), method.name
        assert problem.error(matrix) <= 1, method.name


@pytest.mark.parametrize("sizes", TINY)
def test_sparse_methods_build_the_matrix_of_the_definition(sizes):
    expected = matrix_by_loops(Convolution.random(*sizes))
    problem = sparse_matrix.problem(*sizes, columns=7, batch=3)
    for method in problem.methods:
        matrix = method.build()
        columns = 7 if method.part else expected.shape[1]
        assert matrix.dtype == np.float32
        assert np.array_equal(matrix.toarray(), expected[:, :columns]), method.name
        assert problem.error(matrix) <= 1, method.name
    partial = [method for method in problem.methods if method.part]
    assert [method.name for method in partial] == ["one-hot"]
    assert partial[0].scale == expected.shape[1] / 7


def test_the_product_check_sees_one_entry_off_by_one_float32_step():
    conv = Convolution.random(3, 5, 3, 1)
    matrix = matrix_by_loops(conv)
    assert conv.product_error(matrix) <= 1
    matrix[10, 10] = np.nextafter(matrix[10, 10], np.float32(np.inf))
    assert conv.product_error(matrix) > 1


def test_dense_check_refuses_a_transposed_and_a_nudged_matrix():
    problem = dense_matrix.problem(2, 5, 3, 1)
    matrix = problem.methods[0].build()
    assert problem.error(matrix.T) > 1
    matrix[-1, -1] *= 1 + 2**-20
    assert problem.error(matrix) > 1


def test_sparse_check_refuses_explicit_zeros_and_misplaced_entries():
    problem = sparse_matrix.problem(2, 5, 3, 1, columns=7, batch=3)
    matrix = problem.methods[0].build()
    dense = matrix.toarray()
    rows, columns = np.indices(dense.shape).reshape(2, -1)
    stored = sparse.coo_array((dense.ravel(), (rows, columns))).tocsr()
    assert stored.nnz == dense.size
    assert problem.error(stored) > 1
    misplaced = matrix.copy()
    misplaced.indices[:2] = misplaced.indices[1::-1]
    assert problem.error(misplaced) > 1


def test_entries_counts_the_nonzeros_of_leading_parts():
    conv = Convolution.random(2, 4, 3, 1)
    matrix = matrix_by_loops(conv)
    for rows, columns in [conv.shape, (16, 32), (32, 7), (5, 9)]:
        expected = np.count_nonzero(matrix[:rows, :columns])
        assert conv.entries(rows, columns) == expected


def test_command_line_prints_and_writes(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(PROBLEMS, "tiny", lambda: dense_matrix.problem(2, 4, 3, 1))
    path = tmp_path / "tiny.json"
    assert main(["tiny", "--out", str(path), "--repeats", "2"]) == 0
    names = {method.name for method in find_problem("tiny").methods}
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    (problem,) = json.loads(path.read_text())["problems"]
    assert {method["name"] for method in problem["methods"]} == names
    assert all(len(method["seconds_measured"]) == 2 for method in problem["methods"])


def test_command_line_reports_a_wrong_method(monkeypatch, tmp_path, capsys, toy):
    monkeypatch.setitem(PROBLEMS, "toy", lambda: replace(toy, memory=False))
    arguments = ["toy", "--out", str(tmp_path / "toy.json"), "--repeats", "1"]
    assert main(arguments) == 1
    assert "WRONG, not timed" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["missing"], ["--repeats", "0"]])
def test_command_line_refuses(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    message = capsys.readouterr().err
    assert "'missing'" in message or "at least 1; got 0" in message


def test_peak_memory_is_that_of_the_child_alone():
    ballast = np.ones(2**27)  # 1 GiB in this process
    peak = peak_of_method("dense_matrix", "convspec")
    assert 4 * 4096**2 < peak < ballast.nbytes
