"""The first cover is fine where all values are near the extreme, coarse where few are."""

from __future__ import annotations

import math

import pytest
import torch

import convspec as cs
from convspec.frequency.search.cells import Cells
from convspec.frequency.search.cover import first_cover, sample
from convspec.frequency.search.rule import ProveLargest, ProveSmallest

LARGEST = ProveLargest(1e-3, 0.0, 0.0).aimed(1.0)
SMALLEST = ProveSmallest(1e-3, 0.0, 0.0, 4.0).aimed(1.0)


def chosen(
    values: float, rule: ProveLargest | ProveSmallest, most: float = math.inf
) -> Cells:
    """The cover for a sample of equal values around an extreme of 1."""
    some = sample(1, (1.0, 1.0), True)
    squares = torch.full((len(some),), values**2, dtype=torch.float64)
    return first_cover(some, 1, squares, rule, 1.0, math.inf, lambda n: n <= most)


@pytest.mark.parametrize("value", [0.2, 0.8, 0.95, 0.98, 0.99])
def test_no_finer_than_it_takes(value: float) -> None:
    """Cells of which such centres just pass, or the coarsest."""
    cells = chosen(value, LARGEST)
    assert cells.reach <= max(math.acos(value), 0.53)
    assert cells.reach >= 0.75 * min(math.acos(value), 0.53)


def test_minima_take_smaller_cells() -> None:
    assert chosen(1.5, SMALLEST).reach < chosen(3.9, SMALLEST).reach


def test_a_budget_makes_it_coarser() -> None:
    fine, coarse = chosen(0.99, LARGEST), chosen(0.99, LARGEST, most=150)
    assert len(coarse) <= 152 < len(fine)
    least = chosen(0.99, LARGEST, most=0)
    assert len(least) == len(sample(1, (1.0, 1.0), True))


def test_samples_of_many_groups_are_thinned() -> None:
    assert len(sample(20_000, (1.0, 1.0), True)) <= 2**14


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((6, 6, 3, 3), 1), ((6, 3, 2, 3), 2), ((9, 9, 7), 1), ((3, 3, 2, 2, 3), 1)],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=str)
def test_results_do_not_depend_on_the_cover(
    shape: tuple[int, ...], groups: int, dtype: torch.dtype
) -> None:
    """A wide gap begins with coarse cells, a narrow one with others; both hold."""
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(shape, generator=generator, dtype=dtype)
    tight = cs.worst_case_norm(weight, groups=groups, rtol=1e-7)
    for rtol in (0.1, 1e-2, 1e-4):
        loose = cs.worst_case_norm(weight, groups=groups, rtol=rtol)
        assert loose.converged
        assert loose.lower <= tight.upper
        assert tight.lower <= loose.upper
