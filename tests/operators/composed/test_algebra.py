"""Products, sums, multiples and stacks of convolutions beside dense products of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings

import convspec as cs
from tests import geometries
from tests.cases import Case
from tests.gaussian import gaussian

Array = npt.NDArray[Any]

# of an operator, and of its matrix from plain loops
EXPRESSIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Array], Array]]] = {
    "gram": (lambda a: a.H @ a, lambda m: m.conj().T @ m),
    "outer": (lambda a: a @ a.H, lambda m: m @ m.conj().T),
    "transpose": (lambda a: a.T @ a, lambda m: m.T @ m),
    "three": (lambda a: a @ a.H @ a, lambda m: m @ m.conj().T @ m),
    "sum": (lambda a: a + a, lambda m: 2 * m),
    "difference": (lambda a: 3 * a - a / 2, lambda m: 2.5 * m),
    "negative": (lambda a: -a, lambda m: -m),
    "negative-of-a-sum": (lambda a: -(a - 3 * a), lambda m: 2 * m),
    "right": (lambda a: a * 1.5, lambda m: 1.5 * m),
    "complex": (lambda a: (a * 2j).H, lambda m: -2j * m.conj().T),
    "complex-transpose": (lambda a: (2j * a).T, lambda m: 2j * m.T),
    "shifted": (
        lambda a: cs.identity(a) - a.H @ a,
        lambda m: np.eye(m.shape[1]) - m.conj().T @ m,
    ),
    "stacked": (lambda a: cs.stack([a, -a]), lambda m: np.vstack([m, -m])),
    "beside": (
        lambda a: cs.stack([a.H, 2 * a.H]).H,
        lambda m: np.hstack([m, 2 * m]),
    ),
    "sum-in-product": (lambda a: (a + a).H @ (a - 3 * a), lambda m: -4 * m.conj().T @ m),
}


def assert_is_matrix(found: cs.LinearMap, wanted: Array, size: float) -> None:
    """Every representation is the matrix, up to rounding of products of this size."""
    eps = torch.finfo(found.dtype).eps
    tolerance = 64 * eps * max(size, 1e-30)
    assert found.shape == wanted.shape
    dense = found.to_dense()
    assert dense.dtype == found.dtype
    assert np.abs(dense.numpy() - wanted).max(initial=0) <= tolerance
    assert np.abs(found.to_sparse().toarray() - wanted).max(initial=0) <= tolerance
    for layout in (torch.sparse_csr, torch.sparse_coo):
        tensor = found.to_torch_sparse(layout).to_dense()
        assert np.abs(tensor.numpy() - wanted).max(initial=0) <= tolerance
    assert np.abs(found.H.to_dense().numpy() - wanted.conj().T).max() <= tolerance
    assert np.abs(found.T.to_dense().numpy() - wanted.T).max() <= tolerance
    assert np.abs(found.T.to_sparse().toarray() - wanted.T).max() <= tolerance
    m, n = found.shape
    x = gaussian(n, 2, n).to(found.dtype)
    scale = tolerance * float(x.abs().max()) * n
    images = found.apply(x.reshape(2, *found.input_shape)).reshape(2, m)
    assert np.abs(images.numpy() - x.numpy() @ wanted.T).max() <= scale
    y = gaussian(m + 1, m).to(found.dtype)
    back = found.adjoint(y.reshape(found.output_shape)).flatten().numpy()
    scale = tolerance * float(y.abs().max()) * m
    assert np.abs(back - wanted.conj().T @ y.numpy()).max() <= scale
    assert np.abs((found @ x.T).numpy() - wanted @ x.numpy().T).max() <= scale * n
    seen = found.to_scipy()
    assert np.abs(seen @ x[0].numpy() - wanted @ x[0].numpy()).max() <= scale * n
    assert np.abs(seen.rmatvec(y.numpy()) - wanted.conj().T @ y.numpy()).max() <= scale


def size_of(matrix: Array) -> float:
    """At least the entries of what any of the expressions adds up."""
    sums = max(np.abs(matrix).sum(axis=0).max(), np.abs(matrix).sum(axis=1).max(), 1.0)
    return float(8 * sums**3)


@pytest.mark.parametrize("name", EXPRESSIONS)
@torch.no_grad()
def test_over_geometries(name: str) -> None:
    of_operator, of_matrix = EXPRESSIONS[name]

    @settings(max_examples=12, derandomize=True)
    @given(geometries.convolutions(1) | geometries.convolutions(2))
    def agrees(case: Case) -> None:
        matrix = case.matrix()
        found = of_operator(case.operator())
        assert_is_matrix(found, of_matrix(matrix), size_of(matrix))

    agrees()


COMPLEX = torch.complex(gaussian(1, 2, 2, 3), gaussian(2, 2, 2, 3))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_complex_weights(name: str) -> None:
    of_operator, of_matrix = EXPRESSIONS[name]
    op = cs.ConvOperator(COMPLEX, 5, padding=1)
    matrix = op.to_dense().numpy()
    assert_is_matrix(of_operator(op), of_matrix(matrix), size_of(matrix))


def second(dtype: torch.dtype = torch.float64, size: int = 3) -> cs.ConvOperator:
    return cs.ConvOperator(torch.tensor([[[1, -2, 1]]], dtype=dtype), size, padding=1)


def test_known_norms() -> None:
    """``(2 + sqrt(2))^2``; the kernel of the product is that of another map."""
    op = second()
    norm = np.linalg.norm((op @ op).to_dense().numpy(), 2)
    assert abs(norm - (2 + 2**0.5) ** 2) < 1e-13
    merged = cs.ConvOperator(torch.tensor([[[1.0, -4, 6, -4, 1]]]).double(), 3, padding=2)
    assert abs(np.linalg.norm(merged.to_dense().numpy(), 2) - 12.17890835) < 1e-8


DTYPES = [
    (torch.float16, torch.float32, torch.float32),
    (torch.bfloat16, torch.float16, torch.float32),
    (torch.float32, torch.float64, torch.float64),
    (torch.float64, torch.complex64, torch.complex128),
]


@pytest.mark.parametrize(("one", "two", "wanted"), DTYPES, ids=str)
def test_dtypes_promote(one: torch.dtype, two: torch.dtype, wanted: torch.dtype) -> None:
    a, b = second(one), second(two)
    for found in (a @ b, a + b, cs.stack([a, b]), cs.identity(a) @ b):
        assert found.dtype == found.to_dense().dtype == wanted
        assert found.apply(torch.ones(1, 3, dtype=torch.float16)).dtype == wanted
        assert found.to(torch.complex128).dtype == torch.complex128
    wide = torch.promote_types(wanted, torch.float64)
    assert (a @ b).apply(torch.ones(1, 3, dtype=torch.float64)).dtype == wide


@pytest.mark.parametrize(
    ("factor", "dtype"),
    [
        (2, torch.float32),
        (2.5, torch.float32),
        (np.float64(3), torch.float32),
        (np.int32(3), torch.float32),
        (torch.tensor(2.0, dtype=torch.float64), torch.float32),
        (torch.tensor(2), torch.float32),
        (1j, torch.complex64),
        (torch.tensor(1j), torch.complex64),
    ],
    ids=repr,
)
def test_factors(factor: Any, dtype: torch.dtype) -> None:
    op = second(torch.float32)
    wanted = op.to_dense().numpy() * complex(factor)
    for found in (factor * op, op * factor):
        assert isinstance(found, cs.LinearMap)
        assert found.dtype == dtype
        assert np.abs(found.to_dense().numpy() - wanted).max() < 1e-6
        assert np.abs(found.to_sparse().toarray() - wanted).max() < 1e-6
    quotient = op / factor
    inverse = op.to_dense().numpy() / complex(factor)
    assert np.abs(quotient.to_dense().numpy() - inverse).max() < 1e-6


def test_derivatives() -> None:
    """Of all that a product of sums is made of, beside those of dense matrices."""
    one, two = (gaussian(s, 1, 1, 3).requires_grad_() for s in (1, 2))
    share = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    a, b = (cs.ConvOperator(w, 5, padding=1) for w in (one, two))
    made = (cs.identity(a) + share * (a @ b)).H @ cs.stack([a]) / 3

    def dense() -> torch.Tensor:
        eye = torch.eye(5, dtype=torch.float64)
        first, then = a.to_dense(), b.to_dense()
        return (eye + share * first @ then).T @ first / 3

    x, probe = gaussian(3, 1, 5), gaussian(4, 5, 5)
    variables = (one, two, share)
    pairs = [
        (made.apply(x).sin().sum(), (dense() @ x.flatten()).sin().sum()),
        (made.adjoint(x).sin().sum(), (dense().T @ x.flatten()).sin().sum()),
        ((made.to_dense() * probe).sum(), (dense() * probe).sum()),
    ]
    for found, wanted in pairs:
        got = torch.autograd.grad(found, variables)
        expected = torch.autograd.grad(wanted, variables)
        for some, others in zip(got, expected, strict=True):
            assert torch.allclose(some, others, rtol=1e-12, atol=1e-12)


def test_identity() -> None:
    eye = cs.identity((2, 3))
    assert eye.dtype == torch.float64
    assert torch.equal(eye.to_dense(), torch.eye(6, dtype=torch.float64))
    assert cs.identity(second(torch.float32)).dtype == torch.float32
    assert cs.identity((2,), dtype=torch.complex64).H.dtype == torch.complex64
    for wrong in ((), (0, 3), "32", 3.0, [2, None]):
        with pytest.raises(cs.GeometryError, match="identity takes a map or the shape"):
            cs.identity(wrong)


def test_names_both_maps_that_do_not_fit() -> None:
    a, b = second(size=3), cs.ConvOperator(torch.ones(2, 1, 3), 4, padding=1)
    with pytest.raises(cs.GeometryError, match=r"b gives \(2, 4\).*3 x 3.*8 x 4"):
        a @ b
    for add, sign in ((lambda: a + b, r"\+"), (lambda: a - b, "-")):
        with pytest.raises(cs.GeometryError, match=rf"a {sign} b takes.*3 x 3.*8 x 4"):
            add()
    with pytest.raises(cs.GeometryError, match=r"differ in channels only.*3 x 3.*8 x 4"):
        cs.stack([a, b])
    with pytest.raises(ValueError, match="stack takes one or more maps; got none"):
        cs.stack([])
    with pytest.raises(TypeError, match=r"stack takes a ConvOperator; got Tensor; make"):
        cs.stack([torch.ones(2)])


def test_refuses_what_is_no_map_and_no_number() -> None:
    op = second()
    for wrong in (1, torch.ones(3), None):
        with pytest.raises(TypeError, match=r"a \+ b takes two linear maps; got .*; for"):
            op + wrong
        with pytest.raises(TypeError, match=r"a - b takes two linear maps; got .*; for"):
            op - wrong
    for wrong in ("2", None, True, torch.ones(2), np.ones(2), torch.tensor(True)):
        with pytest.raises(TypeError, match=r"take a number c; got .*; to multiply maps"):
            op * wrong
    with pytest.raises(TypeError, match="take a number c"):
        op * op
    with pytest.raises(ValueError, match=r"takes a number c other than 0; got 0"):
        op / 0
    for wrong in (float("nan"), float("inf"), torch.tensor(float("inf"))):
        with pytest.raises(cs.NotFiniteError, match="factor of a map must be finite"):
            wrong * op
    composed = op @ op
    with pytest.raises(TypeError, match=r"op @ v takes a torch.Tensor; got ndarray; for"):
        composed @ np.ones(3)
    with pytest.raises(cs.GeometryError, match=r"vector \(3,\) or a block \(3, j\); got"):
        composed @ torch.ones(4)
    with pytest.raises(cs.GeometryError, match=r"x must have shape \(.*1, 3\); got"):
        composed.apply(torch.ones(3, 1))
    with pytest.raises(cs.GeometryError, match=r"y must have shape \(.*1, 3\); got"):
        composed.adjoint(torch.ones(4))
    with pytest.raises(TypeError, match=r"x must be a torch.Tensor; got ndarray"):
        composed.apply(np.ones((1, 3)))


def test_two_devices() -> None:
    op = second()
    away = second().to(device="meta")
    for compose in (
        lambda: op @ away,
        lambda: op + away,
        lambda: cs.stack([op, away]),
    ):
        with pytest.raises(ValueError, match=r"must be on one device.*on cpu.*on meta"):
            compose()
    with pytest.raises(ValueError, match=r"takes a number where the map is, cpu; got"):
        torch.tensor(2.0, device="meta") * op


def test_byte_limits() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 3), 100, padding=1)
    maps = (op @ op, op + op, cs.stack([op, op]), cs.stack([op, op]).H, cs.identity(op))
    for found in maps:
        with pytest.raises(cs.TooLargeError, match="max_bytes"):
            found.to_dense(max_bytes=1000)
        with pytest.raises(cs.TooLargeError, match="max_bytes"):
            found.to_sparse(max_bytes=1000)
        with pytest.raises(cs.TooLargeError, match="max_bytes"):
            found.to_torch_sparse(max_bytes=1000)


def test_is_told_in_words() -> None:
    op = second()
    assert repr(op @ op) == (
        "<Product 3 x 3: 1x3 -> 1x3: ConvOperator @ ConvOperator, torch.float64>"
    )
    assert repr(cs.identity(op) - 2 * op) == (
        "<Sum 3 x 3: 1x3 -> 1x3: Identity + -2 ConvOperator, torch.float64>"
    )
    assert repr(cs.identity(op)) == "<Identity 3 x 3: 1x3 -> 1x3, torch.float64>"
