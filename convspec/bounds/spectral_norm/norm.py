"""The spectral norm of a convolution between two certified numbers."""

from __future__ import annotations

import math

from convspec.arguments import shown
from convspec.bounds.spectral_norm.composed import composed_norm
from convspec.bounds.spectral_norm.composition import PartNorms
from convspec.bounds.spectral_norm.lower import group_lower, leading
from convspec.bounds.spectral_norm.mirrored import mirrored_norm
from convspec.bounds.spectral_norm.search import Search
from convspec.bounds.spectral_norm.smaller import norm_by_smaller_image
from convspec.bounds.spectral_norm.steps import Proof, climb
from convspec.errors import TooLargeError
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.kernel import ScaledKernel, scaled_up
from convspec.operators.linear_map import LinearMap, require_map
from convspec.operators.operator import ConvOperator, require_operator
from convspec.operators.reduce import Reduction
from convspec.operators.undilated import undilated
from convspec.quantity.bound import Bound
from convspec.rounding import down, up
from convspec.run.budget import Budget

__all__ = ["norm_within", "spectral_norm"]

MAX_FLOPS = 1e12
# of a map's convolutions: the gap at which their norms are left, and what each may take
# of the operations that are left
PART_RTOL, PART_SHARE = 1e-3, 0.1
MIRRORED = "both ends: all frequencies of cosines and sines"
REFERENCE = (
    "lower end by Lanczos; upper end by Cholesky tests (Rump 2006) of the operator or of "
    "tori that it is a compression of (Thompson 1972), or from Krylov vectors and a count"
    " on tori (Lehmann 1949), or from the inertia of one (Haynsworth 1968)"
)


@isolated
def spectral_norm(
    op: LinearMap,
    rtol: float = 1e-6,
    *,
    max_flops: float = MAX_FLOPS,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Bound:
    """``lower <= sigma_1(A) <= upper``, certified, for any convolution.

    Below, ``||A v|| / ||v||`` for a vector v found by Krylov subspaces, rounded down.
    Above, the first of these that proves ``sigma_1 <= (1 + rtol) lower``, or the best:

    * counting: the unfolded kernel times the root of how often a pixel is read, and
      Schur's test;
    * the operator itself: a banded Cholesky factorisation of ``gamma^2 I - A^H A``, for
      every padding mode, down to a gap of about 1e-10;
    * counting on tori: zero padding is a submatrix of a slightly larger circulant,
      whatever the phase of its wrapped entries. A phase that puts a peak of the symbol on
      the torus leaves few of its singular values above some level below sigma_1, and A
      has no more of them; as many Krylov vectors then bound sigma_1 from above up to the
      square of their residuals (Lehmann 1949), to a gap of 1e-9 and less;
    * the norms of tori, with a phase such that the peak lies between their frequencies.
      Branch and bound over continuous frequency excludes most of them, the others are
      tested one by one;
    * the inertia of a torus and of its inverse on the rows and columns that A does not
      have (Haynsworth 1968), down to a gap of 1e-5, where neither rows nor pixels repeat:
      for random kernels on small images, whose tori have many values above A's;
    * tori along some axes only, the others as they are;
    * the supremum of the symbol, where a torus is too large.

    Reflect and replicate padding that is too large for the first two is split into
    overlapping pieces, which hold one border or none. That leaves a gap of about
    ``(8 / size)^2``, as measured: 2e-2 at 56 x 56 with 32 channels, 1.3e-3 at 224 x 224
    with 4. Circular padding in excess, or with a stride that does not divide the size,
    has tori along some axes only, which left 0.1 at 24 to 32 channels and 48 to 57
    pixels.

    Where not even Krylov vectors fit, zero padding still gives both ends: a smaller image
    of the same kernel below, whose operator is a submatrix, and the supremum above.

    Dilated axes with zero padding are direct sums over residue classes: of these the
    undilated convolutions that are no part of others are bounded, each with its share of
    the budget.

    Of a product, a sum or a stack of operators the upper end is a Cholesky test of its
    matrix, dense or in a band, with what forming that rounds; or, where it is too large,
    what the norms of the parts say: products of them, and sums. Convolutions of one torus
    behind each other are joined by their symbols first.

    Where padding mirrors as a kernel that is even or odd does, the singular values are
    those of the symbol at some frequencies: both ends come from all of them.

    Each is skipped where it would exceed what is left of the budget. Where the target is
    not reached both ends hold all the same: see ``bound.gap``. ``bound.assumptions`` says
    what the upper end came from.

    Args:
        op: The operator, or a map composed of some.
        rtol: Relative gap to stop at; it decides how hard to work.
        max_flops: Operations to spend on the upper end, about; 1e12 are a minute or two
            on one core. Krylov products for the lower end may take as many, beside.
        max_bytes: Byte limit of what is held at a time, a number or ``"2 GiB"``.

    Raises:
        TooLargeError: If not even the fewest Krylov vectors fit ``max_bytes``, and the
            norm of a smaller image says nothing of it, as with other padding than zeros.
        ValueError: If rtol is not in (0, 1), or a budget not positive.

    Example:
        >>> import torch, convspec as cs
        >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 3, padding=1)
        >>> bound = cs.spectral_norm(op)
        >>> 2 + 2**0.5 in bound, bound.gap < 1e-6
        (True, True)
    """
    max_bytes = byte_limit(max_bytes)
    _check(rtol, max_flops, max_bytes)
    budget = Budget(max_flops, max_bytes)
    require_map(op, "a bound")
    if isinstance(op, ConvOperator):
        return norm_within(op, rtol, budget)

    def of_convolution(part: ConvOperator) -> float:
        share = Budget(PART_SHARE * max(0.0, budget.left), max_bytes)
        upper = norm_within(part, PART_RTOL, share).upper
        budget.take(share)
        return upper

    return composed_norm(op, rtol, budget, PartNorms(of_convolution))


def norm_within(
    op: ConvOperator,
    rtol: float,
    budget: Budget,
    known: Bound | None = None,
) -> Bound:
    """The norm within what is left of a budget, see :func:`spectral_norm`.

    Args:
        op: The operator.
        rtol: Relative gap to stop at.
        budget: What the steps to the upper end may take, and have taken.
        known: Ends of the norm that are known; nothing is done where they suffice.
    """
    require_operator(op, "a bound")
    parts = undilated(op)
    if len(parts) == 1:
        return _bound(parts[0], rtol, budget, known)
    bounds = []
    for done, part in enumerate(parts):
        share = budget.divided(len(parts) - done)
        bounds.append(_bound(part, rtol, share, known))
        budget.take(share)
    return Bound(
        max(bound.lower for bound in bounds),
        max(bound.upper for bound in bounds),
        "spectral_norm",
        " and ".join(dict.fromkeys(bound.assumptions for bound in bounds)),
        REFERENCE,
    )


def _bound(op: ConvOperator, rtol: float, budget: Budget, known: Bound | None) -> Bound:
    """The bound on one summand."""
    kernel = ScaledKernel.of(op)
    if not kernel.weight.detach().any():
        return kernel.bound(
            "spectral_norm", upper=0.0, assumptions="zero weights", reference=REFERENCE
        )
    core, root = kernel.essential()
    reduced = Reduction.of(core.operator)
    ends = mirrored_norm(reduced, rtol, budget)
    if ends is not None:
        return _scaled(kernel, *ends, root, MIRRORED)
    above = _core_upper(known, kernel.exponent, root)
    try:
        found = leading(core, rtol, max_flops=budget.left, max_bytes=budget.bytes)
    except TooLargeError:
        ends_known = {} if known is None else {known.name: above}
        smaller = norm_by_smaller_image(core, rtol, budget, ends_known)
        if smaller is None:
            raise
        return _scaled(kernel, *smaller[:2], root, smaller[2])
    search = Search.of(reduced, found.lower, rtol, budget)
    if known is not None and above < math.inf:
        search.include_open(above, known.name)
    climb(Proof(search, core, found, rtol))
    lower = found.lower
    if not search.done and reduced.groups > 1:  # the vector may be of another group
        group = int(search.upper.argmax())
        lower = max(lower, group_lower(core, group, rtol, budget.flops, budget.bytes))
    words = "upper end: " + " and ".join(dict.fromkeys(search.used))
    return _scaled(kernel, lower, float(search.upper.max()), root, words)


def _core_upper(known: Bound | None, exponent: int, root: float) -> float:
    """What is known of the norm, as an end of that without axes that factor out."""
    if known is None or known.upper == math.inf:
        return math.inf
    above = scaled_up(known.upper, -exponent)
    return above if root == 1 else up(above / down(root, 2))


def _scaled(
    kernel: ScaledKernel, lower: float, upper: float, root: float, words: str
) -> Bound:
    """The ends of the operator from those without the axes that factor out."""
    if root != 1:
        lower, upper = down(lower * down(root, 2)), up(upper * root)
    return kernel.bound(
        "spectral_norm",
        lower=lower,
        upper=max(upper, lower),
        assumptions=words,
        reference=REFERENCE,
    )


def _check(rtol: float, max_flops: float, max_bytes: float) -> None:
    if not 0 < rtol < 1:
        raise ValueError(f"rtol must be between 0 and 1; got {shown(rtol)}")
    for name, value in (("max_flops", max_flops), ("max_bytes", max_bytes)):
        if not value > 0:
            raise ValueError(f"{name} must be positive; got {shown(value)}")
