"""Copies of multiple eigenvalues, more than a block of vectors can see.

The Krylov space of b vectors holds at most b directions of each eigenspace; others come
in through rounding alone, late. So after the wanted pairs are found their complement is
looked at: if it has a larger eigenvalue than the least of them, that was missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from convspec.krylov.lanczos import Gram, RitzVectors, thick_restart_lanczos
from convspec.krylov.orthogonal import without

__all__ = ["with_copies"]

# vectors of a look and steps: from a random start they show an eigenvalue that
# is about a hundredth above the least one found
LOOK = 1
LOOK_STEPS = 24
# by how much it must be above it: relative, and in residuals allowed
ABOVE = 1e-9
BEYOND = 4
# vectors of a search for what was missed
BLOCK = 8


def with_copies(
    gram: Gram,
    found: RitzVectors,
    allowed: Callable[[Tensor], Tensor],
    *,
    capacity: int,
    max_products: int,
    generator: torch.Generator,
    unswept: int = 12,
) -> tuple[RitzVectors, int]:
    """The leading eigenvectors with what a Krylov space of few vectors misses.

    Args:
        gram: As for :func:`thick_restart_lanczos`, and so are the rest.
        found: Eigenvectors that it found, all that are wanted.
        allowed: The largest residuals.
        capacity: Most basis vectors held, at least three times those found.
        max_products: Most rows multiplied.
        generator: Of random starts.
        unswept: Most steps that leave out older basis vectors.

    Returns:
        As many eigenvectors as before, and the rows multiplied.
    """
    products, new = 0, False
    count, length = found.rows.shape
    search = partial(
        thick_restart_lanczos,
        capacity=min(capacity, length - count - BLOCK),
        generator=generator,
        unswept=unswept,
    )
    while products < max_products and count + 4 * BLOCK <= length:
        rest = partial(_deflated, gram, found.rows)
        start, _ = without(_random(LOOK, found.rows, generator), found.rows)
        look = search(rest, start, 1, allowed, max_steps=LOOK_STEPS)
        products += LOOK * look.steps
        if float(look.values[0]) <= _surely_above(found.values, allowed):
            break
        start = torch.cat([look.rows, _random(BLOCK - 1, found.rows, generator)])
        left = max(1, (max_products - products) // BLOCK)
        start, _ = without(start, found.rows)
        more = search(rest, start, min(count, BLOCK), allowed, max_steps=left)
        products += BLOCK * more.steps
        values, order = torch.cat([found.values, more.values]).sort(descending=True)
        rows = torch.cat([found.rows, more.rows])[order[:count].to(start.device)]
        found = replace(found, rows=rows, values=values[:count])
        new = True
    if not new:
        return found, products
    # together: residuals of vectors found apart add up
    left = max(1, (max_products - products) // count)
    joint = thick_restart_lanczos(
        gram,
        found.rows,
        count,
        allowed,
        capacity=capacity,
        max_steps=left,
        generator=generator,
        unswept=unswept,
    )
    return joint, products + count * joint.steps


def _surely_above(values: Tensor, allowed: Callable[[Tensor], Tensor]) -> float:
    """What an eigenvalue missed is above, for all that the residuals allow."""
    least = float(values[-1])
    return least + max(ABOVE * least, BEYOND * float(allowed(values)[-1]))


def _deflated(gram: Gram, found: Tensor, rows: Tensor) -> Tensor:
    """G on the complement of eigenvectors, for rows of the complement."""
    return without(gram(rows), found)[0]


def _random(count: int, like: Tensor, generator: torch.Generator) -> Tensor:
    shape = (count, like.shape[1])
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(like)
