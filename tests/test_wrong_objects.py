"""Wrong objects are refused in words, by every public verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import convspec as cs

BOUNDS = [
    name for name in cs.bounds.__all__ if name[0].islower() and "worst_case" not in name
]
VERBS: dict[str, Callable[[Any], Any]] = {
    **{f"bounds.{name}": getattr(cs.bounds, name) for name in BOUNDS},
    "spectrum": cs.spectrum,
    "explain": cs.explain,
    "spectral_envelope": cs.spectral_envelope,
    "spectral_density": cs.spectral_density,
    "symbol_density": cs.symbol_density,
    "frequency_response": cs.frequency_response,
    "frame_bounds": cs.frame_bounds,
    "dual_frame": cs.dual_frame,
    "low_rank": lambda op: cs.low_rank(op, 1),
    "im2col": lambda op: cs.im2col(torch.zeros(1, 1, 4, 4), op),
    "plot.operator": cs.plot.operator,
    "clip_spectrum": cs.clip_spectrum,
}


def operator() -> cs.ConvOperator:
    return cs.ConvOperator(torch.ones(1, 1, 3, dtype=torch.float64), 6, padding=1)


@pytest.mark.parametrize("wrong", [torch.nn.Conv2d(1, 1, 3), torch.ones(1, 1, 3, 3), 3.0])
@pytest.mark.parametrize("verb", VERBS)
def test_only_operators(verb: str, wrong: Any) -> None:
    name = type(wrong).__name__
    with pytest.raises(TypeError, match=rf"takes a ConvOperator; got {name}; make one"):
        VERBS[verb](wrong)


# what takes products and sums of operators, too
COMPOSED = {
    "spectrum",
    "explain",
    "frame_bounds",
    "plot.operator",
    "bounds.spectral_norm",
}


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - COMPOSED))
def test_composed_maps_are_refused(verb: str) -> None:
    words = "takes a ConvOperator; got a composed map, <Product 6 x 6.*; of it there are"
    with pytest.raises(TypeError, match=words):
        VERBS[verb](operator() @ operator())


@pytest.mark.parametrize("verb", sorted(COMPOSED))
def test_composed_maps_are_taken(verb: str) -> None:
    assert VERBS[verb](operator() @ operator()) is not None


SEEDED: dict[str, Callable[[Any], Any]] = {
    "spectrum": lambda seed: cs.spectrum(operator(), 1, method="krylov", seed=seed),
    "smallest": lambda seed: cs.spectrum(operator(), 1, "smallest", "krylov", seed=seed),
    "krylov": lambda seed: cs.bounds.krylov(operator(), seed=seed),
    "power": lambda seed: cs.bounds.power_iteration(operator(), seed=seed),
    "tensor": lambda seed: cs.bounds.tensor_norm(operator(), seed=seed),
    "density": lambda seed: cs.spectral_density(operator(), probes=2, steps=2, seed=seed),
}


@pytest.mark.parametrize("verb", SEEDED)
def test_seeds(verb: str) -> None:
    SEEDED[verb](np.int64(3))
    for wrong in (None, 1.5, "1", -1, True):
        with pytest.raises(ValueError, match=r"seed must be an integer .* got"):
            SEEDED[verb](wrong)


def plots(ax: Any) -> list[Callable[[], Any]]:
    op = operator()
    spec = cs.spectrum(op, vectors=True)
    report = cs.analyze(torch.nn.Conv1d(1, 1, 3), (1, 8))
    network = cs.lipschitz(torch.nn.Linear(2, 2), (2,), method="scalar", lower=False)
    return [
        lambda: cs.plot.bounds([cs.spectral_norm(op)], ax=ax),
        lambda: cs.plot.compare({"a": spec}, ax=ax),
        lambda: cs.plot.density(cs.symbol_density(op), ax=ax),
        lambda: cs.plot.envelope(cs.spectral_envelope(op), ax=ax),
        lambda: cs.plot.frequency_response(op, ax=ax),
        lambda: cs.plot.layers(report, ax=ax),
        lambda: cs.plot.gains(network, ax=ax),
        lambda: cs.plot.lipschitz(network, ax=ax),
        lambda: cs.plot.operator(op, ax=ax),
        lambda: cs.plot.spectrum(spec, ax=ax),
        lambda: cs.plot.training([report], ax=ax),
    ]


@pytest.mark.parametrize("wrong", [Figure(), 3, "ax", [Figure().subplots()]], ids=repr)
def test_axes(wrong: Any) -> None:
    for draw in plots(wrong):
        with pytest.raises(TypeError, match=r"ax must be matplotlib Axes; got .*; take"):
            draw()


def bounded(op: cs.ConvOperator, limit: Any) -> list[Callable[[], object]]:
    """Calls that take a byte limit."""
    layer = torch.nn.Conv1d(1, 1, 3)
    return [
        lambda: op.to_dense(max_bytes=limit),
        lambda: cs.analyze(layer, (1, 8), max_bytes=limit),
        lambda: cs.spectral_norm(op, max_bytes=limit),
        lambda: cs.worst_case_norm(op, max_bytes=limit),
        lambda: cs.bounds.table(op, max_bytes=limit),
        lambda: cs.clip(op, 1.0, max_bytes=limit),
        lambda: cs.clip_spectrum(op.circular(), max_bytes=limit),
        lambda: cs.low_rank(op.circular(), 1, by="frequency", max_bytes=limit),
        lambda: cs.spectrum(op, max_bytes=limit),
        lambda: cs.explain(op, max_bytes=limit),
        lambda: cs.spectral_envelope(op, max_bytes=limit),
        lambda: cs.spectral_density(op, probes=2, steps=2, max_bytes=limit),
        lambda: cs.frequency_response(op, max_bytes=limit),
        lambda: cs.bounds.krylov(op, max_bytes=limit),
        lambda: cs.bounds.schatten(op, max_bytes=limit),
    ]


@pytest.mark.parametrize(
    "wrong", ["1 GBit", "much", "", "2iB", None, torch.ones(2), [1], True, float("nan")]
)
def test_byte_limits(wrong: Any) -> None:
    for call in bounded(operator(), wrong):
        with pytest.raises(TypeError, match="max_bytes must be a number of bytes"):
            call()


def test_byte_limits_in_words() -> None:
    """They are read as the numbers they say, and refuse what these do."""
    op = operator()
    for call in bounded(op, "1GB"):
        call()
    for words in ("7 B", "0.007 kB", "7e-3KB"):
        with pytest.raises(cs.TooLargeError, match="must fit max_bytes = 7 bytes"):
            op.to_dense(max_bytes=words)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("mode", [{"zeros": 1}, [["zeros"]], None, 0], ids=str)
def test_unhashable_padding_modes(mode: Any, transposed: bool) -> None:
    with pytest.raises(cs.GeometryError, match=r"padding_mode.*got "):
        cs.ConvOperator(torch.ones(1, 1, 3), 6, padding_mode=mode, transposed=transposed)


@pytest.mark.parametrize("wrong", ["bar", 3, 1])
def test_progress(wrong: Any) -> None:
    for call in (
        lambda: cs.analyze(torch.nn.Conv1d(1, 1, 3), (1, 8), progress=wrong),
        lambda: cs.lipschitz(torch.nn.Linear(2, 2), (2,), progress=wrong),
    ):
        with pytest.raises(TypeError, match=r"progress must be True .* function .* got"):
            call()


def test_arrays_where_tensors_are_meant() -> None:
    op = operator()
    for call in (op.apply, op.adjoint, op, op.__matmul__):
        with pytest.raises(TypeError, match=r"torch.Tensor; got ndarray; .*to_scipy"):
            call(np.ones((1, 6)))


def test_a_kernel_without_channels() -> None:
    with pytest.raises(cs.GeometryError, match=r"got shape \(3, 3\); .*\[None, None\]"):
        cs.ConvOperator(torch.ones(3, 3), (8, 8))


def test_others(tmp_path: Any) -> None:
    op = operator()
    with pytest.raises(TypeError, match=r"leading must be a Spectrum; got float; take"):
        cs.spectral_envelope(op, leading=3.0)
    with pytest.raises(TypeError, match=r"compare draws a mapping .* got list; pass"):
        cs.plot.compare([cs.spectrum(op)])
    report = cs.analyze(torch.nn.Conv1d(1, 1, 3), (1, 8))
    with pytest.raises(TypeError, match=r"layers draws a ModelReport; got a list .*pass"):
        cs.plot.layers([report])
    with pytest.raises(TypeError, match=r"training draws several .* pass a list"):
        cs.plot.training(report)
    with pytest.raises(TypeError, match=r"title must be a string.* got \('a',\)"):
        report.to_html(tmp_path / "x.html", title=("a",))
    bound = cs.lipschitz(torch.nn.Linear(2, 2), (2,), method="scalar", lower=False)
    with pytest.raises(TypeError, match=r"title must be a string.* got \('a',\)"):
        bound.to_html(title=("a",))


def test_a_nested_weight() -> None:
    with pytest.warns(UserWarning, match="nested tensors"):
        weight = torch.nested.nested_tensor([torch.ones(1, 3), torch.ones(1, 3)])
    with pytest.raises(cs.UnsupportedLayer, match=r"got a nested one; call .*\.unbind"):
        cs.ConvOperator(weight, 6)


@pytest.mark.parametrize("wrong", [torch.ones(2), np.ones(2)], ids=["tensor", "array"])
def test_several_entries_for_one(wrong: Any) -> None:
    op = operator()
    with pytest.raises(TypeError, match=r"vectors must be one truth value; got"):
        cs.spectrum(op, vectors=wrong)
    with pytest.raises(TypeError, match=r"transposed must be one truth value; got"):
        cs.ConvOperator(op.weight, 6, transposed=wrong)
    with pytest.raises(TypeError, match=r"rtol must be one number; got"):
        cs.spectrum(op, 1, method="krylov", rtol=wrong)
    with pytest.raises(TypeError, match=r"failure must be one number; got"):
        cs.bounds.krylov(op, failure=wrong)
