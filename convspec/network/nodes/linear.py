"""Linear operations: convolutions, products with weights, factors, sums."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convspec.model.convolutions import KNOWN, Convolution, read_convolution
from convspec.network.kinds import (
    Axes,
    Curved,
    Filter,
    Kind,
    Product,
    Rows,
    Scale,
    Sum,
)
from convspec.network.nodes.given import Given, plain
from convspec.operators.operator import ConvOperator
from convspec.rounding.directed import UNIT, gamma

__all__ = ["BOUNDED_ONLY", "READERS", "filter_of"]

Reader = Callable[[Given], Kind | str | list[Kind]]
# what has no constant for all inputs
BOUNDED_ONLY = (
    ", which has a constant for bounded inputs alone; pass domain=(low, high) if they are"
)
# entries of a matrix of blocks
MOST_PRODUCTS = 2**24


def _convolution(given: Given) -> Kind | str:
    if given.data[0] != given.named.get("input", given.named.get("self")):
        return "its kernel depends on the input"
    if len(given.data) > 1:
        return "its kernel or its bias depends on the input"
    return filter_of(read_convolution(given.event))


def filter_of(conv: Convolution) -> Filter:
    """A convolution that was called, in double precision."""
    assert conv.weight is not None
    weight = plain(conv.weight)
    return Filter(ConvOperator(weight, conv.input_size, **conv.given.keywords))


def _batch_norm(given: Given) -> Kind | str:
    """``gamma / sqrt(var + eps)`` for each channel, which five roundings move."""
    if given.data != [given.named["input"]]:
        return "its statistics, factors or offsets depend on the input"
    variance = given.constant("running_var")
    if given.named.get("training") or variance is None:
        return (
            "it normalises by statistics of its input, as in training mode or without "
            "running statistics; call model.eval(), or keep running statistics"
        )
    eps = given.named["eps"] if "eps" in given.named else given.named["epsilon"]
    factor = 1 / torch.sqrt(variance + float(eps))
    gamma_ = given.constant("weight")
    if gamma_ is not None:
        factor = factor * gamma_
    if not bool(torch.isfinite(factor).all()):
        return "a running variance plus eps is not positive"
    rank = len(given.data[0].shape)
    return Scale(factor.reshape(1, -1, *[1] * (rank - 2)), gamma(6))


def _product(given: Given) -> Kind | str:
    """``x W`` or ``W x`` for a constant W: a matrix on the last axis or the next."""
    first = "self"
    if given.name in ("linear", "mkldnn_linear"):
        weight = given.constant("weight")
        data = given.named["input" if "input" in given.named else "self"]
        if weight is None or given.data != [data]:
            return "both of its factors depend on the input"
        return Axes({len(data.shape) - 1: weight})
    if given.name == "addmm":
        first = "mat1"
        if given.is_data("self"):
            return "what it adds depends on the input; write the sum apart"
    second = "mat2"
    rank = len(given.event.outputs[0].shape)
    scale = float(given.named.get("alpha", 1))
    left, right = given.constant(first), given.constant(second)
    if left is None and right is None:
        return "both of its factors depend on the input"
    matrix, axis = (right, rank - 1) if left is None else (left, rank - 2)
    assert matrix is not None
    if matrix.ndim == 3:
        if not torch.equal(matrix, matrix[:1].expand_as(matrix)):
            return _products(matrix.mT if left is None else matrix, given, axis)
        matrix = matrix[0]
    matrix = matrix.mT if left is None else matrix
    return Axes({axis: scale * matrix}, 0.0 if scale == 1 else UNIT)


def _products(matrices: Tensor, given: Given, axis: int) -> Kind | str:
    """A matrix of its own for each image: a matrix of blocks, over all entries."""
    count, rows, columns = matrices.shape
    others = given.data[0].shape[3 - axis]
    if count**2 * rows * columns * others**2 > MOST_PRODUCTS:
        return f"products of {count} matrices are too many to be read as one"
    eye = torch.eye(others, dtype=torch.float64, device="cpu")
    own = torch.eye(count, dtype=torch.float64, device="cpu")
    order = "bB,boi,ef->boeBif" if axis == 1 else "bB,boi,ef->beoBfi"
    blocks = torch.einsum(order, own, matrices, eye)
    return Rows(blocks.reshape(count * rows * others, -1))


def _vector_product(given: Given) -> Kind | str:
    """``W x`` or ``<w, x>`` for a vector x."""
    first, second = {
        "mv": ("self", "vec"),
        "addmv": ("mat", "vec"),
        "dot": ("self", "tensor"),
    }[given.name]
    left, right = given.constant(first), given.constant(second)
    if len(given.data) > 1:
        return "more than one of its factors and offsets depend on the input"
    if given.name == "dot":
        vector = right if left is None else left
        assert vector is not None
        return Rows(vector[None])
    scale = float(given.named.get("alpha", 1))
    off = 0.0 if scale == 1 else UNIT
    if given.is_data(second):
        assert left is not None
        return Axes({0: scale * left}, off)
    if given.is_data(first):
        assert right is not None
        return Axes({1: scale * right[None]}, off)
    return "it adds a multiple of data; write the sum apart"


def _cumulated(given: Given) -> Kind:
    """Sums of the first entries along an axis."""
    shape = given.data[0].shape
    axis = int(given.named["dim"]) % len(shape)
    ones = torch.ones(shape[axis], shape[axis], dtype=torch.float64, device="cpu")
    return Axes({axis: ones.tril()})


def _times(given: Given) -> Kind | str:
    """A factor that is a constant, or its reciprocal."""
    if len(given.data) > 1:
        quotient = given.name == "div"
        if quotient and given.named.get("rounding_mode"):
            return "it rounds"
        does = "divides data by data" if quotient else "multiplies data with data"
        return Product(quotient, given.no_bound(f"it {does}{BOUNDED_ONLY}"))
    other = given.constant("other" if given.is_data("self") else "self")
    assert other is not None
    if given.name == "div":
        if not given.is_data("self"):
            return _divided(given)
        if given.named.get("rounding_mode"):
            return "it rounds"
        other, relative = 1 / other, UNIT
    else:
        relative = 0.0
    if not bool(torch.isfinite(other).all()):
        return "a factor is not finite"
    return Scale(other, relative)


def _divided(given: Given) -> Kind | str:
    """``1 / x``; other numbers than 1 are factors of their own."""
    one = given.constant("self")
    if one is None or not bool((one == 1).all()) or given.named.get("rounding_mode"):
        return "it divides by data; write it as a factor times 1 / x"
    if tuple(given.event.outputs[0].shape) != given.data[0].shape:
        return "it divides by data that it broadcasts"
    return Curved("reciprocal", 0.0, given.no_bound(f"it divides by data{BOUNDED_ONLY}"))


def _negative(given: Given) -> Kind:
    return Scale(torch.tensor(-1.0, dtype=torch.float64, device="cpu"))


def _plus(given: Given) -> Kind:
    """A sum of data, or of data and a constant, which is an offset."""
    alpha = float(given.named.get("alpha", 1))
    sign = {"add": alpha, "sub": -alpha, "rsub": 1.0}[given.name]
    first = -alpha if given.name == "rsub" else 1.0
    factors = []
    if given.is_data("self"):
        factors.append(first)
    if given.is_data("other"):
        factors.append(sign)
    return Sum(tuple(factors))


def _lerp(given: Given) -> Kind | str:
    weight = given.constant("weight")
    if weight is None or weight.numel() != 1:
        return "its weight is not one constant"
    share = float(weight)
    factors = [
        factor
        for name, factor in (("self", 1 - share), ("end", share))
        if given.is_data(name)
    ]
    return Sum(tuple(factors))


def _total(given: Given) -> Kind:
    """Sums or means over axes: rows of ones, or of reciprocals."""
    shape = given.data[0].shape
    dims = given.named.get("dim") or range(len(shape))
    dims = [dims] if isinstance(dims, int) else list(dims)
    rows: dict[int, Tensor] = {}
    for dim in dims:
        length = shape[dim]
        value = 1 / length if given.name == "mean" else 1.0
        rows[dim % len(shape)] = torch.full(
            (1, length), value, dtype=torch.float64, device="cpu"
        )
    return Axes(rows, UNIT)


READERS: dict[str, Reader] = {
    **{name.partition("::")[2]: _convolution for name in KNOWN},
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_batch_norm_no_update": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "miopen_batch_norm": _batch_norm,
    "linear": _product,
    "mkldnn_linear": _product,
    "addmm": _product,
    "mm": _product,
    "bmm": _product,
    "mv": _vector_product,
    "addmv": _vector_product,
    "dot": _vector_product,
    "cumsum": _cumulated,
    "mul": _times,
    "div": _times,
    "neg": _negative,
    "add": _plus,
    "sub": _plus,
    "rsub": _plus,
    "lerp": _lerp,
    "mean": _total,
    "sum": _total,
}
