"""What calls add to the resident memory of a process: each in a fork of a fresh one.

``python -m tests.memory`` reads jobs as JSON, one a line, and answers each with a line.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

import convspec as cs
from convspec.operators.heatmap import matrix_cells
from tests.resident import peak_bytes

# what a limit does not count: stacks and caches of BLAS and its threads, code that is
# loaded on first use, and what the allocator keeps
CONSTANT = 48 * 2**20
# glibc raises both as blocks are freed, and then keeps by chance up to 64 MiB of what
# calls gave back: fixed, the highest memory of a call is its own
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(2**17), "MALLOC_MMAP_THRESHOLD_": str(2**17)}
# beyond this the process itself is refused more, so that a fault harms nobody else
ADDRESSES = 12 * 2**30


@dataclass(frozen=True)
class Job:
    """A call: the name of a verb, that of a case, and its ``max_bytes``."""

    verb: str
    case: str
    max_bytes: int

    @property
    def allowed(self) -> float:
        """What it may add."""
        return 1.2 * self.max_bytes + CONSTANT


@dataclass(frozen=True)
class Measured:
    """What a call added, in bytes, how it ended and when."""

    job: Job
    added: int
    outcome: str
    seconds: float


Arguments = dict[str, Any]
# (weight shape, input size, geometry)
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], Arguments]] = {
    "1x1": ((64, 64, 1, 1), (64, 64), {}),
    "3x3": ((32, 32, 3, 3), (56, 56), {"padding": 1}),
    "3x3 reflect": (
        (8, 8, 3, 3),
        (32, 32),
        {"padding": 1, "padding_mode": "reflect"},
    ),
    "3x3 stride 2": ((64, 3, 3, 3), (112, 112), {"padding": 1, "stride": 2}),
    "3x3 wide": ((256, 256, 3, 3), (14, 14), {"padding": 1}),
    "3x3 circular": (
        (64, 64, 3, 3),
        (64, 64),
        {"padding": 1, "padding_mode": "circular"},
    ),
    "9x9": ((1, 1, 9, 9), (256, 256), {"padding": 4}),
    "15x15": ((1, 1, 15, 15), (96, 96), {"padding": 7}),
    "31x31": ((8, 1, 31, 31), (64, 64), {"padding": 15, "groups": 8}),
    "sincnet": ((80, 1, 251), (3200,), {}),
    "3x3x3": ((8, 8, 3, 3, 3), (12, 12, 12), {"padding": 1}),
    "transposed": (
        (16, 8, 4, 4),
        (28, 28),
        {"padding": 1, "stride": 2, "transposed": True},
    ),
}


def operator(case: str) -> cs.ConvOperator:
    """The operator of a case, its weight random."""
    shape, size, arguments = CASES[case]
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    return cs.ConvOperator(weight / weight[0].numel() ** 0.5, size, **arguments)


def layer(case: str) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """The layer of a case, and the shape of its input."""
    shape, size, arguments = CASES[case]
    arguments = dict(arguments)
    dim, groups = len(size), arguments.get("groups", 1)
    kind = "ConvTranspose" if arguments.pop("transposed", False) else "Conv"
    rows, columns = shape[0], shape[1] * groups
    made = getattr(torch.nn, f"{kind}{dim}d")(
        *((rows, columns) if kind == "ConvTranspose" else (columns, rows)),
        shape[2:],
        bias=False,
        **arguments,
    )
    with torch.no_grad():
        made.weight.copy_(operator(case).weight)
    inputs = rows if kind == "ConvTranspose" else columns
    return made, (inputs, *size)


def _analyze(case: str, max_bytes: int) -> None:
    cs.analyze(*layer(case), max_bytes=max_bytes, worst_case_seconds=2.0)


def _worst_case(name: str) -> Callable[[str, int], None]:
    def call(case: str, max_bytes: int) -> None:
        op = operator(case)
        if name == "worst_case_conditioning":
            axis = op.geometry.axes[0]
            cs.worst_case_conditioning(
                op.weight,
                stride=axis.stride,
                groups=op.groups,
                transposed=op.transposed,
                max_seconds=3.0,
                max_bytes=max_bytes,
            )
        else:
            verb = getattr(cs.bounds, name)
            verb(op, max_seconds=3.0, max_bytes=max_bytes)

    return call


def _of_operator(
    verb: Callable[..., object], **arguments: object
) -> Callable[[str, int], None]:
    def call(case: str, max_bytes: int) -> None:
        verb(operator(case), max_bytes=max_bytes, **arguments)

    return call


def _norm(case: str, max_bytes: int) -> None:
    # so that those of many pixels end
    rtol = 1e-3 if case in ("9x9", "31x31", "3x3 circular") else 1e-6
    cs.spectral_norm(operator(case), rtol, max_flops=3e10, max_bytes=max_bytes)


def _symbol(case: str, max_bytes: int) -> None:
    operator(case).symbol().grid(CASES[case][1], max_bytes=max_bytes)


def _inverse(name: str, **given: Any) -> Callable[[str, int], None]:
    """A solve or its like on ones; few products, if it comes to products."""

    def call(case: str, max_bytes: int) -> None:
        op = operator(case)
        y = torch.ones(op.output_shape, dtype=op.dtype)
        getattr(op, name)(y, max_bytes=max_bytes, max_products=20, **given)

    return call


VERBS: dict[str, Callable[[str, int], None]] = {
    "spectral_norm": _norm,
    "spectrum": _of_operator(cs.spectrum),
    "spectrum krylov": _of_operator(cs.spectrum, k=4, method="krylov"),
    "spectrum smallest": _of_operator(cs.spectrum, k=2, which="smallest"),
    "spectrum vectors": _of_operator(cs.spectrum, k=4, vectors=True),
    "spectrum dense": _of_operator(cs.spectrum, method="dense"),
    "spectral_envelope": _of_operator(cs.spectral_envelope, max_flops=5e10),
    "spectral_density": _of_operator(cs.spectral_density, probes=4, steps=30),
    "symbol_density": _of_operator(cs.symbol_density),
    "frequency_response": _of_operator(cs.frequency_response),
    "to_dense": _of_operator(cs.ConvOperator.to_dense),
    "to_sparse": _of_operator(cs.ConvOperator.to_sparse),
    "to_torch_sparse": _of_operator(cs.ConvOperator.to_torch_sparse),
    "to_torch_sparse coo": _of_operator(
        cs.ConvOperator.to_torch_sparse, layout=torch.sparse_coo
    ),
    "symbol grid": _symbol,
    "analyze": _analyze,
    "worst_case_norm": _of_operator(cs.worst_case_norm, max_seconds=3.0),
    "worst_case_conditioning": _worst_case("worst_case_conditioning"),
    "supremum": _worst_case("supremum"),
    **{
        name: _of_operator(getattr(cs.bounds, name))
        for name in (
            "schatten",
            "gram_iteration_zero",
            "gram_iteration",
            "sampled_symbol",
            "lip_bound",
            "tensor_norm",
            "power_iteration",
            "krylov",
        )
    },
    "matrix_cells": _of_operator(matrix_cells),
    "solve": _inverse("solve"),
    "lstsq": _inverse("lstsq"),
    "lstsq damped": _inverse("lstsq", damp=0.1),
    "null_space": _of_operator(cs.null_space),
    "log_abs_det": _of_operator(cs.log_abs_det),
}


def _resident() -> int:
    with open("/proc/self/statm") as table:
        return int(table.read().split()[1]) * resource.getpagesize()


def _warm() -> None:
    """Load what is loaded on first use, and start the threads."""
    op = cs.ConvOperator(torch.ones(2, 2, 3, 3, dtype=torch.float64), 8, padding=1)
    cs.spectral_norm(op)
    cs.spectrum(op, 1, method="krylov")
    cs.spectral_envelope(op)
    side = torch.ones(300, 300, dtype=torch.float64)
    torch.linalg.svdvals(side @ side)


class Ended(BaseException):
    """The time of a call is over; what it has added until then counts."""


def _end(*_: object) -> None:
    raise Ended


def _run(job: Job, seconds: int) -> Measured:
    """In a fork: what the call adds to this process."""
    _warm()
    signal.signal(signal.SIGALRM, _end)
    signal.alarm(seconds)
    before, peak = _resident(), peak_bytes()
    start, outcome = time.perf_counter(), "done"
    try:
        VERBS[job.verb](job.case, job.max_bytes)
    except (cs.TooLargeError, cs.NotApplicable, cs.NotConverged, Ended) as error:
        outcome = type(error).__name__
    except Exception as error:  # whatever it is, the parent reports it
        outcome = f"{type(error).__name__}: {error}"
    highest = peak_bytes()
    added = highest - before if highest > peak else 0
    return Measured(job, added, outcome, time.perf_counter() - start)


def _forked(job: Job, seconds: int) -> Measured:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as end:
            end.write(json.dumps(asdict(_run(job, seconds))))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as end:
        found = end.read()
    status = os.waitpid(child, 0)[1]
    if not found:
        return Measured(job, 0, f"killed by signal {os.WTERMSIG(status)}", seconds)
    fields = json.loads(found)
    return Measured(**{**fields, "job": Job(**fields["job"])})


def measure(jobs: Sequence[Job], seconds: int = 60) -> list[Measured]:
    """Run the jobs one after the other, each ended after so many seconds."""
    lines = "\n".join(json.dumps(asdict(job)) for job in jobs)
    done = subprocess.run(
        [sys.executable, "-m", "tests.memory", str(seconds)],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        env={**os.environ, **ALLOCATOR},
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [Measured(**{**each, "job": Job(**each["job"])}) for each in found]


def main(seconds: int) -> None:
    """Answer the jobs of standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    for line in sys.stdin:
        measured = _forked(Job(**json.loads(line)), seconds)
        sys.stdout.write(json.dumps(asdict(measured)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
