"""Laws of what steps cost, fitted to steps that were measured, and tried on others."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple
from pathlib import Path

import numpy as np

from benchmarks.forecast_steps import StepTime
from convspec.arrays import FloatArray
from convspec.forecast.features import Features
from convspec.forecast.law import ANY, Law, terms
from convspec.forecast.machine import Machine
from convspec.report.limits import EFFORTS

__all__ = ["LAWS", "Laws", "fitted", "written"]

LAWS = Path(__file__).parents[1] / "convspec" / "forecast" / "laws.json"
Laws = dict[str, dict[str, Law]]

# of weights in the law: what keeps those that few layers decide small
RIDGE = 0.5
# of a logarithm: errors below count by their square, above by their size
NEAR = 0.15
ROUNDS = 40
LEAST_BYTES = 2.0**20  # that are told apart
USUAL = "default"
FEWEST = 5  # layers that a law is fitted to
DIGITS = 3


def fitted(steps: Iterable[StepTime]) -> Laws:
    """A law for each step and each effort; those of spectra stand under ``ANY``.

    Of few layers it is that of the usual effort, and what they say of the difference.
    """
    found: Laws = {effort: {} for effort in (ANY, *EFFORTS)}
    groups: dict[tuple[str, str], list[StepTime]] = defaultdict(list)
    for step in steps:
        groups[step.effort, step.step].append(step)
    for effort, name in sorted(groups, key=lambda key: key[0] != USUAL):
        group = groups[effort, name]
        if len(group) >= FEWEST:
            found[effort][name] = _law(group, found[USUAL].get(name))
    return found


def _law(steps: Sequence[StepTime], prior: Law | None) -> Law:
    features = [Features(**step.features) for step in steps]
    values = np.array([astuple(each) for each in features])
    weighed = np.array([terms(each) for each in features])
    seconds = np.log([step.seconds for step in steps])
    known = np.array([step.held is not None for step in steps])
    held = np.log([max(LEAST_BYTES, step.held or 0) for step in steps])
    least, most = values.min(0), values.max(0)
    none = np.zeros(weighed.shape[1])
    before = (none, none) if prior is None else (prior.seconds, prior.held)
    if prior is not None:
        least, most = np.minimum(least, prior.least), np.maximum(most, prior.most)
    return Law(
        _weights(weighed, seconds, before[0]),
        _weights(weighed[known], held[known], before[1]),
        least,
        most,
    )


def _weights(
    weighed: FloatArray, logarithms: FloatArray, before: FloatArray
) -> FloatArray:
    """Weights of the terms with least sum of errors, by least squares reweighed.

    Args:
        weighed: The terms, (layers, terms).
        logarithms: Of what was measured.
        before: Weights that these are to be near.
    """
    logarithms = logarithms - weighed @ before
    ridge = RIDGE * np.eye(weighed.shape[1])
    ridge[0, 0] = 1e-6
    weights = np.ones(len(weighed))
    found: FloatArray = np.zeros(weighed.shape[1])
    for _ in range(ROUNDS):
        left = weighed.T @ (weights[:, None] * weighed) + ridge
        found = np.linalg.solve(left, weighed.T @ (weights * logarithms))
        weights = 1 / np.maximum(np.abs(weighed @ found - logarithms), NEAR)
    return before + found


def written(laws: Laws, machine: Machine, path: Path = LAWS) -> None:
    """Write laws to the file that the package reads."""
    content = {
        "machine": {**asdict(machine), "name": ""},
        "laws": {
            effort: {step: _rounded(law) for step, law in steps.items()}
            for effort, steps in laws.items()
        },
    }
    path.write_text(
        json.dumps(content, indent=None, separators=(",", ":")).replace("]},", "]},\n")
        + "\n"
    )


def _rounded(law: Law) -> dict[str, list[float]]:
    return {
        name: [round(float(value), DIGITS) for value in values]
        for name, values in vars(law).items()
    }
