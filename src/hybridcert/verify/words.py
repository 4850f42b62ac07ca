"""Attacks in plain words."""

from __future__ import annotations

from hybridcert.verify.kernels import DeletionLaw
from hybridcert.verify.laws import Threatened

_SEQUENCE = {
    "insertion": "symbols inserted anywhere in it",
    "deletion": "symbols deleted anywhere in it",
    "indel": "symbols inserted or deleted anywhere in it",
    "edit": "symbols inserted, deleted or replaced anywhere in it",
    "substitution": "symbols replaced by any other symbols",
}
_POSITIONS = {
    "uniform": "replaced by any other symbol of the same alphabet",
    "fields": "changed to any other category of the same field",
    "randomized-response": "replaced by any other symbol of the same alphabet",
    "absorbing": "replaced by any other symbol",
    "synonyms": "replaced by one of the listed substitutes",
    "matrix": "replaced as the transition matrix allows",
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


def attack(modality: Threatened) -> str:
    """Return one sentence on what the adversary may do to a discrete modality, with d as its budget."""
    law, threat = modality.law, modality.threat
    name = quoted(law.modality)
    if isinstance(law, DeletionLaw):
        length = "of unknown length" if law.length is None else f"of {counted(law.length, 'symbol')}"
        return f"In the sequence {name} ({length}) at most d {_SEQUENCE[threat.kind]}."
    total = sum(c.positions for c in law.classes)
    where = f"In {name} ({counted(total, 'position')}, noise {law.kernel!r})"
    if law.kernel == "flips":
        ones = sum(c.positions for c in law.classes if c.bit == 1)
        if threat.kind == "additions":
            return f"{where} at most d of the {total - ones} zeros turned into ones; no one may be turned off."
        if threat.kind == "removals":
            return f"{where} at most d of the {ones} ones turned into zeros; no zero may be turned on."
        caps = [
            f"at most {cap} {kind}"
            for cap, kind in ((threat.max_additions, "zeros turned on"), (threat.max_removals, "ones turned off"))
            if cap is not None
        ]
        return f"{where} at most d bits flipped{', of these ' + ' and '.join(caps) if caps else ''}."
    fixed = sum(c.positions for c in law.classes if not c.options)
    rest = f" ({counted(fixed, 'position')} cannot change at all)" if fixed else ""
    return f"{where} at most d positions {_POSITIONS[law.kernel]}{rest}."


def contract(modality: Threatened) -> str:
    """Return what has to be so for the law of a threatened modality to be the true one."""
    law = modality.law
    name = quoted(law.modality)
    if isinstance(law, DeletionLaw):
        return f"{name}: the noise deletes from the whole sequence that the adversary may touch."
    region = f"{name}: the positions that carry noise are known to the defender, and nothing else may change"
    if law.kernel in ("uniform", "randomized-response"):
        return f"{region}; symbols outside the stated alphabets are mapped into them or refused before the noise."
    if law.kernel == "fields":
        return f"{region}; categories outside the stated numbers are mapped or refused before the noise."
    if law.kernel in ("synonyms", "matrix"):
        return f"{region}; substitutions that are not listed are not covered."
    return f"{region}."
