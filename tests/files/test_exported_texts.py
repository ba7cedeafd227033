"""Texts in exported programs: operators that compute, and sizes."""

from __future__ import annotations

import pytest

from convspec.files.exported_operators import computes
from convspec.files.size_expressions import is_size_expression


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.conv2d.padding",
        "torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default",
        "torch.ops.aten._assert_scalar.default",
        "torch.ops.higher_order.wrap_with_set_grad_enabled",
        "_operator.floordiv",
        "torch.sym_max",
        "math.trunc",
    ],
)
def test_operators_that_compute(target: str) -> None:
    assert computes(target)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "torch.load",
        "torch.os.system",
        "torch.hub.load",
        "torch.ops.aten.save.default",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.from_file.out",
        "torch.ops.aten._print.default",
        "torch.ops.aten.warn.default",
        "torch.ops.aten.__class__.default",
        "torch.ops.aten.relu.__class__",
        "torch.ops.aten.relu.default.py_impl",
        "torch.ops.aten._unsafe_index.Tensor",
        "torch.ops.aten.none_such.default",
        "torch.ops.load_library",
        "torch.ops.higher_order.triton_kernel_wrapper_mutation",
        "_operator.methodcaller",
        "_operator.pow",
        "_operator.lshift",
        "math.factorial",
        "#x:y",
    ],
)
def test_operators_that_may_do_more(target: str) -> None:
    assert not computes(target)


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s53', positive=True, integer=True)",
        "Add(FloorDiv(Add(Symbol('s0', integer=True), Integer(-3)), Integer(2)), s1)",
        "s0 + 2*s1",
        "(s0 - 1)//2",
        "Eq(s0, s1)".replace("Eq", "Equality"),
        "s0**2",
        "PowByNatural(s0, 2)",
        "u0 >= 3",
        "Float('0.5', precision=53)",
        "true",
    ],
)
def test_sizes(text: str) -> None:
    assert is_size_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        3,
        "__import__('os')",
        "Symbol('s0').__class__",
        "Symbol('x y')",
        "Integer.__call__(3)",
        "(lambda: 3)()",
        "[3]",
        "S('3')",
        "sympify('3')",
        "9**9**9**9",
        "9**99",
        "Pow(Pow(Pow(9, 8), 8), 8)",
        "Integer('3')",
        "s0; s1",
        "s0 #",
        "s0\n",
        "1 << 99",
        "factorial(999999)",
        "Float('1e999999999')",
        "Float('0.5', precision=10000000)",
        "(" * 3000,
        "-" * 3999 + "1",
        "9" * 3999,
        "\uff530",
    ],
)
def test_more_than_sizes(text: object) -> None:
    assert not is_size_expression(text)
