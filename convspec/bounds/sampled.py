"""The supremum of the symbol from its values on a grid."""

from __future__ import annotations

from torch import Tensor

from convspec.bounds.least import Candidate, least
from convspec.frequency.grid import Grid, Samples
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.kernel import ScaledKernel
from convspec.operators.operator import ConvOperator
from convspec.quantity.bound import Bound
from convspec.rounding import up
from convspec.rounding.largest import LargestNorm, norm
from convspec.rounding.waves import symbol_error
from convspec.tori.places import Setting, settings

__all__ = ["sampled_symbol"]


@isolated
def sampled_symbol(
    op: ConvOperator,
    samples: Samples = None,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Bound:
    """``sigma_1 <= factor max ||F(w)||`` over a grid of frequencies, F the symbol.

    The factor, ``prod_j min(1 / cos(pi x_j / 2), (1 - x_j)^(-1/2))`` with
    ``x_j = (lags_j - 1) / samples_j``, bounds how far ``||F||`` can rise between the
    samples: second order in the spacing, whatever the kernel. The result bounds the
    supremum of the symbol, so that it holds for all image sizes with zero padding;
    padding that shows pixels more than once enlarges it by the square root of how often.

    Differentiable in the weight through the sample at the maximum, where the gradient is
    that of the supremum up to the same factor; at ties, through one of them.

    Args:
        op: The operator.
        samples: Samples per axis, at least ``ceil(k / stride)``; by default 16 per lag in
            one dimension, 8 in two and 4 in three.
        max_bytes: Byte limit of what is held at a time.

    Source: Ehlich and Zeller 1964 for the cosine; Pfister and Bresler, "Bounding
    multivariate trigonometric polynomials", IEEE Trans. Signal Process. 67, 2019, for the
    root. See :func:`convspec.frequency.grid.sampling_factor` for the proofs.

    Raises:
        GeometryError: With fewer samples than lags, where nothing holds.
        TooLargeError: If the samples need more than ``max_bytes``.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> round(cs.bounds.sampled_symbol(op, samples=1000).upper, 4)
    4.0
    """
    max_bytes = byte_limit(max_bytes)
    kernel = ScaledKernel.of(op)
    flat = kernel.detached()
    real = not kernel.weight.is_complex()

    def bound(setting: Setting) -> Candidate:
        grid = Grid.sampled(setting.lags, samples, real, max_bytes)
        symbol = flat.symbol(setting.strides)
        found = LargestNorm.of(
            part.flatten(0, 1) for part in grid.blocks(symbol, max_bytes)
        )
        # the weight's own bound serves the folded one, whose taps are the same
        largest = up(found.above + symbol_error(flat.weight))
        upper = up(up(setting.factor * grid.factor) * largest)

        def value() -> Tensor:
            block = grid.block(kernel.symbol(setting.strides), found.index)
            return setting.factor * grid.factor * norm(block)

        return Candidate(upper, setting.words, value)

    best = least(map(bound, settings(kernel.axes)))
    return kernel.bound(
        "sampled_symbol",
        upper=best.upper,
        value=best.value(),
        assumptions=best.words,
        reference="Ehlich and Zeller 1964; Pfister and Bresler 2019",
    )
