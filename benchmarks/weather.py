"""The weather of the demo: share of correlations in the training band and energy distance to held-out days."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kronoscope.pages.dependence import GENERATED
from kronoscope_evidence.demo.sizes import FULL, WeatherSize
from kronoscope_evidence.demo.weather import run_weather

DAYS = 20_000  # an energy distance of 5000 moves by 0.01 with the draws


def run() -> list[dict]:
    """Rows: share inside the band (baseline: the target of 80 %; floor: none), then the energies.

    The baseline of an energy distance is that of the sample covariance's draws.
    """
    with tempfile.TemporaryDirectory() as folder:
        result, _ = run_weather(Path(folder) / "run", WeatherSize(DAYS, FULL.weather.training))
    rows = [
        _row(f"inside the band: {row.name}", 100 * row.share_inside, "%", 80.0, "baseline: the target for generated")
        for row in result.comparison
    ]
    rival = result.row("sample covariance").energy
    assert rival is not None
    for row in result.comparison:
        if row.energy is None:
            continue
        note = f"± {row.energy.standard_error:.3f}; baseline: draws of the sample covariance"
        if row.difference is not None:
            gap = row.difference
            note += f"; {GENERATED} less this {gap.value:+.4f} ± {gap.standard_error:.4f}, paired"
        rows.append(_row(f"energy distance: {row.name}", row.energy.value, "scaled units", rival.value, note))
    seconds = result.training.seconds
    winds = result.negative_winds
    return [
        *rows,
        _row("training", seconds, "s", 100.0, "baseline: the time budget of the demo"),
        _row(
            "generated wind speeds below 0",
            100 * winds.generated,
            "%",
            100 * winds.sample_covariance,
            "baseline: draws of the sample covariance",
        ),
    ]


def _row(name: str, value: float, unit: str, baseline: float, note: str) -> dict:
    ratio = value / baseline if baseline > 0 else None  # an energy distance is unbiased, and may fall below 0
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "baseline": baseline,
        "ratio": ratio,
        "floor": None,
        "note": note,
    }
