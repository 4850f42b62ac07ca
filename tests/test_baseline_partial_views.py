"""Classifiers that see parts of an input: subsampling and ablation, on every adversary and classifier."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pickle
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, chi2
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import hybridcert as hc
from exact_laws import Row, Word, float_below, knapsack, law_of, product_row, words
from hybridcert.baselines.ablation import Ablation, ablated, ablation_overlap
from hybridcert.baselines.draws import Draws
from hybridcert.baselines.elements import Columns, Elements, Patches, Tokens
from hybridcert.baselines.overlap import Overlap, rounded_down, worst_score
from hybridcert.baselines.partial_views import PartialViews, Selection, Unsmoothed, views
from hybridcert.baselines.subsampling import (
    Changes,
    KeepCount,
    KeepShare,
    Part,
    Subsampled,
    Subsampling,
    subsampled,
)
from hybridcert.errors import DataError, ParameterError
from hybridcert.sampling.blocks import Work
from hybridcert.sampling.store import RunStore
from hybridcert.threats import ContinuousSurface, DiscreteSurface
from tabular_data import small_table
from test_brute_force import least_adversarial_score, longest_common

PAD = -1


# -- the certificate ---------------------------------------------------------------------------------------


def token_row(word: Word, keep: int) -> Row:
    """Law of what is left when ``keep`` symbols of a word stay, in order."""
    row: Row = {}
    chosen = list(itertools.combinations(word, min(keep, len(word))))
    for view in chosen:
        row[view] = row.get(view, Fraction(0)) + Fraction(1, len(chosen))
    return row


def column_row(word: Word, keep: int, filler: int) -> Row:
    """Law of a word of which all but ``keep`` positions show a filler."""
    row: Row = {}
    chosen = list(itertools.combinations(range(len(word)), keep))
    for kept in chosen:
        view = tuple(x if i in kept else filler for i, x in enumerate(word))
        row[view] = row.get(view, Fraction(0)) + Fraction(1, len(chosen))
    return row


def assert_sound(overlaps: list[Overlap], clean: Row, adversarial: Row) -> None:
    """On every classifier of views, zero tolerance."""
    for score, least in zip(*least_adversarial_score(clean, adversarial), strict=True):
        assert worst_score(float_below(score), overlaps) <= least


def changes_between(clean: Word, other: Word) -> list[Changes]:
    """The fewest changes that lead from one word to the other: what is in common keeps its order."""
    common = longest_common(clean, other)
    lost, gained = len(clean) - common, len(other) - common
    return [Changes(modified=m, deleted=lost - m, added=gained - m) for m in range(min(lost, gained) + 1)]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_tokens_against_every_word_on_every_classifier(keep: int) -> None:
    """All words of up to 3 symbols over {0, 1}, all adversaries of up to 4 over {0, 1, 2}."""
    part = Part(Tokens(), KeepCount(keep))
    for word in words(2, range(1, 4)):
        clean = token_row(word, keep)
        for other in words(3, range(1, 5)):
            adversarial = token_row(other, keep)
            for changes in changes_between(word, other):
                assert_sound([changes.overlap(part, len(word))], clean, adversarial)


@pytest.mark.parametrize("share", [0.3, 0.5, 1.0])
def test_a_share_of_the_tokens_that_depends_on_their_number(share: float) -> None:
    """A kept number that changes with the length leaves nothing in common, and nothing is claimed."""
    part = Part(Tokens(), KeepShare(share))
    for word in words(2, range(1, 4)):
        clean = token_row(word, part.keep.of(len(word)))
        for other in words(3, range(1, 5)):
            adversarial = token_row(other, part.keep.of(len(other)))
            for changes in changes_between(word, other):
                assert_sound([changes.overlap(part, len(word))], clean, adversarial)


@pytest.mark.parametrize("keep", [KeepCount(1), KeepCount(2), KeepShare(0.2), KeepShare(0.5), KeepShare(0.7)])
def test_a_budget_covers_every_smaller_one(keep: KeepCount | KeepShare) -> None:
    """An adversary need not use a budget up: one that may add and delete may also add alone."""
    part = Part(Tokens(), keep)
    for elements in range(8):
        for most in itertools.product(range(3), repeat=3):
            claimed = Changes(*most).overlap(part, elements)
            for fewer in itertools.product(*(range(n + 1) for n in most)):
                reached = Changes(*fewer).overlap(part, elements)
                for p in (0.6, 0.9, 0.99, 1.0):
                    assert worst_score(p, [claimed]) <= worst_score(p, [reached])


@pytest.mark.parametrize("filler", [0, 2, 9])
@pytest.mark.parametrize("keep", [1, 2, 3])
def test_columns_with_any_filler_on_every_classifier(keep: int, filler: int) -> None:
    """A filler that is a real symbol is sound as well."""
    clean_word = (0, 1, 0)
    clean = column_row(clean_word, keep, filler)
    for other in itertools.product(range(3), repeat=3):
        d = sum(x != y for x, y in zip(clean_word, other, strict=True))
        adversarial = column_row(other, keep, filler)
        assert_sound([ablation_overlap(3, keep, d)], clean, adversarial)
        part = Part(Columns(filler), KeepCount(keep))
        assert_sound([Changes(modified=d).overlap(part, 3)], clean, adversarial)


def test_two_modalities_multiply() -> None:
    """Two of three columns and one of two columns, against every change of both."""
    left, right = (0, 0, 0), (0, 0)
    clean = product_row([column_row(left, 2, 9), column_row(right, 1, 9)])
    parts = Part(Columns(9), KeepCount(2)), Part(Columns(9), KeepCount(1))
    for a, b in itertools.product(itertools.product((0, 1), repeat=3), itertools.product((0, 1), repeat=2)):
        adversarial = product_row([column_row(a, 2, 9), column_row(b, 1, 9)])
        overlaps = [
            Changes(modified=sum(a)).overlap(parts[0], 3),
            Changes(modified=sum(b)).overlap(parts[1], 2),
        ]
        assert_sound(overlaps, clean, adversarial)
        law = law_of(clean, adversarial)
        for p in (0.125, 0.5, 0.875, 1.0):  # symbols that the input does not hold: nothing is given away
            assert worst_score(p, overlaps) == knapsack(law, Fraction(p))


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        (Changes(modified=1), (0, 7, 2, 3)),
        (Changes(added=2), (0, 8, 1, 2, 9, 3)),
        (Changes(deleted=1), (0, 1, 3)),
        (Changes(modified=1, added=1, deleted=1), (9, 2, 8, 3)),
    ],
)
def test_tight_for_symbols_the_input_does_not_hold(changes: Changes, other: Word) -> None:
    part = Part(Tokens(), KeepCount(2))
    law = law_of(token_row((0, 1, 2, 3), 2), token_row(other, 2))
    for p in (0.25, 0.75, 0.9375, 1.0):
        assert worst_score(p, [changes.overlap(part, 4)]) == knapsack(law, Fraction(p))


@given(
    n=st.integers(0, 12),
    keep=st.one_of(st.integers(1, 6).map(KeepCount), st.floats(0.05, 1.0).map(KeepShare)),
    counts=st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)),
    field=st.sampled_from(["modified", "added", "deleted"]),
    p=st.floats(0.0, 1.0),
)
def test_every_further_change_lowers_the_score(
    n: int, keep: KeepCount | KeepShare, counts: tuple[int, int, int], field: str, p: float
) -> None:
    part, changes = Part(Tokens(), keep), Changes(*counts)
    more = dataclasses.replace(changes, **{field: getattr(changes, field) + 1})
    before, after = (worst_score(p, [c.overlap(part, n)]) for c in (changes, more))
    assert 0 <= after <= before <= max(Fraction(p), before)
    assert worst_score(p, []) == Fraction(p)


def test_values_by_hand() -> None:
    """Three of the six pairs of four elements avoid one of them; Levine & Feizi's Δ on MNIST at k = 45."""
    assert ablation_overlap(4, 2, 1) == Overlap(Fraction(1, 2), Fraction(1))
    assert worst_score(0.75, [ablation_overlap(4, 2, 1)]) == Fraction(1, 4)
    delta = 1 - ablation_overlap(784, 45, 8).clean
    assert float(delta) == pytest.approx(1 - math.prod((784 - 45 - i) / (784 - i) for i in range(8)))
    assert 1 - ablation_overlap(784, 45, 11).clean < Fraction(1, 2) < 1 - ablation_overlap(784, 45, 12).clean
    added = Changes(added=2).overlap(Part(Tokens(), KeepCount(1)), 4)
    assert worst_score(0.75, [added]) == Fraction(1, 2)  # 0.75 · 4/6
    deleted = Changes(deleted=1).overlap(Part(Tokens(), KeepCount(1)), 4)
    assert worst_score(0.75, [deleted]) == Fraction(2, 3)  # (0.75 − 0.25) · 4/3


def test_no_views_in_common_no_claim() -> None:
    part = Part(Tokens(), KeepCount(5))
    assert worst_score(1.0, [Changes(added=1).overlap(part, 3)]) == 0  # all of 3 are kept, then all of 4
    assert worst_score(1.0, [Changes(added=1).overlap(part, 0)]) == 0
    assert worst_score(1.0, [Changes(modified=9).overlap(part, 3)]) == 0


@given(st.fractions(0, 1))
def test_rounded_down(value: Fraction) -> None:
    assert Fraction(rounded_down(value)) <= value
    assert Fraction(rounded_down(value)) >= value - Fraction(1, 2**50)


# -- elements ----------------------------------------------------------------------------------------------


def test_columns_show_the_filler() -> None:
    kept = np.array([[True, False], [False, False]])
    row = np.array([5, 6, 7])
    assert Columns(9, (0, 2)).shown(row, kept).tolist() == [[5, 6, 9], [9, 6, 9]]
    assert Columns((8, 9), (0, 2)).shown(row, kept).tolist() == [[5, 6, 9], [8, 6, 9]]
    numbers = np.array([0.5, 1.5])
    assert Columns(-1.0).shown(numbers, kept).tolist() == [[0.5, -1.0], [-1.0, -1.0]]


def test_masks_are_one_past_each_alphabet() -> None:
    surface = DiscreteSurface((3, 4, 5), (0, 2), mask=True)
    assert Columns.masks(surface) == Columns((3, 5), (0, 2))
    for other in (DiscreteSurface((3,), (0,)), DiscreteSurface((3,), (0,), mask=True, sequence=True)):
        with pytest.raises(ParameterError, match="fixed positions and a mask symbol"):
            Columns.masks(other)


def test_tokens_close_up() -> None:
    row = np.array([4, 5, 6, PAD, PAD])
    assert Tokens().count(row) == 3
    kept = np.array([[False, True, True], [True, False, True], [False, False, False]])
    assert Tokens().shown(row, kept).tolist() == [
        [5, 6, PAD, PAD, PAD],
        [4, 6, PAD, PAD, PAD],
        [PAD] * 5,
    ]


def test_patches_cover_the_image_once_and_all_channels() -> None:
    patches = Patches(channels=2, height=5, width=3, patch=(2, 2), fill=0.5)
    row = np.linspace(0.6, 1.0, 30)
    assert patches.count(row) == 3 * 2
    shown = patches.shown(row, np.eye(6, dtype=bool))
    hidden = shown == 0.5
    assert ((~hidden).sum(axis=0) == 1).all()
    assert (np.where(hidden, row, shown) == row).all()
    planes = shown.reshape(6, 2, 5, 3)
    assert (planes[0, :, :2, :2] == row.reshape(2, 5, 3)[:, :2, :2]).all()
    assert (planes[5, :, 4:, 2:] == row.reshape(2, 5, 3)[:, 4:, 2:]).all()
    assert (planes[0, :, 2:, :] == 0.5).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Columns("x"), "filler must be a finite number, got 'x'"),
        (lambda: Columns(float("nan")), "filler must be a finite number, got nan"),
        (lambda: Columns((1, 2), (0,)), "one value for each of 1 columns, got 2"),
        (lambda: Columns(1, (2, 1)), "increasing positions"),
        (lambda: Patches(1, 4, 4, (5, 1)), "height of a patch must be an integer in \\[1, 4\\], got 5"),
        (lambda: Patches(0, 4, 4, (1, 1)), "channels must be an integer >= 1, got 0"),
        (lambda: Patches(1, 4, 4, (1, 1), fill=float("inf")), "fill must be a finite number"),
        (lambda: KeepShare(0.0), "share must be in \\(0, 1\\], got 0.0"),
        (lambda: KeepCount(0), "count must be an integer >= 1, got 0"),
        (lambda: Changes(added=-1), "added must be an integer >= 0, got -1"),
        (lambda: Subsampling({}), "at least one modality"),
        (lambda: Ablation({}, 1), "at least one modality"),
        (lambda: Ablation({"text": Tokens()}, 1), "is a sequence: ablation needs fixed positions"),
        (lambda: ablation_overlap(3, 4, 0), "keep must be an integer in \\[1, 3\\], got 4"),
    ],
)
def test_descriptions_that_make_no_sense(make: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make()


@pytest.mark.parametrize(
    ("elements", "row", "message"),
    [
        (Columns((1, 2)), np.zeros(3, dtype=np.int64), "one value for each of 3 columns, got 2"),
        (Columns(1, (3,)), np.zeros(3, dtype=np.int64), "columns must be in \\[0, 2\\], got 3"),
        (Tokens(), np.zeros(3), "tokens must be integer codes"),
        (Patches(1, 2, 2, (1, 1)), np.zeros(5), "images must have 4 floats"),
    ],
)
def test_arrays_that_do_not_fit(elements: Elements, row: NDArray[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        elements.count(row)


# -- drawing and counting ----------------------------------------------------------------------------------


@dataclasses.dataclass
class Seen:
    """Class 1 where the text shows symbol 3 and the image shows a bright pixel; sees every batch."""

    batches: list[int] = dataclasses.field(default_factory=list)
    classes_ = np.array(["no", "yes"])

    def surfaces(self) -> dict[str, Any]:
        return {
            "text": DiscreteSurface((9,) * 8, tuple(range(8)), sequence=True),
            "image": ContinuousSurface(16, tuple(range(16)), "units"),
        }

    def encode(self, X: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        return {"text": np.asarray(X["text"]), "image": np.asarray(X["image"], dtype=np.float64)}

    def predict_encoded(self, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.intp]:
        self.batches.append(len(batch["text"]))
        return ((batch["text"] == 3).any(axis=1) & (batch["image"] == 1.0).any(axis=1)).astype(np.intp)


IMAGE = Patches(channels=1, height=4, width=4, patch=(2, 2))
INPUTS = {
    "text": [[1, 3, 2, 4, PAD], [1, 1, 1, PAD, PAD], [3, 3, 2, 4, 5]],
    "image": [[1.0] + [0.0] * 15, [1.0] * 16, [1.0] + [0.0] * 14 + [1.0]],
}
BOTH = Subsampling({"text": Part(Tokens(), KeepCount(2)), "image": Part(IMAGE, KeepShare(0.5))})


def exact_score(text: list[int], keep: int, bright: int, patches: int, kept: int) -> Fraction:
    """P(symbol 3 kept) · P(a bright patch kept), both hypergeometric."""
    n, threes = len(text), text.count(3)
    seen = 1 - Fraction(math.comb(n - threes, keep), math.comb(n, keep))
    return seen * (1 - Fraction(math.comb(patches - bright, kept), math.comb(patches, kept)))


def test_scores_follow_the_hypergeometric_law() -> None:
    """Clopper–Pearson bounds at 1e-6 on either side: false alarms below 6e-6."""
    draws = Draws(samples=4_000, alpha=1e-6, seed=1)
    found = subsampled(Seen(), INPUTS, subsampling=BOTH, label="yes", draws=draws)
    truth = [
        exact_score([1, 3, 2, 4], 2, 1, 4, 2),
        Fraction(0),
        exact_score([3, 3, 2, 4, 5], 2, 2, 4, 2),
    ]
    upper = hc.clopper_pearson_upper(found.scores.successes, 4_000, 1e-6)
    for row, score in enumerate(truth):
        assert found.p_lower[row] <= score <= upper[row]
    assert found.sizes["text"].tolist() == [4, 3, 5]
    assert found.kept["text"].tolist() == [2, 2, 2]
    assert found.kept["image"].tolist() == [2, 2, 2]
    np.testing.assert_array_equal(found.p_hat, found.scores.successes / 4_000)


@pytest.mark.parametrize(
    "selection",
    [
        Subsampling({"a": Part(Columns(9), KeepCount(2)), "b": Part(Columns(9), KeepCount(1))}),
        Ablation({"a": Columns(9), "b": Columns(9)}, keep=3),
    ],
)
def test_every_choice_is_drawn_alike(selection: Selection) -> None:
    """χ² over all choices at 1e-6: false alarms 1e-6 for each selection."""
    batch = {"a": np.array([[1, 2, 3, 4]]), "b": np.array([[5, 6]])}
    drawn = views(selection, batch, copies=20_000, seed=5)
    kept = np.concatenate([drawn["a"] != 9, drawn["b"] != 9], axis=1)
    counted = Counter(map(bytes, np.packbits(kept, axis=1)))
    choices = 6 * 2 if isinstance(selection, Subsampling) else math.comb(6, 3)
    assert len(counted) == choices
    expected = 20_000 / choices
    statistic = sum((count - expected) ** 2 / expected for count in counted.values())
    assert statistic < chi2.isf(1e-6, choices - 1)
    assert set(drawn["a"][drawn["a"] != 9]) == {1, 2, 3, 4}


def test_counts_depend_on_the_seed_and_the_input_alone() -> None:
    draws = Draws(samples=7_000, alpha=0.01, seed=1)  # more than one block
    found = subsampled(Seen(), INPUTS, subsampling=BOTH, label="yes", draws=draws)
    order = [2, 0, 1]
    wider = {
        "text": [[*INPUTS["text"][row], PAD, PAD] for row in order],
        "image": [INPUTS["image"][row] for row in order],
    }
    other = subsampled(Seen(), wider, subsampling=BOTH, label="yes", draws=draws)
    np.testing.assert_array_equal(other.scores.counts, found.scores.counts[order])
    assert (found.scores.counts.sum(axis=1) == 7_000).all()
    workers = dataclasses.replace(draws, executor=hc.Processes(2))
    spread = subsampled(Seen(), INPUTS, subsampling=BOTH, label="yes", draws=workers)
    np.testing.assert_array_equal(spread.scores.counts, found.scores.counts)
    reseeded = subsampled(
        Seen(), INPUTS, subsampling=BOTH, label="yes", draws=dataclasses.replace(draws, seed=2)
    )
    assert (reseeded.scores.counts != found.scores.counts).any()


def test_equal_views_are_asked_about_once() -> None:
    whole = Subsampling({"text": Part(Tokens(), KeepShare(1.0)), "image": Part(IMAGE, KeepCount(4))})
    classifier = Seen()
    found = subsampled(
        classifier, INPUTS, subsampling=whole, label="yes", draws=Draws(samples=500, alpha=0.01, seed=0)
    )
    assert found.scores.successes.tolist() == [500, 0, 500]
    assert classifier.batches == [1, 1, 1]


def test_a_store_keeps_selections_apart_and_is_not_drawn_again(tmp_path: Path) -> None:
    with RunStore.open(tmp_path / "run.sqlite", identity={"test": 1}, resume=False) as store:
        draws = Draws(samples=300, alpha=0.01, seed=4, store=store)
        first = subsampled(Seen(), INPUTS, subsampling=BOTH, label="yes", draws=draws)
        finer = Subsampling(
            {**BOTH.parts, "image": Part(dataclasses.replace(IMAGE, patch=(1, 1)), KeepShare(0.5))}
        )
        other = subsampled(Seen(), INPUTS, subsampling=finer, label="yes", draws=draws)
        assert (first.scores.counts != other.scores.counts).any()
        again = Seen()
        repeated = subsampled(again, INPUTS, subsampling=BOTH, label="yes", draws=draws)
        np.testing.assert_array_equal(repeated.scores.counts, first.scores.counts)
        assert again.batches == []


def test_what_is_handed_to_workers_can_be_pickled() -> None:
    work = Work(Seen(), Unsmoothed(Seen().surfaces()), PartialViews(BOTH))
    copy = pickle.loads(pickle.dumps(work))
    assert repr(copy.tally) == repr(work.tally)
    assert copy.noise.kernels == {}
    assert copy.noise.surfaces == work.noise.surfaces


def run_of(successes: list[int], samples: int, subsampling: Subsampling = BOTH) -> Subsampled:
    """A result with given counts, for the inputs above."""
    found = subsampled(
        Seen(), INPUTS, subsampling=subsampling, label="yes", draws=Draws(samples=1, alpha=0.01, seed=0)
    )
    counts = np.array([[samples - k, k] for k in successes])
    scores = dataclasses.replace(found.scores, counts=counts, samples=np.full(3, samples))
    return dataclasses.replace(found, scores=scores)


def test_budgets_end_where_certificates_end() -> None:
    one_token = {**BOTH.parts, "text": Part(Tokens(), KeepCount(1))}
    found = run_of([1_000, 0, 990], 1_000, Subsampling(one_token))
    kinds = [("text", "modified"), ("text", "added"), ("text", "deleted"), ("image", "modified")]
    for modality, kind in kinds:
        for threshold in (0.05, 0.3, 0.5):
            largest = found.largest(modality, kind=kind, threshold=threshold)  # type: ignore[arg-type]
            assert largest.certified.tolist() == [True, False, True]
            for row in (0, 2):
                d = int(largest.d[row])
                reached = found.certified({modality: Changes(**{kind: d})}, threshold=threshold)
                beyond = found.certified({modality: Changes(**{kind: d + 1})}, threshold=threshold)
                assert reached[row]
                assert not beyond[row]
    assert found.largest("text", kind="added", threshold=0.05).d[0] > 60  # p · 4/(4 + a) > 0.05


def test_budgets_that_make_no_sense() -> None:
    found = run_of([1_000, 0, 990], 1_000)
    with pytest.raises(ParameterError, match="kind must be modified, added or deleted, got 'moved'"):
        found.largest("text", kind="moved", threshold=0.5)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"changes of modality 'text' must be Changes\(...\), got 1"):
        found.worst_score({"text": 1})  # type: ignore[dict-item]
    with pytest.raises(ParameterError, match=r"part of modality 'text' must be Part\(elements, keep\)"):
        Subsampling({"text": KeepCount(1)})  # type: ignore[dict-item]


def test_views_built_in_portions_are_the_same_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one modality, where draws follow one another; portions only bound what is in memory at once."""
    part = Subsampling({"image": Part(IMAGE, KeepCount(2))})
    draws = Draws(samples=500, alpha=0.01, seed=3)
    found = subsampled(Seen(), INPUTS, subsampling=part, label="yes", draws=draws)
    monkeypatch.setattr("hybridcert.baselines.partial_views._VALUES", 100)
    again = subsampled(Seen(), INPUTS, subsampling=part, label="yes", draws=draws)
    np.testing.assert_array_equal(again.scores.counts, found.scores.counts)
    assert 0 < found.scores.successes[0] < 500


def test_a_threshold_of_the_source_paper_allows_many_additions() -> None:
    found = run_of([1_000, 0, 990], 1_000, Subsampling({"text": Part(Tokens(), KeepCount(1))}))
    p = Fraction(float(found.p_lower[0]))
    most = int(found.largest("text", kind="added", threshold=4.6e-5).d[0])
    assert p * 4 / (4 + most) > Fraction(4.6e-5) >= p * 4 / (5 + most)


def test_worst_scores_are_below_the_clean_ones_and_together_worse_than_alone() -> None:
    found = run_of([1_000, 10, 990], 1_000)
    text, image = {"text": Changes(modified=1)}, {"image": Changes(modified=1)}
    assert (found.worst_score({}) == found.p_lower).all()
    together = found.worst_score(text | image)
    assert (together <= np.minimum(found.worst_score(text), found.worst_score(image))).all()
    assert found.certified({}, threshold=0.5).tolist() == [True, False, True]
    level = float(found.p_lower[0])
    assert not found.certified({}, threshold=level)[0]  # above, not at
    assert not found.largest("text", threshold=level).certified[0]


def test_changes_of_what_is_not_shown_in_part_are_refused() -> None:
    found = run_of([1, 1, 1], 10, Subsampling({"text": BOTH.parts["text"]}))
    with pytest.raises(ParameterError, match="shown in part, text, got 'image'"):
        found.worst_score({"image": Changes(modified=1)})
    with pytest.raises(ParameterError, match="modality must be one of text, got 'image'"):
        found.largest("image", threshold=0.5)
    with pytest.raises(ParameterError, match="'image' has fixed positions: added and deleted must be 0"):
        run_of([1, 1, 1], 10).worst_score({"image": Changes(added=1)})
    with pytest.raises(ParameterError, match="threshold must be in"):
        found.certified({}, threshold=1.0)


@pytest.mark.parametrize(
    ("name", "elements", "message"),
    [
        ("sound", Tokens(), "a modality that may change, image, text, got 'sound'"),
        ("text", Columns(0), "modality 'text': Columns are fixed positions: for a sequence use Tokens"),
        ("image", Tokens(), "modality 'image': Tokens\\(\\) are a sequence"),
        ("image", Patches(1, 4, 5, (1, 1)), "modality 'image': an image must have 20 features, got 16"),
        ("text", IMAGE, "modality 'text': an image must have 16 features, got None"),
    ],
)
def test_parts_that_do_not_fit_the_classifier(name: str, elements: Elements, message: str) -> None:
    selection = Subsampling({name: Part(elements, KeepCount(1))})
    with pytest.raises(ParameterError, match=message):
        subsampled(
            Seen(), INPUTS, subsampling=selection, label="yes", draws=Draws(samples=1, alpha=0.01, seed=0)
        )


@pytest.mark.parametrize("filler", [-1, 0.5, 4, (2, 4)])
def test_fillers_that_the_classifier_cannot_read(filler: Any) -> None:
    ablation = Ablation({"categorical": Columns(filler, (0, 1))}, keep=1)
    X = {"categorical": [[1, 1, 3]], "numeric": [[1.0, -1.0]]}
    with pytest.raises(ParameterError, match=r"filler of column [01] must be a code in"):
        ablated(Table(), X, ablation=ablation, label=1, draws=Draws(samples=1, alpha=0.01, seed=0))


@dataclasses.dataclass
class Table:
    """Class 1 where at least two of the three features that say so are shown: fields 0, 1 and the number."""

    classes_ = np.array([0, 1])

    def surfaces(self) -> dict[str, Any]:
        return {
            "categorical": DiscreteSurface((2, 3, 4), (0, 1), mask=True),
            "numeric": ContinuousSurface(2, (0, 1), "units"),
        }

    def encode(self, X: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        return {name: np.asarray(values) for name, values in X.items()}

    def predict_encoded(self, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.intp]:
        fields, numbers = batch["categorical"], batch["numeric"]
        assert (fields[:, 2] == 3).all()  # immutable: always shown
        votes = (fields[:, 0] == 1).astype(int) + (fields[:, 1] == 1) + (numbers[:, 0] > 0)
        return (votes >= 2).astype(np.intp)


def table_ablation(keep: int) -> Ablation:
    return Ablation(
        {"categorical": Columns.masks(Table().surfaces()["categorical"]), "numeric": Columns(0.0)}, keep=keep
    )


def test_ablated_tables_follow_their_law_and_survive_every_change() -> None:
    """Exact score by enumeration (two-sided bounds at 1e-6); every change of d features on the toy itself."""
    X = {"categorical": [[1, 1, 3]], "numeric": [[1.0, -1.0]]}
    keep = 3
    found = ablated(
        Table(), X, ablation=table_ablation(keep), label=1, draws=Draws(samples=4_000, alpha=1e-6, seed=2)
    )
    assert found.features == 4

    def score(row: Mapping[str, NDArray[Any]]) -> Fraction:
        votes = [row["categorical"][0] == 1, row["categorical"][1] == 1, row["numeric"][0] > 0, False]
        chosen = list(itertools.combinations(votes, keep))
        return Fraction(sum(sum(map(int, kept)) >= 2 for kept in chosen), len(chosen))

    clean = {name: np.array(values[0]) for name, values in X.items()}
    upper = hc.clopper_pearson_upper(found.scores.successes, 4_000, 1e-6)
    assert found.p_lower[0] <= score(clean) <= upper[0]
    worst = {0: score(clean)}
    for a, b, number in itertools.product((0, 1), (0, 1), (1.0, -1.0)):
        other = {"categorical": np.array([a, b, 3]), "numeric": np.array([number, -1.0])}
        d = (a != 1) + (b != 1) + (number < 0)
        worst[d] = min(worst.get(d, Fraction(1)), score(other))
    for d, truth in worst.items():
        assert worst_score(float_below(score(clean)), [ablation_overlap(4, keep, d)]) <= truth
    assert (np.diff([found.worst_score(d)[0] for d in range(6)]) <= 0).all()
    assert found.worst_score(9)[0] == 0.0


def test_largest_ablated_budget() -> None:
    X = {"categorical": [[1, 1, 3], [0, 0, 3]], "numeric": [[1.0, -1.0], [1.0, 0.0]]}
    found = ablated(
        Table(), X, ablation=table_ablation(4), label=1, draws=Draws(samples=500, alpha=0.01, seed=2)
    )
    assert found.p_hat.tolist() == [1.0, 0.0]
    assert found.largest(threshold=0.5).d.tolist() == [0, 0]  # all features are kept: any change is seen
    assert found.largest(threshold=0.5).certified.tolist() == [True, False]
    assert not found.certified(0, threshold=float(found.p_lower[0]))[0]  # above, not at


def test_a_table_trained_on_ablated_rows_is_certified_against_changed_features() -> None:
    """End to end on a data frame. Certificates at 1e-3 and upper bounds at 1e-6 for each of some 20 rows."""
    table = small_table()
    train, rest = table[:200], table[200:]
    numeric, fields = ["age", "income"], ["colour", "shape", "ward"]
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), fields), (StandardScaler(), numeric)
    )
    pipeline = make_pipeline(columns, LogisticRegression(max_iter=1_000))
    base = hc.DataFrameClassifier(pipeline, train[numeric + fields], numeric=numeric, categorical=fields)
    encoded = base.encode(train[numeric + fields])
    usual = tuple(int(np.bincount(column).argmax()) for column in encoded["categorical"].T)
    means = tuple(encoded["numeric"].mean(axis=0).tolist())
    ablation = Ablation({"categorical": Columns(usual), "numeric": Columns(means)}, keep=4)
    rows = views(ablation, encoded, copies=5, seed=1)
    base = base.fit_encoded(rows, np.repeat(train["outcome"].to_numpy(), 5))
    X = rest[numeric + fields][rest["outcome"] == "yes"]
    draws = Draws(samples=500, alpha=0.001, seed=3)
    found = ablated(base, X, ablation=ablation, label="yes", draws=draws)
    assert found.features == 5
    certified = found.certified(1, threshold=0.5)  # C(4, 4)/C(5, 4) = 1/5 of the views avoid a feature
    assert not certified.any()
    low = found.certified(1, threshold=0.1)
    assert low.any()
    moved = X[low].assign(age=1e3, colour="blue")  # two features, each on its own
    for column in ("age", "colour"):
        changed = X[low].assign(**{column: moved[column]})
        scores = ablated(base, changed, ablation=ablation, label="yes", draws=draws)
        assert (hc.clopper_pearson_upper(scores.scores.successes, 500, 1e-6) > 0.1).all()


def test_more_kept_features_than_there_are() -> None:
    X = {"categorical": [[1, 1, 3]], "numeric": [[1.0, -1.0]]}
    with pytest.raises(ParameterError, match="keep must be an integer in \\[1, 4\\], got 5"):
        ablated(Table(), X, ablation=table_ablation(5), label=1, draws=Draws(samples=5, alpha=0.01, seed=0))


def test_training_views_share_nothing_with_certificates() -> None:
    batch = Table().encode({"categorical": [[1, 1, 3], [0, 2, 3]], "numeric": [[1.0, 2.0], [3.0, 4.0]]})
    rows = views(table_ablation(2), batch, copies=3, seed=0)
    assert rows["categorical"].shape == (6, 3)
    assert rows["numeric"].shape == (6, 2)
    fields = (rows["categorical"][:, :2] != np.array([2, 3])).sum(axis=1)
    assert (fields + (rows["numeric"] != 0.0).sum(axis=1) == 2).all()
    assert (rows["categorical"][:, 2] == 3).all()


def test_training_views_are_drawn_apart_from_those_of_certificates() -> None:
    """Of 20 and 20 subsets among 12 870, three or more are the same with probability below 1e-5."""

    class Kept(Seen):
        def predict_encoded(self, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.intp]:
            shown.extend(map(tuple, batch["image"].tolist()))
            return np.zeros(len(batch["image"]), dtype=np.intp)

    shown: list[tuple[float, ...]] = []
    pixels = Subsampling({"image": Part(Patches(1, 4, 4, (1, 1), fill=-1.0), KeepCount(8))})
    X = {"text": [[1]], "image": [np.arange(16.0)]}
    draws = Draws(samples=20, alpha=0.01, seed=4)
    subsampled(Kept(), X, subsampling=pixels, label="yes", draws=draws)
    trained = views(pixels, Kept().encode(X), copies=20, seed=4)["image"]
    assert len(set(shown) & set(map(tuple, trained.tolist()))) <= 2


def test_scores_are_bounded_at_their_own_level() -> None:
    """All of n answers: the bound is α^{1/n}, rounded down."""
    for alpha in (0.001, 0.01, 0.5):
        found = subsampled(
            Seen(), {"text": [[3]], "image": [[1.0] * 16]}, subsampling=BOTH, label="yes",
            draws=Draws(samples=40, alpha=alpha, seed=0),
        )  # fmt: skip
        assert found.p_hat[0] == 1.0
        assert found.p_lower[0] <= alpha ** (1 / 40)
        assert found.p_lower[0] == pytest.approx(alpha ** (1 / 40), rel=1e-12)


def test_an_empty_text_has_one_view() -> None:
    X = {"text": [[PAD, PAD]], "image": [[1.0] * 16]}
    selection = Subsampling({"text": Part(Tokens(), KeepCount(2))})
    classifier = Seen()
    found = subsampled(
        classifier, X, subsampling=selection, label="no", draws=Draws(samples=60, alpha=0.01, seed=0)
    )
    assert found.scores.successes.tolist() == [60]
    assert classifier.batches == [1]
    for kind in ("added", "modified", "deleted"):
        largest = found.largest("text", kind=kind, threshold=0.1)  # type: ignore[arg-type]
        assert largest.certified.tolist() == [True]
        assert largest.d.tolist() == [0]


def test_a_failing_input_has_no_score() -> None:
    class Broken(Seen):
        def predict_encoded(self, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.intp]:
            if (batch["text"][:, 0] == 1).all() and (batch["image"] == 1.0).all():
                raise RuntimeError("no answer")
            return Seen.predict_encoded(self, batch)

    draws = Draws(samples=50, alpha=0.01, seed=0)
    whole = Subsampling({"image": Part(IMAGE, KeepCount(4))})
    found = subsampled(Broken(), INPUTS, subsampling=whole, label="yes", draws=draws)
    assert list(found.scores.failures) == [1]
    assert found.p_lower[1] == found.p_hat[1] == 0.0
    assert found.p_lower[0] > 0.9


@pytest.mark.slow
def test_bounds_fail_no_more_often_than_promised() -> None:
    """400 repetitions at alpha = 0.05 against the exact score: a binomial test at 1e-6."""
    truth = exact_score([1, 3, 2, 4], 2, 1, 4, 2)
    one = {name: values[:1] for name, values in INPUTS.items()}
    failures = sum(
        subsampled(
            Seen(), one, subsampling=BOTH, label="yes", draws=Draws(samples=100, alpha=0.05, seed=seed)
        ).p_lower[0]
        > truth
        for seed in range(400)
    )
    assert binom.sf(failures - 1, 400, 0.05) > 1e-6
