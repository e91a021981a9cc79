"""Every command gives each time stamp the same block and frame, whatever the file in which the stamp stands."""

import datetime as dt
import json
import zoneinfo

import numpy as np
import pandas as pd
import pytest

from kronoscope import InputError, data, models
from kronoscope.cli import run

# The value of a row is the number of steps from the first row of the series that is fitted to.
HOUR = 3600
ZONES = ["America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]


def clock_case(rng):
    """A start, a step in seconds, and how clock times are written."""
    step = int(rng.choice([600, 1800, HOUR, 3 * HOUR, 7 * HOUR, 86_400, 5 * 60 + 7]))
    start = dt.datetime(2012, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=int(rng.integers(0, 10 * 365 * 24)) * HOUR)
    style = rng.choice(["naive", "Z", "+00:00", "offset", "-0330", "parquet naive", "parquet zoned", "digits"])
    return start, step, str(style)


def write_clock(path, instants, style, values):
    if style.startswith("parquet"):
        stamps = pd.DatetimeIndex(instants)
        stamps = stamps.tz_localize(None) if style == "parquet naive" else stamps.tz_convert("Asia/Tokyo")
        path = path.with_suffix(".parquet")
        pd.DataFrame({"when": stamps, "k": values}).to_parquet(path)
        return path
    forms = {"naive": "%Y-%m-%d %H:%M:%S", "Z": "%Y-%m-%dT%H:%M:%SZ", "digits": "%Y%m%d%H%M%S"}
    offsets = {"+00:00": 0, "offset": 5.5, "-0330": -3.5}
    if style in forms:
        text = [instant.strftime(forms[style]) for instant in instants]
    else:
        zone = dt.timezone(dt.timedelta(hours=offsets[style]))
        text = [instant.astimezone(zone).isoformat() for instant in instants]
        text = [t[:-3] + t[-2:] for t in text] if style == "-0330" else text
    pd.DataFrame({"when": text, "k": values}).to_csv(path, index=False)
    return path


NUMBERS = {  # scale of one second, and whether whole numbers are written
    "unix s": (1, True),
    "unix ms": (10**3, True),
    "unix us": (10**6, True),
    "unix ns": (10**9, True),
    "float hours": (1 / 3600, False),
    "float days": (1 / 86_400, False),
    "ticks": (1 / 60, False),
}


def write_numbers(path, seconds, style, values):
    scale, whole = NUMBERS[style]
    times = [s * scale for s in seconds] if whole else (np.asarray(seconds) * scale).round(9)
    pd.DataFrame({"when": times, "k": values}).to_csv(path, index=False)
    return path


def check_every_command(paths, options, frame_of):
    """``frame_of(k)`` is the frame of the stamp that stands k steps after the first row; None in no block.

    The first path is fitted to; every command then reads each of them.
    """
    fitted = data.read(paths[0], missing="mask", **options)
    grid = data.BlockGrid.from_plain(json.loads(json.dumps(fitted.grid.to_plain())))
    assert grid == fitted.grid
    check_frames("fit", fitted.values, frame_of)
    reading = {name: options.get(name) for name in ("time", "timezone")}
    for path in paths:
        opened = data.open_gappy(path, time_form=fitted.container.time_form, **reading)
        if options.get("step"):
            opened = opened.on_grid(grid)
        source = opened.source
        rows = source.values[:, 0].astype(int).tolist()
        last = max(rows)
        if frame_of(last + 1):
            window, past = data.last_window(source, grid, ahead=None, in_phase=True)
            assert past == frame_of(last + 1)
            check_frames("forecast", window.values(source), frame_of)
        imputed = data.block_windows(source, grid).values(source)
        audited = data.read(path, missing="mask", grid=grid, **options).values
        standing = {k for k in rows if frame_of(k) is not None}
        assert set(check_frames("impute", imputed, frame_of)) == standing
        assert set(check_frames("audit", audited, frame_of)) == standing


def check_frames(command, values, frame_of):
    """Rows that stand in blocks (n, N, 1), each at its frame."""
    blocks, frames = np.nonzero(np.isfinite(values[..., 0]))
    rows = values[blocks, frames, 0].astype(int).tolist()
    assert rows
    assert [frame_of(k) for k in rows] == frames.tolist(), command
    return rows


def chosen_rows(rng, frames, blocks=4):
    """Rows of the first file, and of one that begins at another place, with gaps."""
    total = frames * blocks + int(rng.integers(0, frames))
    begin = int(rng.integers(-3 * frames, total))
    length = int(rng.integers(2 * frames + 3, 4 * frames + 4))
    later = np.arange(begin, begin + length)
    gone = rng.random(length) < 0.15
    gone[[0, 1, -1]] = False
    return rng.permutation(total), rng.permutation(later[~gone])


@pytest.mark.parametrize("part", range(5))
def test_every_command_gives_a_stamp_the_same_frame(tmp_path, part):
    """500 random combinations; the truth is integer arithmetic, for days of a zone that of datetime and zoneinfo."""
    for case in range(100):
        rng = np.random.default_rng([part, case])
        kind = ("clock", "numbers", "days", "step")[case % 4]
        {"clock": clock, "numbers": numbers, "days": days, "step": stepped}[kind](tmp_path, rng)


def clock(folder, rng):
    start, step, style = clock_case(rng)
    frames = int(rng.integers(2, 13))
    paths = []
    for name, rows in zip("ab", chosen_rows(rng, frames)):
        instants = [start + dt.timedelta(seconds=step * int(k)) for k in rows]
        paths.append(write_clock(folder / f"{name}.csv", instants, style, rows))
    options = {"time": "when", "frames": frames}
    check_every_command(paths, options, lambda k: k % frames)


def numbers(folder, rng):
    style = str(rng.choice(list(NUMBERS)))
    step = int(rng.choice([1, 60, 600, HOUR, 7 * HOUR, 86_400]))
    first = int(rng.choice([-1, 1])) * int(rng.integers(4 * 10**8, 3 * 10**9))  # negative: before 1970
    frames = int(rng.integers(2, 13))
    paths = []
    for name, rows in zip("ab", chosen_rows(rng, frames)):
        seconds = [first + step * int(k) for k in rows]
        paths.append(write_numbers(folder / f"{name}.csv", seconds, style, rows))
    check_every_command(paths, {"time": "when", "frames": frames}, lambda k: k % frames)


def days(folder, rng):
    """Days of a zone: the frame is the local hour, and days on which clocks change hold none."""
    zone = str(rng.choice(ZONES))
    info = zoneinfo.ZoneInfo(zone)
    hours = int(rng.choice([1, 2, 3, 6]))
    midnight = dt.datetime(2013, int(rng.integers(1, 13)), int(rng.integers(1, 29)), tzinfo=info)
    start = midnight.astimezone(dt.UTC) + dt.timedelta(hours=hours * int(rng.integers(0, 24 // hours)))
    frames = 24 // hours

    def frame_of(k):
        local = (start + dt.timedelta(hours=hours * k)).astimezone(info)
        begin = dt.datetime.combine(local.date(), dt.time(), info).astimezone(dt.UTC)
        end = dt.datetime.combine(local.date() + dt.timedelta(days=1), dt.time(), info).astimezone(dt.UTC)
        elapsed = start + dt.timedelta(hours=hours * k) - begin
        at, rest = divmod(elapsed, dt.timedelta(hours=hours))
        return at if end - begin == dt.timedelta(hours=24) and not rest else None

    style = str(rng.choice(["Z", "offset", "parquet zoned", "unix s"]))
    paths = []
    for name, rows in zip("ab", chosen_rows(rng, frames, blocks=8)):
        instants = [start + dt.timedelta(hours=hours * int(k)) for k in rows]
        if style == "unix s":
            seconds = [int(instant.timestamp()) for instant in instants]
            paths.append(write_numbers(folder / f"{name}.csv", seconds, style, rows))
        else:
            paths.append(write_clock(folder / f"{name}.csv", instants, style, rows))
    options = {"time": "when", "frames": frames, "timezone": zone}
    check_every_command(paths, options, frame_of)


def stepped(folder, rng):
    """Irregular times put on a grid by --step: each row goes to the nearest frame of the same grid in every file."""
    step = int(rng.choice([600, HOUR, 7 * HOUR, 5 * HOUR]))
    frames = int(rng.integers(2, 9))
    start = dt.datetime(2015, 1, 1) + dt.timedelta(days=int(rng.integers(0, 2000)))
    shift = int(rng.integers(0, 86_400 // step))  # whole steps from midnight to the first row
    paths = []
    for name, rows in zip("ab", chosen_rows(rng, frames)):
        late = rng.uniform(-0.4, 0.4, len(rows))
        moments = [start + dt.timedelta(seconds=round(step * (shift + int(k) + x))) for k, x in zip(rows, late)]
        paths.append(write_clock(folder / f"{name}.csv", [m.replace(tzinfo=dt.UTC) for m in moments], "naive", rows))
    options = {"time": "when", "frames": frames, "step": f"{step}s"}
    first = pd.read_csv(paths[0])["when"].min()
    if dt.datetime.fromisoformat(first).date() != start.date():
        return  # the first row fell before midnight, so the grid stands at whole steps from the day before
    check_every_command(paths, options, lambda k: k % frames)


def daily(times):
    """A strong daily cycle by the clock of the stamps: 30 at 15:00, 10 at 03:00."""
    return 20 + 10 * np.cos(2 * np.pi * (times.hour - 15) / 24)


def written(times, style):
    if style == "Z":
        return times.strftime("%Y-%m-%dT%H:%M:%SZ")
    if style == "offset":
        return [stamp.isoformat() for stamp in times.tz_localize("+01:00")]
    seconds = times.as_unit("ns").asi8 // 10**9
    return {"epoch": seconds, "hours": seconds / 3600}.get(style, times.astype(str))


@pytest.fixture(scope="module", params=["Z", "offset", "naive", "epoch", "hours"])
def daily_run(request, tmp_path_factory):
    """A run whose source begins at 06:00; its mean by frame is all that it learnt."""
    folder = tmp_path_factory.mktemp(request.param)
    times = pd.date_range("2024-01-01 06:00", periods=24 * 40 + 6, freq="h")
    noise = np.random.default_rng(0).normal(0, 0.3, len(times))
    table = pd.DataFrame({"when": written(times, request.param), "temp": daily(times) + noise})
    table.to_csv(folder / "all.csv", index=False)
    source = data.FileSource((str(folder / "all.csv"),), data.Reading(time="when", frames=24))
    settings = models.FitSettings.for_input("table", "linear", test=0.4)
    config = models.training_config("linear", {"max_steps": 0})
    models.fit_sequences(data.read_source(source), settings, config, folder / "run", source=source)
    return request.param, folder, table


@pytest.mark.parametrize("begin", ["2024-02-09 00:00", "2024-03-20 17:00", "2023-12-30 02:00"])
def test_forecasts_and_gaps_keep_the_hour(daily_run, begin):
    style, folder, _ = daily_run
    times = pd.date_range(begin, periods=24 + 22, freq="h")
    truth = daily(times).to_numpy()
    holes = truth.copy()
    holes[[3, 9, 15, 21, 40]] = np.nan
    path = folder / "new.csv"
    pd.DataFrame({"when": written(times, style), "temp": holes}).to_csv(path, index=False)
    model = models.load(folder / "run")
    ahead = models.forecast(model, path)
    after = pd.date_range(times[-1] + pd.Timedelta("1h"), periods=len(ahead), freq="h")
    assert ahead["when"].tolist() == list(written(after, style))
    assert after[-1].hour == 5  # to the end of the block, which begins at 06:00 as in the run
    np.testing.assert_allclose(ahead["mean"], daily(after), atol=1.0)
    _, filled = models.impute(model, path)
    np.testing.assert_allclose(filled[np.isnan(holes), 0], truth[np.isnan(holes)], atol=1.0)


def test_the_sequences_of_a_run_are_dated_by_its_grid(daily_run):
    _, folder, table = daily_run
    sequences = data.read(folder / "all.csv", time="when", frames=24)
    first = sequences.grid.place(sequences.starts)
    assert (first.frame == 0).all()
    later = table.iloc[31:].reset_index(drop=True)  # the same record without its first 31 hours
    later.to_csv(folder / "later.csv", index=False)
    other = data.read(folder / "later.csv", time="when", frames=24, grid=sequences.grid)
    np.testing.assert_array_equal(other.values, sequences.values[2:])


def test_a_series_that_does_not_fit_the_run_is_named(daily_run):
    style, folder, table = daily_run
    model = models.load(folder / "run")
    path = folder / "unlike.csv"
    every_other = table.iloc[::2]
    every_other.to_csv(path, index=False)
    with pytest.raises(InputError, match=r"the run has a step of .*, but the times here have"):
        models.forecast(model, path)
    plain = pd.date_range("2024-01-01", periods=60, freq="h")
    stamps = written(plain, "naive" if style != "naive" else "Z")
    pd.DataFrame({"when": stamps, "temp": daily(plain)}).to_csv(path, index=False)
    with pytest.raises(InputError, match=r"the run's series has times .*, but this one has times"):
        models.forecast(model, path)
    old = models.load(folder / "run")
    del old.record["data"]["grid"]
    with pytest.raises(InputError, match="older version made it: fit it again"):
        models.forecast(old, folder / "all.csv")


def test_one_row_is_enough_to_forecast_from(daily_run):
    style, folder, _ = daily_run
    path = folder / "one.csv"
    times = pd.date_range("2024-06-01 11:00", periods=1)
    pd.DataFrame({"when": written(times, style), "temp": daily(times)}).to_csv(path, index=False)
    ahead = models.forecast(models.load(folder / "run"), path, steps=4)
    np.testing.assert_allclose(ahead["mean"], daily(pd.date_range("2024-06-01 12:00", periods=4, freq="h")), atol=1.0)


@pytest.mark.parametrize(
    ("times", "digits"), [(1958 + np.arange(740) / 12, 4), (np.arange(3000) / 3, 4), (40_000 + np.arange(2000) / 24, 5)]
)
def test_times_of_few_digits_stand_on_the_grid_that_they_round(tmp_path, times, digits):
    """Months as 0.0833 of a year: the most common difference alone drifts off the grid."""
    pd.DataFrame({"t": times.round(digits), "k": np.arange(len(times))}).to_csv(tmp_path / "a.csv", index=False)
    got = data.read(tmp_path / "a.csv", time="t", frames=4)
    np.testing.assert_array_equal(got.values.ravel(), np.arange(len(times) // 4 * 4))
    np.testing.assert_allclose(got.starts, times[::4], atol=2 * 10.0**-digits)
    assert got.step == pytest.approx(times[1] - times[0], rel=1e-6)


def test_audit_of_a_run_takes_the_file_that_was_fitted_to(daily_run, tmp_path, capsys):
    """As many sequences of other days would be taken for those that the run trained on and held out."""
    style, folder, table = daily_run
    made, page = str(folder / "made.csv"), str(tmp_path / "page.html")
    assert run(["sample", str(folder / "run"), "--out", made, "-n", "40", "--force", "-q"]) == 0
    told = ["--run", str(folder / "run"), "--out", page, "--independent", "-q", "--force"]
    shuffled = tmp_path / "shuffled.csv"
    table.sample(frac=1, random_state=0).to_csv(shuffled, index=False)
    assert run(["audit", str(shuffled), made, *told]) in (0, 1)
    times = pd.date_range("2024-01-02 08:00", periods=24 * 40 + 22, freq="h")  # 40 blocks, begun two hours late
    other = tmp_path / "other.csv"
    pd.DataFrame({"when": written(times, style), "temp": daily(times)}).to_csv(other, index=False)
    assert run(["audit", str(other), made, *told]) == 2
    assert "differs from the file that" in capsys.readouterr().err
