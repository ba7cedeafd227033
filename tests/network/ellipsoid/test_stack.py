"""Stacks of rows that read one entry and of dense ones, against plain products."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from convspec.network.ellipsoid.stack import Stack
from tests.gaussian import gaussian

F, C = 3, 5


def picked(entries: list[int], count: int, seed: int) -> Tensor:
    """Rows that read one entry each, -1 for none."""
    found = torch.zeros(count, len(entries), C, dtype=torch.complex128)
    factors = torch.view_as_complex(gaussian(seed, count, len(entries), 2))
    for row, entry in enumerate(entries):
        if entry >= 0:
            found[:, row, entry] = factors[:, row]
    return found


def dense(rows: int, count: int, seed: int) -> Tensor:
    return torch.view_as_complex(gaussian(seed, count, rows, C, 2))


def now_and_then() -> Tensor:
    """A row that reads one entry at each frequency, but not the same."""
    found = torch.zeros(F, 1, C, dtype=torch.complex128)
    found[0, 0, 1] = found[1, 0, 2] = 1.0
    return found


CASES = {
    "all of it": [picked([0, 1, 2, 3, 4], 1, 1)],
    "in another order": [picked([4, 0, 2], F, 2)],
    "one twice": [picked([1, 1, 3], F, 3)],
    "none": [picked([-1, 2, -1], F, 4)],
    "dense": [dense(4, F, 5)],
    "dense, the same everywhere": [dense(4, 1, 6)],
    "both, one in front": [picked([0, 1], 1, 7), dense(2, F, 8)],
    "both, by turns": [dense(2, 1, 9), picked([3], F, 10), dense(1, F, 11)],
    "within one": [torch.cat([dense(1, F, 12), picked([0, 4], F, 13)], 1)],
    "another at each frequency": [now_and_then()],
    "no rows": [dense(0, F, 14)],
}


@pytest.mark.parametrize("name", CASES)
def test_products_are_those_of_the_matrix(name: str) -> None:
    parts = CASES[name]
    whole = torch.cat([part.expand(F, -1, -1) for part in parts], 1)
    stack = Stack.of(parts)
    root = torch.view_as_complex(gaussian(20, F, C, C, 2))
    core = root @ root.mH
    image = torch.view_as_complex(gaussian(21, F, 2, C, 2))
    map_ = torch.view_as_complex(gaussian(22, F, 3, whole.shape[1], 2))
    pairs = {
        "left": (stack.left(core), whole @ core),
        "right": (stack.right(image), image @ whole.mH),
        "around": (stack.around(core), whole @ core @ whole.mH),
        "under": (stack.under(map_), map_ @ whole),
    }
    for found, wanted in pairs.values():
        torch.testing.assert_close(found.expand(F, -1, -1), wanted, rtol=0, atol=1e-13)
    norms = torch.linalg.matrix_norm(whole)
    assert bool((stack.size * (1 + 1e-12) >= norms).all())


def test_a_core_may_be_empty() -> None:
    stack = Stack.of([torch.zeros(1, 2, 0, dtype=torch.complex128)])
    core = torch.zeros(F, 0, 0, dtype=torch.complex128)
    assert torch.equal(stack.around(core), torch.zeros(F, 2, 2, dtype=torch.complex128))


def test_gradients_are_those_of_the_matrix() -> None:
    factors = gaussian(30, F, 2)
    root = gaussian(31, F, C, C)
    core, weights = root @ root.mT, gaussian(32, F, 2, 2)

    def made(x: Tensor) -> Tensor:
        one = torch.eye(C, dtype=torch.float64)
        return torch.stack([x[:, :1] * one[3], x[:, 1:] * one[1]], 1)

    def stacked(x: Tensor) -> Tensor:
        return (weights * Stack.of([made(x)]).around(core)).sum()

    def plain(x: Tensor) -> Tensor:
        return (weights * (made(x) @ core @ made(x).mT)).sum()

    found, wanted = (gradient(each, factors) for each in (stacked, plain))
    torch.testing.assert_close(found, wanted)


def gradient(of: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(of(x), x)
    return found
