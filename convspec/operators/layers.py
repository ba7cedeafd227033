"""Reading torch layers: the weight in force and the arguments of a convolution."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from convspec.errors import GeometryError, UnsupportedLayer
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.linear_map import LinearMap

__all__ = [
    "LayerArguments",
    "arguments_of_weight",
    "describe",
    "is_convolution",
    "is_lazy",
    "layer_type",
    "overridden",
    "read_layer",
]

CONVOLUTIONS: tuple[type[_ConvNd], ...] = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@dataclass(frozen=True)
class LayerArguments:
    """What a convolution layer is made of, in torch's terms.

    Attributes:
        weight: The weight in force.
        bias: The bias in force, or None.
        given: All other arguments.
    """

    weight: Tensor
    bias: Tensor | None
    given: ConvArguments


def is_convolution(module: nn.Module) -> bool:
    """Whether the module is, or claims by its class to be, a torch convolution."""
    return isinstance(module, CONVOLUTIONS)


def layer_type(module: nn.Module) -> str:
    """The class name of a layer, without the prefix that parametrizations give it."""
    return type(module).__name__.removeprefix("Parametrized")


def is_lazy(module: nn.Module) -> bool:
    """Whether the module waits for a first input to make its parameters."""
    parameters = getattr(module, "_parameters", {})
    return any(isinstance(p, UninitializedParameter) for p in parameters.values())


def read_layer(layer: nn.Module) -> LayerArguments:
    """The arguments of a torch convolution layer, with the weight that is in force.

    Raises:
        UnsupportedLayer: If the layer is lazy, quantized, not a convolution, or
            overrides what torch's convolution computes.
    """
    _require_supported(layer)
    assert isinstance(layer, _ConvNd)
    with _quiet_parametrizations(layer):
        weight, bias = _in_force(layer, "weight"), _in_force(layer, "bias")
    assert weight is not None
    if weight.is_meta:
        raise UnsupportedLayer(
            f"the weight of {describe(layer)} must have values; it is on the meta "
            "device; load the weights first"
        )
    given = ConvArguments(
        stride=tuple(layer.stride),
        padding=layer.padding,
        dilation=tuple(layer.dilation),
        groups=layer.groups,
        padding_mode=layer.padding_mode,
        transposed=isinstance(layer, _ConvTransposeNd),
        output_padding=tuple(layer.output_padding),
    )
    return LayerArguments(weight, bias, given)


def arguments_of_weight(layer: object, **given: Any) -> dict[str, Any]:
    """Of the arguments that describe a bare weight those that were given.

    Args:
        layer: What the user gave, a layer, an operator or a weight.
        given: Arguments of :class:`convspec.ConvOperator`; None where there is none.

    Raises:
        GeometryError: If any come with a layer or an operator.
    """
    found = {name: value for name, value in given.items() if value is not None}
    if found and isinstance(layer, nn.Module | LinearMap):
        raise GeometryError(
            "arguments of a convolution are for bare weights; a "
            f"{type(layer).__name__} has its own; got {', '.join(sorted(found))}; "
            "leave them out, or give the weight instead of the layer"
        )
    return found


def _require_supported(layer: nn.Module) -> None:
    """Refuse layers that are lazy, no convolution, or compute something else."""
    if is_lazy(layer):
        raise UnsupportedLayer(
            "a layer must have its weight; "
            f"got {describe(layer)}, which is lazy and has none yet; "
            "run it once on an input of the right shape first"
        )
    base = next((kind for kind in CONVOLUTIONS if isinstance(layer, kind)), None)
    if base is None:
        remedy = (
            "dequantize the model or analyse it before quantization"
            if "quantized" in type(layer).__module__
            else "give the weight to ConvOperator if it is a convolution all the same"
        )
        raise UnsupportedLayer(
            "the layer must be one of torch.nn.Conv1d, Conv2d, Conv3d, ConvTranspose1d, "
            f"ConvTranspose2d, ConvTranspose3d; got {describe(layer)}; {remedy}"
        )
    method = overridden(layer, base, ("forward", "_conv_forward"))
    if method is not None:
        raise UnsupportedLayer(
            f"the layer must compute what torch.nn.{base.__name__} computes; "
            f"{describe(layer)} overrides {method}; give the weight and padding it "
            "really uses to ConvOperator"
        )


def overridden(
    layer: nn.Module, base: type[nn.Module], methods: Iterable[str]
) -> str | None:
    """The first of the methods that the layer does not have from torch's class."""
    for method in methods:
        own = getattr(type(layer), method, None)
        if own is not getattr(base, method, None) or method in vars(layer):
            return method
    return None


def _in_force(layer: _ConvNd, name: str) -> Tensor | None:
    """The tensor the next forward pass in evaluation mode would use.

    Hooks of torch's older normalisations and of pruning set it only when the layer
    runs, so it is computed here as they would compute it.
    """
    tensor: Tensor | None = getattr(layer, name)
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and hook.name == name:
            tensor = hook.compute_weight(layer)
        elif isinstance(hook, SpectralNorm) and hook.name == name:
            tensor = hook.compute_weight(layer, do_power_iteration=False)
        elif isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            tensor = hook.apply_mask(layer)  # type: ignore[no-untyped-call]
    return tensor


@contextmanager
def _quiet_parametrizations(layer: nn.Module) -> Iterator[None]:
    """Keep parametrizations from updating their buffers when the weight is read."""
    if not parametrize.is_parametrized(layer):
        yield
        return
    modules = list(layer.get_submodule("parametrizations").modules())
    training = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, training, strict=True):
            module.training = mode


def describe(layer: object) -> str:
    """What messages call a layer: its class, with its module if it is not torch's."""
    kind = type(layer)
    return kind.__name__ if kind.__module__.startswith("torch.nn") else f"{kind}"
