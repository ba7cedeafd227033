"""All singular values of circular convolutions of stride 1."""

from __future__ import annotations

from typing import Any

from benchmarks.floor import numpy_floor, torch_floor
from benchmarks.problem import Method, Problem, Target
from benchmarks.torus_layer import HalfSpectrum, TorusLayer
from benchmarks.torus_methods import direct_symbol, numpy_fft, ours, torch_fft

__all__ = ["CASES", "circular_problem", "problem"]

NUMPY = "NumPy fft2"
FLOORS = ("floor NumPy", "floor torch")

# c_out, c_in, kernel, size, how many times faster than NumPy, most times the floor
CASES: dict[str, tuple[int, int, int, int, float, float | None]] = {
    "circular_64": (64, 64, 3, 56, 3.5, 1.15),
    "circular_128": (128, 128, 3, 28, 4.0, 1.15),
    "circular_256": (256, 256, 3, 14, 5.0, 1.15),
    "circular_512": (512, 512, 3, 7, 2.5, 1.15),
    "circular_stem": (64, 3, 7, 112, 12.0, None),
}


def problem(name: str) -> Problem:
    """One of the cases at its full size."""
    c_out, c_in, kernel, size, faster, over_floor = CASES[name]
    layer = TorusLayer.random(c_out, c_in, kernel, size)
    target = Target(faster=faster, than=(NUMPY,), over_floor=over_floor)
    return circular_problem(name, layer, target)


def circular_problem(name: str, layer: TorusLayer, target: Target) -> Problem:
    """All singular values of a layer of stride 1, from its weight."""
    weight, size = layer.weight, layer.size
    c_out, c_in = weight.shape[:2]

    def error(found: Any) -> float:
        return layer.error(found.all if isinstance(found, HalfSpectrum) else found)

    return Problem(
        name=name,
        title=f"all singular values of {layer}",
        methods=(
            Method(
                "convspec",
                "spectrum(ConvOperator(...)), the operator made in the timed body",
                lambda: ours(layer),
            ),
            Method(
                NUMPY,
                "fft2 of the kernel, SVD of every frequency's block: the published way",
                lambda: numpy_fft(weight, size),
            ),
            Method("torch fft2", "the same in torch", lambda: torch_fft(weight, size)),
            Method(
                "direct symbol",
                "every frequency's block as a sum over taps (LFA), NumPy SVD of each",
                lambda: direct_symbol(weight, size),
            ),
            Method(
                FLOORS[0],
                "only NumPy's LAPACK on half of the blocks, made beforehand; a thread "
                "per core",
                lambda: numpy_floor(layer),
            ),
            Method(FLOORS[1], "the same with torch's LAPACK", lambda: torch_floor(layer)),
        ),
        error=error,
        target=target,
        family="all singular values, circular, float64",
        label=f"{c_in} -> {c_out}, {size} x {size}, {layer.kernel} x {layer.kernel}",
        floors=FLOORS,
    )
