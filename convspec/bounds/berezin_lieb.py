"""The Schatten norm of the operator from the average of its symbol's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.arguments import is_integer, shown
from convspec.bounds.gram_steps import GramSteps
from convspec.bounds.least import Candidate, least
from convspec.frequency.grid import GRID_BYTES, MADE_OF_BLOCKS, Grid
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.kernel import ScaledKernel
from convspec.operators.operator import ConvOperator
from convspec.operators.symbol import Symbol
from convspec.quantity.bound import Bound
from convspec.rounding import gamma, up
from convspec.rounding.scaling import root
from convspec.rounding.waves import symbol_error
from convspec.tori.places import Setting, settings

__all__ = ["schatten"]

LARGEST_P = 2**40


@isolated
def schatten(
    op: ConvOperator, p: int = 16, *, max_bytes: Bytes = DEFAULT_MAX_BYTES
) -> Bound:
    """``sigma_1 <= (sum_i sigma_i^p)^(1/p) <= (count avg_w ||F(w)||_p^p)^(1/p)``.

    ``||F||_p`` is the Schatten norm, the p-norm of the singular values.
    F is the symbol, the average is over all frequencies, and count is the number of
    outputs that read anything, or of cells of pixels that are read, the smaller of the
    two: the inequality of Berezin and Lieb for compressions and the convex function
    ``x^(p/2)``, p >= 2. For even p the average is that of a trigonometric polynomial of
    ``(p/2) (k - 1)`` lags to either side, exact on a grid of more points; circular
    padding has frequencies of its own instead. It grows like ``count^(1/p)`` with the
    image. p = 2 is the Frobenius norm without the borders.

    Differentiable in the weight.

    Args:
        op: The operator.
        p: A power of two, at least 2.
        max_bytes: Byte limit of what is held at a time, by autograd too for weights that
            require gradients.

    Source: Berezin, "Convex operator functions", Math. USSR Sbornik 17, 1972; Lieb, "The
    classical limit of quantum spin systems", Commun. Math. Phys. 31, 1973.

    Raises:
        ValueError: If p is not a power of two, at least 2.
        TooLargeError: If the grid, or differentiating, needs more than ``max_bytes``.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> round(cs.bounds.schatten(op, p=2).upper ** 2, 9)  # 50 times 6
    300.0
    """
    max_bytes = byte_limit(max_bytes)
    if not is_integer(p) or p < 2 or p & (p - 1):
        raise ValueError(f"p must be a power of two, at least 2; got {shown(p)}")
    if p > LARGEST_P:
        raise ValueError(
            f"p must be a power of two, at most 2**40; got 2**{p.bit_length() - 1}; "
            "the bound is the supremum then, see bounds.supremum(op)"
        )
    kernel = ScaledKernel.of(op)
    error = symbol_error(kernel.weight)

    def bound(setting: Setting) -> Candidate:
        value, upper = _setting_bound(kernel, setting, p, error, max_bytes)
        return Candidate(upper, setting.words, lambda: value)

    best = least(map(bound, settings(kernel.axes)))
    return kernel.bound(
        "schatten",
        upper=best.upper,
        value=best.value(),
        assumptions=best.words,
        reference="Berezin 1972; Lieb 1973",
    )


def _setting_bound(
    kernel: ScaledKernel, setting: Setting, p: int, error: float, max_bytes: int
) -> tuple[Tensor, float]:
    """The bound as computed, differentiable, and rounded up."""
    symbol = kernel.symbol(setting.strides)
    sizes = [place.circle or p // 2 * (place.lags - 1) + 1 for place in setting.places]
    steps = [place.step for place in setting.places]
    points = math.prod(sizes)
    needed = (
        GRID_BYTES * points + MADE_OF_BLOCKS * 16 * symbol.coefficients[..., 0].numel()
    )
    what = f"the grid of {points} frequencies"
    require_bytes(what, needed, max_bytes, "take a smaller p")
    grid = Grid.full(sizes, steps, not symbol.coefficients.is_complex())
    halvings = p.bit_length() - 2
    if symbol.coefficients.requires_grad:
        rows, columns = symbol.block_shape
        held = rows * columns + 2 * halvings * min(rows, columns) ** 2
        needed = 16 * len(grid.index) * symbol.groups * held
        what = f"the gradient of a Schatten norm over {len(grid.index)} frequencies"
        require_bytes(what, needed, max_bytes, "take a smaller p")
    values, bounds = _norms(symbol, grid, halvings, max_bytes)
    weights = torch.as_tensor(grid.weights).double()[:, None]
    share = min(
        math.prod(place.rows for place in setting.places),
        math.prod(place.cells for place in setting.places),
    ) / math.prod(sizes)
    factor = math.sqrt(setting.multiplicity)
    value = factor * _power_mean(values, share * weights, halvings + 1)
    # sums of as many terms as there are frequencies, powers of relative errors
    slack = 1 + gamma(2 * len(weights) + 8 * p + 32)
    above = float(_power_mean(bounds + error, share * weights, halvings + 1))
    return value, up(up(above * slack) * setting.factor)


def _norms(
    symbol: Symbol, grid: Grid, halvings: int, max_bytes: int
) -> tuple[Tensor, Tensor]:
    """Schatten norms of all blocks as computed and rounded up; (frequencies, groups)."""
    values, bounds = [], []
    for part in grid.blocks(symbol, max_bytes):
        steps = GramSteps(part.flatten(0, 1))
        for _ in range(halvings):
            steps = steps.step()
        values.append(steps.value().reshape(part.shape[:2]))
        bounds.append(steps.above().reshape(part.shape[:2]))
    return torch.cat(values), torch.cat(bounds)


def _power_mean(norms: Tensor, weights: Tensor, squarings: int) -> Tensor:
    """``(sum_w weight_w norm_w^p)^(1/p)`` of the largest group; p a power of two."""
    scale = float(norms.detach().max()) or 1.0
    powers = norms / scale
    for _ in range(squarings):
        powers = powers.square()
    mean = (weights * powers).sum(dim=0).max()
    for _ in range(squarings):
        mean = root(mean)
    return scale * mean
