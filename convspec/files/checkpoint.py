"""A state dict as a model: its kernels, with what a geometry file says of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import Tensor

from convspec.arguments import pad_pairs, per_axis, shown
from convspec.errors import ConvSpecError, UnreadableModel
from convspec.files.geometry_file import matched, read_geometry
from convspec.files.reading import one_line, unreadable
from convspec.files.reparametrized import multiplied_out
from convspec.files.weights_file import read_weights
from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes
from convspec.model.convolutions import Convolution
from convspec.model.sites import Call
from convspec.model.source import ReadModel
from convspec.model.trace import Trace
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.geometry import ConvGeometry
from convspec.operators.padding_mode import modes_per_axis

__all__ = ["Checkpoint"]

# what DataParallel and torch.compile put before the names of a model
WRAPPERS = ("module.", "_orig_mod.")
# names of tensors that are weights of layers
ENDINGS = (".weight", ".weight_orig", ".parametrizations.weight.original")
WEIGHTS = ("weight", "weight_orig", "*kernel*", *(f"*{ending}" for ending in ENDINGS))
ASSUMED = (
    "a state dict tells no stride, padding, groups or transposition; where no geometry "
    "is given, they are assumed: stride 1, no padding, one group, not transposed"
)


@dataclass(frozen=True)
class _Kernel:
    """A kernel of a state dict, and what is given for it.

    Attributes:
        name: Of its layer.
        weight: The tensor.
        given: Its arguments.
        size: Of what it reads; empty if it is not known.
    """

    name: str
    weight: Tensor
    given: ConvArguments
    size: tuple[int, ...]

    @property
    def type(self) -> str:
        """The function that a layer of it calls."""
        return f"conv{'_transpose' * self.given.transposed}{self.weight.ndim - 2}d"


@isolated_class
class Checkpoint(ReadModel):
    """The kernels of a file that holds weights and no model."""

    def __init__(self, kernels: list[_Kernel], notes: list[str]) -> None:
        self._kernels = kernels
        self._notes = notes

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        geometry: str | os.PathLike[str] | None = None,
        max_bytes: Bytes = DEFAULT_MAX_BYTES,
    ) -> Checkpoint:
        """The kernels of a file.

        Kernels are tensors of 3 to 5 dimensions that are floating point or complex and
        named like weights; all such tensors, if none is. Those that weight norm keeps in
        parts are multiplied out.

        Args:
            path: The file, as :func:`convspec.files.weights_file.read_weights` reads it.
            geometry: A file in TOML with ``[[layer]]`` entries: ``names``, a pattern, and
                what torch's layers are given: ``stride``, ``padding``, ``dilation``,
                ``groups``, ``padding_mode``, ``transposed``, ``output_padding``; and
                ``size``, the pixels that the layer reads.
            max_bytes: As read_weights takes it.

        Raises:
            TypeError: If max_bytes is no number of bytes.
            UnreadableModel: If a file cannot be read, if it holds no kernel, or if no
                layer has the geometry that is given.
        """
        path = Path(path)
        weights = read_weights(path, max_bytes=max_bytes)
        bare, said = _without_wrappers(weights)
        whole, notes = multiplied_out(bare)
        tensors = _kernels(path, whole)
        file = None if geometry is None else Path(geometry)
        given = _given(file, tensors)
        kernels = [_kernel(file, *each, given[each[0]]) for each in tensors.items()]
        notes = [*weights.notes, *said, *notes]
        if not all(given.values()):
            notes.append(ASSUMED)
        unsized = [each.name for each in kernels if not each.size]
        if file is not None and unsized:
            notes.append(f"without a size: {', '.join(unsized)}")
        return cls(kernels, notes)

    @property
    def title(self) -> str:
        """What it is."""
        return "checkpoint"

    def trace(
        self,
        input_shape: tuple[Any, ...] | None = None,
        *,
        linear: bool = False,
        fold_batch_norm: bool = False,
    ) -> Trace:
        """Its kernels, each called once.

        Args:
            input_shape: None: a checkpoint has no input.
            linear: Not possible: a state dict does not tell products from tables.
            fold_batch_norm: Not possible: it does not tell what stands behind what.

        Raises:
            UnreadableModel: If one of these is asked for.
        """
        asked = {
            f"input_shape = {shown(input_shape)}": input_shape is not None,
            "linear=True": linear,
            "fold_batch_norm=True": fold_batch_norm,
        }
        for what, wanted in asked.items():
            if wanted:
                raise UnreadableModel(
                    f"a checkpoint tells nothing but its kernels; got {what}; load it "
                    "into its model and pass that, or give sizes in a geometry file"
                )
        calls = [
            Call(each.name, each.type, index, _convolution(each))
            for index, each in enumerate(self._kernels)
        ]
        return Trace(calls, [], list(self._notes))


def _without_wrappers(
    weights: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights by the names of the model itself, and what was taken away."""
    found, said = dict(weights), list[str]()
    for wrapper in [w for w in WRAPPERS for _ in range(2)]:  # in either order
        if found and all(name.startswith(wrapper) for name in found):
            found = {name.removeprefix(wrapper): x for name, x in found.items()}
            said.append(f"the prefix {wrapper} was taken from the names of the weights")
    return found, said


def _kernels(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The kernels by the names of their layers."""
    numeric = {
        name: tensor
        for name, tensor in tensors.items()
        if 3 <= tensor.ndim <= 5
        and (tensor.is_floating_point() or tensor.is_complex())
        and tensor.numel()
    }
    named = {
        name: tensor
        for name, tensor in numeric.items()
        if any(fnmatchcase(name, pattern) for pattern in WEIGHTS)
    }
    found = named or numeric
    if not found:
        raise unreadable(
            path,
            "hold kernels, tensors of 3 to 5 dimensions",
            f"none of its {len(tensors)} tensors is one",
            "give the file of a model with convolutions",
        )
    layers = {name: _layer(name) for name in found}
    unique = len(set(layers.values())) == len(layers)
    return {layers[name] if unique else name: found[name] for name in found}


def _layer(name: str) -> str:
    """The name of the layer that a weight is of; its own, if it says none."""
    for ending in ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending)
    return name


def _given(file: Path | None, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    if file is None:
        return {name: {} for name in tensors}
    return matched(file, read_geometry(file), tensors)


def _kernel(
    file: Path | None, name: str, weight: Tensor, given: Mapping[str, Any]
) -> _Kernel:
    """A kernel with its arguments, one of each for each axis."""
    rest = {key: value for key, value in given.items() if key != "size"}
    arguments = ConvArguments(**rest)
    dim, kernel = weight.ndim - 2, tuple(weight.shape[2:])
    try:
        strides = per_axis("stride", arguments.stride, dim, least=1)
        dilations = per_axis("dilation", arguments.dilation, dim, least=1)
        more = per_axis("output_padding", arguments.output_padding, dim, least=0)
        mode = arguments.padding_mode
        modes = modes_per_axis(mode, dim)
        pads = pad_pairs(arguments.padding, kernel, strides, dilations, modes)
        whole = ConvArguments(
            stride=strides,
            padding=tuple(pads),
            dilation=dilations,
            groups=arguments.groups,
            padding_mode=mode if isinstance(mode, str) else modes,
            transposed=arguments.transposed,
            output_padding=more,
        )
        size = given.get("size", ())
        sizes = per_axis("size", size, dim, least=1) if size else ()
        # any size that is large enough, where none is given: for the other checks
        large = [d * k + sum(p) for d, k, p in zip(dilations, kernel, pads, strict=True)]
        ConvGeometry.of(tuple(weight.shape), sizes or large, whole)
    except (ConvSpecError, TypeError, ValueError) as error:
        raise UnreadableModel(
            one_line(
                f"{file} must give {name!r}, {tuple(weight.shape)}, what its layer can "
                f"have; {error}; correct its [[layer]] entry"
            )
        ) from error
    return _Kernel(name, weight, whole, sizes)


def _convolution(kernel: _Kernel) -> Convolution:
    return Convolution(
        "aten::convolution",
        (),
        "",
        kernel.weight,
        None,
        kernel.given,
        kernel.size,
    )
