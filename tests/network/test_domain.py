"""Networks on a domain of inputs: products of data, curved functions, fewer slopes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import convspec as cs
from tests.gated_nets import Excited, gated_net
from tests.gaussian import gaussian
from tests.node_maps import joined
from tests.reshaping_nets import Call

Function = Callable[[Tensor], Tensor]
# of norms that are computed in float64
ROUNDING = 1 - 1e-12


def bounded(function: Function, width: int, ends: Any, **options: Any) -> cs.NetworkBound:
    options = {"seconds": 0.5, "lower": False, **options}
    return cs.lipschitz(Call(function), (width,), domain=ends, **options)


def slope_at(model: nn.Module, x: Tensor) -> float:
    """The norm of the Jacobian."""
    found = torch.autograd.functional.jacobian(lambda x: joined(model(x)), x[None])
    return float(torch.linalg.matrix_norm(found.reshape(-1, x.numel()), 2))


def inside(ends: tuple[Tensor, Tensor], count: int, seed: int) -> Tensor:
    low, high = ends
    shares = gaussian(seed, count, *low.shape).abs().fmod(1)
    shares[::3] = shares[::3].round()
    return low + (high - low) * shares


# -- constants that are known -----------------------------------------------------------

# each entry by itself: the constant is the steepest slope
KNOWN: dict[str, tuple[Function, float, float, float]] = {
    "x^2": (lambda x: x**2, -2.0, 3.0, 6.0),
    "x x": (lambda x: x * x, -2.0, 1.0, 4.0),
    "x^3": (lambda x: x**3, -2.0, 1.0, 12.0),
    "exp": (torch.exp, -1.0, 2.0, math.exp(2)),
    "expm1": (torch.expm1, -1.0, 2.0, math.exp(2)),
    "1 / x": (lambda x: 1 / x, 0.5, 4.0, 4.0),
    "1 / x below 0": (lambda x: 1 / x, -4.0, -0.5, 4.0),
    "x^-3": (lambda x: x**-3, -4.0, -1.0, 3.0),
    "x^-1/2": (torch.rsqrt, 0.25, 4.0, 4.0),
    "x^3/2": (lambda x: x**1.5, 0.25, 4.0, 3.0),
    "sqrt": (torch.sqrt, 0.25, 4.0, 1.0),
    "log": (torch.log, 0.25, 4.0, 4.0),
    "log1p": (torch.log1p, -0.75, 4.0, 4.0),
    "one point": (lambda x: x**3, 2.0, 2.0, 12.0),
    "in place": (lambda x: (x * 1).square_().add_(1), -2.0, 3.0, 6.0),
    "a multiple of 1 / x": (lambda x: 3 * (1 / x), 0.5, 4.0, 12.0),
    "relu where it is 0": (lambda x: torch.relu(x) + 0.25 * x, -2.0, -1.0, 0.25),
    "leaky relu below 0": (lambda x: F.leaky_relu(x, 0.3), -2.0, -1.0, 0.3),
    "leaky relu of 1e-20": (lambda x: F.leaky_relu(x, 1e-20), -2.0, -1.0, 1e-20),
    "leaky relu above 1": (lambda x: F.leaky_relu(x, 3.0), -2.0, -1.0, 3.0),
    "leaky relu above 0": (lambda x: F.leaky_relu(x, 3.0), 1.0, 2.0, 1.0),
    "leaky relu of a slope below 0": (lambda x: F.leaky_relu(x, -3.0), -2.0, -1.0, 3.0),
    "abs": (lambda x: x.abs() + x, -2.0, -1.0, 0.0),
    "tanh": (torch.tanh, 1.0, 2.0, 1 / math.cosh(1) ** 2),
    "sigmoid": (torch.sigmoid, -3.0, -2.0, 0.25 / math.cosh(1) ** 2),
}


@pytest.mark.parametrize("case", KNOWN)
def test_functions_of_entries(case: str) -> None:
    function, low, high, constant = KNOWN[case]
    bound = bounded(function, 3, (low, high))
    assert constant <= bound.upper <= constant * (1 + 1e-6) + 1e-9


def test_far_out_slopes_are_not_0() -> None:
    """``cosh^2`` overflows, the slope ``exp(-720)`` of the sigmoid is a number."""
    bound = bounded(lambda x: 1e300 * torch.sigmoid(x), 2, (-740.0, -720.0))
    assert bound.upper >= 1e300 * math.exp(-720)


def of_first_and_second(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    return lambda x: function(x[:, :1], x[:, 1:])


# each with its gradient's largest length on the box, which an end attains
PRODUCTS: dict[str, tuple[Function, Any, Any, float]] = {
    "x y": (of_first_and_second(lambda x, y: x * y), 0.0, (2.0, 3.0), math.hypot(2, 3)),
    "x y about 0": (of_first_and_second(lambda x, y: x * y), -1.0, 1.0, math.sqrt(2)),
    "x / (1 + y)": (
        of_first_and_second(lambda x, y: x / (1 + y)),
        0.0,
        1.0,
        math.sqrt(2),
    ),
    "x y at one point": (
        of_first_and_second(lambda x, y: x * y),
        (3.0, 4.0),
        (3.0, 4.0),
        5.0,
    ),
}


@pytest.mark.slow  # until the search has made all of its steps
@pytest.mark.parametrize("case", PRODUCTS)
def test_products_of_two_numbers(case: str) -> None:
    """``|a (b - b') + b' (a - a')| <= |(max |a|, max |b|)| |(a - a', b - b')|``."""
    function, low, high, constant = PRODUCTS[case]
    low, high = (
        torch.tensor(end, dtype=torch.float64) if isinstance(end, tuple) else end
        for end in (low, high)
    )
    # more seconds than the search takes until it has made all of its steps
    bound = bounded(function, 2, (low, high), seconds=30)
    assert constant * (1 - 2.0**-52) <= bound.upper <= constant * 1.005


def test_a_gate_of_a_linear_map() -> None:
    """``x sigmoid(W x)``: at most ``1 + M |W| / 4`` for ``|x_i| <= M``."""
    weight = gaussian(1, 3, 3)
    bound = bounded(lambda x: x * torch.sigmoid(x @ weight), 3, (-2, 2), seconds=2)
    hand = 1 + 2 * float(torch.linalg.matrix_norm(weight, 2)) / 4
    gate = Call(lambda x: x * torch.sigmoid(x @ weight))
    ends = gaussian(2, 3) * 0 - 2, gaussian(2, 3) * 0 + 2
    seen = max(slope_at(gate, x) for x in inside(ends, 300, 3))
    assert seen * ROUNDING <= bound.upper <= hand * (1 + 1e-9)


def excited() -> nn.Module:
    net = Excited(2, 2, nn.Sigmoid()).double()
    for number, tensor in enumerate(net.state_dict().values()):
        tensor.copy_(gaussian(10 + number, *tensor.shape))
    return net


def test_squeeze_and_excitation() -> None:
    """By hand: ``max s + max |x| sqrt(n) |U| |D| / 4 / sqrt(n)`` over n pixels."""
    net = excited()
    assert isinstance(net, Excited)
    bound = cs.lipschitz(net, (2, 3, 3), domain=(0, 1), seconds=2, lower=False)
    norms = [
        float(torch.linalg.matrix_norm(each.weight.detach(), 2))
        for each in (net.up, net.down)
    ]
    ends = gaussian(2, 2, 3, 3) * 0, gaussian(2, 2, 3, 3) * 0 + 1
    seen = max(slope_at(net, x) for x in inside(ends, 300, 3))
    assert seen * ROUNDING <= bound.upper <= 1 + norms[0] * norms[1] / 4


@pytest.mark.parametrize("padded", [0, 1])
@pytest.mark.parametrize("reach", [0.0, 1e-6])
def test_where_a_network_is_linear(reach: float, padded: int) -> None:
    """The norm of its Jacobian there."""
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=padded),
        nn.ReLU(),
        nn.Conv2d(3, 2, 2),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * (2 + 2 * padded) ** 2, 3),
    ).double()
    for number, tensor in enumerate(net.state_dict().values()):
        tensor.copy_(gaussian(20 + number, *tensor.shape))
    x = gaussian(3, 2, 5, 5)
    bound = cs.lipschitz(
        net, (2, 5, 5), domain=(x - reach, x + reach), seconds=2, lower=False
    )
    truth = slope_at(net, x)
    assert truth * ROUNDING <= bound.upper <= truth * (1 + 1e-6)
    assert all(step.upper >= truth * ROUNDING for step in bound.steps)


# -- random networks --------------------------------------------------------------------


def check(seed: int, seconds: float) -> None:
    model, shape, ends = gated_net(seed)
    bound = cs.lipschitz(model, shape, domain=ends, seconds=seconds, lower=False)
    seen = max(slope_at(model, x) for x in inside(ends, 12, seed))
    for step in bound.steps:
        assert step.upper >= seen * ROUNDING, (seed, step, seen)


@pytest.mark.parametrize("seed", range(25))
def test_random_networks(seed: int) -> None:
    check(seed, 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 500, 50))
def test_many_random_networks(first: int) -> None:
    for seed in range(first, first + 50):
        check(seed, 0.4)


def test_a_smaller_domain_has_no_larger_constant() -> None:
    model = excited()
    wide, narrow = (
        cs.lipschitz(
            model, (2, 3, 3), domain=(0, high), method="scalar", lower=False
        ).upper
        for high in (2.0, 1.0)
    )
    assert narrow < wide


# -- pairs ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pairs_lie_inside(dtype: torch.dtype) -> None:
    """Exactly, where ends are no numbers of the model's dtype."""
    model = excited().to(dtype)
    low = torch.tensor([0.1, -0.3], dtype=torch.float64)
    high = torch.tensor([0.7, 0.2], dtype=torch.float64)
    bound = cs.lipschitz(model, (2, 3, 3), domain=(low, high), seconds=1)
    assert bound.pair is not None
    for each in bound.pair:
        x = each.double()
        assert bool((low[:, None, None] <= x).all() & (x <= high[:, None, None]).all())
    assert 0 < bound.lower <= bound.upper


def test_one_point_has_no_pair() -> None:
    bound = cs.lipschitz(excited(), (2, 3, 3), domain=(0.5, 0.5), seconds=1)
    assert bound.lower == 0.0
    assert bound.pair is None
    assert any("no pair of inputs" in note for note in bound.warnings)


# -- domains ----------------------------------------------------------------------------


def test_ends_for_each_channel_and_for_each_entry() -> None:
    """All the same where they say the same."""
    model = excited()
    channels = torch.tensor([1.0, 2.0])
    entries = channels[:, None, None].expand(2, 3, 3)
    found = [
        cs.lipschitz(
            model, (2, 3, 3), domain=(0.0, high), method="scalar", lower=False
        ).upper
        for high in (channels, entries, [1.0, 2.0])
    ]
    assert len(set(found)) == 1


def test_ends_of_one_pixel_for_channels_and_for_entries() -> None:
    low, high = torch.tensor([0.0, 5.0]), torch.tensor([[[1.0]], [[6.0]]])
    bound = cs.lipschitz(
        Call(lambda x: x * x), (2, 1, 1), domain=(low, high), seconds=1, lower=False
    )
    assert 12 <= bound.upper <= 12 * (1 + 1e-6)


WRONG: dict[str, tuple[Any, str]] = {
    "a number": (1.0, r"domain must be a pair \(low, high\); got 1.0; pass \(0, 1\)"),
    "three": ((0, 1, 2), r"domain must be a pair \(low, high\)"),
    "words": ("01", r"domain must be a pair \(low, high\)"),
    "crossed": ((1, 0), "domain must have low <= high in each entry"),
    "crossed once": (([0, 2], 1.0), "domain must have low <= high in each entry"),
    "infinite": ((0, math.inf), "domain's high must be a finite number, one for each of"),
    "no number": ((math.nan, 1), "domain's low must be a finite number"),
    "few channels": (
        (0, torch.ones(3)),
        "one for each of 2 channels, or",
    ),
    "another shape": ((torch.zeros(3, 3), 1), r"a tensor of shape \(2, 3, 3\)"),
    "names": ((0, "a"), "domain's high must be a finite number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_domains(case: str) -> None:
    given, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        cs.lipschitz(excited(), (2, 3, 3), domain=given, method="scalar", lower=False)


LOST: dict[str, tuple[Function, float, float]] = {
    "log at 0": (torch.log, 0.0, 1.0),
    "sqrt at 0": (torch.sqrt, 0.0, 1.0),
    "log1p at -1": (torch.log1p, -1.0, 1.0),
    "1 / x over 0": (lambda x: 1 / x, -1.0, 1.0),
    "1 / x at 0": (lambda x: 1 / x, 0.0, 1.0),
    "x^-2 from below": (lambda x: x**-2, -1.0, 0.0),
    "x^0.3 over 0": (lambda x: x**0.3, -1.0, 1.0),
    "quotient over 0": (lambda x: 1.0 * x / (x + 0.5), -1.0, 1.0),
    "overflow": (torch.exp, 0.0, 1000.0),
    "single precision": (lambda x: x.float().sigmoid().double() * x, 0.0, 1.0),
}


@pytest.mark.parametrize("case", LOST)
def test_what_has_no_constant_on_its_domain(case: str) -> None:
    function, low, high = LOST[case]
    with pytest.raises(
        cs.UnsupportedLayer, match="on this domain its values have no bound"
    ):
        bounded(function, 2, (low, high))


def test_without_a_domain_it_is_asked_for() -> None:
    with pytest.raises(cs.UnsupportedLayer, match=r"pass domain=\(low, high\)"):
        cs.lipschitz(excited(), (2, 3, 3), lower=False)


def test_the_way_must_not_depend_on_the_middle() -> None:
    def forked(x: Tensor) -> Tensor:
        return x * x if bool(x.sum() > 0) else 9 * x

    with pytest.raises(cs.UnsupportedLayer, match="must not depend on its input"):
        bounded(forked, 2, (-1.0, 2.0))


# -- certificates -----------------------------------------------------------------------


class Certified(nn.Module):
    """Small enough for an ellipsoid that beats a product."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6).double(), nn.Linear(6, 3).double()
        for number, tensor in enumerate(self.state_dict().values()):
            tensor.copy_(gaussian(40 + number, *tensor.shape))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x).tanh())
        return y * torch.sigmoid(y)


ENDS = ([-0.5, 0.0, -0.25, 0.1], 0.75)


def certified(path: Path) -> cs.NetworkBound:
    bound = cs.lipschitz(Certified(), (4,), domain=ENDS, seconds=1, lower=False)
    bound.save(path)
    return bound


def test_a_certificate_holds_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "net.certificate"
    bound = certified(path)
    code = (
        "import convspec as cs\n"
        "from tests.network.test_domain import Certified\n"
        f"found = cs.verify({str(path)!r}, Certified())\n"
        "print(repr(found.upper), found.domain.low.tolist(), found.domain.high.tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    upper, _, ends = done.stdout.partition(" ")
    assert bound.upper <= float(upper) <= 1.0001 * bound.upper
    assert ends.strip() == "[-0.5, 0.0, -0.25, 0.1] [0.75, 0.75, 0.75, 0.75]"


def forged(path: Path, change: Callable[[dict[str, Any], Tensor], bytes | None]) -> None:
    """Written as if it were right: the digest is made anew."""
    _, _, signed = path.read_bytes().partition(b"\n")
    text, _, body = signed.partition(b"\n")
    head = json.loads(text)
    numbers = torch.frombuffer(bytearray(body), dtype=torch.float64)
    found = change(head, numbers)
    body = numbers.numpy().tobytes() if found is None else found
    signed = json.dumps(head, sort_keys=True).encode() + b"\n" + body
    path.write_bytes(hashlib.sha256(signed).hexdigest().encode() + b"\n" + signed)


def _wider(head: dict[str, Any], numbers: Tensor) -> None:
    numbers[-4:] = 5.0


def _crossed(head: dict[str, Any], numbers: Tensor) -> None:
    numbers[-4:] = -5.0


def _cut(head: dict[str, Any], numbers: Tensor) -> bytes:
    return bytes(numbers[:-1].numpy().tobytes())


def _everywhere(head: dict[str, Any], numbers: Tensor) -> None:
    """As if for all inputs."""
    head["domain"] = []


def _infinite(head: dict[str, Any], numbers: Tensor) -> None:
    numbers[-1] = math.inf


def _odd(head: dict[str, Any], numbers: Tensor) -> None:
    head["domain"] = [[3], [3]]


FORGED: dict[str, tuple[Callable[..., Any], str]] = {
    "wider": (_wider, "does not prove what it claims"),
    "crossed": (_crossed, "domain must have low <= high"),
    "cut": (_cut, "ends of the domain must be all there"),
    "infinite": (_infinite, "domain's high must be a finite number"),
    "of another shape": (_odd, "ends of the domain must be all there"),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_certificates(case: str, tmp_path: Path) -> None:
    change, words = FORGED[case]
    path = tmp_path / "net.certificate"
    certified(path)
    forged(path, change)
    with pytest.raises(cs.UnreadableModel, match=words):
        cs.verify(path, Certified())


def test_a_certificate_without_its_domain(tmp_path: Path) -> None:
    path = tmp_path / "net.certificate"
    bound = cs.lipschitz(Certified(), (4,), domain=(-0.1, 0.1), seconds=1, lower=False)
    bound.save(path)
    forged(path, _everywhere)
    with pytest.raises(cs.UnreadableModel, match=r"does not prove|does not fit"):
        cs.verify(path, Certified())


def test_a_smaller_domain_is_told(tmp_path: Path) -> None:
    """What a file says of the domain is what the bound is printed with."""
    path = tmp_path / "net.certificate"
    certified(path)

    def narrower(head: dict[str, Any], numbers: Tensor) -> None:
        numbers[-4:] = 0.75 - 2.0**-40

    forged(path, narrower)
    found = cs.verify(path, Certified())
    assert found.domain is not None
    assert found.domain.high.max() == 0.75 - 2.0**-40
    assert "inputs between -0.5 and 0.75" in str(found)
