"""Batch normalisation behind a convolution, as a factor of each of its output channels.

In evaluation ``y -> gamma (y - mean) / sqrt(var + eps) + beta``, channel by channel: the
weights of a channel are multiplied by ``gamma / sqrt(var + eps)``, and the bias follows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from convspec.errors import GeometryError, NotFiniteError, UnsupportedLayer
from convspec.operators.layers import describe, is_lazy, overridden
from convspec.operators.weight import finite_tensor

__all__ = ["BatchNorm", "read_batch_norm"]

# by the spatial axes of what they normalise
BATCH_NORMS: dict[int, type[_BatchNorm]] = {
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}


@dataclass(frozen=True)
class BatchNorm:
    """A batch normalisation in evaluation.

    Attributes:
        mean: Of each channel; (c,).
        variance: Likewise.
        eps: Added to the variance.
        gamma: Factor of each channel, or None.
        beta: What is added to each, or None.
    """

    mean: Tensor
    variance: Tensor
    eps: float
    gamma: Tensor | None = None
    beta: Tensor | None = None

    def folded(
        self, weight: Tensor, bias: Tensor | None, transposed: bool, groups: int
    ) -> tuple[Tensor, Tensor]:
        """Weight and bias of a convolution with this behind it, in double precision.

        Args:
            weight: As torch stores it.
            bias: One number per output channel, or None.
            transposed: Whether the convolution is transposed.
            groups: Number of groups.
        """
        factor = 1 / torch.sqrt(self.variance.double() + self.eps)
        if self.gamma is not None:
            factor = factor * self.gamma.double()
        mean = self.mean.double()
        offset = torch.zeros_like(mean) if bias is None else bias.double()
        offset = (offset - mean) * factor
        if self.beta is not None:
            offset = offset + self.beta.double()
        return _scaled(weight, factor, transposed, groups), offset


def _scaled(weight: Tensor, factor: Tensor, transposed: bool, groups: int) -> Tensor:
    """The weight with each output channel times a factor; (c_out,)."""
    wide = torch.complex128 if weight.is_complex() else torch.float64
    weight = weight.to(wide)
    if not transposed:
        return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    parts = weight.reshape(groups, -1, *weight.shape[1:])  # (g, c_in / g, c_out / g, ...)
    parts = parts * factor.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
    return parts.reshape(weight.shape)


def read_batch_norm(layer: nn.Module, output_shape: tuple[int, ...]) -> BatchNorm:
    """What a batch norm layer does in evaluation to images of this shape.

    Raises:
        UnsupportedLayer: If it is none of torch's, computes something else, or
            normalises by the statistics of a batch, which is not linear.
        GeometryError: If it is for other channels or axes.
        NotFiniteError: If it holds NaN or infinity, or divides by zero.
    """
    channels, dim = output_shape[0], len(output_shape) - 1
    _require_evaluation(layer)
    assert isinstance(layer, _BatchNorm)
    if not isinstance(layer, BATCH_NORMS[dim]) or layer.num_features != channels:
        raise GeometryError(
            f"the batch norm must be a BatchNorm{dim}d of {channels} channels, which is "
            f"what the convolution gives; got {describe(layer)} of {layer.num_features}"
        )
    mean, variance, gamma, beta = (
        None if values is None else finite_tensor(name, values)
        for name, values in (
            ("running_mean", layer.running_mean),
            ("running_var", layer.running_var),
            ("weight of the batch norm", layer.weight),
            ("bias of the batch norm", layer.bias),
        )
    )
    assert mean is not None
    assert variance is not None
    least = float(variance.detach().double().min()) + layer.eps
    if least <= 0:
        raise NotFiniteError(
            "running_var + eps must be positive in every channel; the least is "
            f"{least:.4g}; repair or reload the statistics"
        )
    return BatchNorm(mean, variance, float(layer.eps), gamma, beta)


def _require_evaluation(layer: nn.Module) -> None:
    """Refuse what is no batch norm of torch, or not in evaluation."""
    base = next((k for k in BATCH_NORMS.values() if isinstance(layer, k)), None)
    if base is None:
        raise UnsupportedLayer(
            "the layer behind the convolution must be one of torch.nn.BatchNorm1d, "
            f"BatchNorm2d, BatchNorm3d; got {describe(layer)}; "
            + (
                "run it once on an input of the right shape first"
                if is_lazy(layer)
                else "for other linear layers use to_operator(module, input_shape)"
            )
        )
    method = overridden(layer, base, ("forward",))
    if method is not None:
        raise UnsupportedLayer(
            f"the batch norm must compute what torch.nn.{base.__name__} computes; "
            f"{describe(layer)} overrides {method}; scale the weight of the convolution "
            "by hand and give it to ConvOperator"
        )
    if layer.running_mean is None or layer.running_var is None:
        raise UnsupportedLayer(
            "the batch norm must have running statistics to be linear; "
            f"{describe(layer)} has track_running_stats=False and normalises by those of "
            "each batch; take the convolution alone, with from_layer"
        )
    if layer.training:
        raise UnsupportedLayer(
            "the batch norm must be in evaluation to be linear; "
            f"{describe(layer)} is in training and normalises by each batch; "
            "call .eval() on it"
        )
