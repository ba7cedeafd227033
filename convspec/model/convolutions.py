"""The convolutions among the operations of a model, as they were called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from convspec.model.event import Event
from convspec.operators.conv_arguments import ConvArguments

__all__ = ["Convolution", "convolves", "read_convolution"]

# torch's convolutions by any backend: their arguments have the same names
KNOWN = frozenset(
    {
        "aten::conv1d",
        "aten::conv2d",
        "aten::conv3d",
        "aten::conv_transpose1d",
        "aten::conv_transpose2d",
        "aten::conv_transpose3d",
        "aten::convolution",
        "aten::convolution_overrideable",
        "aten::_convolution",
        "aten::cudnn_convolution",
        "aten::cudnn_convolution_transpose",
        "aten::miopen_convolution",
        "aten::miopen_convolution_transpose",
        "aten::mkldnn_convolution",
    }
)
# whose names say conv too
OTHERS = ("backward", "prepack", "unpack", "convert")


@dataclass(frozen=True)
class Convolution:
    """A convolution as it was called, and what became part of it.

    Attributes:
        operation: What it is called: ``aten::convolution``.
        path: Names of the modules it ran in, the innermost last.
        line: Where the model's code called it, ``file.py:12``.
        weight: In force; None if the operation is not torch's.
        bias: In force, or None.
        given: All other arguments.
        input_size: Spatial size of what it reads.
        fused: What became part of it, in words: ``"reflect 3 before"``.
        outside: Sentences on what pads or cuts beside it and did not.
        unknown: Why it is no operator, a sentence; empty if it is one.
    """

    operation: str
    path: tuple[str, ...]
    line: str
    weight: Tensor | None
    bias: Tensor | None
    given: ConvArguments
    input_size: tuple[int, ...]
    fused: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def dim(self) -> int:
        """Its spatial axes."""
        return len(self.input_size)

    @property
    def pads(self) -> tuple[tuple[int, int], ...]:
        """Padding before and after, per axis."""
        pads: Any = self.given.padding
        return tuple(pads)


def convolves(event: Event) -> bool:
    """Whether an operation convolves, or claims to by its name."""
    name = event.name.partition("::")[2]
    return "conv" in name and not any(word in name for word in OTHERS)


def read_convolution(event: Event) -> Convolution:
    """What a convolution was given, by the names of its arguments."""
    where = event.name, event.path, event.line
    if event.name not in KNOWN:
        return Convolution(*where, None, None, ConvArguments(), ())
    given, weight = event.named, event.tensors["weight"]
    dim = weight.ndim - 2
    image = given["input"] if "input" in given else given["self"]

    def per_axis(name: str, usual: int) -> tuple[int, ...]:
        values: Sequence[int] = given.get(name) or (usual,)
        return tuple(values) if len(values) == dim else (values[0],) * dim

    dilation = per_axis("dilation", 1)
    if isinstance(given.get("padding"), str):
        padding = _in_words(given["padding"], tuple(weight.shape[2:]), dilation)
    else:
        padding = tuple((pad, pad) for pad in per_axis("padding", 0))
    arguments = ConvArguments(
        stride=per_axis("stride", 1),
        padding=padding,
        dilation=dilation,
        groups=int(given.get("groups", 1)),
        transposed=bool(given.get("transposed", "transpose" in event.name)),
        output_padding=per_axis("output_padding", 0),
    )
    size = tuple(image.shape[-dim:])
    return Convolution(*where, weight, event.tensors.get("bias"), arguments, size)


def _in_words(
    padding: str, kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """The amounts that ``"same"`` and ``"valid"`` stand for, the odd one behind."""
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)
