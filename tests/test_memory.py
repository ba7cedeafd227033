"""``max_bytes`` holds: what calls add to the resident memory of a process."""

from __future__ import annotations

import sys

import pytest

from tests.memory import CASES, VERBS, Job, measure

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads the memory of a Linux process"
)

MIB = 2**20
ENDS = ("done", "TooLargeError", "NotApplicable", "NotConverged")
# cheap or once at fault: the norm took 22 GiB for 9x9 taps on 256 x 256 pixels
QUICK = [
    Job("spectral_norm", "15x15", 2**28),
    Job("spectral_norm", "15x15", 2**26),
    Job("analyze", "15x15", 2**28),
    Job("worst_case_norm", "3x3 wide", 2**26),
    Job("to_sparse", "9x9", 2**26),
    Job("symbol_density", "1x1", 2**26),
    Job("schatten", "3x3 circular", 2**26),
    Job("spectral_density", "3x3 wide", 2**26),
    Job("spectrum vectors", "15x15", 2**26),
    Job("spectral_envelope", "sincnet", 2**26),
    Job("gram_iteration", "31x31", 2**26),
    Job("lip_bound", "15x15", 2**26),
    Job("tensor_norm", "3x3 wide", 2**26),
    Job("to_torch_sparse coo", "15x15", 2**28),
    Job("to_torch_sparse", "15x15", 2**28),
    Job("lstsq damped", "9x9", 2**26),
    Job("solve", "15x15", 2**26),
    Job("null_space", "15x15", 2**28),
    Job("log_abs_det", "3x3 wide", 2**26),
]


def check(jobs: list[Job], seconds: int) -> None:
    found = measure(jobs, seconds)
    assert [each.job for each in found] == jobs
    for each in found:
        assert each.outcome in ENDS, each
        assert each.added <= each.job.allowed, each


def test_added_memory_of_some_stays_within_max_bytes() -> None:
    check(QUICK[::3], 60)


@pytest.mark.slow
def test_added_memory_stays_within_max_bytes() -> None:
    check(QUICK, 60)


def test_what_is_too_large_is_refused_before_it_is_built() -> None:
    jobs = [
        Job("to_sparse", "9x9", 2**26),
        Job("to_dense", "3x3", 2**26),
        Job("spectrum dense", "3x3", 2**28),
        Job("spectral_norm", "3x3 circular", 2**26),
        Job("matrix_cells", "9x9", 2**26),
        Job("power_iteration", "3x3 circular", 2**26),
    ]
    for each in measure(jobs, 20):
        assert each.outcome == "TooLargeError", each
        assert each.added <= 8 * MIB, each


@pytest.mark.slow
@pytest.mark.parametrize("limit", [2**26, 2**28, 2**31], ids=lambda n: f"{n // MIB} MiB")
@pytest.mark.parametrize("verb", VERBS)
def test_added_memory_of_every_verb(verb: str, limit: int) -> None:
    check([Job(verb, case, limit) for case in CASES], 120)
