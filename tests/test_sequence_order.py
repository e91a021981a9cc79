"""Rows of sequences stand in order of time, whatever their order in the file, and uneven times are refused by name."""

import json

import numpy as np
import pandas as pd
import pytest

from kronoscope import InputError, data
from kronoscope.cli import run

MACHINES, READINGS = 30, 6


def panel(seed=0):
    """Machines with hourly readings that always rise; the value says machine and hour."""
    rng = np.random.default_rng(seed)
    starts = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 500, MACHINES), unit="h")
    rows = [
        (machine, start + pd.Timedelta(hour, unit="h"), 100.0 * machine + hour)
        for machine, start in enumerate(starts)
        for hour in range(READINGS)
    ]
    return pd.DataFrame(rows, columns=["sequence", "time", "level"])


ORDERS = {
    "sorted": lambda t: t,
    "newest first": lambda t: t.sort_values(["sequence", "time"], ascending=[True, False]),
    "by time": lambda t: t.sort_values("time"),
    "shuffled": lambda t: t.sample(frac=1, random_state=0),
}
STAMPS = {
    "text": lambda times: times.astype(str),
    "Z": lambda times: times.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "day first": lambda times: times.dt.strftime("%d.%m.%Y %H:%M"),
    "digits": lambda times: times.dt.strftime("%Y%m%d%H").astype(int),
    "unix": lambda times: times.astype("datetime64[s]").astype("int64"),
    "hours": lambda times: (times - pd.Timestamp("2024-01-01")) / pd.Timedelta("1h"),
}


def by_machine(sequences):
    return sequences.values[np.argsort(sequences.values[:, 0, 0]), :, 0]


@pytest.mark.parametrize("stamps", STAMPS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_sequences_run_forwards_in_time(tmp_path, order, stamps, ending):
    table = ORDERS[order](panel())
    table["time"] = STAMPS[stamps](table["time"])
    path = tmp_path / f"a{ending}"
    table.to_csv(path, index=False) if ending == ".csv" else table.to_parquet(path, index=False)
    got = data.read(path, time="time")
    np.testing.assert_array_equal(by_machine(got), np.add.outer(100.0 * np.arange(MACHINES), np.arange(READINGS)))
    assert got.step == (1.0 if stamps == "hours" else pd.Timedelta("1h"))
    assert len(got.starts) == MACHINES


def test_several_files_are_sorted_each(tmp_path):
    table = panel()
    ORDERS["newest first"](table[table.sequence < 12]).to_csv(tmp_path / "a.csv", index=False)
    ORDERS["shuffled"](table[table.sequence >= 12]).to_csv(tmp_path / "b.csv", index=False)
    got = data.read([tmp_path / "a.csv", tmp_path / "b.csv"], time="time")
    np.testing.assert_array_equal(by_machine(got), np.add.outer(100.0 * np.arange(MACHINES), np.arange(READINGS)))
    daily = table.assign(time=table["time"] + pd.to_timedelta(table.groupby("sequence").cumcount() * 23, unit="h"))
    daily.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(InputError, match=r"has a step of 1 day, but .* of 1 hour"):
        data.read([tmp_path / "a.csv", tmp_path / "b.csv"], time="time")


def changed(column, values):
    def change(table):
        return table.assign(**{column: values(table)})

    return change


def with_pattern(*hours):
    return changed("time", lambda t: pd.Timestamp("2024-01-01") + pd.to_timedelta(np.tile(hours, MACHINES), unit="h"))


def one_later(table):
    """One reading of machine 7 comes 30 minutes late."""
    times = table["time"].copy()
    times.iloc[7 * READINGS + 3] += pd.Timedelta("30min")
    return table.assign(time=times)


UNEVEN = {
    "the same holes everywhere": (with_pattern(0, 1, 2, 10, 11, 12), "sequence 0 is uneven .* 10:00:00 comes after"),
    "one late": (one_later, "sequence 7 is uneven in time: in 'time' .* comes after .*, but the step is 1 hour"),
    "a repeat": (with_pattern(0, 1, 2, 2, 3, 4), "02:00:00 in 'time' occurs more than once in sequence 0"),
    "one frame short": (
        lambda t: t.drop(index=9),
        "sequence 0 has 6 and sequence 1 has 5: give missing= .--missing mask",
    ),
    "other frames": (changed("frame", lambda t: np.tile([0, 1, 2, 3, 5, 4], MACHINES)), "'frame' and 'time' disagree"),
    "other hours": (
        changed("offset_hours", lambda t: np.tile(range(0, 12, 2), MACHINES)),
        "'offset_hours' and 'time' dis",
    ),
}


@pytest.mark.parametrize("case", UNEVEN)
def test_uneven_times_are_refused_by_name_and_nothing_is_written(tmp_path, capsys, case):
    change, message = UNEVEN[case]
    change(panel()).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=message):
        data.read(tmp_path / "a.csv", time="time")
    out = tmp_path / "run"
    assert run(["fit", str(tmp_path / "a.csv"), "--out", str(out), "--time", "time", "-q"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


def test_the_command_that_the_message_names_works(tmp_path, capsys):
    with_pattern(0, 1, 2, 10, 11, 12)(panel()).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=r"leave out --time and choose the values with --columns level$"):
        data.read(tmp_path / "a.csv", time="time")
    assert data.read(tmp_path / "a.csv", columns=["level"]).values.shape == (MACHINES, READINGS, 1)


def test_offsets_say_the_order_where_there_are_no_times(tmp_path):
    table = panel().drop(columns="time").assign(frame=np.tile(np.arange(READINGS), MACHINES))
    table.sample(frac=1, random_state=1).to_csv(tmp_path / "a.csv", index=False)
    np.testing.assert_array_equal(np.diff(data.read(tmp_path / "a.csv").values[..., 0], axis=1), 1)
    for name, values, words in (
        ("frame", [0, 1, 2, 3, 4, 9], "9 comes after 4"),
        ("offset", [0, 1, 2, 4, 8, 9], "4 comes"),
    ):
        table.drop(columns="frame").assign(**{name: np.tile(values, MACHINES)}).to_csv(tmp_path / "b.csv", index=False)
        with pytest.raises(InputError, match=f"the column '{name}' is uneven: {words}"):
            data.read(tmp_path / "b.csv")


def test_a_run_on_the_newest_first_forecasts_as_one_on_the_sorted(tmp_path):
    """And dated samples, which repeat the times of their sequence's frames, are read back."""
    rng = np.random.default_rng(0)
    table = panel().assign(level=rng.normal(size=MACHINES * READINGS) + np.tile(np.arange(READINGS), MACHINES))
    ahead = []
    for order in ("sorted", "newest first"):
        source, folder = tmp_path / f"{order}.csv", tmp_path / f"run {order}"
        ORDERS[order](table).to_csv(source, index=False)
        told = ["--time", "time", "--network", "linear", "--max-steps", "0", "-q"]
        assert run(["fit", str(source), "--out", str(folder), *told]) == 0
        out = tmp_path / f"ahead {order}.csv"
        assert run(["forecast", str(folder), str(source), "--out", str(out), "-q"]) == 0
        ahead.append(pd.read_csv(out))
        assert json.loads((folder / "run.json").read_text())["data"]["grid"] is None
    pd.testing.assert_frame_equal(ahead[0], ahead[1])
    assert abs(ahead[0]["mean"].mean() - (READINGS - 1)) < 0.5
