"""The benchmarks judge before they time, and report every method."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import sparse

from benchmarks import dense_matrix, runner, sparse_matrix
from benchmarks.__main__ import main
from benchmarks.catalogue import GROUPS, PROBLEMS, expanded, find_problem
from benchmarks.convolution import Convolution
from benchmarks.markdown import markdown
from benchmarks.memory import peak_of_method
from benchmarks.problem import Method, Problem, Result, Target, Timing, Unavailable
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


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """Nothing is timed here, so nothing has to settle."""
    monkeypatch.setattr(runner, "PAUSE", 0.0)


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


def once(problem, name):
    """Stands for the peak memory of a method."""
    return 1


def ladder(toy, calls, errors, **kwargs):
    """The toy with one more method, which errs by errors[setting]."""

    def build(setting):
        calls.append(("ladder", setting))
        return errors[setting]

    method = Method("ladder", "", build, settings=tuple(errors), **kwargs)
    return replace(toy, methods=(*toy.methods, method))


def test_the_cheapest_accurate_setting_is_timed(toy, calls):
    problem = ladder(toy, calls, {0.1: 30.0, 0.01: float("nan"), 0.001: 0.5, 1e-4: 0.0})
    timing = runner.run(problem, 2, once).named("ladder")
    assert (timing.setting, timing.error, len(timing.seconds)) == (0.001, 0.5, 2)
    tried = [call[1] for call in calls if call[0] == "ladder"]
    assert tried == [0.1, 0.01, 0.001, 0.001, 0.001]


@pytest.mark.parametrize("gives_up", [True, False])
def test_no_setting_is_accurate(toy, calls, gives_up):
    problem = ladder(toy, calls, {10: 3.0, 100: 2.0}, setting="steps", gives_up=gives_up)
    problem = replace(problem, methods=(problem.methods[0], problem.methods[-1]))
    result = runner.run(problem, 2, once)
    timing = result.named("ladder")
    assert (timing.setting, timing.error, timing.seconds) == (100, 2.0, ())
    assert result.accurate is gives_up
    note = "stopped short, not timed" if gives_up else "WRONG, not timed"
    assert f"steps 100, {note}" in table(result)
    assert ("stopped short" if gives_up else "wrong") in markdown([result])


def test_patience_ends_for_methods_that_may_give_up(toy, calls, monkeypatch):
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    errors = {0.1: 3.0, 0.01: 0.5}
    given_up = runner.run(ladder(toy, calls, errors, gives_up=True), 1, once)
    assert given_up.named("ladder").setting == 0.1
    patient = runner.run(ladder(toy, calls, errors), 1, once)
    assert patient.named("ladder").setting == 0.01


def test_what_solves_another_problem_is_timed_once_and_not_judged(toy, calls):
    other = Method("other", "", lambda: calls.append("other"), other="the transpose")
    problem = replace(toy, methods=(toy.methods[0], other), memory=False)
    result = runner.run(problem, 3)
    timing = result.named("other")
    assert calls.count("other") == 1
    assert (timing.error, timing.accurate, timing.wrong) == (None, False, False)
    assert result.accurate
    assert "computes the transpose, timed once" in table(result)
    assert "another operator" in markdown([result])


def test_slow_methods_are_timed_less_often(toy, calls, monkeypatch):
    monkeypatch.setattr(runner, "BUDGET", 0.0)
    result = runner.run(replace(toy, memory=False), 3)
    assert calls == [method.name for method in toy.methods]  # the check alone
    assert [len(timing.seconds) for timing in result.timings] == [1, 0, 1, 0, 1]
    assert table(result).count("timed once") == 3
    checked = runner._Checked(result.ours, float, 3.0)
    monkeypatch.setattr(runner, "BUDGET", 8.0)
    assert [checked.rounds(repeats) for repeats in (1, 2, 5)] == [1, 2, 2]


def test_memory_is_not_measured_of_methods_that_ask_for_none(toy):
    methods = (toy.methods[0], replace(toy.methods[2], memory=False))
    result = runner.run(replace(toy, methods=methods), 1, once)
    assert [timing.peak_bytes for timing in result.timings] == [1, None]


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


def test_targets_of_ratios(toy):
    target = Target(faster=2.0, than=("partial", "exact", "wrong"), over_floor=1.5)
    result = toy_result(replace(toy, target=target, floors=("exact", "partial")))
    assert result.fastest(("exact", "partial")).method.name == "partial"
    assert result.over_floor == 0.5
    text = table(result)
    faster = "2 times faster than the best of partial, exact, wrong"
    assert f"target: convspec {faster}; 2.00 times (partial), met" in text
    assert "convspec over the floor: 0.500" in text
    target = replace(target, faster=2.6, than=("exact",))
    text = table(toy_result(replace(toy, target=target)))
    assert "2.6 times faster than exact; 2.50 times (exact), missed" in text
    assert "over the floor" not in text
    nothing = replace(toy, target=replace(target, than=("wrong",)), floors=("nan",))
    assert "times faster" not in table(toy_result(nothing))


def test_markdown_has_a_table_per_family_and_a_row_per_problem(toy):
    toy = replace(toy, family="toys", label="small")
    rest = replace(toy, name="b", label="large", methods=toy.methods)
    loner = replace(toy, family="others", memory=False)
    text = markdown([toy_result(problem) for problem in (toy, rest, loner)])
    first, second = text.split("\n\n")
    head, rule, small, large = first.splitlines()
    cells = [cell.strip() for cell in head.strip("|").split("|")]
    assert cells == [
        "toys",
        "convspec",
        "wrong",
        "exact",
        "nan",
        "partial",
        "peak memory",
    ]
    assert rule.count("---") == len(cells)
    assert small == (
        "| small | **2.0 s** | wrong | 5.0 s (2.50x) | wrong | "
        "4.0 s (2.00x), extrapolated | 0.5 GiB |"
    )
    assert large == small.replace("small", "large")
    assert second.splitlines()[0].startswith("| others |")


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


def test_names_expand_to_problems_each_once():
    assert expanded(["dense_matrix"]) == ["dense_matrix"]
    assert expanded(["circular"]) == list(GROUPS["circular"])
    assert expanded(["resnet18", "spectra", "circular"])[0] == "resnet18"
    assert sorted(expanded(["resnet18", "spectra"])) == sorted(GROUPS["spectra"])
    grouped = {name for group in GROUPS.values() for name in group}
    assert grouped == set(PROBLEMS)
    assert not GROUPS.keys() & PROBLEMS.keys()
    with pytest.raises(ValueError, match=r"groups of them matrices.*got 'missing'"):
        expanded(["missing"])


def test_command_line_runs_a_group(monkeypatch, tmp_path, capsys, toy):
    def unavailable():
        raise Unavailable("it needs a moon; wait for one")

    quick = replace(toy, memory=False, methods=toy.methods[:1], floors=("convspec",))
    aiming = replace(quick, target=Target(over_floor=1.1))
    monkeypatch.setitem(PROBLEMS, "first", lambda: aiming)
    monkeypatch.setitem(PROBLEMS, "second", unavailable)
    monkeypatch.setitem(PROBLEMS, "third", lambda: quick)
    monkeypatch.setitem(GROUPS, "three", ("first", "second", "third"))
    arguments = ["three", "--repeats", "1", "--markdown"]
    assert main([*arguments, "--out", str(tmp_path / "three.json")]) == 1
    printed = capsys.readouterr().out
    assert "second: not run; it needs a moon; wait for one" in printed
    assert "over the floor at most 1.1; 1.000 over 1 problems, met" in printed
    assert "| toy | **" in printed
    document = json.loads((tmp_path / "three.json").read_text())
    assert [problem["over_floor"] for problem in document["problems"]] == [1, 1]


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
