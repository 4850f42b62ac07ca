"""Erase-and-check and dropping: every attack on toys, and all baselines end to end on the shipped filters."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

import hybridcert as hc
from exact_laws import Word, words
from hybridcert.adapters.digits_filter import DigitsFilter
from hybridcert.baselines.comparison import Joint, NaiveProduct, compared
from hybridcert.baselines.draws import Draws
from hybridcert.baselines.dropping import Dropping, dropped
from hybridcert.baselines.elements import Columns, Patches, Tokens
from hybridcert.baselines.erase_and_check import (
    EraseAndCheck,
    Erasing,
    Mode,
    erase_and_check,
    false_alarms,
)
from hybridcert.baselines.image_only import image_only
from hybridcert.baselines.subsampling import Changes, KeepShare, Part, Subsampling, subsampled
from hybridcert.baselines.text_only import text_only
from hybridcert.datasets.digits_captions import (
    CAPTION_LENGTH,
    PAD,
    SUFFIX_SLOTS,
    VOCABULARY,
    load_digit_captions,
)
from hybridcert.errors import ParameterError
from hybridcert.sampling.store import RunStore
from hybridcert.threats import ContinuousSurface, DiscreteSurface

PADDING = -1
DRAWS = Draws(samples=2_000, alpha=1e-3, seed=5)
MODES: list[Mode] = ["suffix", "block", "insertion"]


@dataclasses.dataclass(frozen=True)
class Lookup:
    """Flags the words that a random table names, where the number is positive; 0 is the empty slot.

    ``longest``: symbols of a sequence; otherwise two fixed symbols in front of ``slots`` slots.
    """

    table: int
    longest: int | None = None
    slots: int = 4

    classes_ = np.array(["safe", "unsafe", "unreadable"])
    unclaimable = ("unreadable",)

    def surfaces(self) -> dict[str, Any]:
        number = ContinuousSurface(1, (0,), "units")
        if self.longest is not None:
            positions = tuple(range(self.longest))
            return {"text": DiscreteSurface((3,) * self.longest, positions, sequence=True), "number": number}
        return {
            "text": DiscreteSurface((3,) * (2 + self.slots), tuple(range(2, 2 + self.slots))),
            "number": number,
        }

    def encode(self, X: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        return {"text": np.asarray(X["text"]), "number": np.asarray(X["number"], dtype=np.float64)}

    def named(self, text: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Depends on every symbol and on the length, but not on padding."""
        code = np.zeros(len(text), dtype=np.int64)
        for column in text.T:
            code = np.where(column == PADDING, code, code * 5 + column + 1)
        return (code * 2654435761 + self.table) % 97 < 20

    def predict_encoded(self, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.intp]:
        return (self.named(batch["text"]) & (batch["number"][:, 0] > 0)).astype(np.intp)


def supersequences(word: Word, added: int) -> Iterator[Word]:
    """Every word that arises when so many symbols are inserted anywhere."""
    if added == 0:
        yield word
        return
    for shorter in set(supersequences(word, added - 1)):
        for at in range(len(shorter) + 1):
            for symbol in range(3):
                yield (*shorter[:at], symbol, *shorter[at:])


def attacks(word: Word, mode: Mode, added: int) -> set[Word]:
    """Every word that an adversary of that kind can write with exactly so many symbols."""
    if mode == "insertion":
        return set(supersequences(word, added))
    places = [len(word)] if mode == "suffix" else range(len(word) + 1)
    return {
        (*word[:at], *block, *word[at:])
        for at in places
        for block in itertools.product(range(3), repeat=added)
    }


def padded(texts: list[Word], width: int, empty: int, prefix: Word = ()) -> NDArray[np.int64]:
    rows = np.full((len(texts), len(prefix) + width), empty, dtype=np.int64)
    for row, text in enumerate(texts):
        rows[row, : len(prefix) + len(text)] = (*prefix, *text)
    return rows


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("table", range(3))
def test_every_attack_on_a_sequence_leaves_the_flag(mode: Mode, table: int) -> None:
    """All words of up to 3 symbols that are flagged, all additions of up to 2: exhaustive."""
    plain = Lookup(table, longest=5)
    guard = EraseAndCheck(plain, "text", "unsafe", Erasing(mode, 2), PADDING)
    tried = 0
    for word in words(3, range(4)):
        if not plain.named(padded([word], 5, PADDING))[0]:
            continue
        attacked = [other for added in range(3) for other in attacks(word, mode, added)]
        tried += len(attacked)
        batch = {"text": padded(attacked, 5, PADDING), "number": np.ones((len(attacked), 1))}
        assert (guard.predict_encoded(batch) == 1).all()
        silent = {**batch, "number": -batch["number"]}  # no text is flagged with this image
        assert (guard.predict_encoded(silent) == 0).all()
    assert tried > 50


@pytest.mark.parametrize("mode", MODES)
def test_every_attack_in_slots_leaves_the_flag(mode: Mode) -> None:
    """Slots behind a fixed prompt, blanks included among what the adversary writes."""
    plain = Lookup(1, slots=4)
    guard = EraseAndCheck(plain, "text", "unsafe", Erasing(mode, 2), 0)
    tried = 0
    for prefix in itertools.product(range(3), repeat=2):
        for word in words(3, range(3)):
            if (word and word[-1] == 0) or not plain.named(padded([word], 4, 0, prefix))[0]:
                continue  # an empty slot at the end is no symbol
            attacked = [other for added in range(3) for other in attacks(word, mode, added)]
            tried += len(attacked)
            batch = {"text": padded(attacked, 4, 0, prefix), "number": np.ones((len(attacked), 1))}
            assert (guard.predict_encoded(batch) == 1).all()
    assert tried > 50


@pytest.mark.parametrize("mode", MODES)
def test_more_symbols_than_are_erased_get_through(mode: Mode) -> None:
    """The guarantee ends where it says."""
    plain = Lookup(1, longest=6)
    guard = EraseAndCheck(plain, "text", "unsafe", Erasing(mode, 1), PADDING)
    flagged = [word for word in words(3, [1, 2, 3]) if plain.named(padded([word], 6, PADDING))[0]]
    attacked = [other for word in flagged for other in attacks(word, mode, 3)]
    batch = {"text": padded(attacked, 6, PADDING), "number": np.ones((len(attacked), 1))}
    assert (guard.predict_encoded(batch) == 0).any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("max_d", range(5))
@pytest.mark.parametrize("length", range(5))
def test_versions_are_counted_and_are_the_words_that_they_should_be(
    mode: Mode, max_d: int, length: int
) -> None:
    erasing, word = Erasing(mode, max_d), tuple(range(length))
    kept = list(erasing.kept(length))
    assert kept[0] == word
    assert len(kept) == len(set(kept)) == erasing.versions(length)
    assert min(map(len, kept)) == max(0, length - max_d)
    if mode == "suffix":
        assert erasing.versions(length) == min(max_d, length) + 1


def test_the_answer_of_a_row_does_not_depend_on_the_others() -> None:
    plain = Lookup(2, longest=5)
    guard = EraseAndCheck(plain, "text", "unsafe", Erasing("insertion", 2), PADDING)
    texts = list(words(3, range(4)))
    batch = {"text": padded(texts, 5, PADDING), "number": np.ones((len(texts), 1))}
    together = guard.predict_encoded(batch)
    alone = [
        guard.predict_encoded({name: values[row : row + 1] for name, values in batch.items()})[0]
        for row in range(len(texts))
    ]
    assert together.tolist() == alone
    assert 0 < together.sum() < len(texts)
    versions = [
        any(
            plain.named(padded([tuple(word[i] for i in kept)], 5, PADDING))[0]
            for kept in guard.erasing.kept(len(word))
        )
        for word in texts
    ]
    assert together.tolist() == versions


def test_certificates_are_those_of_image_smoothing_and_hold_at_every_attack() -> None:
    """Score of the toy: Φ(x/σ) where the text is named. Bounds at 1e-3 for each of 3 inputs."""
    plain, sigma, tau = Lookup(0, longest=6), 0.5, 0.3
    named = [word for word in words(3, [2, 3]) if plain.named(padded([word], 6, PADDING))[0]][:3]
    X = {"text": padded(named, 6, PADDING), "number": [[1.0], [0.2], [-0.5]]}
    noise = {"number": hc.GaussianNoise(sigma)}
    found = erase_and_check(
        plain, X, modality="text", erasing=Erasing("insertion", 2), empty=PADDING, noise=noise,
        label="unsafe", threshold=tau, draws=DRAWS,
    )  # fmt: skip
    alone = image_only(plain, X, noise=noise, label="unsafe", threshold=tau, draws=DRAWS)
    np.testing.assert_array_equal(found.radii.radius, alone.radii.radius)
    assert found.radii.certified.tolist() == [True, True, False]
    assert found.versions.tolist() == [Erasing("insertion", 2).versions(len(word)) for word in named]
    for row in (0, 1):
        shift = float(found.radii.radius[row])
        assert found.claims(d=2, eps=shift)[row]
        assert not found.claims(d=3, eps=0.0).any()
        assert norm.cdf((X["number"][row][0] - shift) / sigma) > tau  # any version of the attacked text


def test_false_alarms_are_counted_on_the_same_copies() -> None:
    plain = Lookup(1, longest=6)
    guard = EraseAndCheck(plain, "text", "unsafe", Erasing("suffix", 1), PADDING)
    kinds: dict[tuple[bool, bool], Word] = {}
    for word in words(3, [2, 3]):
        own, shorter = (bool(plain.named(padded([w], 6, PADDING))[0]) for w in (word, word[:-1]))
        kinds[own, shorter] = word
    texts = [kinds[False, False], kinds[False, True], kinds[True, False]]
    X = {"text": padded(texts, 6, PADDING), "number": [[0.1]] * 3}
    draws = Draws(samples=300, alpha=0.01, seed=1)
    found = false_alarms(guard, X, noise={"number": hc.GaussianNoise(0.5)}, draws=draws)
    assert found.plain_hits.tolist()[:2] == [0, 0]
    assert found.hits[0] == 0
    assert 100 < found.hits[1] < 250  # a shorter version is flagged, at P = Φ(0.2)
    assert found.hits[2] == found.plain_hits[2] > 100
    assert found.calls_at_most == 300 * 2 * 3


def test_a_store_keeps_the_deployed_filter_apart_from_the_plain_one(tmp_path: Path) -> None:
    plain = Lookup(1, longest=6)
    texts = list(words(3, [2, 3]))
    X = {"text": padded(texts, 6, PADDING), "number": [[0.1]] * len(texts)}
    noise = {"number": hc.GaussianNoise(0.5)}
    found = []
    with RunStore.open(tmp_path / "run.sqlite", identity={}, resume=False) as store:
        for max_d in (0, 1, 2, 1):
            guard = EraseAndCheck(plain, "text", "unsafe", Erasing("suffix", max_d), PADDING)
            draws = Draws(samples=50, alpha=0.01, seed=1, store=store)
            found.append(false_alarms(guard, X, noise=noise, draws=draws))
    assert (found[0].hits == found[0].plain_hits).all()
    assert found[0].hits.sum() < found[1].hits.sum() < found[2].hits.sum()
    assert (found[3].hits == found[1].hits).all()
    assert all((one.plain_hits == found[0].plain_hits).all() for one in found)


class Fields:
    """Two fields of a table."""

    classes_ = np.array(["no", "yes"])

    def surfaces(self) -> dict[str, Any]:
        return {"fields": DiscreteSurface((3, 5), (0, 1))}

    def encode(self, X: Any) -> dict[str, NDArray[Any]]:
        return {"fields": np.asarray(X)}

    def predict_encoded(self, batch: Any) -> NDArray[np.intp]:
        return np.zeros(len(batch["fields"]), dtype=np.intp)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modality": "number"}, "modality must be a discrete one, got 'number'"),
        ({"flag": "bad"}, "label must be one of safe, unsafe, unreadable, got 'bad'"),
        ({"flag": "unreadable"}, "label must not be 'unreadable'"),
        ({"empty": 0}, "empty must be -1 for a sequence, got 0"),
        ({"erasing": "suffix"}, "erasing must be Erasing.mode, max_d., got 'suffix'"),
        ({"classifier": Lookup(0)}, "empty must be the code of an empty slot, in .0, 2., got -1"),
    ],
)
def test_filters_that_make_no_sense(change: dict[str, Any], message: str) -> None:
    given = {
        "classifier": Lookup(0, longest=4),
        "modality": "text",
        "flag": "unsafe",
        "erasing": Erasing("suffix", 1),
        "empty": PADDING,
    }
    with pytest.raises(ParameterError, match=message):
        EraseAndCheck(**{**given, **change})


def test_symbols_cannot_move_between_different_alphabets() -> None:
    """The columns of a table are no slots: what closes up would be read as another field."""
    with pytest.raises(ParameterError, match=r"must have one alphabet for all slots, .* got sizes \[3, 5\]"):
        EraseAndCheck(Fields(), "fields", "no", Erasing("suffix", 1), 0)


def test_erasings_that_make_no_sense() -> None:
    with pytest.raises(ParameterError, match="mode must be suffix, block or insertion, got 'prefix'"):
        Erasing("prefix", 1)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="max_d must be an integer >= 0, got -1"):
        Erasing("suffix", -1)


def test_an_attacked_prompt_has_to_be_answered() -> None:
    X = {"text": padded([(1, 2, 1)], 4, PADDING), "number": [[1.0]]}
    with pytest.raises(ParameterError, match="longest input make 5, and the classifier takes at most 4"):
        erase_and_check(
            Lookup(0, longest=4), X, modality="text", erasing=Erasing("suffix", 2), empty=PADDING,
            noise={"number": hc.GaussianNoise(1.0)}, label="unsafe", threshold=0.5, draws=DRAWS,
        )  # fmt: skip


# -- dropping the region -----------------------------------------------------------------------------------


def test_whatever_stands_in_the_slots_nothing_changes() -> None:
    plain = Lookup(1, slots=3)
    prefix = next(p for p in itertools.product(range(3), repeat=2) if plain.named(padded([()], 3, 0, p))[0])
    texts = list(words(3, [3]))
    X = {"text": padded(texts, 3, 0, prefix), "number": [[0.4]] * len(texts)}
    noise = {"number": hc.GaussianNoise(0.5)}
    found = dropped(
        plain, X, modality="text", blank=0, noise=noise, label="unsafe", threshold=0.5, draws=DRAWS
    )
    assert len(set(found.radii.radius.tolist())) == 1
    assert found.radii.certified.all()
    assert norm.cdf((0.4 - float(found.radii.radius[0])) / 0.5) > 0.5
    assert found.claims(d=3, eps=0.0).all()
    assert found.claims(d=1_000, eps=float(found.radii.radius[0])).all()
    assert not found.claims(d=0, eps=1.0).any()
    assert found.slots == 3
    deployed = hc.SmoothedClassifier(Dropping(plain, "text", 0), noise=noise)
    empty = {"text": padded([()], 3, 0, prefix), "number": [[0.4]]}
    counts = deployed.certify(
        empty, threat=None, samples=2_000, alpha=1e-3, seed=5, threshold=0.5, label="unsafe"
    )
    assert (found.scores.counts == counts.counts).all()  # the deployed filter at the input with empty slots
    assert (found.p_lower == counts.p_lower).all()
    assert (found.p_hat == counts.successes / 2_000).all()
    answers = Dropping(plain, "text", 0).predict_encoded(plain.encode(X))
    assert (answers == 1).all()


@pytest.mark.parametrize(
    ("classifier", "modality", "blank", "message"),
    [
        (Lookup(0, longest=3), "text", 0, "is a sequence without a boundary: there is no region to drop"),
        (Lookup(0), "number", 0, "modality must be discrete, one of text, got 'number'"),
        (Lookup(0), "text", 3, "blank must be a code in \\[0, 2\\], got 3"),
    ],
)
def test_nothing_to_drop(classifier: Lookup, modality: str, blank: int, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        dropped(
            classifier, {}, modality=modality, blank=blank, noise={"number": hc.GaussianNoise(1.0)},
            label="unsafe", threshold=0.5, draws=DRAWS,
        )  # fmt: skip


def test_results_about_different_inputs_are_not_compared() -> None:
    noise, draws = {"number": hc.GaussianNoise(0.5)}, Draws(samples=5, alpha=0.1, seed=0)
    results = []
    for rows in (1, 2):
        X = {"text": padded([(1,)] * rows, 4, PADDING), "number": [[0.1]] * rows}
        results.append(image_only(Lookup(0, 4), X, noise=noise, label="unsafe", threshold=0.5, draws=draws))
    with pytest.raises(ParameterError, match=r"about the same inputs, got \[1, 2\] of them"):
        compared(results, [(0, 0.0)])


# -- the filters that ship ---------------------------------------------------------------------------------


def assert_all_baselines_agree_on_the_clean_claim(
    classifier: Any, X: Any, *, slots: str, blank: int, image: str, subsampling: Subsampling, draws: Draws
) -> None:
    """Image-only, erase-and-check and dropping count the same copies; larger budgets hold no more often."""
    noise = {image: hc.GaussianNoise(0.125)}
    shared: dict[str, Any] = {"label": "unsafe", "threshold": 0.5, "draws": draws}
    pictures = image_only(classifier, X, noise=noise, **shared)
    erased = erase_and_check(
        classifier, X, modality=slots, erasing=Erasing("suffix", 2), empty=blank, noise=noise, **shared
    )
    gone = dropped(classifier, X, modality=slots, blank=blank, noise=noise, **shared)
    np.testing.assert_array_equal(erased.radii.radius, pictures.radii.radius)
    np.testing.assert_array_equal(gone.radii.radius, pictures.radii.radius)  # the slots are empty here
    assert pictures.radii.certified.any()
    for eps in (0.0, 0.05, 0.1):
        assert (erased.claims(d=2, eps=eps) == pictures.claims(d=0, eps=eps)).all()
        assert (gone.claims(d=8, eps=eps) == pictures.claims(d=0, eps=eps)).all()
    symbols = text_only(
        classifier, X, noise={slots: hc.UniformReplacement(0.75)}, threat=hc.Substitution(2), **shared
    )
    assert (symbols.claims(d=0, eps=0.0) >= symbols.claims(d=2, eps=0.0)).all()
    both = hc.SmoothedClassifier(
        classifier, noise={slots: hc.UniformReplacement(0.75), image: hc.GaussianNoise(0.125)}
    ).certify(
        X, threat=hc.Substitution(2), label="unsafe", threshold=0.5, samples=draws.samples, alpha=draws.alpha,
        seed=draws.seed,
    )  # fmt: skip
    results = [Joint(both), pictures, symbols, gone, erased, NaiveProduct(both)]
    table = compared(results, [(0, 0.0), (2, 0.0), (2, 0.05), (3, 0.0)])
    assert table["sound"].tolist() == [True] * 5 + [False]
    for name, (d, eps) in {"d = 2, ε = 0.05": (2, 0.05), "d = 0, ε = 0": (0, 0.0)}.items():
        expected = [both.certified(d, eps).mean(), *(r.claims(d=d, eps=eps).mean() for r in results[1:5])]
        assert table[name].tolist()[:5] == expected
    assert (table.iloc[0, 2:] <= table.iloc[5, 2:]).all()  # the naive product claims at least as much
    assert table["d = 3, ε = 0"].tolist()[:3] == [0.0, 0.0, 0.0]
    parts = subsampled(classifier, X, subsampling=subsampling, label="unsafe", draws=draws)
    one = {name: Changes(modified=1) for name in subsampling.parts}
    assert (parts.certified({}, threshold=0.5) >= parts.certified(one, threshold=0.5)).all()
    assert (parts.scores.counts.sum(axis=1) == draws.samples).all()


@pytest.fixture(scope="module")
def digits_filter() -> DigitsFilter:
    train = load_digit_captions(seed=0).train.rows(slice(0, 600))
    pairs = DigitsFilter(
        words=len(VOCABULARY), caption_length=CAPTION_LENGTH, suffix_slots=SUFFIX_SLOTS, seed=0
    )
    return pairs.fit_encoded(pairs.encode(train.inputs), train.readings)


def test_the_digits_filter(digits_filter: DigitsFilter) -> None:
    held_out = load_digit_captions(seed=0).held_out
    X = held_out.rows(np.flatnonzero(held_out.label == "unsafe")[:6]).inputs
    blank = VOCABULARY.index(PAD)
    subsampling = Subsampling(
        {
            "text": Part(Columns(blank), KeepShare(0.5)),
            "image": Part(Patches(1, 8, 8, (2, 2)), KeepShare(0.5)),
        }
    )
    assert_all_baselines_agree_on_the_clean_claim(
        digits_filter, X, slots="text", blank=blank, image="image", subsampling=subsampling,
        draws=Draws(samples=400, alpha=0.01, seed=0),
    )  # fmt: skip
    everything = Subsampling({"text": Part(Columns(blank), KeepShare(1.0))})
    draws = Draws(samples=100, alpha=0.01, seed=0)
    whole = subsampled(digits_filter, X, subsampling=everything, label="unsafe", draws=draws)
    clean = digits_filter.predict_encoded(digits_filter.encode(X))
    assert (whole.scores.successes == 100 * clean).all()


def test_the_guard_that_ships() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from hybridcert.experiments.vlm_demo import guard, inputs_of

    held_out = load_digit_captions(seed=0).held_out
    unsafe = inputs_of(held_out.rows(np.flatnonzero(held_out.label == "unsafe")[:2]))
    benign = inputs_of(held_out.rows(np.flatnonzero(held_out.label != "unsafe")[:2]))
    patches = Part(Patches(1, 8, 8, (4, 4)), KeepShare(0.5))
    draws = Draws(samples=20, alpha=0.01, seed=0)
    slots = guard(hc.SuffixSlots(SUFFIX_SLOTS))
    blank = int(slots.encode(unsafe)["suffix"][0, 0])
    assert_all_baselines_agree_on_the_clean_claim(
        slots, unsafe, slots="suffix", blank=blank, image="image", draws=draws,
        subsampling=Subsampling({"image": patches}),
    )  # fmt: skip
    whole = guard(hc.WholePrompt(CAPTION_LENGTH + 2))
    parts = Subsampling({"text": Part(Tokens(), KeepShare(0.5)), "image": patches})
    found = subsampled(whole, unsafe, subsampling=parts, label="unsafe", draws=draws)
    assert (found.scores.counts.sum(axis=1) == 20).all()
    assert (found.p_hat < 1.0).all()
    noise = {"image": hc.GaussianNoise(0.125)}
    erased = erase_and_check(
        whole, unsafe, modality="text", erasing=Erasing("suffix", 2), empty=PADDING, noise=noise,
        label="unsafe", threshold=0.5, draws=draws,
    )  # fmt: skip
    assert erased.claims(d=2, eps=0.0).any()
    deployed = EraseAndCheck(whole, "text", "unsafe", Erasing("suffix", 2), PADDING)
    alarms = false_alarms(deployed, benign, noise=noise, draws=Draws(samples=10, alpha=0.01, seed=0))
    assert (alarms.hits >= alarms.plain_hits).all()
    assert alarms.calls_at_most == 10 * sum(min(2, len(text.split())) + 1 for text in benign["text"])
