"""The parameters of a run in one short line: noise, samples, level, claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hybridcert.certificate.directed import format_exact

_SYMBOLS = {
    "beta": "β",
    "betas": "β",
    "ratio": "ρ",
    "log_ratio": "log ρ",
    "p_plus": "p₊",
    "p_minus": "p₋",
    "sigma": "σ",
    "sigmas": "σ",
    "scale": "b",
    "samples": "n",
    "alpha": "α",
    "threshold": "τ",
    "top_k": "k",
}
_LONGEST = 8  # digits of a number that is shown in full


def parameters(settings: Mapping[str, Any]) -> str:
    """Spell noise, samples, level and claim of a run: "β = 0.25,  σ = 0.5,  n = 10 000,  α = 0.01"."""
    parts = _noise(settings.get("noise", {}))
    if "samples" in settings:
        fixed = all(settings.get(key) is None for key in ("stopping", "bound", "budget"))
        parts.append(f"n {'=' if fixed else '≤'} {settings['samples']:,}".replace(",", "\u2009"))
    parts += [spelled(key, settings[key]) for key in ("alpha", "threshold") if settings.get(key) is not None]
    claim = settings.get("claim") or {}
    if claim.get("kind") == "top-k":
        parts.append(spelled("top_k", claim["k"]))
    return ",  ".join(parts)


def spelled(key: str, value: Any) -> str:
    """Spell one parameter, such as "σ = 0.25…1" for several values, or "ρ ≈ 7.389" for a long one."""
    name = _SYMBOLS.get(key, key)
    values = list(value.values()) if isinstance(value, Mapping) else value
    if (
        isinstance(values, Sequence)
        and not isinstance(values, str)
        and all(map(_is_number, values))
        and values
    ):
        low, high = _short(min(values)), _short(max(values))
        sign = "≈" if "≈" in (low[0], high[0]) else "="
        return f"{name} {sign} {low[1]}" if low == high else f"{name} {sign} {low[1]}…{high[1]}"
    if not _is_number(value):
        return f"{name} = {value}"
    sign, digits = _short(value)
    return f"{name} {sign} {digits}"


def _noise(noise: Mapping[str, Mapping[str, Any]]) -> list[str]:
    shown = {m: {k: v for k, v in kernel.items() if k in _SYMBOLS} for m, kernel in noise.items()}
    symbols = [_SYMBOLS[key] for kernel in shown.values() for key in kernel]
    parts = []
    for modality, kernel in shown.items():
        for key, value in kernel.items():
            where = f"{modality}: " if symbols.count(_SYMBOLS[key]) > 1 else ""
            parts.append(where + spelled(key, value))
        if not kernel:
            parts.append(f"{noise[modality]['kernel']} noise")
    return parts


def _short(value: float) -> tuple[str, str]:
    exact = format_exact(value)
    return ("=", exact) if len(exact) <= _LONGEST else ("≈", f"{value:.4g}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
