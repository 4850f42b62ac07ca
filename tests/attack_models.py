"""Small models at the attack seam: what they answer, how sure they are, and what would change it.

`Answers`, `Scores` and `Slopes` wrap one model, and offer what each method of an attack needs and no more.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from hybridcert.kernels.deletion import PADDING
from hybridcert.sampling.scores import Sensitivity
from hybridcert.threats import ContinuousSurface, DiscreteSurface


@dataclasses.dataclass
class Network:
    """Margin of class 1 = bias + out · act(inner + Σ table[position, symbol] + Σ weights · numbers).

    ``linear`` leaves out the activation, so that derivatives are exact. Rows of ``table`` belong to
    (position, symbol); sequences have one table for all positions.
    """

    sizes: tuple[int, ...]
    features: int
    table: np.ndarray  # (positions or 1, symbols, hidden)
    weights: np.ndarray  # (features, hidden)
    inner: np.ndarray  # (hidden,)
    out: np.ndarray  # (hidden,)
    bias: float = 0.0
    linear: bool = False
    sequence: bool = False
    mask: bool = False
    eligible: tuple[int, ...] | None = None
    columns: tuple[int, ...] | None = None

    classes_ = np.array(["no", "yes"])

    @classmethod
    def random(cls, sizes, features, *, hidden=8, seed=0, linear=False, scale=1.0, **options):
        rng = np.random.default_rng(seed)
        positions = 1 if options.get("sequence") else len(sizes)
        table = scale * rng.standard_normal((positions, max(sizes, default=1) + 1, hidden))
        table[:, -1] = 0.0  # the mask
        weights = rng.standard_normal((features, hidden)) / max(1.0, np.sqrt(features))
        inner = np.zeros(hidden) if linear else rng.standard_normal(hidden)
        out = rng.standard_normal(hidden) / np.sqrt(hidden)
        return cls(tuple(sizes), features, table, weights, inner, out, linear=linear, **options)

    def surfaces(self):
        surfaces = {}
        if self.sizes:
            every = tuple(range(len(self.sizes)))
            surfaces["fields"] = DiscreteSurface(
                self.sizes, self.eligible or every, mask=self.mask, sequence=self.sequence
            )
        if self.features:
            columns = self.columns or tuple(range(self.features))
            surfaces["numbers"] = ContinuousSurface(self.features, columns, "units")
        return surfaces

    def encode(self, X):
        return {name: np.asarray(values) for name, values in X.items()}

    def predict_encoded(self, batch):
        return (self._margin(batch) > 0.0).astype(np.intp)

    def _hidden(self, batch):
        rows = len(next(iter(batch.values())))
        total = np.broadcast_to(self.inner, (rows, self.inner.size)).copy()
        if self.sizes:
            codes = batch["fields"]
            rank = (
                np.zeros_like(codes)
                if self.sequence
                else np.broadcast_to(np.arange(codes.shape[1]), codes.shape)
            )
            held = codes != PADDING
            total += np.where(held[..., None], self.table[rank, np.where(held, codes, 0)], 0.0).sum(axis=1)
        if self.features:
            total += batch["numbers"] @ self.weights
        return total

    def _margin(self, batch):
        hidden = self._hidden(batch)
        return self.bias + (hidden if self.linear else np.tanh(hidden)) @ self.out

    def margins(self, batch, label):
        return self._margin(batch) * (1.0 if label == 1 else -1.0)

    def sensitivity(self, batch, label, origin):
        hidden = self._hidden(batch)
        sign = 1.0 if label == 1 else -1.0
        back = sign * (self.out if self.linear else (1.0 - np.tanh(hidden) ** 2) * self.out)
        back = np.broadcast_to(back, hidden.shape)
        continuous = {"numbers": (back @ self.weights.T).mean(axis=0)} if self.features else {}
        discrete = {}
        if "fields" in origin:
            places = origin["fields"]
            width = batch["fields"].shape[1]
            slopes = np.full((width, self.table.shape[1] - 1), np.nan)
            for position in range(width):
                carried = (places == position).any(axis=1)
                if carried.any():
                    rows = self.table[0 if self.sequence else position, :-1]
                    slopes[position] = (back[carried] @ rows.T).sum(axis=0) / len(back)
            discrete = {"fields": slopes}
        return Sensitivity(self.margins(batch, label), continuous, discrete)


class Answers:
    """Answers alone."""

    def __init__(self, model):
        self.model = model
        self.classes_ = model.classes_
        self.surfaces, self.encode = model.surfaces, model.encode

    def predict_encoded(self, batch):
        return self.model.predict_encoded(batch)


class Scores(Answers):
    """Answers and margins."""

    def margins(self, batch, label):
        return self.model.margins(batch, label)


class Slopes(Scores):
    """Answers, margins and derivatives."""

    def sensitivity(self, batch, label, origin):
        return self.model.sensitivity(batch, label, origin)
