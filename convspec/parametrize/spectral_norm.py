"""Kernels divided by a certified upper bound of their operator's norm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from convspec.arguments import integer, per_axis, shown, single
from convspec.bounds.layer import operator_of
from convspec.errors import UnsupportedLayer
from convspec.isolation import isolated
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.layers import overridden, read_layer
from convspec.parametrize.proof import CHECKED, AtEverySize, AtOneSize, Proof, Prover
from convspec.rounding import frobenius_above, up

__all__ = ["CertifiedNorm", "spectral_norm"]

# in training wider kernels are proved anew the less often
CHANNELS = 16


def spectral_norm(
    layer: nn.Module,
    input_size: int | Sequence[int] | None = None,
    bound: float = 1.0,
    *,
    at_most: bool = False,
    slack: float = 0.05,
    every: int | None = None,
) -> nn.Module:
    """Divides the weight by a certified bound of the norm, so that ``sigma_1 <= bound``.

    ``torch.nn.utils.parametrizations.spectral_norm`` divides by the norm of the kernel
    reshaped to a matrix, as a power iteration finds it: twice too little, the norm of the
    layer may be up to ``sqrt(k^d)`` times more. Here the weight in force is
    ``bound W / c(W)``, c at least the norm of the convolution with its padding, stride,
    dilation and groups, at every forward pass, in training and after it.

    A proof of the norm holds for the weights nearby, by how far they are from it. It is
    made anew when that costs more than ``slack``, in training no more often than in every
    ``every``-th pass: until then c is larger, never too small. Where the weight moves
    slowly the norm is between 0.93 and 1 of the bound. The gradient of c is that of the
    norm of the last proof.

    The promise is of the weight in its own dtype: under ``torch.autocast`` a layer rounds
    it to 8 or 11 bits, and its norm may be that much more.

    Args:
        layer: A ``torch.nn`` convolution, transposed or not, or ``nn.Linear``; changed in
            place.
        input_size: Spatial size that the bound is for; all sizes unless told.
        bound: What the norm is to be at most.
        at_most: Whether a weight whose norm is no more than the bound is left as it is,
            rather than scaled up to it.
        slack: How far the weight may drift from its last proof, as a part of the norm.
        every: Passes in training from one proof to the next, at least. Unless told 1 for
            each 16 channels: a proof takes channels cubed, a pass channels squared.

    Returns:
        The layer; ``torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")``
        leaves it with the weight in force.

    Raises:
        UnsupportedLayer: For lazy, overridden and other layers.
        GeometryError: For sizes at which the layer itself would fail.
        NotFiniteError: If the weight holds NaN or infinity, now or in a forward pass.
        ValueError: If bound is not positive, or slack not between 0 and 1.

    Source: Miyato, Kataoka, Koyama and Yoshida, "Spectral normalization for generative
    adversarial networks", ICLR 2018, for the normalisation; the proofs are ours.

    Example:
        >>> import torch, convspec as cs
        >>> layer = torch.nn.Conv2d(3, 8, 3, padding=1)
        >>> layer = cs.parametrize.spectral_norm(layer)
        >>> 0.9 < cs.worst_case_norm(layer).upper <= 1
        True
    """
    prover = _prover(layer, input_size)
    single("bound", bound)
    if not 0 < bound < math.inf:
        raise ValueError(f"bound must be a positive number; got {shown(bound)}")
    single("slack", slack)
    if not 0 < slack < 1:
        raise ValueError(f"slack must be between 0 and 1; got {shown(slack)}")
    single("at_most", at_most, "truth value")
    if every is None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        every = max(1, max(weight.shape[:2]) // CHANNELS)
    every = integer("every", every, 1)
    scaling = CertifiedNorm(prover, float(bound), bool(at_most), float(slack), every)
    parametrize.register_parametrization(layer, "weight", scaling)
    return layer


def _prover(layer: nn.Module, input_size: int | Sequence[int] | None) -> Prover:
    if isinstance(layer, nn.Linear):
        method = overridden(layer, nn.Linear, ("forward",))
        if method is not None:
            raise UnsupportedLayer(
                f"the layer must compute what torch.nn.Linear computes; {layer} "
                f"overrides {method}"
            )
        return AtOneSize(ConvArguments(), (1,))
    found = read_layer(layer)
    if input_size is None:
        size = operator_of(layer).geometry
        pixels = (
            tuple(a.output for a in size.axes) if found.given.transposed else size.sizes
        )
        return AtEverySize(found.given, pixels)
    sizes = per_axis("input_size", input_size, found.weight.ndim - 2, least=1)
    prover = AtOneSize(found.given, sizes)
    prover.operator(found.weight)  # refuses sizes at which the layer would fail
    return prover


class CertifiedNorm(nn.Module):
    """The parametrization ``W -> bound W / c(W)``, see :func:`spectral_norm`.

    Attributes:
        bound: What the norm is at most.
        at_most: Whether kernels within the bound are left as they are.
        slack: How far the weight may drift from its last proof.
        every: Passes in training from one proof to the next, at least.
        proofs: How many proofs there were.
    """

    def __init__(
        self, prover: Prover, bound: float, at_most: bool, slack: float, every: int
    ) -> None:
        super().__init__()
        self.bound, self.at_most, self.slack, self.every = bound, at_most, slack, every
        self.proofs = self._passes = 0
        self._prover = prover
        self._proof: Proof | None = None

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, weight: Tensor) -> Tensor:
        """The weight in force; compiled models call it as it is."""
        above, slope = self.certified(weight.detach())
        if self.at_most and above <= self.bound:
            return weight
        if above <= self.bound / torch.finfo(weight.dtype).max:
            return weight  # of zeros, or so small that no number scales it up
        with torch.autocast(weight.device.type, enabled=False):
            # ``Re <slope, W>`` is the norm, from below, and has its gradient
            norm = (slope.conj() * weight).sum().real
            size = float(norm.detach())
            if size == 0:  # of a proof for zeros
                return weight * (self.bound / above)
            scaled: Tensor = weight * (self.bound / (norm * (above / size)))
            return scaled

    @isolated
    def certified(self, weight: Tensor) -> tuple[float, Tensor]:
        """``c(W)``, and a gradient of the norm, like the weight, which has none."""
        kernel = weight if weight.ndim > 2 else weight[..., None]  # of a linear layer
        wide = kernel.to(torch.complex128 if kernel.is_complex() else torch.float64)
        self._passes += 1
        proof = self._proof
        if proof is None or proof.weight.device != wide.device:
            proof = self._proved(wide)
        above = self._prover.near(proof, wide, self.slack)
        settled = above <= (1 + self.slack) * proof.above * _scale(wide, proof.weight)
        due = self._passes >= self.every or not self.training
        if not math.isfinite(above) or (due and not settled):  # or refuses the weight
            proof = self._proved(wide)
            above = proof.above
        slope = proof.slope.to(weight.dtype).reshape(weight.shape)
        return self._with_room(above, wide, weight.dtype), slope

    def _proved(self, weight: Tensor) -> Proof:
        self._proof = self._prover.prove(weight)
        self._passes, self.proofs = 0, self.proofs + 1
        return self._proof

    def _with_room(self, above: float, weight: Tensor, dtype: torch.dtype) -> float:
        """With what rounding of the weight in force, and of a check of it, may add."""
        eps = float(torch.finfo(dtype).eps)
        root = up(math.sqrt(self._prover.overlap(weight)))
        entries = up(eps * up(root * float(frobenius_above(weight.flatten(1)[None]))))
        return up(up(above * (1 + CHECKED + 8 * eps)) + entries) if above else 0.0

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is assigned is the weight that is to be scaled."""
        return weight


def _scale(weight: Tensor, other: Tensor) -> float:
    """How many times as long a kernel is, about."""
    length = float(torch.linalg.vector_norm(other))
    return float(torch.linalg.vector_norm(weight)) / length if length else 0.0
