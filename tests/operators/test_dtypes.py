"""Dtypes: exact entries, products as good as the dtype, promotion, foreign weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from tests import oracles
from tests.gaussian import gaussian

LOOPS = ((4, 5), (1, 2), ((1, 1), (0, 0)), (1, 1), 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
def test_low_precision(dtype: torch.dtype, transposed: bool) -> None:
    """Entries are the weight's to the bit; products are as good as the dtype."""
    weight = gaussian(2, 4, 2, 3, 2, dtype=dtype)
    options = {"stride": (1, 2), "padding": (1, 0), "groups": 2}
    op = cs.ConvOperator(weight, (4, 5), transposed=transposed, **options)
    if transposed:
        exact = oracles.scatter_matrix(
            weight.double().numpy(), *LOOPS[:3], (0, 0), (1, 1), 2
        )
    else:
        exact = oracles.loop_matrix(weight.double().numpy(), *LOOPS)
    dense, sparse = op.to_dense(), op.to_sparse()
    assert dense.dtype == op.dtype == dtype
    assert np.array_equal(dense.double().numpy(), exact)
    assert sparse.dtype == np.float32
    assert np.array_equal(sparse.toarray().astype(float), exact)
    assert op.to_scipy().dtype == np.float64
    assert abs(op.frobenius_norm() - oracles.frobenius(exact)) <= 1e-14 * op.shape[0]

    x = gaussian(3, *op.input_shape, dtype=dtype)
    flat = x.double().flatten().numpy()
    y = op.apply(x)
    assert y.dtype == dtype
    # gamma_L |A| |x| with L the longest row, for any order of summation
    longest = int((exact != 0).sum(axis=1).max()) + 2
    bound = longest * torch.finfo(dtype).eps * (np.abs(exact) @ np.abs(flat))
    assert np.all(np.abs(y.double().flatten().numpy() - exact @ flat) <= bound)
    through_scipy = op.to_scipy() @ flat
    assert (
        np.abs(through_scipy - exact @ flat).max() <= 1e-14 * np.abs(exact @ flat).sum()
    )


@pytest.mark.parametrize(
    ("weight", "image", "result"),
    [
        (torch.float32, torch.float64, torch.float64),
        (torch.float64, torch.float32, torch.float64),
        (torch.float32, torch.int64, torch.float32),
        (torch.bfloat16, torch.float16, torch.float32),
        (torch.float64, torch.complex128, torch.complex128),
        (torch.complex64, torch.float64, torch.complex128),
    ],
    ids=lambda dtype: str(dtype).removeprefix("torch."),
)
def test_promotion(weight, image, result) -> None:
    """A product happens in the dtype that torch promotes the two to."""
    op = cs.ConvOperator(gaussian(4, 2, 2, 3).to(weight), 5, padding=1)
    x = (8 * gaussian(5, 2, 5)).to(image)
    y = op.apply(x)
    assert y.dtype == result
    assert torch.equal(y, op.to(result).apply(x.to(result)))
    assert (op @ x.flatten()).dtype == result


def test_to_another_dtype() -> None:
    weight, bias = gaussian(0, 6, 2, 3, 3), gaussian(1, 6)
    op = cs.ConvOperator(weight, (4, 5), bias=bias, padding=1)
    single = op.to(torch.float32)
    assert single.dtype == single.offset.dtype == torch.float32
    assert op.dtype == torch.float64
    assert torch.equal(single.to_dense(), op.to_dense().float())
    assert torch.equal(single.offset, op.offset.float())
    assert single.to(device="cpu").dtype == torch.float32


@pytest.mark.parametrize(
    ("weight", "dtype"),
    [
        (np.array([[[1.0, -2.0, 1.0]]]), torch.float64),
        (np.array([[[1.0, -2.0, 1.0]]], dtype=np.float32), torch.float32),
        (np.array([[[1, -2, 1]]]), torch.float64),
        (np.array([[[1, -2, 1]]], dtype=np.int8), torch.float64),
        (torch.tensor([[[1, -2, 1]]]), torch.float64),
        (np.array([[[1.0, -2.0, 1.0]]]).astype(complex), torch.complex128),
    ],
    ids=[
        "numpy",
        "numpy-float32",
        "numpy-int",
        "numpy-int8",
        "torch-int",
        "numpy-complex",
    ],
)
def test_weights_of_every_kind(weight: Any, dtype: torch.dtype) -> None:
    op = cs.ConvOperator(weight, 3, padding=1, bias=np.array([5]))
    assert op.dtype == dtype
    assert op.to_dense().real.tolist() == [[-2, 1, 0], [1, -2, 1], [0, 1, -2]]
    assert op.offset.tolist() == [5, 5, 5]


def test_channels_last_weight() -> None:
    """Memory order is torch's business."""
    weight = gaussian(8, 4, 3, 3, 2)
    plain = cs.ConvOperator(weight, 5, padding=1)
    last = cs.ConvOperator(weight.to(memory_format=torch.channels_last), 5, padding=1)
    assert torch.equal(last.to_dense(), plain.to_dense())
    assert np.array_equal(last.to_sparse().toarray(), plain.to_dense().numpy())
    assert torch.equal(last.symbol().grid(4), plain.symbol().grid(4))


def test_lazily_conjugated_weight() -> None:
    """A conjugate view and a negated view of torch are read as what they show."""
    weight = torch.complex(gaussian(6, 2, 1, 3), gaussian(7, 2, 1, 3))
    lazy = cs.ConvOperator(weight.conj(), 4, padding=1)
    plain = cs.ConvOperator(weight.conj().resolve_conj(), 4, padding=1)
    assert np.array_equal(lazy.to_sparse().toarray(), plain.to_dense().numpy())
    assert np.array_equal(lazy.to_scipy() @ np.ones(4), plain.to_scipy() @ np.ones(4))
    negated = cs.ConvOperator(weight.conj().imag, 4, padding=1, padding_mode="reflect")
    assert np.array_equal(negated.to_sparse().toarray(), negated.to_dense().numpy())
    assert torch.equal(negated.weight, -weight.imag)


# -- once defects --------------------------------------------------------------------


def test_flipped_numpy_weight() -> None:
    """Correlation to convolution is a flip, which NumPy does with negative strides."""
    op = cs.ConvOperator(np.array([[[1.0, 2.0]]])[..., ::-1], 3)
    assert op.to_dense().tolist() == [[2, 1, 0], [0, 2, 1]]


def test_read_only_numpy_weight() -> None:
    weight = np.broadcast_to(np.ones(1), (1, 1, 2))
    op = cs.ConvOperator(weight, 3)
    assert op.to_dense().tolist() == [[1, 1, 0], [0, 1, 1]]


def test_weight_without_values_or_of_exotic_dtype_is_refused() -> None:
    with pytest.raises(cs.UnsupportedLayer, match="meta device"):
        cs.ConvOperator(torch.ones(1, 1, 3, device="meta"), 4)
    eighths = torch.ones(1, 1, 3).to(torch.float8_e4m3fn)
    with pytest.raises(cs.UnsupportedLayer, match=r"float8_e4m3fn; convert"):
        cs.ConvOperator(eighths, 4)


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("abc", TypeError, "array of numbers; got str"),
        ([[1.0], [1.0, 2.0]], TypeError, "array of numbers; got list"),
        ({"weight": 1.0}, TypeError, "array of numbers; got dict"),
        (
            torch.ones(2, 2, 3).to_sparse(),
            cs.UnsupportedLayer,
            r"dense tensor; got torch.sparse_coo; call \.to_dense",
        ),
    ],
    ids=["text", "ragged", "dict", "sparse"],
)
def test_what_holds_no_numbers_is_refused(
    name: str, given: Any, error: type[Exception], message: str
) -> None:
    arguments = {"weight": torch.ones(2, 2, 3), name: given}
    with pytest.raises(error, match=f"the {name} must be .*{message}"):
        cs.ConvOperator(input_size=4, **arguments)


def test_a_missing_weight_is_refused() -> None:
    for call in (lambda w: cs.ConvOperator(w, 4), cs.worst_case_norm):
        with pytest.raises(TypeError, match="array of numbers; got NoneType"):
            call(None)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_quantized_weight_is_refused() -> None:
    weight = torch.quantize_per_tensor(torch.ones(1, 1, 3), 0.1, 0, torch.qint8)
    with pytest.raises(cs.UnsupportedLayer, match=r"call \.dequantize\(\)"):
        cs.ConvOperator(weight, 4)
