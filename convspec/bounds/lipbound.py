"""The bound of trigonometric polynomials by the Frobenius norm over channels."""

from __future__ import annotations

import math

from torch import Tensor

from convspec.arguments import shown
from convspec.arrays import IntArray
from convspec.bounds.least import Candidate, least
from convspec.frequency.grid import Grid, Samples
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.autocorrelation import Autocorrelation
from convspec.operators.kernel import ScaledKernel
from convspec.operators.operator import ConvOperator
from convspec.operators.symbol import Symbol
from convspec.quantity.bound import Bound
from convspec.rounding import gamma, up
from convspec.rounding.norms import sum_above
from convspec.rounding.scaling import root
from convspec.rounding.waves import RATIONAL, sum_factor
from convspec.tori.places import Setting, settings

__all__ = ["lip_bound"]


@isolated
def lip_bound(
    op: ConvOperator,
    version: int = 2,
    samples: Samples = None,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
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
    max_bytes = byte_limit(max_bytes)
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
    rows = symbol.coefficients.flatten(0, 1)[:, None]  # each a group of its own
    sums = len(rows) if version == 1 else symbol.groups
    needed = Autocorrelation.bytes_of(rows, symbol.lags) + 40 * len(grid.index) * sums
    what = f"the products of pairs of {len(symbol.lags)} taps, and {len(grid.index)} sums"
    require_bytes(what, needed, max_bytes, "take fewer samples or version=2")
    squares = Autocorrelation.rounded(rows, symbol.lags)
    each = 16 * (len(squares.lags) + 2 * len(rows))
    what = f"the rows of the symbol at {len(grid.index):,} frequencies"
    needed = each * len(grid.index)
    require_bytes(what, needed, DEFAULT_MAX_BYTES, "ask for fewer samples", False)
    parts = squares.coefficients.reshape(len(squares.lags), symbol.groups, -1)
    parts = parts if version == 1 else parts.sum(dim=-1, keepdim=True)
    suprema = _on_grid(parts, squares.lags, grid).amax(dim=0)
    largest = suprema.sum(dim=-1).max()
    # of the sums with waves, and of those over rows
    factor = sum_factor(len(squares.lags), not real, RATIONAL) + gamma(2 * len(rows))
    error = squares.evaluation_error(factor).reshape(symbol.groups, -1)
    above = sum_above(suprema.detach().clamp(min=0), -1) + sum_above(error, -1)
    rounded = up(math.sqrt(up(float(above.max()))))
    factor = up(setting.factor * grid.factor)
    return Candidate(
        up(factor * rounded), setting.words, lambda: root(largest * factor**2)
    )


def _on_grid(half: Tensor, lags: IntArray, grid: Grid) -> Tensor:
    """``2 Re sum_q X_q exp(i <q, w>)``: (lags, g, r) -> (frequencies, g, r)."""
    symbol = Symbol(half.permute(1, 2, 0)[:, :, None], lags)
    return 2 * symbol.at_grid(grid.index, grid.sizes)[..., 0].real
