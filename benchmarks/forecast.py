"""What ``convspec.estimate`` says of networks before, and what ``analyze`` takes.

``python -m benchmarks forecast`` compares them layer by layer; ``--fit MINUTES`` measures
drawn layers and the networks anew, on one thread, and writes the laws of the package;
``--steps FILE`` keeps what was measured, and without ``--fit`` fits to that. Networks are
left out one by one, so that the printed share is of layers that no law was fitted to.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

import convspec as cs
from benchmarks.forecast_fit import Laws, fitted, written
from benchmarks.forecast_layers import Drawn, drawn_layers
from benchmarks.forecast_steps import StepTime, measured_method, measured_steps
from benchmarks.networks import RRDBNet, he
from benchmarks.networks_spectra import NETWORKS
from convspec.demo.digits import INPUT_SHAPE, load_digits_net
from convspec.forecast.features import Features
from convspec.forecast.law import ANY
from convspec.forecast.machine import Machine

__all__ = ["forecast_main"]

FACTOR = 2.0
AIM = 0.9  # of the layers within the factor
# of the minutes of a fit, for each effort, and for methods of spectra
PARTS = {"default": 0.45, "quick": 0.2, "thorough": 0.2, ANY: 0.15}
SOURCES: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "digits": lambda: (load_digits_net(), INPUT_SHAPE),
    "mobilenet": lambda: _network("mobilenet"),
    "craft": lambda: _network("craft"),
    "resnet18": lambda: _network("resnet18"),
    "resnet50": lambda: _network("resnet50"),
    "unet3d": lambda: _network("unet3d"),
    "rrdb1": lambda: (he(RRDBNet(1)), (3, 64, 64)),
}
MEGABYTES = 2.0**26  # of memory, below which no law has to be near
Pair = tuple[float, float]  # foreseen, measured


def forecast_main(arguments: Sequence[str]) -> int:
    """Compare, or measure and fit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks forecast")
    parser.add_argument("names", nargs="*", metavar="NETWORK", help=", ".join(SOURCES))
    parser.add_argument("--fit", type=float, metavar="MINUTES", help="of drawn layers")
    parser.add_argument("--steps", type=Path, metavar="FILE", help="of what is measured")
    chosen = parser.parse_args(arguments)
    if chosen.fit is not None:
        steps = [*_measured(chosen.fit)]
        if chosen.steps is not None:
            chosen.steps.write_text(json.dumps([asdict(step) for step in steps]))
        return _fit(steps)
    if chosen.steps is not None:
        return _fit(_read(chosen.steps))
    shares = [_compared(name) for name in chosen.names or SOURCES]
    pairs = [pair for share in shares for pair in share]
    share = _share(pairs)
    print(f"all: {len(pairs)} layers, {share:.0%} within a factor of {FACTOR:g}")
    return 0 if share >= AIM else 1


def _network(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    network = NETWORKS[name]
    return network.build(), network.shape


def _compared(name: str) -> list[Pair]:
    """The layers of a network, foreseen and measured."""
    model, shape = SOURCES[name]()
    cs.analyze(nn.Conv2d(2, 2, 3), (2, 6, 6))  # what is imported at first
    start = time.perf_counter()
    foreseen = cs.estimate(model, shape)
    before = time.perf_counter() - start
    start = time.perf_counter()
    report = cs.analyze(model, shape)
    took = time.perf_counter() - start
    pairs = [(foreseen[row.name].seconds, row.seconds) for row in report]
    words = (
        f"{len(pairs)} layers, {_share(pairs):.0%} within a factor of {FACTOR:g}, worst "
        f"{max(map(_ratio, pairs)):.1f}; {foreseen.seconds:.1f} s in all foreseen in "
        f"{before:.1f} s, {took:.1f} s measured"
    )
    print(f"{name}: {words}", flush=True)
    return pairs


def _ratio(pair: Pair) -> float:
    return max(pair[0] / pair[1], pair[1] / pair[0])


def _share(pairs: Sequence[Pair]) -> float:
    return sum(_ratio(pair) <= FACTOR for pair in pairs) / len(pairs)


def _measured(minutes: float) -> Iterator[StepTime]:
    """Steps of the networks and of drawn layers, for so long each."""
    torch.set_num_threads(1)
    for name, source in SOURCES.items():
        yield from measured_steps(*source(), name)
        print(f"{name}: measured", flush=True)
    for seed, (effort, part) in enumerate(PARTS.items()):
        end = time.perf_counter() + 60 * minutes * part
        for place, drawn in enumerate(drawn_layers(seed)):
            if time.perf_counter() > end:
                break
            name = f"drawn {seed}.{place}"
            if effort != ANY:
                yield from measured_steps(drawn.layer, drawn.shape, name, effort)
            else:
                yield from _methods(drawn, name, random.Random(place))
        print(f"{effort}: measured", flush=True)


def _methods(drawn: Drawn, name: str, rng: random.Random) -> Iterator[StepTime]:
    """The methods for spectra of a layer."""
    row = cs.analyze(drawn.layer, drawn.shape, norm_flops=0, envelope_flops=0)[0]
    assert row.operator is not None
    few = min(rng.choice((1, 5, 20)), *row.operator.shape)
    for method, k in (("fourier", None), ("dense", None), ("krylov", few)):
        found = measured_method(row.operator, method, k, name)
        if found is not None:
            yield found


def _read(path: Path) -> list[StepTime]:
    return [StepTime(**step) for step in json.loads(path.read_text())]


def _fit(steps: Sequence[StepTime]) -> int:
    """Fit the laws, try them on networks that are left out, and write them."""
    every: list[Pair] = []
    for name in SOURCES:
        own = [step for step in steps if step.source == name]
        if not own:
            continue
        laws = fitted(step for step in steps if step.source != name)
        pairs = [*_rows(own, laws).values()]
        print(f"{name}, left out: {len(pairs)} layers, {_share(pairs):.0%} within")
        every += pairs
    laws = fitted(steps)
    for effort, group in laws.items():
        for step, law in group.items():
            own = [each for each in steps if (each.effort, each.step) == (effort, step)]
            said = [law.of(Features(**each.features)) for each in own]
            pairs = [(of[0], each.seconds) for of, each in zip(said, own, strict=True)]
            held = [
                (max(MEGABYTES, of[1]), max(MEGABYTES, each.held))
                for of, each in zip(said, own, strict=True)
                if each.held is not None
            ]
            words = f", {_share(held):.0%} of bytes" if held else ""
            print(f"{effort:8} {step:16} {len(own):5} {_share(pairs):.0%} within{words}")
    written(laws, Machine.measured())
    print(f"all layers left out: {len(every)}, {_share(every):.0%} within")
    return 0 if _share(every) >= AIM else 1


def _rows(steps: Sequence[StepTime], laws: Laws) -> dict[str, Pair]:
    """Seconds of the layers, foreseen and measured."""
    found: dict[str, Pair] = defaultdict(lambda: (0.0, 0.0))
    for step in steps:
        seconds, _ = laws[step.effort][step.step].of(Features(**step.features))
        before, measured = found[step.layer]
        found[step.layer] = before + seconds, measured + step.seconds
    return found
