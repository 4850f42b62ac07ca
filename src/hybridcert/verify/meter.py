"""The work that one document may cause, counted in advance or as it is done, the same on every machine."""

from __future__ import annotations

from hybridcert.errors import DataError
from hybridcert.verify import limits


def rational_units(bits: int) -> int:
    """Return the work of one operation on rationals of that many bits."""
    return 5 + bits // 8 + bits**2 // 100_000


class Meter:
    """Counts units of about a tenth of a microsecond, and refuses to go beyond a limit.

    Kept results count as if they were made again, so that the answer to a document does not depend on the
    documents before it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.spent = 0

    def spend(self, units: float) -> None:
        """Count so many units.

        Raises
        ------
        DataError
            If the limit is exceeded.
        """
        self.spent += int(units)
        if self.spent > self._limit:
            raise DataError(f"more than {self._limit // limits.SECOND} s of work")
