"""A budget of copies for a whole data set: who draws when it does not last for all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def affordable(
    copies: npt.NDArray[np.int64], urgency: npt.NDArray[np.float64], budget_left: int
) -> npt.NDArray[np.bool_]:
    """Return which inputs draw in this round.

    Inputs are served by falling urgency, the earlier of equals first, each with all the copies that it needs
    or none. An input that needs more than is left is passed over; those after it may still be served. The
    choice depends on the arguments alone, and the copies of the chosen add up to at most the budget.

    Parameters
    ----------
    copies : int array, shape (n,), >= 0
        What each input needs to get anywhere.
    urgency : float array, shape (n,)
        How much good that does, per copy.
    budget_left : int
    """
    order = np.argsort(-urgency, kind="stable")
    if copies.sum() <= budget_left:
        return np.ones(copies.size, dtype=np.bool_)
    chosen = np.zeros(copies.size, dtype=np.bool_)
    left = int(budget_left)
    for row, needed in zip(order.tolist(), copies[order].tolist(), strict=True):
        if needed <= left:
            chosen[row] = True
            left -= needed
    return chosen
