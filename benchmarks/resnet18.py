"""All singular values of the 20 convolutions of a ResNet-18, circular, strides exact.

A strided layer keeps one output of ``s^2``. Its operator is decomposed exactly by its
polyphase form: the ``s^2`` phases of the image become channels of a layer of stride 1
(Senderovich et al., "Towards Practical Control of Singular Values of Convolutional
Layers", NeurIPS 2022). The published NumPy script knows no stride: it gives the spectrum
of the stride-1 layer on the input's grid, another operator with ``s^2`` times as many
values, and spends its time on that. It is timed for comparison and not judged; judged,
and what we compare ourselves with, are NumPy and torch on the polyphase kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from benchmarks.problem import Method, Problem, Target
from benchmarks.torus_layer import FloatArray, TorusLayer
from benchmarks.torus_methods import numpy_fft, ours, polyphase, torch_fft

__all__ = ["CONVOLUTIONS", "problem"]

# c_out, c_in, kernel, input size, stride, at 224 x 224
CONVOLUTIONS = (
    (64, 3, 7, 224, 2),
    *[(64, 64, 3, 56, 1)] * 4,
    (128, 64, 3, 56, 2),
    (128, 64, 1, 56, 2),
    *[(128, 128, 3, 28, 1)] * 3,
    (256, 128, 3, 28, 2),
    (256, 128, 1, 28, 2),
    *[(256, 256, 3, 14, 1)] * 3,
    (512, 256, 3, 14, 2),
    (512, 256, 1, 14, 2),
    *[(512, 512, 3, 7, 1)] * 3,
)
NUMPY = "NumPy fft2, polyphase"


def problem(
    convolutions: tuple[tuple[int, int, int, int, int], ...] = CONVOLUTIONS,
) -> Problem:
    """The spectra of all layers one after the other, normal weights."""
    layers = [
        TorusLayer.random(c_out, c_in, kernel, size, stride, seed)
        for seed, (c_out, c_in, kernel, size, stride) in enumerate(convolutions)
    ]
    return Problem(
        name="resnet18",
        title=f"all singular values of the {len(layers)} convolutions of a ResNet-18 "
        f"at {layers[0].size} x {layers[0].size}, circular, float64",
        methods=(
            Method(
                "convspec",
                "spectrum(ConvOperator(..., stride=...)) of each layer",
                lambda: [ours(layer) for layer in layers],
            ),
            Method(
                NUMPY,
                "fft2 of the polyphase kernel, SVD of every frequency's block",
                lambda: [_strided(numpy_fft, layer) for layer in layers],
                memory=False,
            ),
            Method(
                "torch fft2, polyphase",
                "the same in torch",
                lambda: [_strided(torch_fft, layer) for layer in layers],
                memory=False,
            ),
            Method(
                "NumPy fft2, published",
                "fft2 of the kernel on the input's grid, SVD of every block",
                lambda: [numpy_fft(layer.weight, layer.size) for layer in layers],
                other="the layers without their strides",
                memory=False,
            ),
        ),
        error=lambda found: max(
            (layer.error(values) for layer, values in zip(layers, found, strict=True)),
            default=math.nan,
        ),
        target=Target(faster=4.0, than=(NUMPY,), peak_bytes=2**30),
        memory=True,
        family="all singular values of a whole network, circular, float64",
        label=f"ResNet-18, {len(layers)} convolutions",
    )


def _strided(
    method: Callable[[Tensor, int], FloatArray], layer: TorusLayer
) -> FloatArray:
    """A method for stride 1 on the polyphase kernel and its smaller torus."""
    kernel = polyphase(layer.weight, layer.stride)
    return method(kernel, layer.frequencies)
