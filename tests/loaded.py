"""What a plain analysis loads, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

CODE = (
    "import sys, torch, convspec as cs; cs.analyze(torch.nn.Conv1d(1, 1, 3), (1, 5));"
    "print(*sys.modules)"
)


def loaded_by_analysis() -> set[str]:
    """Names of modules."""
    command = [sys.executable, "-c", CODE]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return {*ran.stdout.split()}
