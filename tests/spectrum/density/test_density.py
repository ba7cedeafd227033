"""Estimates against dense truth, their standard errors, seeds, refusals."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from convspec.spectrum.density import quadrature
from convspec.spectrum.density.density import spectral_density
from convspec.spectrum.density.result import Density
from tests import oracles
from tests.gaussian import gaussian

POWERS = (0.5, 1.0, 2.0, 3.0, 4.0)


# name -> weight shape, input size, options
OPERATORS: dict[str, tuple[tuple[int, ...], Any, dict[str, Any]]] = {
    "zeros": ((4, 4, 3, 3), 10, {"padding": 1}),
    "valid": ((3, 5, 3, 3), 9, {}),
    "full": ((5, 3, 3, 3), 7, {"padding": 2}),
    "circular": ((4, 4, 3, 3), 8, {"padding": 1, "padding_mode": "circular"}),
    "reflect": ((4, 3, 3, 3), 8, {"padding": 1, "padding_mode": "reflect"}),
    "replicate": ((3, 4, 5, 5), 8, {"padding": 2, "padding_mode": "replicate"}),
    "stride": ((6, 3, 3, 3), 13, {"padding": 1, "stride": 2}),
    "dilation": ((3, 3, 3, 3), 11, {"padding": 2, "dilation": 2}),
    "asymmetric": ((3, 3, 2, 3), (9, 8), {"padding": ((1, 0), (0, 2))}),
    "groups": ((6, 2, 3, 3), 9, {"padding": 1, "groups": 3}),
    "depthwise": ((5, 1, 3, 3), 9, {"padding": 1, "groups": 5}),
    "pointwise": ((4, 6, 1, 1), 7, {}),
    "patches": ((5, 3, 2, 2), 12, {"stride": 2}),
    "line": ((3, 2, 5), 60, {"padding": 2}),
    "volume": ((2, 2, 3, 3, 3), 5, {"padding": 1}),
    "transposed": ((4, 3, 3, 3), 6, {"stride": 2, "transposed": True}),
    "transposed groups": (
        (4, 2, 3, 3),
        7,
        {"padding": 1, "groups": 2, "transposed": True},
    ),
}


def operator(name: str, dtype: torch.dtype = torch.float64) -> cs.ConvOperator:
    shape, size, options = OPERATORS[name]
    return cs.ConvOperator(gaussian(len(name), *shape, dtype=dtype), size, **options)


def dense_values(op: cs.ConvOperator) -> oracles.Array:
    wide = torch.complex128 if op.dtype.is_complex else torch.float64
    return oracles.singular_values(op.to(wide).to_dense().numpy())


def off(estimate: Any, truth: Any, rounding: float = 1e-10) -> Any:
    """The largest error in units of what is allowed: 4 standard errors and bounds."""
    allowed = 4 * estimate.standard_error + rounding * (1 + np.abs(truth))
    if estimate.quadrature_error is not None:
        allowed = allowed + estimate.quadrature_error
    return np.max(np.abs(estimate.value - truth) / allowed)


def assert_tells(
    density: Density, values: oracles.Array, rounding: float = 1e-10
) -> None:
    """Moments, norms, ranks and counts against all singular values."""
    for p in POWERS:
        assert off(density.moment(p), (values**p).sum(), rounding) <= 1, p
        assert off(density.schatten(p), (values**p).sum() ** (1 / p), rounding) <= 1, p
    for t in np.linspace(0.05, 1.0, 7)[None] * values[0] * 0.99:
        counts = (values >= t[:, None]).sum(axis=1)
        assert off(density.counting(t), counts, 1e-6) <= 1
    square, fourth = (values**2).sum(), (values**4).sum()
    assert off(density.participation_ratio, square**2 / fourth, rounding) <= 1
    share = values[values > 1e-12 * values[0]] / values.sum()
    assert off(density.effective_rank, np.exp(-(share * np.log(share)).sum()), 3e-3) <= 1


# -- accuracy -------------------------------------------------------------------------


@pytest.mark.parametrize("controlled", [False, True], ids=["plain", "controlled"])
@pytest.mark.parametrize("name", OPERATORS)
def test_estimates_agree_with_dense(name: str, controlled: bool) -> None:
    op = operator(name)
    density = spectral_density(op, steps=40, control=controlled)
    assert_tells(density, dense_values(op))
    assert abs(density.check) < 4
    assert density.shape == op.shape
    assert density.controlled == controlled


@pytest.mark.parametrize("name", ["zeros", "stride", "groups", "transposed"])
def test_complex_weights(name: str) -> None:
    op = operator(name, torch.complex128)
    density = spectral_density(op, steps=40, probes=24)
    assert_tells(density, dense_values(op))
    assert abs(density.check) < 4


RECTANGULAR = [
    name
    for name in ("full", "reflect", "transposed", "valid", "stride")
    if operator(name).shape[0] != operator(name).shape[1]
]


@pytest.mark.parametrize("name", RECTANGULAR)
def test_adjoint_has_the_same_distribution(name: str) -> None:
    """A^T starts on the same smaller side: the same probes, the same rules."""
    op = operator(name)
    assert op.shape[0] != op.shape[1]
    one, other = spectral_density(op), spectral_density(op.T)
    np.testing.assert_allclose(one.nodes, other.nodes, atol=1e-7 * one.largest_node)
    assert np.isclose(one.nuclear_norm.value, other.nuclear_norm.value, rtol=1e-9)


def test_eight_channels_of_twelve_by_twelve() -> None:
    """1152 values: sums of sigma, sigma^3 and sigma^4 within their errors."""
    op = cs.ConvOperator(gaussian(7, 8, 8, 3, 3) / 8, 12, padding=1)
    values = dense_values(op)
    assert len(values) == 1152
    plain = spectral_density(op, probes=20, steps=30, control=False)
    controlled = plain.with_control()
    for p, least in ((1, 2.0), (3, 2.0), (4, 1.5)):
        truth = (values**p).sum()
        raw, better = plain.moment(p), controlled.moment(p)
        assert off(raw, truth) <= 1
        assert off(better, truth) <= 1
        assert raw.standard_error < 0.03 * truth
        assert better.standard_error * least < raw.standard_error
    assert controlled.nuclear_norm.standard_error < 3e-3 * values.sum()
    second = controlled.moment(2)
    assert np.isclose(second.value, op.frobenius_norm() ** 2, rtol=1e-12)
    assert second.standard_error < 1e-12 * second.value


def test_float32_agrees_with_float64() -> None:
    op = operator("zeros")
    low, high = (spectral_density(op, dtype=d) for d in (torch.float32, torch.float64))
    assert low.eps == torch.finfo(torch.float32).eps
    for p in (1.0, 2.0, 4.0):
        assert np.isclose(low.moment(p).value, high.moment(p).value, rtol=1e-4)
    assert np.allclose(low.weights.sum(axis=1), 1)
    assert_tells(low, dense_values(op), 1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_of_other_dtypes_are_cast(dtype: torch.dtype) -> None:
    op = operator("zeros").to(dtype)
    assert_tells(spectral_density(op, steps=40), dense_values(op))


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_extreme_scales(scale: float) -> None:
    op = operator("zeros")
    usual = spectral_density(op, probes=8, steps=10)
    scaled = spectral_density(op.with_weight(op.weight * scale), probes=8, steps=10)
    assert np.allclose(scaled.nodes / scale, usual.nodes, rtol=1e-6)
    for read in ("nuclear_norm", "frobenius_norm"):
        one, other = getattr(usual, read), getattr(scaled, read)
        assert np.isclose(other.value / scale, one.value)
        assert np.isclose(other.standard_error / scale, one.standard_error, atol=1e-12)
    assert np.isclose(scaled.effective_rank.value, usual.effective_rank.value)
    assert np.isclose(scaled.check, usual.check, rtol=1e-6)


def test_layers_that_train() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 4, 3, padding=1)
    op = cs.ConvOperator.from_layer(layer, 6)
    density = spectral_density(op, probes=4, steps=5)
    assert layer.weight.grad is None
    assert isinstance(density.nodes, np.ndarray)


# -- exact cases ----------------------------------------------------------------------


def shift() -> cs.ConvOperator:
    weight = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    weight[0, 0, 0, 0] = 1
    return cs.ConvOperator(weight, (6, 7), padding=1)


def diagonal() -> cs.ConvOperator:
    weight = torch.diag(torch.tensor([3.0, 0.0, 0.5, 2.0], dtype=torch.float64))
    return cs.ConvOperator(weight[:, :, None, None], 5)


EXACT = {
    "identity": lambda: cs.ConvOperator(torch.ones(1, 1, 1), 9),
    "shift": shift,
    "diagonal": diagonal,
    "zero": lambda: cs.ConvOperator(torch.zeros(3, 2, 3, 3), 5, padding=1),
    "one by one": lambda: cs.ConvOperator(torch.full((1, 1, 3), 2.0), 1, padding=1),
    "one row": lambda: cs.ConvOperator(gaussian(1, 1, 3, 4), 4),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", EXACT)
def test_few_distinct_values_are_exact(name: str, dtype: torch.dtype) -> None:
    """Rules end early and are exact; a diagonal A^T A leaves no scatter."""
    op = EXACT[name]()
    values = dense_values(op)
    density = spectral_density(op, dtype=dtype)
    small = 1e-13 if dtype == torch.float64 else 1e-5
    top = max(1.0, values[0])
    for p in (1.0, 2.0, 3.5):
        estimate = density.moment(p)
        assert abs(estimate.value - (values**p).sum()) <= small * top**p * len(values)
        assert estimate.standard_error <= small * top**p * len(values)
        assert estimate.quadrature_error == 0
    thresholds = np.array([*np.unique(values[values > 1e-9]), top * 1.01])
    counts = density.counting(thresholds)
    # at a value itself, up to rounding; none is above the largest
    truth = (values >= thresholds[:, None] * (1 - 1e-9)).sum(axis=1)
    np.testing.assert_allclose(counts.value, truth, atol=1e-4)
    assert (counts.standard_error <= 1e-4).all()
    assert (counts.quadrature_error == 0).all()
    assert density.check == 0
    assert np.allclose(density.weights.sum(axis=1), 1, atol=1e-12)


def test_zero_operator_reads_as_zero() -> None:
    density = spectral_density(EXACT["zero"]())
    for read in ("nuclear_norm", "frobenius_norm", "participation_ratio"):
        assert getattr(density, read).value == 0
        assert getattr(density, read).standard_error == 0
    assert density.effective_rank.value == 0
    assert density.largest_node == 0
    assert density.counting(0.0).value == 50
    assert density.counting(1e-9).value == 0
    assert (density.quantile([0, 0.5, 1]).value == 0).all()
    assert density.histogram(4)[0].value.tolist() == [50, 0, 0, 0]
    assert np.isfinite(density.pdf([0.0, 1.0]).value).all()


@pytest.mark.parametrize("steps", [1, 2, 5, 24, 25, 100])
def test_no_more_steps_than_values(steps: int) -> None:
    """A 25 x 25 operator: from 25 steps on the rules are exact."""
    op = cs.ConvOperator(gaussian(3, 1, 1, 3, 3), 5, padding=1)
    density = spectral_density(op, steps=steps, probes=4)
    assert density.nodes.shape == density.weights.shape == (4, min(steps, 25))
    bound = density.nuclear_norm.quadrature_error
    assert bound is not None
    assert (bound == 0) == (steps >= 25)


# -- nodes and weights ----------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATORS)
def test_nodes_and_weights(name: str) -> None:
    op = operator(name)
    norm = dense_values(op)[0]
    density = spectral_density(op, probes=5, steps=30)
    assert (density.weights >= 0).all()
    np.testing.assert_allclose(density.weights.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(density.radau_weights.sum(axis=1), 1, rtol=1e-12)
    assert (density.nodes >= 0).all()
    assert (density.nodes <= norm * (1 + 1e-12)).all()
    assert (np.diff(density.nodes, axis=1) <= 0).all()
    assert density.largest_node == density.nodes.max()
    assert density.exact_frobenius_norm == pytest.approx(op.frobenius_norm(), rel=1e-14)


# -- sampling -------------------------------------------------------------------------


def test_standard_error_falls_with_the_root_of_probes() -> None:
    op = operator("zeros")
    few, many = (
        np.mean(
            [
                spectral_density(op, probes=n, steps=12, seed=s, control=False)
                .moment(3)
                .standard_error
                for s in range(6)
            ]
        )
        for n in (8, 72)
    )
    assert 2.4 < few / many < 3.6


@pytest.mark.parametrize("controlled", [False, True], ids=["plain", "controlled"])
def test_standard_errors_are_honest(controlled: bool) -> None:
    """Over 60 seeds: unbiased, and scattered as 16 probes' Student t, 1.07."""
    op = cs.ConvOperator(gaussian(4, 2, 2, 3, 3), 7, padding=1)
    values = dense_values(op)
    scores = {"nuclear": [], "cube": [], "counting": []}  # type: dict[str, list[float]]
    for seed in range(60):
        density = spectral_density(op, steps=24, seed=seed, control=controlled)
        t = 0.4 * values[0]
        for name, estimate, truth in (
            ("nuclear", density.nuclear_norm, values.sum()),
            ("cube", density.moment(3), (values**3).sum()),
            ("counting", density.counting(t), (values >= t).sum()),
        ):
            scores[name].append(float((estimate.value - truth) / estimate.standard_error))
    for name, found in scores.items():
        mean, spread = np.mean(found), np.std(found)
        assert abs(mean) < 0.5, (name, mean)
        assert 0.8 < spread < 1.5, (name, spread)


def test_second_moment_check() -> None:
    """A z-score: of order 1 for the operator, large for another one's norm."""
    op = operator("zeros")
    scores = [spectral_density(op, steps=3, seed=seed).check for seed in range(40)]
    assert 0.7 < np.std(scores) < 1.5
    assert abs(np.mean(scores)) < 0.6
    density = spectral_density(op, steps=3)
    fields = {f: getattr(density, f) for f in density.__dataclass_fields__}
    fields["exact_frobenius_norm"] *= 1.5
    assert abs(Density(**fields).check) > 20
    plain = density.with_control(False)
    assert plain.check == density.check
    assert not plain.controlled
    assert density.controlled


def test_few_probes_are_not_controlled() -> None:
    op = operator("zeros")
    density = spectral_density(op, probes=7, steps=10)
    plain = density.with_control(False)
    assert density.nuclear_norm.value == plain.nuclear_norm.value
    assert spectral_density(op, probes=8, steps=10).moment(2).standard_error < 1e-9


def test_seed_decides_and_global_state_does_not() -> None:
    op = operator("zeros")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = spectral_density(op, probes=3, steps=5, seed=9)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    np.random.seed(3)  # noqa: NPY002
    again = spectral_density(op, probes=3, steps=5, seed=9)
    assert np.array_equal(first.nodes, again.nodes)
    assert np.array_equal(first.weights, again.weights)
    other = spectral_density(op, probes=3, steps=5, seed=10)
    assert not np.allclose(first.nodes, other.nodes)
    assert (first.seed, other.seed) == (9, 10)


@pytest.mark.parametrize("name", ["zeros", "stride", "groups", "transposed"])
def test_chunks_of_probes_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    op = operator(name)
    whole = spectral_density(op, probes=7, steps=12)
    small, large = sorted(op.shape)
    each = 8 * (16 * small + 4 * large)
    limited = spectral_density(op, probes=7, steps=12, max_bytes=3 * each)
    monkeypatch.setattr(quadrature, "CHUNK_BYTES", 1)
    alone = spectral_density(op, probes=7, steps=12)
    for other in (limited, alone):
        np.testing.assert_allclose(other.nodes, whole.nodes, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(other.weights, whole.weights, rtol=1e-6, atol=1e-9)


def test_more_probes_keep_the_first() -> None:
    op = operator("zeros")
    few, many = (spectral_density(op, probes=n, steps=6) for n in (3, 9))
    np.testing.assert_allclose(many.nodes[:3], few.nodes, rtol=1e-9)


# -- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"probes": 1},
            "probes must be an integer of at least 2; got 1; one probe has no standard "
            "error",
        ),
        ({"probes": 2.0}, "probes must be an integer of at least 2; got 2.0; "),
        ({"probes": True}, "probes must be an integer of at least 2; got True; "),
        ({"steps": 0}, "steps must be an integer of at least 1; got 0; 60 are usual"),
        ({"steps": None}, "steps must be an integer of at least 1; got None; "),
        ({"seed": -1}, "seed must be an integer of at least 0; got -1; "),
        ({"seed": "0"}, "seed must be an integer of at least 0; got '0'; "),
        (
            {"dtype": torch.float16},
            "dtype must be torch.float32 or torch.float64; got torch.float16",
        ),
    ],
    ids=str,
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        spectral_density(operator("zeros"), **arguments)


def test_too_large() -> None:
    """One probe of 64 channels of 56 x 56 in float64: 60 vectors of 1.5 MiB."""
    op = cs.ConvOperator(torch.ones(64, 64, 3, 3), 56, padding=1)
    with pytest.raises(
        cs.TooLargeError,
        match=r"the Krylov basis of one probe, 60 vectors of 200,704 numbers, must fit "
        r"max_bytes = 1 MiB; it needs [\d.]+ MiB; take fewer steps or "
        r"dtype=torch\.float32, or raise max_bytes",
    ) as refused:
        spectral_density(op, max_bytes=2**20)
    (price,) = re.findall(r"needs ([\d.]+) MiB", str(refused.value))
    basis = 8 * 60 * 64 * 56**2 / 2**20
    assert basis < float(price) < 1.5 * basis  # the products beside it are small
