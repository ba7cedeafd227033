"""The bound of trigonometric polynomials by the Frobenius norm over channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.arguments import shown
from convspec.arrays import IntArray
from convspec.bounds.least import Candidate, least
from convspec.frequency.grid import Grid, Samples
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, require_bytes
from convspec.operators.kernel import ScaledKernel
from convspec.operators.lags import lag_differences
from convspec.operators.operator import ConvOperator
from convspec.operators.symbol import Symbol
from convspec.quantity.bound import Bound
from convspec.rounding import gamma, up
from convspec.rounding.scaling import root
from convspec.tori.places import Setting, settings

__all__ = ["lip_bound"]


@isolated
def lip_bound(
    op: ConvOperator,
    version: int = 2,
    samples: Samples = None,
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Bound:
    """Version 2: ``sup_w ||F(w)||_F``; version 1: ``sqrt(sum_i sup_w ||F_i(w)||^2)``.

    Both bound ``sup_w ||F(w)||``, F the symbol and ``F_i`` its row of output channel i;
    with C channels they lose up to ``sqrt(C)``. The suprema are bounded by the maximum
    over distinct samples ``2 pi j / N`` times the factor of :func:`sampled_symbol`, which
    is sharper than the one published, ``1 / (1 - 2 floor(k / 2) / N)``. Published code
    samples both ends of [0, 2 pi], so N - 1 frequencies, with the factor of N: below the
    truth for few samples; and its default, version 1 in torch, leaves the factor out.

    Differentiable in the weight through the samples at the maximum, one for all rows or
    one for each, with gradient 0 at zero; at ties between frequencies or groups the mean
    of their gradients, a subgradient.

    Args:
        op: The operator.
        version: 1 or 2; 2 is never larger.
        samples: Samples per axis, as for :func:`sampled_symbol`.
        max_bytes: Byte limit of what is held at a time.

    Source: Araujo, Negrevergne, Chevaleyre and Atif, "On Lipschitz regularization of
    convolutional layers using Toeplitz matrix theory", AAAI 2021.

    Raises:
        ValueError: For another version.
        GeometryError: With fewer samples than lags, where nothing holds.
        TooLargeError: If the samples, or the products of all pairs of taps, need more
            than ``max_bytes``.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> round(cs.bounds.lip_bound(op, samples=1000).upper, 4)
    4.0
    """
    if version not in (1, 2):
        raise ValueError(f"version must be 1 or 2; got {shown(version)}")
    kernel = ScaledKernel.of(op)
    best = least(
        _candidate(kernel, setting, samples, version, max_bytes)
        for setting in settings(kernel.axes)
    )
    return kernel.bound(
        "lip_bound" if version == 2 else "lip_bound_v1",
        upper=best.upper,
        value=best.value(),
        assumptions=best.words,
        reference="Araujo et al. 2021",
    )


def _candidate(
    kernel: ScaledKernel,
    setting: Setting,
    samples: Samples,
    version: int,
    max_bytes: int,
) -> Candidate:
    """The bound on the norm by one way to read the padding."""
    real = not kernel.weight.is_complex()
    grid = Grid.sampled(setting.lags, samples, real, max_bytes)
    symbol = kernel.symbol(setting.strides)
    needed = _bytes(symbol, len(grid.index), version)
    what = f"the products of pairs of {len(symbol.lags)} taps, and {len(grid.index)} sums"
    require_bytes(what, needed, max_bytes, "take fewer samples or version=2")
    lags, rows = _autocorrelation(symbol)
    each = 16 * (len(lags) + 2 * rows.shape[0] * rows.shape[1])
    what = f"the rows of the symbol at {len(grid.index):,} frequencies"
    needed = each * len(grid.index)
    require_bytes(what, needed, DEFAULT_MAX_BYTES, "ask for fewer samples", False)
    parts = rows if version == 1 else rows.sum(dim=1, keepdim=True)
    largest = _on_grid(parts, lags, grid).amax(dim=0).sum(dim=-1).max()
    # |error| <= gamma sum_tu |K_t| |K_u|, of sums over channels and lags and of the waves
    taps = torch.linalg.vector_norm(symbol.coefficients.detach(), dim=2)
    terms = sum(symbol.block_shape) + 3 * len(lags) + 16 * (symbol.dim + 2) ** 2
    error = up(gamma(4 * terms) * float(taps.sum(dim=-1).square().sum(dim=-1).max()))
    rounded = up(math.sqrt(up(max(0.0, float(largest.detach())) + error)))
    factor = up(setting.factor * grid.factor)
    return Candidate(
        up(factor * rounded), setting.words, lambda: root(largest * factor**2)
    )


def _bytes(symbol: Symbol, frequencies: int, version: int) -> int:
    """Of the products of pairs of taps, twice, their places, and values of the sums."""
    rows = symbol.groups * symbol.block_shape[0]
    pairs = len(symbol.lags) ** 2
    products = 2 * symbol.coefficients.element_size() * rows + 24 * (symbol.dim + 1)
    values = 40 * frequencies * (rows if version == 1 else symbol.groups)
    return pairs * products + values


def _autocorrelation(symbol: Symbol) -> tuple[IntArray, Tensor]:
    """``r_q = sum_t <K_t, K_(t+q)>`` of each row: ``||F_i(w)||^2 = sum_q r_q e^iqw``.

    Returns:
        The lags q, (j, d), and the coefficients, (groups, rows, j).
    """
    lags, place = lag_differences(symbol.lags)
    folded = symbol.coefficients
    products = torch.einsum("grct,grcu->grtu", folded.conj(), folded).flatten(2)
    sums = products.new_zeros((*products.shape[:2], len(lags)))
    return lags, sums.index_add(2, torch.as_tensor(place.reshape(-1)), products)


def _on_grid(coefficients: Tensor, lags: IntArray, grid: Grid) -> Tensor:
    """``sum_q r_q exp(i <q, w>)``, which is real; (frequencies, groups, rows)."""
    return (
        Symbol(coefficients[:, :, None, :], lags)
        .at_grid(grid.index, grid.sizes)[..., 0]
        .real
    )
