"""One report with every kind of record, and with names that a stranger's file could hold."""

import math

from kronoscope.report import (
    Animation,
    Bar,
    BarPanel,
    Column,
    Estimate,
    Facts,
    Figure,
    Line,
    LinePanel,
    MatrixPanel,
    Movie,
    Number,
    Report,
    Section,
    Table,
    Text,
    Verdict,
)

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</style></svg><b>",
    "$x_1$ \\frac",
    "a & b; --> {{ 7 * 7 }}",
    "https://example.org/pixel.png",
    "url(#anything)",
    "気温 ° Ω",
)


def sample(name: str = "temperature", entries: int = 6) -> Report:
    """A small report; ``name`` goes wherever text of the user can go."""
    lags = list(range(12))
    decay = [math.exp(-lag / 4) for lag in lags]
    low, high = [value - 0.1 for value in decay], [value + 0.1 for value in decay]
    lines = [
        Line(f"{name} real", "truth", lags, decay, low, high),
        Line("generated", "learnt", lags, [value * 0.97 for value in decay], markers=True),
        Line("held-out", "held-out", lags, [value * 1.03 for value in decay], dashed=True, thin=True),
    ]
    lag_panels = [LinePanel(f"{name} {i}", f"lag of {name}", f"correlation of {name}", lines) for i in range(3)]
    calls = [4, 8, 16, 32, 64]
    roles = ("learnt", "second", "baseline", "baseline-2", "baseline-3", "baseline-4", "floor", "null")
    samplers = [
        Line(f"{name} {role}", role, calls, [c ** (-0.5 * k) for c in calls], markers=True)
        for k, role in enumerate(roles)
    ]
    matrix = [[math.cos(i - j) for j in range(entries)] for i in range(entries)]
    names = [f"{name} {i}" for i in range(entries)] if entries < 20 else None
    matrices = [
        MatrixPanel(f"{name} at {i}", matrix, "column", "row", "correlation", names, names, (-1, 1), diverging=True)
        for i in range(3)
    ]
    bars = [
        Bar(f"{name} {role}", role, 10.0 ** (k - 3), 10.0 ** (k - 3.2), 10.0 ** (k - 2.8))
        for k, role in enumerate(roles)
    ]
    table = Table(
        [Column(name), Column("KL", "nats"), Column("parameters"), Column("time", "s", decimals=1)],
        [[f"{name} learner", Estimate(0.3721, 0.0114), 1048576, 3.25], ["floor", 0.0086, None, 12]],
        f"How to read {name}.",
        note=name,
        row_roles=["learnt", "floor"],
        highlight_rows=[0],
        highlight_cells=[(1, 1)],
    )
    moving = [[[math.cos(i - j + k) for j in range(4)] for i in range(3)] for k in range(5)]
    animation = Animation([Movie(name, moving), Movie("", moving[::-1])], name, (-1, 1), name, name, columns=2)
    numbers = [Number("84 %", name, "held-out days reach 86 %", "good"), Number("0.37", "nats", name, "bad")]
    return Report(
        f"Report on {name}",
        f"What {name} did.",
        {name: name, "seed": 0},
        [
            Section(f"Run of {name}", name, [Text(f"{name}\n\nmore"), Text(name, "note"), Text(name * 9, "code")]),
            Section("Facts", "", [Facts({name: Estimate(1.0, 0.1)}), Verdict(numbers)]),
            Section("Lags", "", [Figure(lag_panels, f"Read {name}.", f"Curves of {name}.", columns=3)]),
            Section(
                "Samplers",
                "",
                [
                    Figure([LinePanel("", "calls", "KL", samplers, log_x=True, log_y=True, x_ticks=calls)], name, name),
                    Figure([BarPanel(name, "KL", bars, log_x=True), BarPanel("", "KL", bars)], name, name, columns=2),
                ],
            ),
            Section("Matrices", "", [Figure(matrices, name, name, columns=3), table, animation]),
        ],
        Verdict(numbers),
    )
