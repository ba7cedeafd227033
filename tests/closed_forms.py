"""Convolutions whose singular values are known in closed form, as a case table.

``arguments(n)`` are keyword arguments of ``convspec.ConvOperator`` with a NumPy weight;
``singular_values(n)`` are all min(m, n) values of that operator, in any order.

Sources: Strang, "The discrete cosine transform", SIAM Review 41, 1999, for the
Dirichlet, Neumann and periodic second differences; Gray, "Toeplitz and Circulant
Matrices: A Review", 2006. The rest follows from them by Kronecker products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.oracles import Array, descending, mixed_kernel, singular_values

__all__ = ["CLOSED_FORMS", "ClosedForm"]


class ClosedForm(NamedTuple):
    id: str
    arguments: Callable[[int], dict[str, Any]]
    singular_values: Callable[[int], Array]


def _j(first: int, last: int) -> Array:
    return np.arange(first, last + 1)


def dirichlet(n: int) -> Array:
    """Eigenvalues of -[1, -2, 1], zero padding."""
    return 4 * np.sin(np.pi * _j(1, n) / (2 * (n + 1))) ** 2


def neumann(n: int) -> Array:
    """Eigenvalues of -[1, -2, 1], replicate padding."""
    return 4 * np.sin(np.pi * _j(0, n - 1) / (2 * n)) ** 2


def periodic(n: int) -> Array:
    """Eigenvalues of -[1, -2, 1], circular padding."""
    return 4 * np.sin(np.pi * _j(0, n - 1) / n) ** 2


def symmetric(n: int, a: float, b: float) -> Array:
    """Eigenvalues of [a, b, a], zero padding."""
    return b + 2 * a * np.cos(np.pi * _j(1, n) / (n + 1))


def central(n: int) -> Array:
    """Singular values of [-1, 0, 1], zero padding."""
    return 2 * np.abs(np.cos(np.pi * _j(1, n) / (n + 1)))


def causal(n: int) -> Array:
    """Singular values of [-1, 1] with padding (1, 0)."""
    return 2 * np.sin((2 * _j(1, n) - 1) * np.pi / (2 * (2 * n + 1)))


def box_on_torus(n: int, k: int) -> Array:
    """Moduli of the Dirichlet kernel."""
    half = np.pi * _j(1, n - 1) / n
    return np.append(np.abs(np.sin(k * half) / np.sin(half)), k)


def _sums(*terms: Array) -> Array:
    total = terms[0]
    for term in terms[1:]:
        total = np.add.outer(total, term)
    return total.ravel()


def _products(*factors: Array) -> Array:
    total = factors[0]
    for factor in factors[1:]:
        total = np.multiply.outer(total, factor)
    return total.ravel()


def _kernel(*taps: float) -> Array:
    return np.array(taps, dtype=float)[None, None]


def _separable(*factors: list[float], mixing: Array | float = 1.0) -> Array:
    weight = np.atleast_2d(mixing)
    for factor in factors:
        weight = np.multiply.outer(weight, np.array(factor))
    return weight


def _laplacian(dim: int) -> Array:
    weight = np.zeros((1, 1, *[3] * dim))
    for axis in range(dim):
        for step in (0, 2):
            weight[(0, 0, *[step if j == axis else 1 for j in range(dim)])] = 1.0
    weight[(0, 0, *[1] * dim)] = -2.0 * dim
    return weight


def _shift(dim: int) -> Array:
    weight = np.zeros((1, 1, *[3] * dim))
    weight[(0, 0, *[0] * dim)] = 1.0
    return weight


def _random(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


SECOND, BOX, CENTRAL = [1.0, -2.0, 1.0], [1.0, 1.0, 1.0], [-1.0, 0.0, 1.0]
MIXING = np.array([[2.0, -1.0], [0.5, 3.0]])
POINTWISE, PATCH = _random(1, 2, 3, 1, 1), _random(2, 3, 2, 2, 2)
THREE = np.array([SECOND, BOX, CENTRAL])
SOBEL = _separable([1.0, 2.0, 1.0], CENTRAL)


def _case(
    name: str,
    weight: Array | Callable[[int], Array],
    values: Callable[[int], Array],
    input_size: Callable[[int], int | tuple[int, ...]] = lambda n: n,
    padding: Callable[[int], Any] | Any = 0,
    **options: Any,
) -> ClosedForm:
    def arguments(n: int) -> dict[str, Any]:
        return {
            "weight": weight(n) if callable(weight) else weight,
            "input_size": input_size(n),
            "padding": padding(n) if callable(padding) else padding,
            **options,
        }

    return ClosedForm(name, arguments, values)


CLOSED_FORMS = [
    # one axis
    _case("laplacian-1d-zeros", _kernel(*SECOND), dirichlet, padding=1),
    _case(
        "laplacian-1d-replicate",
        _kernel(*SECOND),
        neumann,
        padding=1,
        padding_mode="replicate",
    ),
    _case(
        "laplacian-1d-circular",
        _kernel(*SECOND),
        periodic,
        padding=1,
        padding_mode="circular",
    ),
    _case("box3-1d-zeros", _kernel(*BOX), lambda n: symmetric(n, 1, 1), padding=1),
    _case("binomial-1d-zeros", _kernel(1, 2, 1), lambda n: symmetric(n, 1, 2), padding=1),
    _case(
        "symmetric-1d-zeros",
        _kernel(0.7, -1.9, 0.7),
        lambda n: symmetric(n, 0.7, -1.9),
        padding=1,
    ),
    _case(
        "symmetric-1d-replicate",
        _kernel(0.7, -1.9, 0.7),
        lambda n: -1.9 + 1.4 * np.cos(np.pi * _j(0, n - 1) / n),
        padding=1,
        padding_mode="replicate",
    ),
    _case("central-difference-1d-zeros", _kernel(*CENTRAL), central, padding=1),
    _case(
        "two-tap-full",
        _kernel(-1, 1),
        lambda n: 2 * np.sin(np.pi * _j(1, n) / (2 * (n + 1))),
        padding=1,
    ),
    _case(
        "two-tap-valid",
        _kernel(-1, 1),
        lambda n: 2 * np.sin(np.pi * _j(1, n - 1) / (2 * n)),
    ),
    _case("two-tap-causal", _kernel(-1, 1), causal, padding=((1, 0),)),
    _case(
        "two-tap-circular",
        _kernel(-1, 1),
        lambda n: 2 * np.sin(np.pi * _j(0, n - 1) / n),
        padding=((0, 1),),
        padding_mode="circular",
    ),
    _case(
        "two-tap-replicate",
        _kernel(-1, 1),
        lambda n: 2 * np.sin(np.pi * _j(0, n - 1) / (2 * n)),
        padding=((0, 1),),
        padding_mode="replicate",
    ),
    _case(
        "two-tap-transposed",
        _kernel(-1, 1),
        lambda n: 2 * np.sin(np.pi * _j(1, n) / (2 * (n + 1))),
        transposed=True,
    ),
    _case(
        "cumulative-sum",
        lambda n: np.ones((1, 1, n)),
        lambda n: 1 / causal(n),
        padding=lambda n: ((n - 1, 0),),
    ),
    _case(
        "box4-1d-circular",
        _kernel(1, 1, 1, 1),
        lambda n: box_on_torus(n, 4),
        padding="same",
        padding_mode="circular",
    ),
    _case(
        "laplacian-1d-dilated",  # even and odd pixels do not meet
        _kernel(*SECOND),
        lambda n: np.concatenate([dirichlet((n + 1) // 2), dirichlet(n // 2)]),
        padding=2,
        dilation=2,
    ),
    _case(
        "depthwise-1d-zeros",
        np.array([SECOND, BOX])[:, None],
        lambda n: np.concatenate([dirichlet(n), symmetric(n, 1, 1)]),
        padding=1,
        groups=2,
    ),
    _case(
        "mixed-channels-1d-zeros",
        mixed_kernel(3, THREE),
        lambda n: np.concatenate([dirichlet(n), symmetric(n, 1, 1), central(n)]),
        padding=1,
    ),
    # two axes
    _case(
        "laplacian-2d-zeros",
        _laplacian(2),
        lambda n: _sums(dirichlet(n), dirichlet(n + 1)),
        lambda n: (n, n + 1),
        padding=1,
    ),
    _case(
        "laplacian-2d-replicate",
        _laplacian(2),
        lambda n: _sums(neumann(n), neumann(n + 1)),
        lambda n: (n, n + 1),
        padding=1,
        padding_mode="replicate",
    ),
    _case(
        "laplacian-2d-circular",
        _laplacian(2),
        lambda n: _sums(periodic(n), periodic(n + 1)),
        lambda n: (n, n + 1),
        padding=1,
        padding_mode="circular",
    ),
    _case(
        "sobel-2d-zeros",
        SOBEL,
        lambda n: _products(symmetric(n, 1, 2), central(n)),
        padding=1,
    ),
    _case(
        "pointwise-2d",
        POINTWISE,
        lambda n: np.repeat(singular_values(POINTWISE[..., 0, 0]), n * n),
    ),
    _case(
        "shift-2d-zeros",
        _shift(2),
        lambda n: descending(np.ones((n - 1) ** 2), n * n),
        padding=1,
    ),
    _case(
        "patchify-2d-stride3",
        PATCH,
        lambda n: np.repeat(singular_values(PATCH.reshape(3, -1)), ((n + 1) // 3) ** 2),
        stride=3,
    ),
    # three axes
    _case(
        "laplacian-3d-zeros",
        _laplacian(3),
        lambda n: _sums(dirichlet(n), dirichlet(n - 1), dirichlet(n - 2)),
        lambda n: (n, n - 1, n - 2),
        padding=1,
    ),
    _case(
        "separable-3d-zeros",
        _separable(SECOND, BOX, CENTRAL, mixing=MIXING),
        lambda n: _products(
            singular_values(MIXING),
            dirichlet(n - 2),
            np.abs(symmetric(n, 1, 1)),
            central(n - 1),
        ),
        lambda n: (n - 2, n, n - 1),
        padding=1,
    ),
]
