"""A sweep over a training: 100 checkpoints of the embedded network.

``python -m benchmarks sweep [CHECKPOINTS]``. The trained weights are moved a little from
checkpoint to checkpoint. They are swept, swept again, in this process and as a command,
and again with one layer of one checkpoint changed. Before a time is reported rows are
compared with those of ``convspec.analyze``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import convspec as cs
from convspec.demo.digits import INPUT_SHAPE, DigitsNet, load_digits_net
from convspec.extras import import_extra
from convspec.report.columns import fields

__all__ = ["AIMS", "CHECKPOINTS", "SweepTimes", "sweep_text", "swept"]

CHECKPOINTS = 100
# seconds that 100 checkpoints may take: anew, and unchanged
AIMS = 60.0, 5.0
COMPARED = 5  # checkpoints whose rows are compared
NOISE = 0.02  # of a weight, from one checkpoint to the next
CODE = "import sys; from convspec.cli import main; sys.exit(main(sys.argv[1:]))"
MODEL = ["--model", "convspec.demo.digits:DigitsNet", "--input-shape", "1,8,8"]


@dataclass(frozen=True)
class SweepTimes:
    """What was measured, in seconds.

    Attributes:
        count: How many checkpoints there were.
        alone: An analysis of one checkpoint, without a cache, the mean of a few.
        anew: The first sweep.
        again: The same with nothing changed.
        command: That as a command, its imports included.
        changed: With one layer of one checkpoint changed.
        wrong: What was not as it should be.
    """

    count: int
    alone: float
    anew: float
    again: float
    command: float
    changed: float
    wrong: list[str]


def swept(count: int = CHECKPOINTS) -> SweepTimes:
    """Sweep and check.

    Raises:
        MissingExtra: Without pyarrow or safetensors.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = _training(folder, count)
        pattern, out = str(folder / "*.safetensors"), folder / "sweep.parquet"

        def sweep() -> cs.Sweep:
            return cs.sweep(pattern, DigitsNet, INPUT_SHAPE, out=out)

        looked_at = files[:: max(1, count // COMPARED)]
        _analysed(files[0])  # torch imports more on the first run of a model
        alone, reports = _timed(lambda: [_analysed(file) for file in looked_at])
        anew, first = _timed(sweep)
        wrong = _other_rows(first, dict(zip(looked_at, reports, strict=True)))
        again, second = _timed(sweep)
        wrong += ["rows of the second sweep"] * (second.rows != first.rows)
        arguments = ["sweep", pattern, *MODEL, "--out", str(out), "--quiet"]
        command, ran = _timed(
            lambda: subprocess.run([sys.executable, "-c", CODE, *arguments])
        )
        wrong += ["the command"] * (ran.returncode != 0)
        middle = files[count // 2]
        _change(middle)
        changed, third = _timed(sweep)
        wrong += _other_rows(third, {middle: _analysed(middle)})
        wrong += _unexpected(first, third, middle.name)
    per_one = alone / len(looked_at)
    return SweepTimes(count, per_one, anew, again, command, changed, wrong)


def sweep_text(found: SweepTimes) -> str:
    """The times, as lines, with their ratios."""
    whole = found.count * found.alone
    share = found.count / CHECKPOINTS
    lines = [
        f"{found.count} checkpoints of the embedded network, 6 convolutions each",
        f"analyze alone, {found.count} times {found.alone:.2f} s: {whole:.1f} s",
        f"sweep: {found.anew:.1f} s, {found.anew / whole:.2f} of that"
        f"{_aim(found.anew, AIMS[0] * share)}",
        f"again, unchanged: {found.again:.2f} s, {found.anew / found.again:.0f} times "
        f"less{_aim(found.again, AIMS[1])}",
        f"again, as a command: {found.command:.2f} s{_aim(found.command, AIMS[1])}",
        f"one layer of one checkpoint changed: {found.changed:.2f} s, "
        f"{found.anew / found.changed:.0f} times less",
    ]
    return "\n".join([*lines, *(f"WRONG: {each}" for each in found.wrong)])


def _aim(seconds: float, limit: float) -> str:
    return f"; aim: {limit:g} s, {'met' if seconds <= limit else 'missed'}"


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def _training(folder: Path, count: int) -> list[Path]:
    """Checkpoints of a walk from the trained weights."""
    generator = torch.Generator().manual_seed(0)
    held = dict(load_digits_net().state_dict())
    files = [folder / f"epoch{place}.safetensors" for place in range(1, count + 1)]
    for file in files:
        for name, weight in held.items():
            if weight.ndim > 1:
                noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
                held[name] = weight * (1 + NOISE * noise)
        _save(held, file)
    return files


def _save(held: Mapping[str, Tensor], file: Path) -> None:
    import_extra("safetensors.torch", "cli").save_file(dict(held), file)


def _load(file: Path) -> dict[str, Tensor]:
    held: dict[str, Tensor] = import_extra("safetensors.torch", "cli").load_file(file)
    return held


def _change(file: Path) -> None:
    """Another kernel for one layer."""
    held = _load(file)
    held["pointwise.weight"] = 1.5 * held["pointwise.weight"]
    _save(held, file)


def _analysed(file: Path) -> cs.ModelReport:
    net = DigitsNet()
    net.load_state_dict(_load(file))
    return cs.analyze(net, INPUT_SHAPE)


def _other_rows(found: cs.Sweep, reports: Mapping[Path, cs.ModelReport]) -> list[str]:
    """Rows that are others than analyze's, but for the time that they took."""
    wrong = []
    for file, report in reports.items():
        rows = [row for row in found.rows if row["checkpoint"] == file.name]
        for row, layer in zip(rows, report, strict=True):
            wanted = fields(layer)
            numbers = [key for key in row if key.endswith(("_lower", "_upper"))]
            if any(row[key] != wanted[key] for key in numbers):
                wrong.append(f"{file.name}: {row['layer']}")
    return wrong


def _unexpected(first: cs.Sweep, third: cs.Sweep, name: str) -> list[str]:
    """Rows that changed though their layer did not, or did not though it did."""
    wanted = [(name, "pointwise")]
    found = [
        (row["checkpoint"], row["layer"])
        for row, before in zip(third.rows, first.rows, strict=True)
        if _norm(row) != _norm(before)
    ]
    return [] if found == wanted else [f"changed rows: {found}"]


def _norm(row: Mapping[str, Any]) -> Sequence[float]:
    return row["norm_lower"], row["norm_upper"]
