"""Files with faults: whatever is wrong in them is said in one way, within memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.files.mutated import MAX_BYTES, SECONDS, WRITERS
from tests.memory import CONSTANT

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads the memory of a Linux process"
)


def check(kind: str, count: int, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.files.mutated", kind, str(count), str(seed)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    outcomes = found["outcomes"]
    assert set(outcomes) <= {"read", "refused"}, outcomes
    assert sum(outcomes.values()) == count
    assert outcomes["refused"] > count / 20
    assert found["added"] <= 3 * MAX_BYTES + CONSTANT
    assert found["slowest"] <= SECONDS


@pytest.mark.parametrize("kind", WRITERS)
def test_faults(kind: str) -> None:
    check(kind, 80, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_many_faults(kind: str) -> None:
    check(kind, 4000, seed=2)
