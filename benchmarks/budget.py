"""Error budgets of networks on the yardstick: terms that are computed one by one, beside the exact divergence."""

from __future__ import annotations

import torch

from kronoscope import models, theory
from kronoscope_evidence.yardstick import training_data, yardstick

CASES = (("unrolled", 500), ("unrolled", 2000), ("position", 500))
CLOSE, SMALL = 0.05, 1e-4  # share of the total, and nats, by which the sum may miss it


def run(steps: int = 64) -> list[dict]:
    """Rows: the sum of the terms of each network beside the measured divergence, then each term."""
    rows = []
    for name, n in CASES:
        x = training_data(n)
        model = models.fit(
            x,
            name,
            generator=torch.Generator().manual_seed(0),
            validation=0.02 if name == "unrolled" else 0.1,
            progress=False,
        )
        budget = theory.error_budget(model, yardstick(), steps=steps, data=x)
        assert budget.measured is not None
        assert budget.interaction is not None
        failed = abs(budget.interaction) > max(CLOSE * budget.measured, SMALL)
        note = f"baseline: exact divergence; {steps} score calls"
        rows.append(_row(f"{name}, n = {n}: sum of the terms", budget.total, budget.measured, note, failed))
        for name_of_term, term in budget.terms.items():
            if term.nats is not None:
                rows.append(_row(f"{name}, n = {n}: {name_of_term}", term.nats, budget.measured, term.statement, False))
    return rows


def _row(name: str, value: float, measured: float, note: str, failed: bool) -> dict:
    return {
        "name": name, "value": value, "unit": "nats", "baseline": measured, "ratio": value / measured, "note": note,
        "failed": int(failed),
    }  # fmt: skip
