"""The grid by which every generic network's learning rate was set: the same for all, chosen by the held-out loss."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

from kronoscope import DivergenceError, metrics, models
from kronoscope_evidence.learning.learners import LEARNERS
from kronoscope_evidence.yardstick import training_data, yardstick

SIZES = tuple(int(n) for n in os.environ.get("KRONOSCOPE_SIZES", "500").split(","))
RATES = tuple(float(rate) for rate in os.environ.get("KRONOSCOPE_RATES", "3e-4,1e-3,3e-3,1e-2,3e-2").split(","))
ALL = ("dit", "dit-plain", "unet", "linear", "mlp")
NETWORKS = tuple(os.environ.get("KRONOSCOPE_NETWORKS", ",".join(ALL)).split(","))


def run() -> Iterator[dict]:
    """A row a network and rate: held-out loss in nats a sequence, up to a constant of the data that all rows share.

    Preset steps and batch, one draw of n = 500, of which a tenth is held out; the weights of the least held-out loss.
    The score error stands in the note and chooses nothing. ``KRONOSCOPE_NETWORKS`` and ``KRONOSCOPE_RATES`` take a
    part ("dit,unet", "3e-3,1e-2"), ``KRONOSCOPE_SIZES`` other numbers of sequences ("500,2000").
    """
    for n, name, rate in itertools.product(SIZES, NETWORKS, RATES):
        loss, note = _trained(n, name, rate)
        row = {"name": f"{name}, n = {n}, rate {rate:g}", "value": loss, "unit": "nats", "note": note}
        yield row | dict.fromkeys(("baseline", "ratio", "floor"))


def _trained(n: int, name: str, rate: float) -> tuple[float | None, str]:
    """The least held-out loss, and what else there is to tell; None where the training diverged."""
    learner = LEARNERS[name]
    try:
        fitted = models.fit(
            training_data(n), learner.network, network_options=dict(learner.options), learning_rate=rate
        )
    except DivergenceError as reason:
        return None, str(reason)
    told = fitted.record["training"]
    kept = next(one for one in told["history"] if one["step"] == told["best_step"])
    error = metrics.score_kl(fitted.score, yardstick(), linear=learner.linear)
    note = f"step {told['best_step']} of {told['steps']}; score error {error.value:.3g} nats; {told['weights']} weights"
    return kept["held_out_loss"], f"{note}; {told['seconds']:.0f} s"
