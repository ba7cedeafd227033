"""The table of what a computation is expected to cost."""

from __future__ import annotations

import pytest

from convspec import Cost, Forecast
from convspec.forecast.forecast import readable_seconds
from convspec.forecast.machine import Machine

SECONDS = {
    0.0: "0 ms",
    0.00034: "0.34 ms",
    0.0123: "12 ms",
    0.994: "990 ms",
    0.996: "1 s",
    5.04: "5 s",
    99.0: "99 s",
    116.0: "120 s",
    118.0: "2 min",
    6000.0: "100 min",
    7100.0: "2 h",
    1e5: "28 h",
    4e7: "11,000 h",
}


@pytest.mark.parametrize(("seconds", "words"), SECONDS.items(), ids=SECONDS.values())
def test_readable_seconds(seconds: float, words: str) -> None:
    assert readable_seconds(seconds) == words


ALONE = Machine(1e-6, 1e-9, 1, "alone")
ROWS = (
    Cost(
        "0", 12.0, 2**21, "enclosed", (Cost("norm", 8.0, 2**21), Cost("sums", 4.0, 2**10))
    ),
    Cost("wide.1", 0.25, 3_000, "spectrum by dense"),
)


def test_the_table() -> None:
    found = Forecast("Net", ROWS, 6.5, 2**21, ALONE)
    assert repr(found) == (
        "        seconds   memory\n"
        "-------------------------------------------\n"
        "0          12 s    2 MiB  enclosed\n"
        "wide.1   250 ms  2.9 KiB  spectrum by dense\n"
        "\n"
        "Net\n"
        "analyze takes about 6.5 s on 1 core, and holds 2 MiB"
    )


def test_rows_by_name_and_in_order() -> None:
    found = Forecast("Net", ROWS, 6.5, 2**21, ALONE)
    assert found["wide.1"] is ROWS[1]
    assert [row.name for row in found] == ["0", "wide.1"]
    assert len(found) == 2
    with pytest.raises(KeyError, match=r"no row 'wide'; there are: 0, wide\.1"):
        found["wide"]


def test_no_rows() -> None:
    assert repr(Forecast("Net", (), 0.0, 0, ALONE)).startswith("Net\n")


def test_a_data_frame_has_a_column_for_each_step() -> None:
    frame = Forecast("Net", ROWS, 6.5, 2**21, ALONE).to_dataframe()
    assert frame["name"].tolist() == ["0", "wide.1"]
    assert frame["norm seconds"].tolist()[0] == 8.0
    assert frame["norm seconds"].isna().tolist() == [False, True]
