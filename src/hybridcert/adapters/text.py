"""Any scikit-learn compatible classifier on strings, as a classifier of token sequences."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone

from hybridcert.adapters.estimator_margins import estimator_margins, score_method
from hybridcert.adapters.labels import class_indices
from hybridcert.adapters.vocabulary import OpenVocabulary, Vocabulary
from hybridcert.errors import DataError, ModelError, ParameterError
from hybridcert.sampling.classifier import Batch
from hybridcert.sampling.streams import symbol_counts
from hybridcert.threats import DiscreteSurface

MODALITY = "text"

_SEPARATORS = {"words": " ", "characters": ""}


class TextClassifier(BaseEstimator):  # type: ignore[misc]
    """A scikit-learn compatible classifier or pipeline on strings; noise and adversary act on tokens.

    A text is its tokens: texts that differ in the kind or amount of whitespace between words only are one
    input, and the estimator reads words joined by single spaces.

    Parameters
    ----------
    estimator : classifier or pipeline
        Takes a list of strings, by way of any vectoriser, and answers with labels. Trained, or trained by
        `SmoothedClassifier.fit`.
    tokens : {"words", "characters"}
        What noise deletes and the adversary inserts: whitespace-separated words, or single code points.
    max_length : int >= 1
        Longest text, in tokens; longer ones are refused.
    vocabulary : sequence of str, optional
        Without it every token is allowed and texts are sequences, which `RandomDeletion` smooths. With it
        texts fill ``max_length`` fixed slots, each of which holds one of these tokens or none: what
        `UniformReplacement` and `Absorbing` need. Other tokens are refused.
    mask : str, optional
        Stands for a masked slot when the estimator is asked (`Absorbing`); needs a vocabulary.

    Examples
    --------
    >>> import hybridcert as hc
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> classifier = hc.TextClassifier(make_pipeline(CountVectorizer(), LogisticRegression()))
    """

    def __init__(
        self,
        estimator: Any,
        *,
        tokens: Literal["words", "characters"] = "words",
        max_length: int = 10_000,
        vocabulary: Sequence[str] | None = None,
        mask: str | None = None,
    ) -> None:
        self.estimator = estimator
        self.tokens = tokens
        self.max_length = max_length
        self.vocabulary = vocabulary
        self.mask = mask

    @property
    def classes_(self) -> npt.NDArray[Any] | None:
        """Labels of the estimator; None until it is trained."""
        classes = getattr(self._model(), "classes_", None)
        return None if classes is None else np.asarray(classes)

    def surfaces(self) -> dict[str, DiscreteSurface]:
        """What the modality "text" is made of: a sequence, or with a vocabulary fixed slots."""
        words = self._words()
        return {
            MODALITY: DiscreteSurface(
                alphabet_sizes=(words.size,) * self.max_length,
                eligible=tuple(range(self.max_length)),
                mask=self.mask is not None,
                sequence=self.vocabulary is None,
                open=self.vocabulary is None,
                symbols="words, split at white space" if self.tokens == "words" else "characters",
            )
        }

    def encode(self, X: Any) -> dict[str, npt.NDArray[Any]]:
        """Check texts and return their codes, int64 (m, longest), padded with −1 or, in slots, "no token".

        Codes depend on the tokens alone, not on what was encoded before.

        Parameters
        ----------
        X : list, Series or array of str, or a DataFrame with one column

        Raises
        ------
        DataError
            Naming the row that is no string, too long, or has a token outside the vocabulary.
        """
        words = self._words()
        rows = []
        for name, text in _named_texts(X):
            tokens = text.split() if self.tokens == "words" else list(text)
            if len(tokens) > self.max_length:
                raise DataError(
                    f"row {name!r}: text must have at most {self.max_length} {self.tokens}, got {len(tokens)}"
                )
            try:
                rows.append(words.encode(tokens))
            except DataError as error:
                raise DataError(f"row {name!r}: {error}") from error
        width = self.max_length if self.vocabulary is not None else max([1, *map(len, rows)])
        codes = np.full((len(rows), width), words.blank, dtype=np.int64)
        for row, found in enumerate(rows):
            codes[row, : len(found)] = found
        return {MODALITY: codes}

    def decode(self, codes: npt.NDArray[np.int64]) -> list[str]:
        """Return the strings that rows of codes stand for, clean or noisy."""
        words = self._words()
        held = codes != words.blank
        tokens = words.spell(codes[held].tolist())
        ends = np.cumsum(held.sum(axis=1)).tolist()
        join = _SEPARATORS[self.tokens].join
        return [join(tokens[start:end]) for start, end in zip([0, *ends], ends, strict=False)]

    def fit_encoded(self, batch: Batch, y: npt.NDArray[Any]) -> TextClassifier:
        """Train a clone of the estimator on the decoded rows."""
        estimator = clone(self.estimator).fit(self.decode(batch[MODALITY]), y)
        if not hasattr(estimator, "classes_"):
            raise ModelError(
                f"{type(estimator).__name__} is not a classifier: it has no classes_ once trained"
            )
        self.estimator_ = estimator
        return self

    def predict_encoded(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Return class indices; the estimator is asked once about equal rows."""
        first, index = _distinct(batch[MODALITY])
        return self._answers(self.decode(batch[MODALITY][first]))[index]

    @property
    def tells_margins(self) -> bool:
        """Whether `margins` works: where the trained estimator has scores for its classes."""
        return self.classes_ is not None and score_method(self._model()) is not None

    def margins(self, batch: Batch, label: int) -> npt.NDArray[np.float64]:
        """Return the lead of a label's score over the best other one, shape (rows,).

        Its sign is that of `predict_encoded`'s answers. No guarantee rests on it.

        Raises
        ------
        ModelError
            For an estimator without scores; `tells_margins` says so beforehand.
        """
        first, index = _distinct(batch[MODALITY])
        texts = self.decode(batch[MODALITY][first])
        return estimator_margins(self._model(), texts, self._answers(texts), label)[index]

    def set_params(self, **params: Any) -> TextClassifier:
        """Set parameters as in scikit-learn; the tokens that were seen are forgotten where they change."""
        super().set_params(**params)
        if set(params) & {"tokens", "vocabulary", "mask", "max_length"}:
            self.__dict__.pop("words_", None)
        return self

    def _answers(self, texts: list[str]) -> npt.NDArray[np.intp]:
        """Return the estimator's answers about texts as class indices."""
        classes = self.classes_
        if classes is None:
            raise ModelError(
                "the text classifier is not trained: call fit first, or pass a trained estimator"
            )
        return class_indices(np.asarray(self._model().predict(texts)), classes)

    def _model(self) -> Any:
        return getattr(self, "estimator_", self.estimator)

    def _words(self) -> OpenVocabulary | Vocabulary:
        if not hasattr(self, "words_"):
            self.words_ = self._vocabulary()
        return self.words_

    def _vocabulary(self) -> OpenVocabulary | Vocabulary:
        if self.tokens not in _SEPARATORS:
            raise ParameterError(f"tokens must be 'words' or 'characters', got {self.tokens!r}")
        whole = isinstance(self.max_length, int | np.integer) and not isinstance(self.max_length, bool)
        if not whole or self.max_length < 1:
            raise ParameterError(f"max_length must be an integer >= 1, got {self.max_length!r}")
        if self.vocabulary is not None:
            return Vocabulary(self.vocabulary, mask=self.mask)
        if self.mask is not None:
            raise ParameterError(f"mask needs a vocabulary, got mask {self.mask!r} and no vocabulary")
        return OpenVocabulary()


def _named_texts(X: Any) -> Iterator[tuple[Hashable, str]]:
    """Pairs of row name and text."""
    if isinstance(X, pd.DataFrame):
        if X.shape[1] != 1:
            raise DataError(f"a table of texts must have one column, got {X.shape[1]}")
        X = X.iloc[:, 0]
    if isinstance(X, str) or not isinstance(X, list | tuple | np.ndarray | pd.Series):
        raise DataError(
            f"expected a list, Series or array of texts or a table with one column, got {type(X).__name__}"
        )
    if np.ndim(X) != 1 and isinstance(X, np.ndarray):
        raise DataError(f"an array of texts must have one dimension, got shape {X.shape}")
    pairs: Iterator[tuple[Hashable, Any]] = iter(X.items()) if isinstance(X, pd.Series) else enumerate(X)
    for name, text in pairs:
        if not isinstance(text, str):
            missing = text is None or text is pd.NA or (isinstance(text, float) and np.isnan(text))
            shown = "a missing value" if missing else f"{text!r} ({type(text).__name__})"
            raise DataError(f"row {name!r}: text must be a string, got {shown}")
        yield name, text


def _distinct(codes: npt.NDArray[np.int64]) -> tuple[list[int], npt.NDArray[np.intp]]:
    """Return the first of each kind of equal rows, and for every row the number of its kind."""
    counts = symbol_counts(codes)
    width = max(1, int(counts.max(initial=0))) if counts is not None else codes.shape[1]
    rows = np.ascontiguousarray(codes[:, :width])
    keys = rows.view(np.dtype((np.void, rows.itemsize * width))).ravel().tolist()
    kinds: dict[object, int] = {}
    first: list[int] = []
    index = np.empty(len(rows), dtype=np.intp)
    for at, key in enumerate(keys):
        kind = kinds.setdefault(key, len(first))
        if kind == len(first):
            first.append(at)
        index[at] = kind
    return first, index
