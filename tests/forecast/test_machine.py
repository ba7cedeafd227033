"""The speed of a machine: measured, kept, and not trusted where it is another's."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from convspec.forecast.machine import REFERENCE, Machine, machine_of
from convspec.run.threads import available_cores


def test_measured() -> None:
    found = Machine.here()
    assert 0 < found.block < found.call < 1e-2
    assert found.cores == available_cores()
    assert Machine.here() is found


def test_the_reference_takes_what_it_took() -> None:
    for seconds in (0.0, 1e-4, 0.01, 3.0):
        assert REFERENCE.seconds(seconds) == pytest.approx(seconds)


def test_slow_calls_are_felt_by_short_steps_and_slow_blocks_by_long_ones() -> None:
    calls = replace(REFERENCE, call=2 * REFERENCE.call)
    blocks = replace(REFERENCE, block=3 * REFERENCE.block)
    assert calls.seconds(0.005) == pytest.approx(0.01)
    assert calls.seconds(10.0) == pytest.approx(10.0, rel=0.01)
    assert blocks.seconds(0.005) == pytest.approx(0.005)
    assert blocks.seconds(10.0) == pytest.approx(30.0, rel=0.01)
    assert blocks.rate == pytest.approx(REFERENCE.rate / 3)


def test_it_is_kept_in_a_folder_that_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    found = machine_of(folder)
    assert json.loads((folder / "machine.json").read_text()) == asdict(found)
    slower = replace(found, call=0.5)
    (folder / "machine.json").write_text(json.dumps(asdict(slower)))
    assert machine_of(folder) == slower


SPOILT = {
    "not JSON": lambda known: "{",
    "no object": lambda known: "[1, 2]",
    "a field less": lambda known: json.dumps({"call": 1e-6}),
    "a field more": lambda known: json.dumps({**known, "weight": 1.0}),
    "another machine": lambda known: json.dumps({**known, "name": "another"}),
    "other cores": lambda known: json.dumps({**known, "cores": 1000}),
    "zero": lambda known: json.dumps({**known, "call": 0.0}),
    "negative": lambda known: json.dumps({**known, "block": -1.0}),
    "nan": lambda known: json.dumps({**known, "call": float("nan")}),
    "words": lambda known: json.dumps({**known, "call": "fast"}),
    "other bytes": lambda known: "\udcff",
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
def test_what_is_not_of_this_machine_is_measured_anew(spoilt, tmp_path: Path) -> None:
    found = Machine.here()
    path = tmp_path / "machine.json"
    path.write_bytes(spoilt(asdict(found)).encode(errors="surrogateescape"))
    assert machine_of(tmp_path) == found
    assert json.loads(path.read_text()) == asdict(found)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        machine_of(tmp_path / "file")
