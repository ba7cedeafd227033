"""Sweeps in Parquet, and back."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest

import convspec as cs
from convspec.extras import MissingExtra
from convspec.sweeps.rows import columns, kind_of
from tests.sweeps.nets import SHAPE, net, run, save, weights


def swept(folder: Path, **settings: float) -> cs.Sweep:
    files = run(folder / "run", 3)
    bad = weights(3)
    bad["2.weight"] = 0 * bad["2.weight"]  # of no condition number
    bad["4.weight"] = math.nan * bad["4.weight"]
    save(files[2], bad)
    return cs.sweep(files, net, SHAPE, **settings)


@pytest.mark.parametrize("flops", [1e11, 1.0])
def test_read_back_equal(tmp_path: Path, flops: float) -> None:
    found, path = swept(tmp_path, max_flops=flops), tmp_path / "sweep.parquet"
    found.to_parquet(path)
    frame = cs.read_sweep(path)
    pandas = pytest.importorskip("pandas")
    pandas.testing.assert_frame_equal(frame, found.to_dataframe(), check_exact=True)
    assert list(frame) == columns(found.rows)
    for name in frame:
        values = [row[name] for row in found.rows]
        kind = kind_of(name, values)
        for one, value in zip(frame[name], values, strict=True):
            if value is None:
                assert one is None or math.isnan(one)
            elif kind == "list":
                assert list(one) == value
            else:
                assert one == value
    assert frame["step"].dtype == "int64"
    assert frame["norm"].dtype == "float64"
    assert frame["circular_norm"].dtype == "float64"
    ends = frame["condition_number_upper"]
    assert (ends == math.inf).any()


def test_dtypes_do_not_depend_on_what_is_known(tmp_path: Path) -> None:
    """But for counts, which pandas makes floats of where one is missing."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    exact, bounds = swept(tmp_path / "a"), swept(tmp_path / "b", max_flops=1.0)
    one, two = exact.to_dataframe().dtypes, bounds.to_dataframe().dtypes
    assert one.to_dict() == two.to_dict()


def test_metadata(tmp_path: Path) -> None:
    files = run(tmp_path / "run", 2)
    files[0].write_bytes(b"none")
    cs.sweep(files, net, SHAPE, out=tmp_path / "sweep.parquet")
    said = cs.read_sweep(tmp_path / "sweep.parquet").attrs["convspec"]
    assert said["format"] == 1
    assert said["checkpoints"] == ["epoch2.pth"]
    assert "epoch1.pth" in said["failed"]
    assert said["provenance"]["call"].startswith("convspec.analyze(model, (2, 8, 8), ")
    assert set(said["provenance"]["versions"]) >= {"convspec", "torch"}


def foreign(path: Path, metadata: dict[bytes, bytes] | None = None) -> None:
    table = pyarrow.table({"layer": ["0"], "norm": [1.0]})
    parquet.write_table(table.replace_schema_metadata(metadata), path)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "must be a file that can be opened"),
    "other": (lambda path: path.write_bytes(b"abc"), "must be a sweep that to_parquet"),
    "foreign": (foreign, "it is a table of another program"),
    "later": (
        lambda path: foreign(path, {b"convspec": b'{"kind": "sweep", "format": 9}'}),
        "its format is 9, and this convspec reads 1",
    ),
    "kind": (lambda path: foreign(path, {b"convspec": b"[1]"}), "it is none"),
    "metadata": (lambda path: foreign(path, {b"convspec": b"{"}), "must be a sweep"),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    make, words = WRONG[name]
    make(tmp_path / "sweep.parquet")
    with pytest.raises(cs.UnreadableModel, match=words):
        cs.read_sweep(tmp_path / "sweep.parquet")


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "sweep.parquet"
    cs.sweep(run(tmp_path / "run", 1), net, SHAPE, out=path)
    whole = path.read_bytes()
    for count in (4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:count])
        with pytest.raises(cs.UnreadableModel, match="must be a sweep"):
            cs.read_sweep(path)


@pytest.mark.parametrize("name", ["pyarrow", "pyarrow.parquet", "pandas"])
def test_without_the_package_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found = cs.sweep(run(tmp_path / "run", 1), net, SHAPE)
    monkeypatch.setitem(sys.modules, name, None)
    message = r"must be importable for this; .*install convspec\[sweep\]"
    (tmp_path / "sweep.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingExtra, match=message):
        cs.read_sweep(tmp_path / "sweep.parquet")
    if name != "pyarrow.parquet":
        with pytest.raises(MissingExtra, match=message):
            found.to_dataframe()
    if name != "pandas":
        with pytest.raises(MissingExtra, match=message):
            cs.sweep([tmp_path / "no.pth"], net, SHAPE, out=tmp_path / "two.parquet")
        assert not (tmp_path / "two.parquet.cache").exists()
