"""The largest singular value of zero-padded 3 x 3 layers, to a relative 1e-6."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from benchmarks.kernels import kernel
from benchmarks.krylov_solvers import LargestValues, ours, power_iteration, scipy_svds
from benchmarks.problem import Method, Problem, Target
from convspec import ConvOperator

__all__ = ["CASES", "SOLVERS", "TOLERANCES", "norm_problem", "problem", "solver_problem"]

SOLVERS = ("arpack", "propack", "lobpcg")
# loosest first, in steps of about two: a tolerance is far from the error it gives
TOLERANCES = tuple(
    digit * 10.0**-power for power in range(1, 7) for digit in (1, 0.5, 0.2)
)
STEPS = (50, 100, 200, 400, 800)

# kernel, channels, size, how many times faster than the best of SciPy's solvers
CASES: dict[str, tuple[str, int, int, float]] = {
    "norm_trained_64": ("trained", 64, 56, 10.0),
    "norm_trained_128": ("trained", 128, 28, 10.0),
    "norm_peaked_256": ("peaked", 256, 14, 10.0),
    "norm_peaked_512": ("peaked", 512, 14, 10.0),
    "norm_gaussian_64": ("gaussian", 64, 56, 3.0),
}


def problem(name: str) -> Problem:
    """One of the cases at its full size.

    Raises:
        Unavailable: If trained weights cannot be fetched.
    """
    kind, channels, size, faster = CASES[name]
    return norm_problem(name, kind, kernel(kind, channels), size, faster)


def norm_problem(
    name: str, kind: str, weight: Tensor, size: int, faster: float | None = None
) -> Problem:
    """sigma_1 of a layer with padding 1, each method at the loosest tolerance that does.

    Args:
        name: Of the problem.
        kind: Of kernel, for the title.
        weight: (c_out, c_in, 3, 3) in float64.
        size: Input pixels per axis.
        faster: The target.
    """
    op = ConvOperator(weight, size, padding=1)
    sought = LargestValues(op, 1)
    squaring = Method(
        "power iteration",
        "v <- A^T A v from a random start, stopped at the least of its numbers "
        "of steps that is enough, which no user would know",
        lambda steps: power_iteration(op, int(steps)),
        settings=STEPS,
        setting="steps",
        gives_up=True,
    )
    methods = (*solver_methods(sought, TOLERANCES), squaring)
    return solver_problem(name, "sigma_1", kind, sought, methods, faster)


def solver_problem(
    name: str,
    what: str,
    kind: str,
    sought: LargestValues,
    methods: tuple[Method, ...],
    faster: float | None,
) -> Problem:
    """The problem of finding the largest values to 1e-6, against SciPy's solvers.

    Args:
        name: Of the problem.
        what: Is sought, for the title.
        kind: Of kernel, for the title.
        sought: The values of a layer with a square image.
        methods: Of all who try.
        faster: The target.
    """
    c_out, c_in = sought.op.weight.shape[:2]
    size = sought.op.input_shape[-1]
    label = f"{kind}, {c_in} -> {c_out}, {size} x {size}"
    return Problem(
        name=name,
        title=f"{what}, to a relative 1e-6, of a zero-padded 3 x 3 layer, {label}, "
        "float64",
        methods=methods,
        error=sought.error,
        target=Target(faster=faster, than=tuple(f"svds {name}" for name in SOLVERS)),
        family=f"{what} to 1e-6, zero padding, 3 x 3, float64",
        label=label,
    )


def solver_methods(
    sought: LargestValues, tolerances: tuple[float, ...]
) -> tuple[Method, ...]:
    """Ours and SciPy's solvers on the same operator, at a ladder of tolerances."""
    op, count = sought.op, sought.count
    return (
        Method(
            "convspec",
            f'spectrum(op, {count}, method="krylov", rtol=...)',
            partial(ours, op, count),
            settings=tolerances,
            setting="rtol",
        ),
        *(
            Method(
                f"svds {solver}",
                f'svds(op.to_scipy(), {count}, solver="{solver}", tol=...)',
                partial(scipy_svds, op, count, solver),
                settings=tolerances,
                gives_up=True,
            )
            for solver in SOLVERS
        ),
    )
