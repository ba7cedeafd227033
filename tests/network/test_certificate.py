"""Certificates: verified by any process, and refused if anything in them is another."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import convspec as cs
from convspec.network.certificate import Certificate, digest_of
from convspec.network.ellipsoid.prepared import prepared
from convspec.network.graph import graph_of
from convspec.network.kinds import Bounded, Filter
from tests.network.networks import IMAGE, convolutional, filled, mixing, perceptron

ROOT = Path(__file__).resolve().parents[2]
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "torus": (convolutional, IMAGE, "ellipsoid"),
    "vectors": (perceptron, (3,), "dense"),
}
FLIPS = 200


@pytest.fixture(scope="module", params=NETWORKS)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, nn.Module, cs.NetworkBound]:
    """A certificate, its network and its bound."""
    make, shape, method = NETWORKS[request.param]
    model = make()
    bound = cs.lipschitz(model, shape, method=method, seconds=2, lower=False)
    path = tmp_path_factory.mktemp("certificate") / "net.certificate"
    bound.save(path)
    return path, model, bound


def parts(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """The head of a file, and its numbers."""
    _, text, body = path.read_bytes().split(b"\n", 2)
    return json.loads(text), np.frombuffer(body, dtype="<f8").copy()


def forged(path: Path, head: Any, numbers: np.ndarray) -> Path:
    """A file with a digest that fits."""
    signed = json.dumps(head).encode() + b"\n" + numbers.astype("<f8").tobytes()
    digest = hashlib.sha256(signed).hexdigest().encode()
    path.write_bytes(digest + b"\n" + signed)
    return path


def outcome(path: Path, model: nn.Module) -> float | str:
    """What a file proves, or why it is refused."""
    try:
        return cs.verify(path, model).upper
    except cs.UnreadableModel as error:
        return str(error)


Written = tuple[Path, nn.Module, cs.NetworkBound]


# -- what holds -------------------------------------------------------------------------


def test_it_proves_the_bound_again(written: Written) -> None:
    path, model, bound = written
    found = cs.verify(path, model)
    assert bound.upper <= found.upper <= bound.upper * (1 + 1.1e-5)
    assert found.lower == 0
    assert found.best.name == "certificate"
    assert torch.all(found.pairs() <= math.sqrt(2) * found.upper * (1 + 1e-15))


def test_it_is_written_as_it_is_read(written: Written, tmp_path: Path) -> None:
    path, _, _ = written
    Certificate.load(path).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


PROGRAM = """
import sys
import torch
import convspec as cs
from tests.network.networks import IMAGE, convolutional

assert torch.get_num_threads() == int(sys.argv[1])
if sys.argv[2] == "write":
    cs.lipschitz(
        convolutional(), IMAGE, method="ellipsoid", seconds=1, lower=False
    ).save(sys.argv[3])
else:
    print(cs.verify(sys.argv[3], convolutional()).upper.hex())
"""


def process(threads: int, what: str, path: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(threads), what, str(path)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)},
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_another_process_verifies_it(tmp_path: Path) -> None:
    path = tmp_path / "net.certificate"
    process(2, "write", path)
    claimed = parts(path)[0]["upper"]
    assert process(1, "verify", path) == claimed


def test_whatever_dtype_and_mode_the_model_has_then(written: Written) -> None:
    """Weights in float64 are the same numbers, and verifying leaves modes alone."""
    path, model, bound = written
    other = copy.deepcopy(model).double().train()
    assert cs.verify(path, other).upper >= bound.upper
    assert all(module.training for module in other.modules())


class Block(nn.Module):
    """Batch norm, a residual sum, pooling, and softmax of a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.last = nn.Linear(48, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        x = nn.functional.max_pool2d((x + self.second(x)).relu(), 2)
        x = nn.functional.silu(x).flatten(1)
        return torch.softmax(self.last(x).relu(), 1)


class Finer(nn.Module):
    """Down, up again by a transposed convolution of other channels, and a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.down = nn.Conv2d(3, 4, 2, stride=2)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.last = nn.Conv2d(5, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        finer = self.up(self.down(x).relu())
        image: Tensor = self.last(torch.cat([x, finer], 1).relu())
        return image


def test_transposed_convolutions(tmp_path: Path) -> None:
    model = filled(Finer())
    bound = cs.lipschitz(model, IMAGE, method="ellipsoid", seconds=2, lower=False)
    assert bound.certificate is not None
    assert "ellipsoid" in bound.best.name
    own = graph_of(model, torch.zeros(1, *IMAGE))
    nodes = prepared(own, True).nodes
    [up] = [
        place
        for place, node in enumerate(nodes)
        if isinstance(node.kind, Filter) and node.kind.op.transposed
    ]
    bound.save(tmp_path / "c")
    found = cs.verify(tmp_path / "c", model)
    assert bound.upper <= found.upper <= bound.upper * (1 + 1.1e-5)
    held = bound.certificate
    for some in ([1.0, 1.0, 1.0, 1.0], [1e-300, 1e300], []):
        wrong = {**held.multipliers, up: (torch.tensor(some, dtype=torch.float64), 0)}
        dataclasses.replace(held, multipliers=wrong).save(tmp_path / "wrong")
        assert "does not" in str(outcome(tmp_path / "wrong", model))
    without = {at: each for at, each in held.multipliers.items() if at != up}
    dataclasses.replace(held, multipliers=without).save(tmp_path / "without")
    assert "does not serve" in str(outcome(tmp_path / "without", model))


@pytest.mark.parametrize("method", ["ellipsoid", "dense"])
def test_maps_of_many_kinds(method: str, tmp_path: Path) -> None:
    model = filled(Block())
    bound = cs.lipschitz(model, IMAGE, method=method, seconds=1, lower=False)
    assert "ellipsoid" in bound.best.name
    bound.save(tmp_path / "c")
    found = cs.verify(tmp_path / "c", model)
    assert bound.upper <= found.upper <= bound.upper * (1 + 1.1e-5)


# -- what is refused --------------------------------------------------------------------


def test_a_bit_that_is_flipped(written: Written, tmp_path: Path) -> None:
    path, model, _ = written
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    damaged = tmp_path / "damaged"
    for place in generator.choice(8 * len(content), FLIPS, replace=False):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << (place % 8)
        damaged.write_bytes(bytes(flipped))
        with pytest.raises(cs.UnreadableModel, match="damaged or none"):
            cs.verify(damaged, model)


@pytest.mark.parametrize("factor", [1e-300, 0.5, 0.999, 1.0 + 1e-12, 1.001, 2.0, 1e9])
def test_a_multiplier_that_is_changed(
    factor: float, written: Written, tmp_path: Path
) -> None:
    """Refused; or it serves as well, and the claim is what is given."""
    path, model, _ = written
    head, numbers = parts(path)
    claimed = float.fromhex(head["upper"])
    generator = np.random.default_rng(1)
    outcomes = set[float | str]()
    for place in [*generator.choice(len(numbers), 4, replace=False), slice(None)]:
        changed = numbers.copy()
        changed[place] *= factor
        file = forged(tmp_path / "forged", head, changed)
        outcomes.add(outcome(file, model))
    assert all(each == claimed or "does not prove" in str(each) for each in outcomes)
    if factor in (1e-300, 0.5):
        assert outcomes != {claimed}


def test_the_claim_that_is_lowered(written: Written, tmp_path: Path) -> None:
    path, model, bound = written
    head, numbers = parts(path)
    for factor in (1 - 2e-5, 0.5, 0.0, -1.0):
        lowered = {**head, "upper": (bound.upper * factor).hex()}
        file = forged(tmp_path / "forged", lowered, numbers)
        with pytest.raises(cs.UnreadableModel, match=r"it gives .* and claims"):
            cs.verify(file, model)


def test_a_claim_that_is_raised_holds(written: Written, tmp_path: Path) -> None:
    path, model, bound = written
    head, numbers = parts(path)
    raised = {**head, "upper": (2 * bound.upper).hex()}
    found = cs.verify(forged(tmp_path / "forged", raised, numbers), model)
    assert found.upper == 2 * bound.upper


def test_a_weight_of_which_one_bit_is_another(written: Written) -> None:
    path, model, _ = written
    for index, parameter in enumerate(model.parameters()):
        if parameter.ndim == 1:
            continue  # offsets drop out of differences
        other = copy.deepcopy(model)
        weight = list(other.parameters())[index]
        with torch.no_grad():
            flat = weight.view(-1)
            flat[-1:] = torch.nextafter(flat[-1:], torch.full_like(flat[-1:], 9.0))
        with pytest.raises(cs.UnreadableModel, match="holds for one network"):
            cs.verify(path, other)


def test_another_activation(written: Written) -> None:
    path, model, _ = written
    other = copy.deepcopy(model)
    other[1] = nn.LeakyReLU(0.5)
    with pytest.raises(cs.UnreadableModel, match="holds for one network"):
        cs.verify(path, other)


BIG = 10**9
FORGED: dict[str, dict[str, Any]] = {
    "another shape": {"input_shape": [1, 12, 12]},
    "no shape": {"input_shape": []},
    "a negative shape": {"input_shape": [1, -8, 8]},
    "more pixels than there is memory": {"input_shape": [1, BIG, BIG]},
    "another torus": {"torus": [12, 12]},
    "a huge torus": {"torus": [BIG, BIG]},
    "a torus of no size": {"torus": [0]},
    "a negative unit": {"scale": [(-1.0).hex()]},
    "units of zero": {"scale": [(0.0).hex()]},
    "units that are none": {"scale": ["nan"]},
    "units of seven channels": {"scale": [(1.0).hex()] * 7},
    "larger units": {"scale": [(1e6).hex()] * 3},
    "smaller units": {"scale": [(1e-6).hex()]},
    "no multipliers": {"multipliers": []},
    "a multiplier of no node": {"multipliers": [[10**6, 1, 0]]},
    "a huge exponent": {"multipliers": [[2, 4, 10**6], [4, 4, 0]]},
    "a tiny exponent": {"multipliers": [[2, 4, -(10**6)], [4, 4, 0]]},
    "a length below zero": {"multipliers": [[2, -4, 0]]},
    "one multiplier for all": {"multipliers": [[2, 1, 40], [4, 1, 40]]},
    "shares of zero": {"shares": [[0, 0, (0.0).hex()]]},
    "no number": {"upper": "much"},
    "not a number": {"upper": "nan"},
    "no bound": {"upper": "inf"},
    "another format": {"format": "convspec certificate 7"},
    "lists for numbers": {"torus": [[1], [2]]},
    "nothing for lists": {"multipliers": None},
}


@pytest.mark.parametrize("case", FORGED)
def test_heads_with_a_digest_that_fits(
    case: str, written: Written, tmp_path: Path
) -> None:
    path, model, bound = written
    head, numbers = parts(path)
    file = forged(tmp_path / "forged", {**head, **FORGED[case]}, numbers)
    found = outcome(file, model)
    if isinstance(found, float):  # in units that make the constant smaller
        assert case in ("larger units", "smaller units")
        assert found * (1 + 1e-9) >= bound.upper
        assert "in units of" in repr(cs.verify(file, model))
    else:
        assert len(found) > 20


@pytest.mark.parametrize("head", [[], 3, None, "text", {}])
def test_heads_that_are_none(head: Any, written: Written, tmp_path: Path) -> None:
    _, model, _ = written
    file = forged(tmp_path / "forged", head, np.ones(3))
    with pytest.raises(cs.UnreadableModel, match="no certificate of this version"):
        cs.verify(file, model)


def test_nested_text(written: Written, tmp_path: Path) -> None:
    _, model, _ = written
    signed = b"[" * 100_000 + b"\n"
    path = tmp_path / "nested"
    path.write_bytes(hashlib.sha256(signed).hexdigest().encode() + b"\n" + signed)
    with pytest.raises(cs.UnreadableModel, match="no certificate of this version"):
        cs.verify(path, model)


@pytest.mark.parametrize("number", [0.0, -1.0, math.nan, math.inf])
def test_numbers_that_are_no_multipliers(
    number: float, written: Written, tmp_path: Path
) -> None:
    path, model, _ = written
    head, numbers = parts(path)
    numbers[0] = number
    with pytest.raises(cs.UnreadableModel, match="must be positive and all there"):
        cs.verify(forged(tmp_path / "forged", head, numbers), model)


def test_files_that_are_none(written: Written, tmp_path: Path) -> None:
    path, model, _ = written
    content = path.read_bytes()
    file = tmp_path / "file"
    for length in (0, 1, 64, 65, 200, len(content) - 8, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(cs.UnreadableModel, match="damaged or none"):
            cs.verify(file, model)
    file.write_bytes(content + b"\0")
    with pytest.raises(cs.UnreadableModel, match="damaged or none"):
        cs.verify(file, model)
    for missing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(cs.UnreadableModel, match="cannot be read"):
            cs.verify(missing, model)


def test_channels_that_a_bounded_map_mixes_have_one_multiplier(tmp_path: Path) -> None:
    """Uneven ones would be read as if softmax kept its entries apart.

    With multipliers large where the input is and small where the output is weighed, a
    bound would come out that two inputs exceed.
    """
    model = mixing()
    with torch.no_grad():
        model.first.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1e-3]]))
        model.last.weight.copy_(torch.tensor([[1e-3, 0.0], [0.0, 1.0]]))
    own = graph_of(model, torch.zeros(1, 2))
    nodes = prepared(own, True).nodes
    [place] = [at for at, node in enumerate(nodes) if isinstance(node.kind, Bounded)]
    outcomes: dict[str, float | str] = {}
    for name, numbers in {"even": [1.01, 1.01], "uneven": [1.01, 1e-4]}.items():
        multipliers = {place: (torch.tensor(numbers, dtype=torch.float64), 0)}
        claim = 2.0 if name == "even" else 0.1
        held = Certificate(claim, digest_of(own), (2,), (), (), multipliers, {})
        held.save(tmp_path / name)
        outcomes[name] = outcome(tmp_path / name, model)
    assert outcomes["even"] == 2.0
    assert "does not serve" in str(outcomes["uneven"])
    x, y = torch.tensor([[-0.1, 0.0]]), torch.tensor([[0.1, 0.0]])
    ratio = (model(x) - model(y)).norm() / (x - y).norm()
    assert ratio > 0.2  # so that a claim of 0.1 is false
