"""What the process has set does not reach a result: every public call shuts it out."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

import convspec as cs
from convspec.isolation import OPERATORS, full_precision
from convspec.run.threads import parallel_map
from tests.gaussian import gaussian
from tests.network.networks import perceptron

PACKAGE = Path(cs.__file__).parent
# run the user's model in the user's state, and isolate what they make of it
OPEN = {"analyze", "estimate", "sweep"}
ZEROS = cs.ConvOperator(gaussian(11, 2, 3, 3, 3).float(), 9, padding=1)
TORUS = cs.ConvOperator(gaussian(13, 3, 4, 3, 3).float() / 3, 8, padding=1).circular()
REFLECT = cs.ConvOperator(gaussian(7, 2, 2, 3), 40, padding=1, padding_mode="reflect")
STRIDED = cs.ConvOperator(gaussian(14, 4, 2, 4, 4).float(), 11, stride=2, padding=1)
LONG = cs.ConvOperator(gaussian(10, 3, 2, 5).float(), 700, padding=2)
BANK = cs.ConvOperator(gaussian(12, 4, 1, 3).float(), 9, padding=1).circular()
PERCEPTRON = perceptron()
WIDE = cs.ConvOperator(gaussian(102, 48, 48, 3, 3).float(), 16, padding=1)


def ones(op: cs.ConvOperator) -> torch.Tensor:
    return torch.ones(op.output_shape, dtype=op.dtype, device="cpu")


def bound(found: cs.Bound) -> tuple[Any, ...]:
    return found.lower, found.upper, found.assumptions


def spectrum(found: cs.Spectrum) -> tuple[Any, ...]:
    vectors = () if found.left is None else (found.left, found.right)
    return found.values, found.error, found.method, repr(found), *vectors


def envelope(found: cs.Envelope) -> tuple[Any, ...]:
    return found.lower, found.upper, found.norm, found.rank(), found.nuclear_norm


def density(found: cs.Density) -> tuple[Any, ...]:
    return found.schatten(2).value, found.nuclear_norm.value


def applied(op: cs.ConvOperator) -> tuple[Any, ...]:
    x = torch.linspace(-1, 1, op.shape[1], dtype=op.dtype, device="cpu")
    return op @ x, op.H @ (op @ x), op.to_dense(), op.to_scipy() @ x.double().numpy()


def model() -> nn.Module:
    found = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, device="cpu", dtype=torch.float32),
        nn.Conv2d(3, 2, 3, stride=2, device="cpu", dtype=torch.float32),
    )
    for layer in found:
        layer.weight.data = gaussian(
            sum((*layer.weight.shape,)), *layer.weight.shape
        ).float()
        layer.bias.data.zero_()
    return found


def batch_norm() -> nn.Module:
    found = nn.BatchNorm2d(3, device="cpu", dtype=torch.float32).eval()
    for values in (found.weight.data, found.running_mean, found.running_var):
        values.copy_(gaussian(3, 3).abs())
    return found


def report(found: cs.ModelReport) -> tuple[Any, ...]:
    return tuple(bound(row.norm) for row in found), found.to_latex()


def frame(found: cs.FrameBounds) -> tuple[Any, ...]:
    return tuple(found.lower), tuple(found.upper), tuple(found.ratio), repr(found)


def board(found: cs.Checkerboard) -> tuple[Any, ...]:
    return found.pattern, found.measure, found.taps


def compressed(found: cs.LowRank) -> tuple[Any, ...]:
    factors = found.first.weight, found.second.weight, found.weight
    return *factors, found.kernel_error, *bound(found.operator_error)


def network(found: nn.Module, method: str) -> tuple[Any, ...]:
    """The steps of which time decides nothing."""
    shape = (2, 14, 14) if method == "auto" else (3,)
    bound = cs.lipschitz(found, shape, method=method, seconds=0.01, lower=False)
    return tuple(step.upper for step in bound.steps[:3])


SQUARE = cs.ConvOperator(gaussian(15, 2, 2, 3).float(), 60, padding=1)
COMPOSED = STRIDED.H @ STRIDED / 3 - cs.identity(STRIDED)


CALLS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "norm": lambda: bound(cs.spectral_norm(ZEROS)),
    "norm-strided": lambda: bound(cs.spectral_norm(STRIDED, 1e-4)),
    "norm-reflect": lambda: bound(cs.spectral_norm(REFLECT, 1e-9)),
    "norm-threads": lambda: bound(cs.spectral_norm(WIDE, 1e-2, max_flops=1e10)),
    "norm-1x1": lambda: bound(
        cs.spectral_norm(cs.ConvOperator(gaussian(11, 6, 4, 1), 3), 1e-14)
    ),
    "worst-case": lambda: bound(cs.worst_case_norm(ZEROS.weight, padding=1)),
    "worst-case-threads": lambda: bound(cs.worst_case_norm(WIDE.weight, padding=1)),
    "conditioning": lambda: bound(
        cs.worst_case_conditioning(TORUS.weight).condition_number
    ),
    "table": lambda: tuple(
        bound(found)
        for found in cs.bounds.table(ZEROS)
        if isinstance(found, cs.Bound) and found.name != "supremum"
    ),
    "dense": lambda: spectrum(cs.spectrum(STRIDED, vectors=True)),
    "fourier": lambda: spectrum(cs.spectrum(TORUS, vectors=True)),
    "fourier-fast": lambda: spectrum(
        cs.spectrum(TORUS, accuracy="fast", dtype=torch.float32)
    ),
    "fourier-fast-double": lambda: spectrum(cs.spectrum(TORUS, accuracy="fast")),
    "krylov": lambda: spectrum(cs.spectrum(LONG, 3, method="krylov")),
    "solve": lambda: (SQUARE.solve(ones(SQUARE)), cs.log_abs_det(SQUARE)),
    "solve-torus": lambda: (
        TORUS.pinv(damp=0.1).apply(ones(TORUS)),
        TORUS.lstsq(ones(TORUS)).residual,
    ),
    "solve-by-products": lambda: (
        SQUARE.lstsq(ones(SQUARE), damp=0.1, method="krylov").solution,
    ),
    "null-space": lambda: (
        cs.null_space(STRIDED).basis(),
        cs.range_space(TORUS).project(ones(TORUS)),
    ),
    "krylov-smallest": lambda: spectrum(
        cs.spectrum(LONG, 2, "smallest", method="krylov", vectors=True)
    ),
    "envelope": lambda: envelope(cs.spectral_envelope(ZEROS)),
    "envelope-reflect": lambda: envelope(cs.spectral_envelope(REFLECT)),
    "density": lambda: density(cs.spectral_density(ZEROS, probes=3, steps=9)),
    "symbol-density": lambda: density(cs.symbol_density(ZEROS, 8)),
    "response": lambda: (cs.frequency_response(ZEROS, 6).values,),
    "applied": lambda: applied(ZEROS),
    "composed": lambda: applied(
        2 * cs.stack([ZEROS, -ZEROS]).H @ cs.stack([ZEROS, ZEROS])
    ),
    "composed-norm": lambda: bound(cs.spectral_norm(COMPOSED)),
    "composed-spectrum": lambda: spectrum(cs.spectrum(COMPOSED, vectors=True)),
    "composed-krylov": lambda: spectrum(cs.spectrum(COMPOSED, 2, method="krylov")),
    "to-operator": lambda: applied(cs.to_operator(model(), (2, 14, 14))),
    "toeplitz": lambda: (cs.from_toeplitz(gaussian(8, 1, 1, 3, 3), 4, padding=1),),
    "to-matrix": lambda: (
        cs.to_matrix(gaussian(9, 2, 1, 3), 5, True, bias=gaussian(9, 2), padding=1),
    ),
    "torch-sparse": lambda: (
        ZEROS.to_torch_sparse().to_dense(),
        COMPOSED.to_torch_sparse(torch.sparse_coo).to_dense(),
    ),
    "from-scipy": lambda: applied(cs.ConvOperator.from_scipy(gaussian(6, 4).float(), 9)),
    "from-layers": lambda: applied(
        cs.ConvOperator.from_layers(
            model()[0].requires_grad_(False), batch_norm().requires_grad_(False), (6, 5)
        )
    ),
    "frame-bounds": lambda: frame(cs.frame_bounds(STRIDED)),
    "frame-bounds-large": lambda: frame(cs.frame_bounds(LONG.H, max_flops=1.0)),
    "frame-bounds-worst-case": lambda: frame(cs.worst_case_frame_bounds(BANK.weight)),
    "dual-frame": lambda: (cs.dual_frame(BANK),),
    "checkerboard": lambda: board(cs.checkerboard(STRIDED.weight, stride=2)),
    "low-rank": lambda: compressed(cs.low_rank(STRIDED, 2)),
    "low-rank-axis": lambda: compressed(cs.low_rank(ZEROS, energy=0.9, by="axis")),
    "low-rank-frequency": lambda: compressed(cs.low_rank(TORUS, 1, by="frequency")),
    "lipschitz": lambda: network(model(), "auto"),
    "lipschitz-dense": lambda: network(PERCEPTRON, "dense"),
    "clip": lambda: (cs.clip(STRIDED, 1.0).weight, cs.clip(ZEROS.weight, 1.0).distance),
    "clip-spectrum": lambda: (cs.clip_spectrum(TORUS, 0.5, 1.0).weight,),
    "clip-rank": lambda: (cs.clip_spectrum(TORUS, rank=5).weight,),
    "analyze": lambda: report(cs.analyze(model(), (2, 14, 14))),
    "estimate": lambda: (repr(cs.estimate(ZEROS)), repr(cs.estimate(model(), (2, 9, 9)))),
    "analyze-enclosed": lambda: report(cs.analyze(model(), (2, 40, 40), max_flops=1e6)),
}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def legacy_precision() -> Iterator[None]:
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


@contextmanager
def new_precision(holder: Any, value: str) -> Iterator[None]:
    holder.fp32_precision = value
    try:
        yield
    finally:
        holder.fp32_precision = "none"


STATES: dict[str, Callable[[], Any]] = {
    "autocast-bfloat16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast-float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "inference": torch.inference_mode,
    "no-grad": torch.no_grad,
    "errors-raised": lambda: np.errstate(all="raise"),
    "device": default_device,
    "dtype-float16": lambda: default_dtype(torch.float16),
    "dtype-bfloat16": lambda: default_dtype(torch.bfloat16),
    "dtype-float64": lambda: default_dtype(torch.float64),
}
PRECISIONS: dict[str, Callable[[], Any]] = {
    "legacy": legacy_precision,
    "matmul": lambda: new_precision(torch.backends.mkldnn.matmul, "bf16"),
    "everywhere": lambda: new_precision(torch.backends, "tf32"),
}


@lru_cache
def undisturbed(name: str) -> tuple[Any, ...]:
    return CALLS[name]()


def same(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    assert len(found) == len(wanted)
    return all(
        np.array_equal(np.asarray(one), np.asarray(two))
        for one, two in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", CALLS)
def test_same_numbers_to_the_last_bit(name: str, state: str) -> None:
    wanted = undisturbed(name)
    with STATES[state]():
        found = CALLS[name]()
    assert same(found, wanted)


@pytest.mark.parametrize("state", PRECISIONS)
@pytest.mark.parametrize(
    "name", ["fourier-fast", "fourier-fast-double", "krylov", "norm"]
)
def test_few_bits_of_float32_products(name: str, state: str) -> None:
    """No message of torch, and errors that hold: float64 takes the place of float32."""
    with PRECISIONS[state]():
        wide = full_precision(torch.float32, torch.device("cpu"))
        CALLS[name]()
        fast = cs.spectrum(TORUS, accuracy="fast", dtype=torch.float32)
    assert wide == torch.float64
    assert np.all(np.abs(fast.values - cs.spectrum(TORUS).values) <= fast.error)
    assert full_precision(torch.float32, torch.device("cpu")) == torch.float32


@pytest.mark.parametrize("seed", range(6))
def test_stated_error_under_autocast(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(4, 4, 3, 3, generator=generator) / 3
    op = cs.ConvOperator(weight, 8, padding=1, padding_mode="circular")
    with torch.autocast("cpu", dtype=torch.float16):
        fast = cs.spectrum(op, method="fourier", accuracy="fast", dtype=torch.float32)
    assert np.all(np.abs(fast.values - cs.spectrum(op).values) <= fast.error)


def test_operator_made_under_inference_mode_can_be_trained_through() -> None:
    with torch.inference_mode():
        op = cs.ConvOperator.from_layer(nn.Conv2d(2, 3, 3), 5)
    x = torch.ones(2, 5, 5, requires_grad=True)
    op.apply(x).sum().backward()
    assert torch.equal(x.grad, op.adjoint(torch.ones(op.output_shape)))


def test_gradients_under_autocast() -> None:
    weight = gaussian(7, 2, 2, 3).float().requires_grad_()
    op = cs.ConvOperator(weight, 9, padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = cs.bounds.reshaped_kernel(op).value
    (found,) = torch.autograd.grad(value, weight)
    (wanted,) = torch.autograd.grad(cs.bounds.reshaped_kernel(op).value, weight)
    assert torch.equal(found, wanted)


def test_helping_threads_record_no_gradients_where_the_caller_does_not() -> None:
    with torch.no_grad():
        found = parallel_map(lambda _: torch.is_grad_enabled(), range(8), workers=2)
    assert not any(found)


def test_state_is_handed_back() -> None:
    with (
        torch.inference_mode(),
        torch.autocast("cpu", dtype=torch.bfloat16),
        np.errstate(all="raise"),
        default_device(),
    ):
        with pytest.raises(ValueError, match="rtol"):
            cs.spectral_norm(ZEROS, 2.0)
        assert torch.is_inference_mode_enabled()
        assert torch.is_autocast_enabled("cpu")
        assert np.geterr()["under"] == "raise"
        assert torch.get_default_device().type == "meta"


def public() -> Iterator[tuple[str, Any]]:
    """Every public function, and of public classes all that computes."""
    for home in (cs, cs.bounds, cs.plot):
        for name in home.__all__:
            found = getattr(home, name)
            if inspect.isfunction(found) and name not in OPEN:
                yield f"{home.__name__}.{name}", found
            elif inspect.isclass(found) and not issubclass(found, BaseException):
                for base in found.__mro__:
                    yield from members(base)


def members(cls: type) -> Iterator[tuple[str, Any]]:
    if not cls.__module__.startswith("convspec"):
        return
    for name, member in vars(cls).items():
        of = getattr(member, "fget", None) or getattr(member, "func", None)
        of = of or getattr(member, "__func__", member)
        if inspect.isfunction(of) and (name[0] != "_" or name in OPERATORS):
            yield f"{cls.__name__}.{name}", of


@pytest.mark.parametrize("function", dict(public()).values(), ids=dict(public()))
def test_public_calls_are_isolated(function: Any) -> None:
    assert function.__isolated__


FACTORIES = (
    "empty",
    "eye",
    "full",
    "linspace",
    "logspace",
    "ones",
    "rand",
    "randn",
    "scalar_tensor",
    "tensor",
    "zeros",
)


def makers_without_dtype(source: str) -> list[int]:
    """Lines on which torch makes a tensor whose dtype the process decides."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    makers = [f"torch.{name}" for name in FACTORIES]
    return [
        call.lineno
        for call in calls
        if (
            ast.unparse(call.func) in makers
            and "dtype" not in [keyword.arg for keyword in call.keywords]
        )
        or (ast.unparse(call.func) == "torch.where" and all(map(is_plain, call.args[1:])))
    ]


def is_plain(node: ast.expr) -> bool:
    """Whether it is a number or the name of a constant: torch makes it float32."""
    return isinstance(node, ast.Constant) or ast.unparse(node).strip("-").isupper()


def test_finds_makers_without_dtype() -> None:
    bad = "level = torch.tensor(\n    x * x).double()\nok = torch.zeros(3, dtype=d)"
    assert makers_without_dtype(bad) == [1]
    assert makers_without_dtype("torch.where(x > 0, UNDERFLOW, 0.0)") == [1]
    assert makers_without_dtype("torch.where(x > 0, x, 0.0)") == []


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "demo" not in path.parts]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_dtype_is_left_to_the_process(path: Path) -> None:
    assert makers_without_dtype(path.read_text()) == []


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("state", STATES)
def test_drawn_in_any_state(state: str) -> None:
    with STATES[state]():
        found = cs.spectrum(TORUS, vectors=True)
        for axes in (
            cs.plot.spectrum(found),
            cs.plot.operator(ZEROS),
            cs.plot.envelope(cs.spectral_envelope(ZEROS)),
            cs.plot.bounds(cs.bounds.table(STRIDED)),
            cs.plot.frequency_response(cs.frequency_response(ZEROS, 6)),
            cs.analyze(model(), (2, 40, 40), max_flops=1e6).plot(),
        ):
            assert axes.get_figure() is not None
