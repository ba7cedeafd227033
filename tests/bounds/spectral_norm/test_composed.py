"""Norms of composed maps: both ends beside dense decompositions and closed forms."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import convspec as cs
from convspec.bounds.spectral_norm import composed
from convspec.bounds.spectral_norm.composition import PartNorms, joined_on_torus
from convspec.operators.composed.formed import formed
from convspec.operators.composed.normal import normal_form
from convspec.operators.composed.rounding import sized
from tests import geometries
from tests.cases import Case
from tests.gaussian import gaussian

A, B = (1.0, 2.0, 3.0), (2.0, -1.0, 1.0)


def one_axis(weight: Any, size: int, **given: Any) -> cs.ConvOperator:
    weight = torch.as_tensor(weight, dtype=torch.float64)
    return cs.ConvOperator(weight, size, **{"padding": 1, **given})


def vanishing(**given: Any) -> cs.LinearMap:
    """``b(w) a(w) - a(w) b(w) = 0`` behind each other."""
    first = one_axis([[A], [B]], 20, **given)
    second = one_axis([[B, [-a for a in A]]], 20, **given)
    return second @ first


def exact_norm(op: cs.LinearMap) -> float:
    return float(np.linalg.norm(op.to(torch.float64).to_dense().numpy(), 2))


def test_symbols_do_not_bound_products_in_zero_padding() -> None:
    bound = cs.spectral_norm(vanishing())
    assert abs(exact_norm(vanishing()) - 5.0) < 1e-12
    assert bound.lower <= 5.0 <= bound.upper
    assert bound.gap < 1e-9
    assert "joined" not in bound.assumptions


def test_symbols_give_products_on_the_torus() -> None:
    bound = cs.spectral_norm(vanishing(padding_mode="circular"))
    assert bound.lower == 0
    assert bound.upper < 1e-11


def test_second_differences_twice() -> None:
    """``(2 + sqrt(2))^2 = 6 + 4 sqrt(2)``, compared with the ends in fractions."""
    op = one_axis([[[1, -2, 1]]], 3)
    bound = cs.spectral_norm(op @ op)
    # 4 sqrt(2) is above x exactly if 32 is above x^2
    assert (Fraction(bound.lower) - 6) ** 2 <= 32 <= (Fraction(bound.upper) - 6) ** 2
    assert bound.gap < 1e-12
    merged = one_axis([[[1, -4, 6, -4, 1]]], 3, padding=2)
    assert abs(cs.spectral_norm(merged).upper - 12.17890835) < 1e-5


def channels(seed: int, into: int, out: int, **given: Any) -> cs.ConvOperator:
    return cs.ConvOperator(
        gaussian(seed, out, into, 3, 3), given.pop("size", 6), **{"padding": 1, **given}
    )


def module() -> nn.Module:
    found = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Flatten(),
        nn.Linear(108, 5),
    )
    for turn, parameter in enumerate(found.parameters()):
        parameter.data = gaussian(turn + 3, *parameter.shape)
    found[1].running_var = gaussian(9, 3).abs() + 0.01
    return found.double()


COMPLEX = torch.complex(gaussian(1, 2, 2, 3, 3), gaussian(2, 2, 2, 3, 3))
CIRCULAR = {"padding_mode": "circular"}
MAPS: dict[str, Callable[[], cs.LinearMap]] = {
    "product": lambda: channels(1, 3, 2) @ channels(2, 2, 3),
    "blur-first": lambda: channels(1, 1, 2) @ channels(2, 1, 1, padding_mode="reflect"),
    "residual": lambda: cs.identity((2, 6, 6)) + channels(1, 2, 2),
    "gram": lambda: channels(1, 2, 3).T @ channels(1, 2, 3),
    "torus": lambda: channels(1, 3, 2, **CIRCULAR) @ channels(2, 2, 3, **CIRCULAR),
    "torus-three": lambda: (
        channels(1, 2, 2, **CIRCULAR)
        @ channels(2, 2, 2, padding=2, dilation=2, **CIRCULAR)
        @ channels(3, 2, 2, **CIRCULAR)
    ),
    "stacked": lambda: cs.stack([channels(1, 2, 3), cs.identity((2, 6, 6)) / 7]),
    "beside": lambda: cs.stack([channels(1, 2, 3).H, channels(2, 1, 3).H]).H,
    "strided": lambda: channels(2, 3, 1, size=3) @ channels(1, 2, 3, stride=2),
    "complex": lambda: cs.ConvOperator(COMPLEX, 5).H @ (2j * cs.ConvOperator(COMPLEX, 5)),
    "module": lambda: cs.to_operator(module(), (2, 6, 6)),
    "cancelled": lambda: channels(1, 2, 2) - channels(1, 2, 2),
    "nearly-cancelled": lambda: (1 + 1e-9) * channels(1, 2, 2) - channels(1, 2, 2),
    "huge": lambda: (1e150 * channels(1, 2, 2)) @ (1e150 * channels(2, 2, 2)),
    "tiny": lambda: (1e-150 * channels(1, 2, 2)) @ (1e-150 * channels(2, 2, 2)),
    "apart": lambda: (1e-200 * channels(1, 2, 2)) + 1e200 * channels(2, 2, 2),
    "zero": lambda: 0 * channels(1, 2, 2),
    "identity": lambda: cs.identity((3, 4)),
    "one-entry": lambda: cs.identity((1,)) * -3,
}


def oracle(op: cs.LinearMap) -> float:
    wide = torch.complex128 if op.dtype.is_complex else torch.float64
    return float(np.linalg.norm(op.to(wide).to_dense().numpy(), 2))


def assert_holds(bound: cs.Bound, norm: float, rounding: float) -> None:
    assert bound.guarantee == "certified"
    assert bound.lower <= norm + rounding
    assert norm - rounding <= bound.upper


@pytest.mark.parametrize("way", ["dense", "band", "parts"])
@pytest.mark.parametrize("name", MAPS)
def test_ends_hold(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By each way to the upper end, at the rounding of the oracle."""
    op = MAPS[name]()
    if way != "dense":
        monkeypatch.setattr(composed, "DENSE_SIDE", 0)
    if way == "parts":
        monkeypatch.setattr(composed, "_formed", lambda *_: None)
    bound = cs.spectral_norm(op)
    work, exponent = normal_form(op)
    norm = oracle(work)
    size = sized(work).norm
    assert_holds(
        bound,
        float(np.ldexp(norm, max(exponent, -2000))),
        float(np.ldexp(1e-14 * max(size, norm), max(exponent, -2000))),
    )
    if way != "parts" and "cancelled" not in name and norm:
        assert bound.gap < 1e-6


@settings(max_examples=25, derandomize=True)
@given(geometries.convolutions(1) | geometries.transposed(1))
def test_over_geometries(case: Case) -> None:
    matrix = case.matrix()
    op = case.operator()
    expressions = [
        (op.H @ op, matrix.conj().T @ matrix),
        (cs.identity(op) - op.H @ op, np.eye(op.shape[1]) - matrix.conj().T @ matrix),
        (cs.stack([op, -2 * op]), np.vstack([matrix, -2 * matrix])),
    ]
    for found, wanted in expressions:
        norm = float(np.linalg.norm(wanted, 2))
        size = float(np.linalg.norm(np.abs(matrix), 2)) ** 2 + norm + 1
        assert_holds(cs.spectral_norm(found), norm, 1e-14 * size * len(matrix))


@pytest.mark.parametrize("name", MAPS)
def test_formed_within_its_error(name: str) -> None:
    """Beside products of dense matrices in extended precision."""
    work, _ = normal_form(MAPS[name]())
    near = formed(work, 2**28)
    wide = _extended(work)
    assert np.linalg.norm((near.matrix.toarray() - wide).astype(complex), 2) <= near.error
    x = gaussian(4, work.shape[1]).to(work.dtype)
    x /= torch.linalg.vector_norm(x)
    image = (work @ x).numpy()
    off = np.linalg.norm((image - wide @ x.numpy()).astype(complex))
    assert off <= sized(work).error <= 1e-10 * max(1.0, sized(work).norm)


def _extended(op: Any) -> Any:
    """The matrix with 64 bits, from those of the parts."""
    kind = type(op).__name__
    if kind == "Product":
        found = _extended(op.parts[-1])
        for part in op.parts[-2::-1]:
            found = _extended(part) @ found
        return found
    if kind == "Sum":
        terms = [np.clongdouble(c) * _extended(part) for c, part in op.terms]
        return sum(terms[1:], terms[0])
    if kind in ("Stacked", "Beside"):
        join = np.vstack if kind == "Stacked" else np.hstack
        return join([_extended(part) for part in op.parts])
    return op.to_dense().numpy().astype(np.clongdouble)


def test_joined_on_a_torus_is_the_product() -> None:
    a, b = channels(1, 3, 2, **CIRCULAR), channels(2, 2, 3, **CIRCULAR)
    one = cs.ConvOperator(gaussian(3, 3, 3, 1, 1), 6)  # a pixel alone is on any torus
    c = channels(4, 3, 2, padding=((2, 0), (0, 2)), **CIRCULAR)
    for first, second in (
        (a, b),
        (a, one),
        (one, b),
        (a, a.T),
        (b.T, a.T),
        (b.H, b),
        (c, b),
        (c.T, c),
    ):
        op, error = joined_on_torus(first, second)
        wanted = (first @ second).to_dense()
        off = np.linalg.norm((op.to_dense() - wanted).numpy(), 2)
        assert off <= error + 1e-13 * float(wanted.norm())
        assert error < 1e-9
    for other in (
        channels(2, 2, 3),
        channels(2, 2, 3, size=12, stride=2, **CIRCULAR),
        cs.identity((3, 6, 6)),
        cs.ConvOperator(gaussian(2, 3, 1, 3, 3), 6, padding=1, groups=3, **CIRCULAR),
    ):
        assert joined_on_torus(a, other) is None


def test_wide_kernels_are_not_joined() -> None:
    """Taps of the product would wrap around twice."""
    a = one_axis(gaussian(1, 1, 1, 7), 4, padding=3, **CIRCULAR)
    assert joined_on_torus(a, a) is None
    assert_holds(cs.spectral_norm(a @ a), exact_norm(a @ a), 1e-12)


def test_parts_of_a_long_product_keep_its_error_small() -> None:
    op = channels(1, 2, 2)
    long = op
    for _ in range(11):
        long = op @ long
    bound = cs.spectral_norm(long)
    assert bound.gap < 1e-3
    assert bound.lower <= exact_norm(long) * (1 + 1e-9)
    assert exact_norm(long) * (1 - 1e-9) <= bound.upper


def test_norms_are_found_once() -> None:
    asked: list[cs.ConvOperator] = []

    def norm(op: cs.ConvOperator) -> float:
        asked.append(op)
        return 2.0

    op = channels(1, 2, 2)
    assert PartNorms(norm).above(op.H @ op @ op.T @ op) < 16.001
    assert len(asked) <= 2


@pytest.mark.parametrize("wrong", [nn.ReLU(), torch.ones(2, 2), 3.0])
def test_only_maps(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a bound takes a ConvOperator; got"):
        cs.spectral_norm(wrong)
