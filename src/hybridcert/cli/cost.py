"""What runs cost, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SHARES = {
    "model_calls_saved": "saved by stopping early",
    "model_calls_from_store": "found in the store",
    "model_calls_repeated": "repeated after failures",
}
_PHASES = {
    "training_seconds": "training",
    "sampling_seconds": "sampling",
    "certificate_seconds": "certificates",
}


def cost_line(costs: Sequence[Mapping[str, Any]]) -> str:
    """Return the cost of one or several runs together; counts that are 0 are left out."""
    total = {key: sum(cost.get(key, 0) for cost in costs) for key in ("model_calls", *_SHARES, *_PHASES)}
    shares = [f"{total[key]:,} {what}" for key, what in _SHARES.items() if total[key]]
    calls = f"{total['model_calls']:,} model calls"
    parts = [f"{calls} ({', '.join(shares)})" if shares else calls]
    phases = {key: what for key, what in _PHASES.items() if any(key in cost for cost in costs)}
    parts += [f"{what} {total[key]:.1f} s" for key, what in phases.items()]
    made = total["model_calls"] - total["model_calls_from_store"]
    if made and total["sampling_seconds"] > 0.0:
        parts.append(f"{made / total['sampling_seconds']:,.0f} calls per second")
    memory = [cost["peak_memory_mib"] for cost in costs if "peak_memory_mib" in cost]
    if memory:
        parts.append(f"peak memory {max(memory):.0f} MiB")
    crews = {(cost["executor"], cost["workers"]) for cost in costs if cost.get("workers")}
    if len(crews) == 1:
        [(executor, workers)] = crews
        parts.append(f"{executor}, {workers} workers" if workers > 1 else str(executor))
    return f"cost: {', '.join(parts)}"
