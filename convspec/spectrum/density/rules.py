"""Reading rules of nodes and weights: shares above thresholds, their errors, blurs.

Kernels: arguments are trusted. Nodes and weights are (rules, steps), nodes descending.
"""

from __future__ import annotations

import math

import numpy as np

from convspec.arrays import FloatArray

__all__ = ["blurred", "share_errors", "shares_from", "step_shares"]


def shares_from(
    nodes: FloatArray, weights: FloatArray, thresholds: FloatArray
) -> FloatArray:
    """The share from each threshold up, by a rule of a continuous measure; (t,).

    Half of a node's weight lies on either side of it; linear between nodes and from 0 to
    the smallest one.

    Args:
        nodes: Of one rule, (steps,).
        weights: Of one rule, (steps,).
        thresholds: (t,).
    """
    keep = weights[::-1] > 0
    places, shares = nodes[::-1][keep], weights[::-1][keep]
    below = np.interp(
        thresholds,
        np.append(0.0, places),
        np.append(0.0, np.cumsum(shares) - shares / 2),
        left=0.0,
        right=1.0,
    )
    found: FloatArray = 1.0 - below
    return found


def step_shares(
    nodes: FloatArray, weights: FloatArray, thresholds: FloatArray
) -> FloatArray:
    """The share from each threshold up, by a rule that is the measure; (t,)."""
    tails = np.append(np.cumsum(weights)[::-1], 0.0)  # from the j-th smallest node up
    found: FloatArray = tails[np.searchsorted(nodes[::-1], thresholds, side="left")]
    return found


def share_errors(
    nodes: FloatArray, weights: FloatArray, thresholds: FloatArray
) -> FloatArray:
    """Bounds on the error of :func:`shares_from` for the measure of the rule; (t,).

    Chebyshev, Markov and Stieltjes: the share below a node is at least the weight of the
    nodes before it, and the share up to it at most that with its own.
    """
    padded = np.concatenate([[0.0], weights[::-1], [0.0]])
    above = np.searchsorted(nodes[::-1], thresholds, side="left")
    left, right = padded[above], padded[above + 1]
    bound: FloatArray = np.maximum(left + right / 2, left / 2 + right)
    return np.where(thresholds > 0, bound, 0.0)


def blurred(
    places: FloatArray, nodes: FloatArray, weights: FloatArray, width: float, log: bool
) -> FloatArray:
    """One rule's density, blurred by a Gaussian, at some places; (places,).

    Reflected at 0; with ``log`` the places are logarithms, and nodes of 0 are left out.
    """
    total = np.zeros(len(places))
    keep = (weights > 0) & (nodes > 0) if log else weights > 0
    nodes, weights = nodes[keep], weights[keep]
    if log:
        nodes = np.log(nodes)
    for first in range(0, len(nodes), 1024):  # in pieces: a symbol has many nodes
        x, w = nodes[first : first + 1024], weights[first : first + 1024]
        total += np.exp(-(((places[:, None] - x) / width) ** 2) / 2) @ w
        if not log:
            total += np.exp(-(((places[:, None] + x) / width) ** 2) / 2) @ w
    return total / (width * math.sqrt(2 * math.pi))
