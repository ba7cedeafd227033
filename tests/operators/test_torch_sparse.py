"""Sparse tensors of torch: loops' matrices, layouts, dtypes, limits."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import convspec as cs
from tests.cases import Case
from tests.gaussian import gaussian

LAYOUTS = [torch.sparse_csr, torch.sparse_coo]
FLAT: dict[str, Any] = {"groups": 1, "stride": (1, 1), "dilation": (1, 1)}
CASES = {
    "plain": Case(c_in=2, c_out=3, kernel=(3, 2), size=(4, 5), padding=(1, 0), **FLAT),
    "strided": Case(
        c_in=4,
        c_out=2,
        kernel=(3,),
        size=(7,),
        groups=2,
        stride=(2,),
        dilation=(2,),
        padding=(2,),
    ),
    "reflect": Case(
        c_in=1,
        c_out=2,
        kernel=(3, 3),
        size=(3, 4),
        padding=(2, 1),
        padding_mode="reflect",
        **FLAT,
    ),
    "transposed": Case(
        c_in=2,
        c_out=4,
        kernel=(3,),
        size=(4,),
        groups=2,
        stride=(2,),
        dilation=(1,),
        padding=(1,),
        output_padding=(1,),
        transposed=True,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_is_the_loops_matrix(case: str, layout: torch.layout) -> None:
    op, wanted = CASES[case].operator(), CASES[case].matrix()
    found = op.to_torch_sparse(layout)
    assert found.layout == layout
    assert found.dtype == op.dtype
    assert found.device == op.device
    assert np.allclose(found.to_dense().numpy(), wanted, rtol=1e-15, atol=1e-15)
    assert found._nnz() == np.count_nonzero(wanted)
    x = gaussian(1, op.shape[1], 3)
    assert torch.allclose(found @ x, torch.from_numpy(wanted) @ x, rtol=0, atol=1e-13)


def test_coordinates_are_in_order_and_once() -> None:
    found = CASES["reflect"].operator().to_torch_sparse(torch.sparse_coo)
    assert found.is_coalesced()
    again = torch.sparse_coo_tensor(
        found.indices(), found.values(), found.shape, check_invariants=True
    ).coalesce()
    assert torch.equal(again.indices(), found.indices())
    assert torch.equal(again.values(), found.values())


@pytest.mark.parametrize("case", CASES)
def test_rows_are_what_torch_wants(case: str) -> None:
    """Of products too, whose columns SciPy does not sort."""
    op = CASES[case].operator()
    for each in (op, op.H @ op, op @ op.H @ op):
        found = each.to_torch_sparse()
        torch.sparse_csr_tensor(
            found.crow_indices(),
            found.col_indices(),
            found.values(),
            found.shape,
            check_invariants=True,
        )


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(
    ("dtype", "wanted"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.complex64, torch.complex64),
        (torch.complex128, torch.complex128),
    ],
    ids=str,
)
def test_dtypes(dtype: torch.dtype, wanted: torch.dtype, layout: torch.layout) -> None:
    real = gaussian(2, 2, 1, 3)
    weight = (real + 0.5j * real.flip(0) if dtype.is_complex else real).to(dtype)
    op = cs.ConvOperator(weight, 5, padding=1)
    for each in (op, op.H, op.H @ op, 2 * op):
        found = each.to_torch_sparse(layout)
        assert found.dtype == wanted
        dense = each.to(wanted).to_dense()
        assert torch.allclose(found.to_dense(), dense, rtol=1e-6, atol=1e-6)


def test_has_no_gradient_and_no_memory_of_the_weight() -> None:
    weight = gaussian(3, 1, 1, 1).requires_grad_()
    op = cs.ConvOperator(weight, 4)
    for layout in LAYOUTS:
        found = op.to_torch_sparse(layout)
        assert not found.requires_grad
        found.values().zero_()
    assert bool(op.weight.detach().any())
    matrix = cs.to_operator(torch.nn.Linear(3, 2), (3,))
    before = matrix.to_dense().detach().clone()
    matrix.to_torch_sparse().values().zero_()
    assert torch.equal(matrix.to_dense(), before)


def test_operator_without_entries() -> None:
    op = cs.ConvOperator(torch.zeros(1, 1, 3), 4, padding=1)
    for layout in LAYOUTS:
        found = op.to_torch_sparse(layout)
        assert found.shape == (4, 4)
        assert found._nnz() == 0


def test_nothing_is_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for layout in LAYOUTS:
            CASES["plain"].operator().to_torch_sparse(layout)


@pytest.mark.parametrize("layout", [torch.sparse_csc, torch.strided, "csr", None])
def test_other_layouts(layout: Any) -> None:
    words = r"layout must be torch\.sparse_csr or torch\.sparse_coo; got"
    with pytest.raises(ValueError, match=words):
        CASES["plain"].operator().to_torch_sparse(layout)


def test_coordinates_count_against_max_bytes() -> None:
    op = cs.ConvOperator(torch.ones(1, 1, 1, dtype=torch.float64), 10**5)
    limit = 96 * 10**5
    assert op.to_torch_sparse(max_bytes=limit).shape == op.shape
    assert op.to_torch_sparse(torch.sparse_coo, max_bytes=limit).shape == op.shape
    wide = cs.ConvOperator(torch.ones(64, 64, 1), 100)
    held = 64 * 64 * 100 * 8 * 1.2  # values and columns of 4 bytes each
    assert wide.to_torch_sparse(max_bytes=held).shape == wide.shape
    with pytest.raises(cs.TooLargeError, match=r"sparse tensor .*use torch.sparse_csr"):
        wide.to_torch_sparse(torch.sparse_coo, max_bytes=held)
