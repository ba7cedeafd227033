"""Published ways to a network's Lipschitz constant, written from their papers.

All take the matrices ``W_1, ..., W_K`` of a network ``W_K relu(... relu(W_1 x))``, and
give a number for ``L = sup |f(x) - f(y)| / |x - y|``, l2 to l2. None of the numbers is
certified: norms are those of power iterations, which stay below, where the papers compute
them so, and semidefinite programs are solved to the solver's tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.problem import Unavailable

__all__ = ["auto_lip", "best_masks", "greedy_seq_lip", "lip_lt", "lip_sdp", "power_norm"]

Matrix = NDArray[Any]
POWER_STEPS = 100
# relative gain that is none
ROUNDED = 1e-12


def power_norm(matrix: Matrix, steps: int = POWER_STEPS) -> float:
    """``|A v|`` after steps of the power iteration on ``A^T A``: at most ``|A|``."""
    v = np.random.default_rng(0).standard_normal(matrix.shape[1])
    for _ in range(steps):
        v = matrix.T @ (matrix @ (v / np.linalg.norm(v)))
    return float(np.linalg.norm(matrix @ v) / np.linalg.norm(v))


def auto_lip(weights: Sequence[Matrix]) -> float:
    """``prod_k |W_k|`` by power iterations: the product, estimated from below.

    Source: Virmaux and Scaman, NeurIPS 2018, algorithm 2 (AutoLip on a sequence).
    """
    return float(np.prod([power_norm(each) for each in weights]))


def greedy_seq_lip(weights: Sequence[Matrix]) -> float:
    """``prod_k max_m |S_{k+1} V_{k+1}^T diag(m) U_k S_k|`` over masks m, greedily.

    ``W_k = U_k S_k V_k^T``; of inner layers each side takes the root of ``S_k``. The
    maximum would bound L; a greedy search, from all ones one flip of most gain at a time,
    need not find it, and its product is no bound.

    Source: Virmaux and Scaman, NeurIPS 2018, eq. 9 and section 5.
    """
    last = len(weights) - 1
    svds = [np.linalg.svd(each, full_matrices=False) for each in weights]
    found = 1.0
    for k in range(last):
        u, s, _ = svds[k]
        _, t, vh = svds[k + 1]
        left = (t if k + 1 == last else np.sqrt(t))[:, None] * vh
        right = u * (s if k == 0 else np.sqrt(s))
        found *= _flipped(left, right, np.ones(len(right)))[0]
    return found


def _flipped(left: Matrix, right: Matrix, mask: Matrix) -> tuple[float, Matrix]:
    """``|left diag(m) right|`` and m, from a mask, where no single flip increases it."""
    mask = mask.copy()
    product = left @ (mask[:, None] * right)
    best = float(np.linalg.norm(product, 2))
    singles = np.einsum("ij,jk->jik", left, right)
    while True:
        tried = product + (1 - 2 * mask)[:, None, None] * singles
        norms = np.linalg.norm(tried, 2, axis=(1, 2))
        j = int(norms.argmax())
        if norms[j] <= best * (1 + ROUNDED):
            return best, mask
        best, product = float(norms[j]), tried[j]
        mask[j] = 1 - mask[j]


def lip_lt(weights: Sequence[Matrix]) -> float:
    """``b_K``, ``b_k = 2^(1-k) |W_k ... W_1| + sum_{j<k} 2^(j-k) |W_k ... W_{j+1}| b_j``.

    ``relu(z) = z / 2 + psi(z)`` with ``|psi(z) - psi(z')| <= |z - z'| / 2``. The norms
    are those of power iterations.

    Source: Fazlyab, Entesari, Roy and Chellappa, NeurIPS 2023, theorem 1.
    """
    bounds: list[float] = []
    for k in range(1, len(weights) + 1):
        parts = [
            power_norm(_composed(weights[j:k])) * 0.5 ** (k - max(j, 1)) for j in range(k)
        ]
        before = [1.0, *bounds]
        bounds.append(sum(a * b for a, b in zip(parts, before, strict=True)))
    return bounds[-1]


def _composed(weights: Sequence[Matrix]) -> Matrix:
    """``W_k ... W_1``."""
    return reduce(lambda before, each: each @ before, weights)


def lip_sdp(weights: Sequence[Matrix]) -> float:
    """``sqrt(rho)`` of LipSDP-Neuron, with diagonal multipliers ``T_k >= 0``.

    The least rho for which ``-rho |x|^2 + |W_K z_{K-1}|^2 - 2 sum_k z_k^T T_k (z_k - W_k
    z_{k-1})`` is negative semidefinite in ``x = z_0, ..., z_{K-1}``: slopes in [0, 1].

    Raises:
        Unavailable: Without cvxpy and Clarabel, or where the solver fails.

    Source: Fazlyab, Robey, Hassani, Morari and Pappas, NeurIPS 2019, theorem 2.
    """
    try:
        cp: Any = import_module("cvxpy")
        import_module("clarabel")
    except ImportError as error:
        raise Unavailable("cvxpy is not installed; install convspec[sdp]") from error
    # of x only the part that W_1 reads matters; norms do not change
    first = np.linalg.qr(weights[0].T)[1].T
    *hidden, last = [first, *weights[1:]]
    widths = [first.shape[1], *(each.shape[0] for each in hidden)]
    scale = float(np.prod([np.linalg.norm(each, 2) for each in weights])) ** 2
    rho = cp.Variable()
    places = np.split(np.eye(sum(widths)), np.cumsum(widths)[:-1])
    form = -rho * scale * places[0].T @ places[0]
    form += places[-1].T @ last.T @ last @ places[-1]
    for k, weight in enumerate(hidden):
        multiplier = scale * cp.diag(cp.Variable(len(weight), nonneg=True))
        cross = places[k + 1].T @ multiplier @ weight @ places[k]
        form += cross + cross.T - 2 * places[k + 1].T @ multiplier @ places[k + 1]
    problem = cp.Problem(cp.Minimize(rho), [(form + form.T) / 2 << 0])
    try:
        problem.solve(solver=cp.CLARABEL)
    except cp.error.SolverError as error:
        raise Unavailable(f"the solver failed: {error}") from error
    if rho.value is None:
        raise Unavailable(f"the solver ended as {problem.status}")
    return float(np.sqrt(rho.value * scale))


def best_masks(weights: Sequence[Matrix], starts: int = 100, seed: int = 0) -> float:
    """The largest ``|W_K D_{K-1} ... D_1 W_1|`` found over 0/1 diagonals ``D_k``.

    From random masks: singular vectors u, v of the largest value, then the masks, layer
    by layer, that maximise ``u^T W_K ... W_1 v``, until nothing changes; the best of all
    starts with single flips, too. No bound that knows slopes in [0, 1] alone is less.
    With one hidden layer and ``W_1`` of full row rank every mask is some input's, and
    what is found is a lower end of L.
    """
    generator = np.random.default_rng(seed)
    widths = [len(each) for each in weights[:-1]]
    first = [np.ones(width) for width in widths]
    others = [
        [generator.integers(0, 2, width).astype(float) for width in widths]
        for _ in range(starts - 1)
    ]
    best, masks = max(
        (_climbed(weights, each) for each in [first, *others]), key=lambda pair: pair[0]
    )
    while True:
        for k in range(len(masks)):
            left, right = _around(weights, masks, k)
            masks[k] = _flipped(left, right, masks[k])[1]
        more, masks = _climbed(weights, masks)
        if more <= best * (1 + ROUNDED):
            return best
        best = more


def _climbed(
    weights: Sequence[Matrix], given: list[Matrix]
) -> tuple[float, list[Matrix]]:
    """The norm where singular vectors and masks fit each other, and the masks."""
    masks, before, reached = list(given), list(given), -1.0
    while True:
        left, right = _around(weights, masks, 0)
        u, s, vh = np.linalg.svd(left @ (masks[0][:, None] * right))
        if s[0] <= reached * (1 + ROUNDED):
            return reached, before
        reached, before = float(s[0]), list(masks)
        for k in range(len(masks)):
            left, right = _around(weights, masks, k)
            masks[k] = ((u[:, 0] @ left) * (right @ vh[0]) > 0).astype(float)


def _around(
    weights: Sequence[Matrix], masks: Sequence[Matrix], k: int
) -> tuple[Matrix, Matrix]:
    """Matrices L, R of ``L D_k R``, with all other masks in them."""
    pairs = zip(masks, weights[:-1], strict=True)
    masked = [mask[:, None] * each for mask, each in pairs]
    right = _composed([*masked[:k], weights[k]])
    return _composed([*masked[k + 1 :], weights[-1]]), right
