"""Files as people have them, what must come out of each, and the options that must be named where it is refused.

``python tests/file_cases.py`` prints the table; ``tests/test_file_cases.py`` asserts it. Every file is read by the
command that a user would try first, up to the training.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import shlex
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import xarray as xr

from kronoscope import data, training
from kronoscope._errors import InputError
from kronoscope.cli import run
from kronoscope.data import SequenceSet

HOURS = pd.date_range("2024-01-01", periods=24 * 16, freq="h")
FEW = HOURS[: 24 * 12]  # every day could be a month
RNG = np.random.default_rng(0)
TEMP = (20 + 10 * np.cos(2 * np.pi * (HOURS.hour - 15) / 24) + RNG.normal(0, 0.3, len(HOURS))).to_numpy().round(2)
WIND = np.abs(RNG.normal(3, 2, len(HOURS))).round(2)
COUNT = RNG.integers(1000, 9999, len(HOURS))
WALK = np.cumsum(RNG.normal(0, 1, 480)).round(2)
PLAIN = pd.DataFrame({"time": HOURS.strftime("%Y-%m-%d %H:%M"), "temp": TEMP, "wind": WIND})
TEXT = PLAIN.to_csv(index=False)
DAILY = "--time time --frames 24"

Maker = Callable[[Path], Path]


@dataclass(frozen=True)
class FileCase:
    """A file, the options of the first command, and what must come out.

    Attributes:
        name: of the case; the scripts that it follows call their files so.
        make: writes the file into a folder.
        options: of ``kronoscope fit FILE``.
        values: (n, N, d) that must come out: of the first command, or of the one that its refusal names; NaN where
            a value is missing.
        start: of the first sequence; "" without times.
        names: of the features.
        noted: a part of a note that must be printed.
        way_out: options that the refusal must name; "" where the first command must read the file.
        without: options that the refusal says to leave out.
    """

    name: str
    make: Maker
    options: str
    values: np.ndarray
    start: str = ""
    names: tuple[str, ...] = ()
    noted: str = ""
    way_out: str = ""
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """A row of the table: what the commands did, and ``problem``, what was wrong with that ("" if nothing)."""

    name: str
    did: str
    evidence: str
    problem: str


def blocks(frames: int, *columns: np.ndarray) -> np.ndarray:
    """(n, N, d): whole blocks of the columns, in order."""
    stacked = np.stack([np.asarray(column, dtype=float) for column in columns], axis=-1)
    number = len(stacked) // frames
    return stacked[: number * frames].reshape(number, frames, -1)


BOTH, ONE, NIGHT = blocks(24, TEMP, WIND), blocks(24, TEMP), "2024-01-01 00:00:00"


def raw(content: bytes | str, ending: str = ".csv", encoding: str = "utf-8") -> Maker:
    def make(folder: Path) -> Path:
        path = folder / f"file{ending}"
        path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
        return path

    return make


def table(frame: pd.DataFrame, **options: object) -> Maker:
    return raw(frame.to_csv(index=False, **options))  # type: ignore[call-overload]


def series(times: object, values: np.ndarray = WALK, name: str = "time") -> Maker:
    frame = pd.DataFrame({name: times})
    return table(frame.assign(v=values[: len(frame)]))


def parquet(frame: pd.DataFrame) -> Maker:
    def make(folder: Path) -> Path:
        frame.to_parquet(folder / "file.parquet")
        return folder / "file.parquet"

    return make


def grid(dataset: xr.Dataset, engine: str = "h5netcdf", **options: object) -> Maker:
    def make(folder: Path) -> Path:
        dataset.to_netcdf(folder / "file.nc", engine=engine, **options)  # type: ignore[call-overload]
        return folder / "file.nc"

    return make


def with_gaps(where: pd.Series | np.ndarray, values: np.ndarray = BOTH, feature: int = 0) -> np.ndarray:
    """The complete ones of the blocks if the rows where it is true lack this feature."""
    lost = np.asarray(where).reshape(len(values), -1).any(axis=1)
    return values[~lost]


def tables() -> Iterator[FileCase]:
    """Ways of writing a table."""
    yield from (
        FileCase(name, make, DAILY, BOTH, NIGHT, ("temp", "wind"), noted)
        for name, make, noted in (
            ("plain", raw(TEXT), ""),
            ("euro: semicolons, decimal commas", table(PLAIN, sep=";", decimal=","), ""),
            ("tabs", table(PLAIN, sep="\t"), ""),
            ("quoted decimal comma", table(PLAIN.assign(temp=[f"{v:.2f}".replace(".", ",") for v in TEMP])), ""),
            ("units in a second line", raw(TEXT.replace("\n", "\n,degC,m/s\n", 1)), "temp in degC, wind in m/s"),
            ("packed: .csv.gz", raw(gzip.compress(TEXT.encode()), ".csv.gz"), ""),
            ("preamble", raw("lat,lon,height,offset\n52.5,13.4,38,0\n\n" + TEXT), "2 lines before the header"),
            ("comments", raw("# station 7\n# QC level 2\n" + TEXT), "2 lines before the header"),
            ("sep= line of Excel", raw("sep=,\n" + TEXT), ""),
            ("UTF-16", raw(TEXT, encoding="utf-16"), ""),
            ("byte-order mark, CRLF", raw(TEXT.replace("\n", "\r\n"), encoding="utf-8-sig"), ""),
            ("blanks after commas", raw(TEXT.replace(",", ", ")), ""),
            ("rows in any order", table(PLAIN.sample(frac=1, random_state=1)), ""),
            ("index column of pandas", raw(PLAIN.to_csv()), "1 column without a name left out"),
        )
    )
    named = PLAIN.rename(columns={"temp": "Temp °C"}).to_csv(index=False)
    yield FileCase("cp1252", raw(named, encoding="cp1252"), DAILY, BOTH, NIGHT, ("Temp °C", "wind"), "read as cp1252")
    thousands = PLAIN.assign(kwh=[f"{v:,}" for v in COUNT])
    for mark, value in ((".", COUNT), (",", COUNT / 1000)):
        out = blocks(24, TEMP, WIND, value)
        yield FileCase(f"thousands, decimal {mark}", table(thousands), DAILY, out, NIGHT, way_out=f"--decimal {mark}")
    for name, column in (
        ("booleans", WIND > 3),
        ("categories", np.where(WIND > 3, "windy", "calm")),
    ):
        yield FileCase(name, table(PLAIN.assign(x=column)), DAILY, BOTH, NIGHT, way_out="--columns temp,wind")
    constant = table(PLAIN.assign(flag=1))
    yield FileCase("constant column", constant, DAILY, BOTH, NIGHT, way_out="--columns temp,wind")
    unscaled = blocks(24, TEMP, WIND, np.ones(len(HOURS)))
    yield FileCase("constant column, kept", constant, DAILY, unscaled, NIGHT, way_out="--scaling none")
    few = table(PLAIN.iloc[:30])
    yield FileCase(
        "a few rows", few, "--time time --frames 6", blocks(3, TEMP[:30], WIND[:30]), NIGHT, way_out="--frames 3"
    )
    rare, often = np.arange(len(HOURS)) == 100, np.arange(len(HOURS)) % 50 == 7
    for mark, where, column in (("---", rare, "temp"), ("M", often, "temp"), ("<0.5", rare, "wind")):
        marked = PLAIN.assign(**{column: PLAIN[column].astype(object).where(~where, mark)})
        out, option = with_gaps(where), f"--na-values={shlex.quote(mark)}"
        yield FileCase(f"the mark {mark}", table(marked), DAILY, out, "", way_out=option)
    twice = pd.concat([PLAIN, PLAIN.iloc[[5]]])
    yield FileCase("a row twice", table(twice), DAILY, BOTH, NIGHT, way_out="--step 1h")
    scales = PLAIN.assign(temp=(1e9 * TEMP).round(), wind=1e-6 * WIND)
    yield FileCase("scales 1e9 and 1e-6", table(scales), DAILY, blocks(24, scales["temp"], scales["wind"]), NIGHT)
    wide = pd.DataFrame({"time": PLAIN["time"]} | {f"s{k}": TEMP + k for k in range(300)})
    out = blocks(24, *(TEMP + k for k in range(300)))
    yield FileCase("300 columns", raw(wide.to_csv(index=False, float_format="%.2f")), DAILY, out.round(2), NIGHT)
    rain = PLAIN.assign(wind=np.where(rare, -1.0, WIND))
    yield FileCase("limits", table(rain), f"{DAILY} --limits wind=0:", with_gaps(rare), "", noted="outside its limits")


def clocks() -> Iterator[FileCase]:
    """Ways of writing times."""
    for name, pattern in (
        ("day first, beyond the 12th", "%d.%m.%Y %H:%M"),
        ("slashes", "%Y/%m/%d %H:%M"),
        ("slashes, no zeros", "%Y/%-m/%-d %-H:%M"),
        ("AM and PM", "%m/%d/%Y %I:%M:%S %p"),
        ("US, no zeros", "%-m/%-d/%Y %-H:%M"),
        ("digits YYYYMMDDHH", "%Y%m%d%H"),
    ):
        yield FileCase(name, table(PLAIN.assign(time=HOURS.strftime(pattern))), DAILY, BOTH, NIGHT)
    first = PLAIN.iloc[: len(FEW)].assign(time=FEW.strftime("%d/%m/%Y %H:%M"))
    yield FileCase("day or month first", table(first), DAILY, BOTH[:12], NIGHT, way_out="--dayfirst")
    epoch = HOURS.as_unit("ms").asi8
    milliseconds = "read as Unix time in milliseconds"
    yield FileCase("epoch ms", series(epoch), DAILY, blocks(24, WALK[:384]), f"{NIGHT}+00:00", noted=milliseconds)
    zone = pd.date_range("2024-10-20", periods=24 * 16 + 1, freq="h", tz="Europe/Berlin")
    berlin, values, way_out = "2024-10-20 00:00:00+02:00", WALK[: len(zone)], "--timezone Europe/Berlin"
    usual = np.asarray(zone.strftime("%Y-%m-%d")) != "2024-10-27"
    days = blocks(24, values[usual])
    for name, text in (
        ("clock change, no zone", "%Y-%m-%d %H:%M"),
        ("clock change, abbreviations", "%Y-%m-%d %H:%M %Z"),
    ):
        yield FileCase(name, series(zone.strftime(text)), DAILY, days, berlin, way_out=way_out)
    offsets = series(zone.strftime("%Y-%m-%dT%H:%M:%S%z"))
    yield FileCase("clock change, offsets", offsets, f"{DAILY} {way_out}", days, berlin, noted="the clocks changed")
    months = pd.date_range("1990-01-01", periods=360, freq="MS")
    years = pd.date_range("1800-01-01", periods=200, freq="YS")
    for name, times, frames, step in (
        ("months", months.strftime("%Y-%m-%d"), 12, "30.436875D"),
        ("months YYYY-MM", months.strftime("%Y-%m"), 12, "30.436875D"),
        ("quarters", pd.date_range("1960-01-01", periods=240, freq="QS").strftime("%Y-%m-%d"), 4, "91.310625D"),
        ("years since 1800", years.strftime("%Y-%m-%d"), 10, "365.2425D"),
        ("jitter", HOURS + pd.to_timedelta(RNG.integers(-40, 40, len(HOURS)), unit="s"), 24, "1h"),
    ):
        out = blocks(frames, WALK[: len(times)])
        yield FileCase(name, series(times), f"--time time --frames {frames}", out, "", way_out=f"--step {step}")
    years = series((1960 + np.arange(480) / 12).round(3))
    yield FileCase("decimal years", years, "--time time --frames 12", blocks(12, WALK), "1960.0")
    business = series(pd.bdate_range("2015-01-01", periods=300).strftime("%Y-%m-%d"), name="date")
    leave = {"way_out": "--columns v", "without": ("--time",)}
    yield FileCase("business days", business, "--time date --frames 5", blocks(5, WALK[:300]), **leave)
    for name, times in (("hours of the day", HOURS.hour), ("clock without a date", HOURS.strftime("%H:%M"))):
        yield FileCase(name, series(times), DAILY, blocks(24, WALK[:384]), **leave)


def panels() -> Iterator[FileCase]:
    """Several series in one table, and sequences."""
    days = np.tile(pd.date_range("2024-01-01", periods=96).strftime("%Y-%m-%d"), 5)
    sales = WALK[:480].reshape(5, 96)
    stores = pd.DataFrame({"store": np.repeat(np.arange(5), 96), "date": days, "sales": sales.ravel()})
    out, options = blocks(12, *sales), "--time date --frames 12"
    yield FileCase("panel", table(stores), options, out, "2024-01-01 00:00:00", way_out="--pivot store")
    region = pd.DataFrame({"region": ["NA", "EU"] * 192, "time": np.repeat(PLAIN["time"][:192], 2), "v": WALK[:384]})
    pivoted = blocks(24, WALK[1:384:2], WALK[:384:2])
    yield FileCase("a region called NA", table(region), f"{DAILY} --pivot region", pivoted, NIGHT, ("v_EU", "v_NA"))
    lengths = 4 + np.arange(20) % 3
    rows = [(s, k, 10.0 * s + k) for s, length in enumerate(lengths) for k in range(length)]
    uneven = pd.DataFrame(rows, columns=["sequence", "frame", "v"])
    full = np.array([[10.0 * s + k if k < length else np.nan for k in range(6)] for s, length in enumerate(lengths)])
    yield FileCase(
        "sequences of several lengths", table(uneven), "", full[..., None], way_out="--missing mask --network unrolled"
    )
    machines = pd.DataFrame({"sequence": np.repeat(np.arange(16), 24), "time": HOURS.strftime("%Y-%m-%d %H:%M")})
    machines["level"] = TEMP
    back = machines.iloc[::-1].sort_values("sequence", kind="stable")
    yield FileCase("sequences newest first", table(back), "--time time", ONE, NIGHT)
    mixed = machines.sample(frac=1, random_state=0)
    out = ONE[mixed["sequence"].unique()]  # in the order in which they first appear
    yield FileCase("sequences in any order", table(mixed), "--time time", out)
    holes = machines.assign(time=pd.to_datetime(machines["time"]) + pd.to_timedelta((np.arange(384) % 24 > 9) * 5, "h"))
    leave = {"way_out": "--columns level", "without": ("--time",)}
    yield FileCase("sequences uneven in time", table(holes), "--time time", ONE, **leave)
    static = pd.DataFrame({"sequence": np.repeat(np.arange(16), 24), "frame": np.tile(np.arange(24), 16)})
    static = static.assign(bpm=TEMP, age=np.repeat(np.arange(16), 24) + 20)
    out, noted = blocks(24, TEMP, static["age"]), "age does not change within a sequence"
    yield FileCase("a column that does not change", table(static), "", out, names=("bpm", "age"), noted=noted)
    out = blocks(24, TEMP, static["age"])
    yield FileCase("a column of one value", table(static.assign(ward=7)), "", out, way_out="--columns bpm,age")
    for name in ("frame", "offset"):
        reserved = table(pd.DataFrame({name: TEMP, "wind": WIND}))
        yield FileCase(f"a feature called {name}", reserved, "--frames 24", blocks(24, WIND), way_out="--columns wind")


def parquets() -> Iterator[FileCase]:
    """Parquet files."""
    zoned = HOURS.tz_localize("UTC").tz_convert("Europe/Berlin")
    start = "2024-01-01 01:00:00+01:00"
    unnamed = pd.DataFrame({"temp": TEMP}, index=zoned)
    yield FileCase("index of times", parquet(unnamed.rename_axis("time")), DAILY, ONE, start)
    yield FileCase("index without a name", parquet(unnamed), "--time index --frames 24", ONE, start)
    frame = pd.DataFrame({"time": HOURS, "temp": TEMP})
    exact = frame.assign(temp=[Decimal(f"{v:.2f}") for v in TEMP])
    yield FileCase("decimals", parquet(exact), DAILY, ONE, NIGHT)
    unknown = frame.assign(ok=pd.array([True, None] * 192, dtype="boolean"))
    yield FileCase("booleans with gaps", parquet(unknown), DAILY, ONE, NIGHT, way_out="--columns temp")
    levels = pd.DataFrame({("A", "temp"): TEMP, ("B", "temp"): WIND})
    levels.insert(0, ("time", ""), HOURS)
    levels.columns = pd.MultiIndex.from_tuples(levels.columns)
    yield FileCase("two levels of columns", parquet(levels), DAILY, BOTH, NIGHT, ("A_temp", "B_temp"))
    long = pd.concat([frame.assign(id=k, temp=TEMP + k) for k in (1, 2, 10)]).set_index(["id", "time"])
    out = blocks(24, TEMP + 1, TEMP + 2, TEMP + 10)
    yield FileCase("two levels of rows", parquet(long), DAILY, out, NIGHT, way_out="--pivot id")
    days = frame.assign(time=pd.date_range("2024-01-01", periods=len(HOURS)).date)
    yield FileCase("dates", parquet(days), "--time time --frames 7", blocks(7, TEMP), NIGHT)
    half = frame.assign(temp=TEMP.astype("f2"))
    yield FileCase("half precision", parquet(half), DAILY, blocks(24, TEMP.astype("f2")), NIGHT)


def grids() -> Iterator[FileCase]:
    """NetCDF files."""
    coords = {"time": HOURS}
    gaps = np.where(np.isin(np.arange(len(HOURS)), [30, 100]), np.nan, TEMP)
    packed = {"t": {"dtype": "int16", "scale_factor": 0.01, "add_offset": 10.0, "_FillValue": -32767}}
    gappy = xr.Dataset({"t": ("time", gaps, {"units": "degC"})}, coords)
    yield FileCase("packed", grid(gappy, encoding=packed), "--frames 24", with_gaps(np.isnan(gaps), ONE), NIGHT)
    whole = xr.Dataset({"n": ("time", np.where(np.isnan(gaps), np.nan, COUNT % 200))}, coords)
    encoding = {"n": {"dtype": "uint8", "_FillValue": 255}}
    out = with_gaps(np.isnan(gaps), blocks(24, COUNT % 200))
    yield FileCase("bytes with a fill value", grid(whole, encoding=encoding), "--frames 24", out, NIGHT)
    yield FileCase("counts", grid(xr.Dataset({"n": ("time", COUNT)}, coords)), "--frames 24", blocks(24, COUNT), NIGHT)
    stations = coords | {"station": np.array([b"AAA", b"BBB"], dtype="S3")}
    places = xr.Dataset({"t": (("time", "station"), np.stack([TEMP, WIND], axis=1))}, stations)
    yield FileCase("names as characters", grid(places, "scipy"), "--frames 24", BOTH, NIGHT, ("AAA", "BBB"))
    numbers = np.arange(float(len(HOURS)))
    for units, calendar in (
        ("days since 2001-01-01", "noleap"),
        ("days since 2001-01-01", "360_day"),
        ("months since 2001-01-01", "standard"),
    ):
        other = xr.Dataset({"t": ("time", TEMP)}, {"time": ("time", numbers, {"units": units, "calendar": calendar})})
        noted = f"are read as numbers: {units} in the calendar '{calendar}'"
        yield FileCase(f"{units}, {calendar}", grid(other), "--frames 24", ONE, "0.0", noted=noted)
    plain = xr.Dataset({"t": ("time", TEMP)}, coords)
    bounds = plain.assign(time_bnds=(("time", "bnds"), np.zeros((len(HOURS), 2))))
    yield FileCase("bounds", grid(bounds), "--frames 24", ONE, NIGHT, ("t",), "describe other variables: time_bnds")
    yield FileCase("newest first", grid(plain.isel(time=slice(None, None, -1))), "--frames 24", ONE, NIGHT)
    field = np.stack([TEMP, WIND, TEMP, WIND], axis=1).reshape(-1, 2, 2)
    for dim in ("time", "day"):
        maps = xr.Dataset({"t": ((dim, "lat", "lon"), field)}, {dim: HOURS, "lat": [1.0, 2.0], "lon": [3.0, 4.0]})
        out = blocks(24, TEMP, WIND, TEMP, WIND)
        yield FileCase(f"({dim}, lat, lon)", grid(maps), "--frames 24", out, NIGHT)
    profile = xr.Dataset({"t": (("time", "lat"), np.stack([TEMP, WIND], axis=1))}, coords | {"lat": [1.0, 2.0]})
    yield FileCase("(time, lat)", grid(profile), "--frames 24", BOTH, NIGHT, ("1.0", "2.0"))
    turned = xr.Dataset({"t": (("lat", "time"), BOTH[:, :, 0])}, {"lat": np.arange(16.0), "time": HOURS[:24]})
    leave = {"way_out": "leave out frames", "without": ("--frames",)}
    yield FileCase("(lat, time)", grid(turned), "--frames 12", ONE, **leave)
    wrf = xr.Dataset({"t": ("Time", TEMP)}, {"Time": ("Time", np.asarray(HOURS.strftime("%Y-%m-%d_%H:%M:%S")))})
    yield FileCase("times as text of WRF", grid(wrf), "--frames 24", ONE, NIGHT)
    flagged = plain.assign(n=("time", np.ones(len(HOURS), dtype="i4")))
    yield FileCase("with a quality flag", grid(flagged), "--frames 24", ONE, NIGHT, ("t",), way_out="--columns t")
    times = HOURS.delete(range(240, 264))
    observed = xr.Dataset({"t": ("obs", np.delete(TEMP, range(240, 264)))}, {"time": ("obs", times)})
    out = np.delete(ONE, 10, axis=0)
    yield FileCase("times beside the dimension", grid(observed), DAILY, out, NIGHT)


def cases() -> list[FileCase]:
    """All of them."""
    return [*tables(), *clocks(), *panels(), *parquets(), *grids()]


def examine(case: FileCase, folder: Path) -> Outcome:
    """Read the file by its first command; where that is refused, by the command that the refusal names."""
    path, arguments = case.make(folder), shlex.split(case.options)
    read, said = first_command(path, arguments, folder)
    if not case.way_out:
        return Outcome(case.name, "read", _shape(read, said), _wrong(case, read, said))
    refusal = said.strip().replace(str(path), path.name)
    if read is not None or refusal.count("\n"):
        return Outcome(case.name, "read" if read else "refused", refusal, "it must be refused in one line")
    missing = [word for word in (case.way_out, *case.without) if word not in refusal]
    if missing:
        return Outcome(case.name, "refused", refusal, f"the refusal must name {missing[0]}")
    for option in case.without:
        at = arguments.index(option)
        del arguments[at : at + 2]
    extra = shlex.split(case.way_out) if case.way_out.startswith("-") else []
    read, said = first_command(path, [*arguments, *extra], folder)
    told = " ".join([*(f"no {option}" for option in case.without), *extra])
    return Outcome(case.name, f"refused; {told}: read", _shape(read, said), _wrong(case, read, said))


def first_command(path: Path, options: list[str], folder: Path) -> tuple[SequenceSet | None, str]:
    """What ``kronoscope fit`` would learn from (None where it refuses), and what it printed.

    The command runs as far as its first train step.
    """
    read, reached = [], []

    def remember(*arguments: object, **named: object) -> SequenceSet:
        read.append(data.reading.read_source(*arguments, **named))  # type: ignore[arg-type]
        return read[-1]

    def stop(_: object) -> None:
        reached.append(True)
        raise InputError("before the first train step")

    out, err, out_folder = io.StringIO(), io.StringIO(), folder / "run"
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(data, "read_source", remember))
        stack.enter_context(mock.patch.object(training.loop._Run, "until_done", stop))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        code = run(["fit", str(path), "--out", str(out_folder), *options])
    if code != 2 or out_folder.exists():
        return None, f"exit code {code}"
    return (read[0], out.getvalue()) if reached else (None, err.getvalue())


def _shape(read: SequenceSet | None, said: str) -> str:
    if read is None:
        return said.strip()
    n, frames, features = read.values.shape
    start = "" if read.starts is None else f" from {read.starts[0]}"
    return f"{n} x {frames} x {features}{start}"


def _wrong(case: FileCase, read: SequenceSet | None, said: str) -> str:
    """What differs from what the case wants; "" if nothing."""
    if read is None:
        return f"it must be read, but: {said.strip()}"
    if read.values.shape != case.values.shape or not np.allclose(read.values, case.values, 1e-12, 0, equal_nan=True):
        return f"other values: shape {read.values.shape} instead of {case.values.shape}"
    if case.start and str(read.starts[0] if read.starts is not None else "") != case.start:
        return f"the first sequence must start at {case.start}"
    if case.names and read.feature_names != case.names:
        return f"the features must be {case.names}, got {read.feature_names}"
    if case.noted not in said:
        return f"it must print {case.noted!r}, but printed {said!r}"
    return ""


def show(outcomes: list[Outcome]) -> str:
    """The table as text."""
    width = max(len(outcome.name) for outcome in outcomes)
    did = max(len(outcome.did) for outcome in outcomes)
    lines = [f"{o.name:{width}}  {o.did:{did}}  {o.problem or o.evidence}" for o in outcomes]
    return "\n".join([*lines, f"{len(outcomes)} files: {sum(not o.problem for o in outcomes)} right"])


if __name__ == "__main__":
    found = []
    for each in cases():
        with tempfile.TemporaryDirectory() as place:
            found.append(examine(each, Path(place)))
    print(show(found))
