"""Fakes at the classifier seam, with a smoothed score that is known exactly."""

from __future__ import annotations

import dataclasses

import numpy as np

from hybridcert.threats import ContinuousSurface, DiscreteSurface


@dataclasses.dataclass
class Sign:
    """Class 1 where the first number is positive; the second number only tells rows apart.

    With σ-noise on the first number, P(class 1) = Φ(x/σ).
    """

    eligible: tuple[int, ...] = (0,)
    answer: int | None = None
    calls: list[int] = dataclasses.field(default_factory=list)

    classes_ = np.array(["no", "yes"])

    def surfaces(self):
        return {"numeric": ContinuousSurface(2, self.eligible, "units")}

    def encode(self, X):
        return {"numeric": np.asarray(X, dtype=np.float64)}

    def predict_encoded(self, batch):
        self.calls.append(len(batch["numeric"]))
        if self.answer is not None:
            return np.full(len(batch["numeric"]), self.answer)
        return (batch["numeric"][:, 0] > 0).astype(np.intp)


class WordsAndNumbers:
    """Class 1 where the first word is 0 and the number is positive; three words over alphabets 3, 4, 5."""

    classes_ = np.array([0, 1])

    def surfaces(self):
        return {
            "text": DiscreteSurface((3, 4, 5), (0, 2)),
            "tag": DiscreteSurface((2,), (0,), mask=True),
            "numeric": ContinuousSurface(1, (0,), "units"),
            "other": ContinuousSurface(1, (0,), "units"),
        }

    def encode(self, X):
        return {name: np.asarray(values) for name, values in X.items()}

    def predict_encoded(self, batch):
        return ((batch["text"][:, 0] == 0) & (batch["numeric"][:, 0] > 0)).astype(np.intp)
