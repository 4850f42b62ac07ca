"""Attacks in plain words."""

from __future__ import annotations

from hybridcert.verify.kernels import DeletionLaw, DiscreteLaw
from hybridcert.verify.laws import Threatened

_SEQUENCE = {
    "insertion": "symbols are inserted anywhere in it",
    "deletion": "symbols are deleted anywhere in it",
    "indel": "symbols are inserted or deleted anywhere in it",
    "edit": "symbols are inserted, deleted or replaced anywhere in it",
    "substitution": "symbols are replaced by any other symbols",
}
_POSITIONS = {
    "uniform": "are replaced by any other symbol of the same alphabet",
    "fields": "are changed to any other category of the same field",
    "randomized-response": "are replaced by any other symbol of the same alphabet",
    "absorbing": "are replaced by any other symbol",
    "synonyms": "are replaced by one of the listed substitutes",
    "matrix": "are replaced as the list of substitutions allows, whatever the matrix says",
}


def quoted(text: object) -> str:
    """Return a string of the document in quotes, on one line, without control characters."""
    return repr(text) if isinstance(text, str) else "(none)"


def cleaned(text: str) -> str:
    """Return a string of the document on one line, without control characters."""
    return "".join(character if character.isprintable() else " " for character in text)


def counted(n: int, what: str) -> str:
    """Return ``n`` things in words: '1 position', '2 positions'."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def attack(modality: Threatened, budget: str) -> str:
    """Return one sentence on what the adversary may do to a discrete modality within ``budget``."""
    law, threat = modality.law, modality.threat
    name = quoted(law.modality)
    if isinstance(law, DeletionLaw):
        length = "of unknown length" if law.length is None else f"of {counted(law.length, 'symbol')}"
        return f"In the sequence {name} ({length}) at most {budget} {_SEQUENCE[threat.kind]}{_where(law)}."
    total = sum(c.positions for c in law.classes)
    start = f"In {name} ({counted(total, 'position')}, noise {law.kernel!r}) at most {budget}"
    if law.kernel == "flips":
        ones = sum(c.positions for c in law.classes if c.bit == 1)
        if threat.kind == "additions":
            return f"{start} of the {total - ones} zeros are turned on; nothing is turned off."
        if threat.kind == "removals":
            return f"{start} of the {ones} ones are turned off; nothing is turned on."
        caps = {"zeros turned on": threat.max_additions, "ones turned off": threat.max_removals}
        stated = " and ".join(f"at most {cap} {kind}" for kind, cap in caps.items() if cap is not None)
        return f"{start} bits are flipped{', of these ' if stated else ''}{stated}."
    fixed = sum(c.positions for c in law.classes if not c.options)
    rest = f" ({counted(fixed, 'position')} cannot change at all)" if fixed else ""
    return f"{start} positions {_POSITIONS[law.kernel]}{rest}{_where(law)}."


def _where(law: DiscreteLaw) -> str:
    """Return what a symbol is, as far as the document says."""
    return "" if law.symbols is None else f", where a symbol is: {quoted(law.symbols)}"


def contract(modality: Threatened) -> list[str]:
    """Return what has to be so for the law of a threatened modality to be the true one."""
    law = modality.law
    name = quoted(law.modality)
    if isinstance(law, DeletionLaw):
        lines = [f"{name}: the noise has to reach the whole sequence that the adversary may touch."]
        if law.symbols is None:
            lines.append(f"{name}: the document does not say what a symbol is (a word, a character, …).")
        return lines
    lines = [f"{name}: the defender has to know which positions carry noise; no others may change."]
    if law.kernel in ("uniform", "randomized-response", "fields"):
        what = "categories" if law.kernel == "fields" else "symbols"
        lines.append(f"{name}: {what} outside the alphabets have to be mapped or refused before the noise.")
    if law.kernel in ("synonyms", "matrix"):
        lines.append(f"{name}: substitutions that are not listed are not covered.")
    return lines
