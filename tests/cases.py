"""A convolution as plain data: its torch layer, its operator, its matrix by loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import convspec as cs
from tests import oracles

LAYERS = {
    (1, False): nn.Conv1d,
    (2, False): nn.Conv2d,
    (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d,
    (2, True): nn.ConvTranspose2d,
    (3, True): nn.ConvTranspose3d,
}
Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Case:
    """Arguments of a convolution; per axis where they differ by axis."""

    c_in: int
    c_out: int
    groups: int
    kernel: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: str | tuple[int, ...] | Pads
    padding_mode: str | tuple[str, ...] = "zeros"
    transposed: bool = False
    output_padding: tuple[int, ...] = ()
    bias: bool = True
    pruned: bool = False  # about half of the weight's entries are 0
    dtype: torch.dtype = torch.float64
    seed: int = 0

    @property
    def input_size(self) -> int | tuple[int, ...]:
        return _short(self.size)

    @property
    def asymmetric(self) -> bool:
        """Whether the padding is given as pairs."""
        return any(isinstance(entry, tuple) for entry in self.padding)

    @property
    def pads(self) -> Pads:
        """(before, after) per axis, spelled out."""
        if self.padding == "valid":
            return ((0, 0),) * len(self.kernel)
        if self.padding == "same":
            return tuple(map(same_padding, self.kernel, self.dilation))
        return tuple((p, p) if isinstance(p, int) else p for p in self.padding)

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of torch's layer and of the operator, ints where possible."""
        given: dict[str, Any] = {
            "stride": _short(self.stride),
            "padding": self.padding
            if isinstance(self.padding, str)
            else _short(self.padding),
            "dilation": _short(self.dilation),
            "groups": self.groups,
            "padding_mode": self.padding_mode,
        }
        if self.transposed:
            given["output_padding"] = _short(self.output_padding)
        return given

    def weight_and_bias(self) -> tuple[Tensor, Tensor | None]:
        generator = torch.Generator().manual_seed(self.seed)
        rows, columns = self.c_out, self.c_in
        if self.transposed:
            rows, columns = columns, rows
        shape = (rows, columns // self.groups, *self.kernel)
        weight = torch.randn(shape, dtype=self.dtype, generator=generator)
        if self.pruned:
            weight *= torch.rand(shape, generator=generator) < 0.5
        bias = torch.randn(self.c_out, dtype=self.dtype, generator=generator)
        return weight, bias if self.bias else None

    def layer(self) -> nn.Module:
        kind = LAYERS[len(self.kernel), self.transposed]
        weight, bias = self.weight_and_bias()
        layer = kind(
            self.c_in,
            self.c_out,
            self.kernel,
            bias=self.bias,
            dtype=self.dtype,
            **self.arguments,
        )
        with torch.no_grad():
            layer.weight.copy_(weight)
            if bias is not None:
                layer.bias.copy_(bias)
        return layer

    def operator(self, weight: Tensor | None = None) -> cs.ConvOperator:
        drawn, bias = self.weight_and_bias()
        return cs.ConvOperator(
            drawn if weight is None else weight,
            self.input_size,
            bias=bias,
            transposed=self.transposed,
            **self.arguments,
        )

    def matrix(self) -> oracles.Array:
        """The matrix by plain loops."""
        return self.assembled(self.weight_and_bias()[0].numpy())

    def assembled(self, weight: oracles.Array) -> oracles.Array:
        """The matrix of a weight by plain loops, in the arithmetic of its entries."""
        if self.transposed:
            return oracles.scatter_matrix(
                weight,
                self.size,
                self.stride,
                self.pads,
                self.output_padding,
                self.dilation,
                self.groups,
            )
        return oracles.loop_matrix(
            weight,
            self.size,
            self.stride,
            self.pads,
            self.dilation,
            self.groups,
            self.padding_mode,
        )


def _short(values: tuple[Any, ...]) -> Any:
    """One integer instead of a tuple of equal ones."""
    uniform = isinstance(values[0], int) and len(set(values)) == 1
    return values[0] if uniform else values


def same_padding(kernel: int, dilation: int) -> tuple[int, int]:
    """(before, after) of padding='same': the odd pixel comes last."""
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2
