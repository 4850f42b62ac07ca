"""What the commands `radius` and `frontier` ask, read from options or from a line of a batch file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from hybridcert.cli.channel import Channel, read_channel
from hybridcert.cli.evidence import Bounds, Evidence, bounds_of, read_claim, read_evidence
from hybridcert.cli.rules import Spell, option_name, read_value, required
from hybridcert.cli.shift import Shift, read_eps, read_shift
from hybridcert.documents.claims import Claim


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """One certificate to compute; ``d`` is the largest budget when a frontier is asked for.

    ``classes`` is None where a top-k claim leaves it open.
    """

    channel: Channel
    d: int
    shift: Shift
    claim: Claim
    evidence: Evidence
    eps: float | tuple[float, ...]
    classes: int | None

    def bounds(self) -> Bounds:
        """Return the bounds on the clean scores that the evidence gives."""
        return bounds_of(self.evidence, self.claim)


def read_query(raw: Mapping[str, object], *, budget: str = "d", spell: Spell = option_name) -> Query:
    """Check raw values (None: not given) and build the query.

    Parameters
    ----------
    raw : mapping
        Values by key, as text or as numbers.
    budget : {"d", "d_max"}
        The key that holds the discrete budget.
    spell : callable
        How a message spells a key.

    Raises
    ------
    ParameterError
        For a value outside its range, a missing one, or one that does not apply.
    """
    given = {key: read_value(key, value, spell) for key, value in raw.items() if value is not None}
    channel = read_channel(given, budget, spell)
    if budget not in given and channel.kernel is not None:
        raise required(budget, "", spell)
    shift = read_shift(given, spell)
    claim = read_claim(given, spell)
    eps = read_eps(given, shift, spell)
    evidence = read_evidence(given, claim, spell)
    classes = given.get("classes", len(given["counts"]) if "counts" in given else None)
    return Query(channel, given.get(budget, 0), shift, claim, evidence, eps, classes)
