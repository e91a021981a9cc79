"""The facts in the repr of a fitted model."""

from __future__ import annotations

from typing import Any

from torch import nn

from .._display import Uncertain
from ..data.messages import list_names


def facts(
    network: nn.Module, name: str | None, num_frames: int, feature_names: tuple[str, ...], record: dict[str, Any]
) -> dict[str, object]:
    """Network, sizes, what it was trained on and how that went; ``record`` is :attr:`Model.record`."""
    facts: dict[str, object] = {
        "network": name or type(network).__name__,
        "parameters": sum(p.numel() for p in network.parameters()),
        "frames": num_frames,
        "features": f"{len(feature_names)} ({list_names(feature_names, 6)})",
    }
    parts, outcome, settings = (record.get(part) for part in ("split", "training", "fit"))
    if parts:
        facts["trained on"] = f"{len(parts['train'])} of {sum(map(len, parts.values()))} sequences"
    if settings:
        facts |= {name: settings["scaling"][name] for name in ("mean", "scaling")}
    if outcome:
        kept = next((entry for entry in outcome["history"] if entry["step"] == outcome["best_step"]), None)
        facts["steps"] = f"{outcome['steps']} (kept {outcome['best_step']}, stopped by {outcome['stopped']})"
        if kept is not None:
            facts["held-out loss"] = Uncertain(kept["held_out_loss"], unit="nats")
    notes = len(record.get("notes", []))
    return {**facts, "warnings": notes} if notes else facts
