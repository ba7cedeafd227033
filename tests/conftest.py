"""Settings of the whole suite: reproducible examples, one thread per process."""

from __future__ import annotations

import os

# before NumPy starts its threads: the matrices are small, and xdist fills the cores
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # it would depend on the machine
)
settings.register_profile("explore", settings.get_profile("ci"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Layers that a test makes have the same weights wherever it runs."""
    torch.manual_seed(0)
