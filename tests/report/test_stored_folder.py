"""Folders of stored steps: refused at once, gone, not there, and of two processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from torch import Tensor, nn

import convspec as cs
from tests.cache.nets import LIMITS, SHAPE, analysing, chain
from tests.cache.same import assert_same_reports, timeless
from tests.loaded import loaded_by_analysis


class Unrun(nn.Module):
    """A model that fails the test where it is run."""

    def forward(self, x: Tensor) -> Tensor:
        pytest.fail("run")


def test_a_file_is_refused_before_the_model_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="the cache must be a folder"):
        cs.analyze(Unrun(), (1, 3), cache=tmp_path / "file")
    with pytest.raises(OSError, match="must be a folder that can be written to"):
        cs.analyze(Unrun(), (1, 3), cache=str(tmp_path / "file" / "inside"))


def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    model = chain(2)
    model[0].register_forward_hook(lambda *_: os.rmdir(tmp_path / "cache"))
    with pytest.warns(UserWarning, match="results are not all stored"):
        report = cs.analyze(model, SHAPE, cache=tmp_path / "cache", **LIMITS)
    assert_same_reports(report, cs.analyze(chain(2), SHAPE, **LIMITS))


def test_without_a_cache_nothing_of_it_is_loaded() -> None:
    assert not [name for name in loaded_by_analysis() if "convspec.cache" in name]


def test_two_processes_on_one_folder(tmp_path: Path) -> None:
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    processes = [analysing(tmp_path / "cache", 8, path) for path in paths]
    assert [process.wait(300) for process in processes] == [0, 0]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    plain = cs.analyze(chain(8), SHAPE, **LIMITS)
    for path in paths:
        assert_same_saved(path, plain)
    assert not [*(tmp_path / "cache").glob(".convspec-*")]
    found = cs.analyze(chain(8), SHAPE, cache=tmp_path / "cache", **LIMITS)
    assert_same_reports(found, plain)


def assert_same_saved(path: Path, report: cs.ModelReport) -> None:
    saved = json.loads(path.read_text())
    assert timeless(saved) == timeless(json.loads(json.dumps(report.to_dict())))
