"""Samples with noise on all slots, used for fewer: exact laws, counts, bounds, certificates, scopes."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import chi2_contingency

import hybridcert as hc
from exact_laws import float_below
from hybridcert.sampling.copies import Copies
from hybridcert.sampling.executors.processes import Processes
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.sampling.slots import BySlot, Completed, counts_of_first, noise_on_first, slot_columns
from hybridcert.sampling.store import RunStore
from hybridcert.sampling.streams import RowStreams, Stage
from hybridcert.slot_reuse import on_first_slots, slot_frontier
from hybridcert.slot_runs import share_of
from hybridcert.threats import DiscreteSurface
from slot_tables import (
    KERNELS,
    SIZES,
    Table,
    conditional_row,
    inputs_for,
    noisy_row,
    table_for,
    word_for,
    words_within,
)

ALPHA = 0.05
LAST = float(np.nextafter(1.0, 0.0))


def smoothed_for(
    kernel: str, *, seed: int = 0, sigma: float | None = None, likely: float = 0.8
) -> hc.SmoothedClassifier:
    noise = {"text": KERNELS[kernel]} | ({} if sigma is None else {"tag": hc.GaussianNoise(sigma)})
    return hc.SmoothedClassifier(
        table_for(kernel, seed, shifted=sigma is not None, likely=likely), noise=noise
    )


def frontier_for(smoothed, X, **options):
    chosen = {
        "samples": 400,
        "alpha": ALPHA,
        "seed": 3,
        "threshold": 0.5,
        "label": "b",
        "scope": "per budget",
    }
    return slot_frontier(smoothed, X, modality="text", **(chosen | options))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("slots", range(4))
def test_noise_on_all_slots_given_clean_ones_behind_d_is_noise_on_d_slots(kernel, slots):
    word = word_for(kernel)
    everywhere = noisy_row(kernel, word, 3)
    assert conditional_row(everywhere, word, slots) == noisy_row(kernel, word, slots)


@pytest.mark.parametrize("slots", range(4))
@pytest.mark.parametrize("kernel", ["matrix", "flips"])
def test_every_classifier_keeps_what_its_conditional_score_certifies(kernel, slots):
    """All 256 classifiers of three bits, every budget within the slots; scores and worst cases exact."""
    word, noise = word_for(kernel), KERNELS[kernel]
    exposure = noise.exposure(np.array(word[:slots], dtype=np.int64), (2,) * slots)
    clean = conditional_row(noisy_row(kernel, word, 3), word, slots)
    bits = list(itertools.product((0, 1), repeat=3))
    events = [dict(zip(bits, yes, strict=True)) for yes in itertools.product((0, 1), repeat=8)]

    def score(row, event):
        return sum((p for z, p in row.items() if event[z]), Fraction(0))

    scores = [min(float_below(score(clean, event)), LAST) for event in events]
    for d in range(slots + 1):
        others = [noisy_row(kernel, other, slots) for other in words_within(kernel, word, slots, d)]
        spectra = [c.spectrum for c in noise.candidates(noise.serves[0](d), d, exposure).candidates]
        found = hc.adversarial_value(p_lower=scores, spectrum=spectra, sigma=1.0, epsilon=0.0)[0]
        for event, value in zip(events, found, strict=True):
            assert Fraction(float(value)) <= min(score(other, event) for other in others)


def test_answers_are_counted_by_the_last_changed_slot():
    tally = BySlot("text", (0, 2, 3))
    clean = {"text": np.array([1, 1, 0, 2]), "tag": np.array([1.0])}
    drawn = np.array([[1, 1, 0, 2], [0, 1, 0, 2], [0, 1, 1, 2], [1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 2]])
    cells = tally(np.array([1, 0, 1, 1, 1, 0]), {"text": drawn}, clean, classes=2)
    assert cells.shape == (tally.cells(2),) == (8,)
    assert cells.reshape(4, 2).tolist() == [[1, 1], [1, 0], [0, 1], [0, 2]]  # column 1 is no slot
    counts = counts_of_first(cells[np.newaxis], 2)
    assert counts[:, 0].tolist() == [[1, 1], [2, 1], [2, 2], [2, 4]]


@pytest.mark.parametrize("kernel", KERNELS)
def test_counts_follow_the_exact_law_of_each_number_of_slots(kernel):
    """Two-sided binomial tests of 7 kernels, 4 numbers of slots, 2 shares: false alarms below 56 · 1e-6."""
    smoothed, n = smoothed_for(kernel), 20_000
    found = frontier_for(smoothed, inputs_for(kernel), samples=n)
    word = word_for(kernel)
    everywhere = noisy_row(kernel, word, 3)
    for slots, run in enumerate(found.runs):
        clean = sum((p for z, p in everywhere.items() if z[slots:] == word[slots:]), Fraction(0))
        score = smoothed.classifier.score(noisy_row(kernel, word, slots), 1)
        kept = int(run.samples[0])
        assert within(kept, n, float(clean))
        assert within(int(run.successes[0]), kept, float(score))


def within(successes: int, samples: int, p: float) -> bool:
    lower = hc.clopper_pearson_lower([successes], samples, 5e-7)[0]
    upper = hc.clopper_pearson_upper([successes], samples, 5e-7)[0]
    return bool(lower <= p <= upper)


@pytest.mark.parametrize("kernel", KERNELS)
def test_conditional_counts_agree_with_separately_drawn_ones(kernel):
    """Contingency tests of 7 kernels at 1e-6 each."""
    smoothed, X = smoothed_for(kernel, seed=5, likely=0.4), inputs_for(kernel)
    reused = frontier_for(smoothed, X, samples=20_000).runs[2].counts[0]
    separate = on_first_slots(smoothed, modality="text", slots=2).counts(X, samples=5_000, seed=8)[0]
    table = np.stack([reused, separate])[:, (reused + separate) > 0]
    assert table.shape[1] > 1
    assert chi2_contingency(table).pvalue > 1e-6


def test_all_slots_are_the_plain_run():
    smoothed, X = smoothed_for("uniform", sigma=2.0), inputs_for("uniform", 4)
    found = frontier_for(smoothed, X)
    plain = smoothed.certify(
        X, threat=hc.Substitution(3), samples=400, alpha=ALPHA, seed=3, threshold=0.5, label="b"
    )
    last = found.runs[3]
    np.testing.assert_array_equal(last.counts, plain.counts)
    np.testing.assert_array_equal(last.clean, plain.clean)
    np.testing.assert_array_equal(last.p_lower, plain.p_lower)
    for ours, theirs in zip(last.points, plain.points, strict=True):
        np.testing.assert_array_equal(ours.radii.radius, theirs.radii.radius)
    assert found.cost["model_calls"] == 4 * 401


def test_bounds_are_those_of_the_kept_copies():
    found = frontier_for(smoothed_for("uniform"), inputs_for("uniform", 5))
    kept = np.stack([run.samples for run in found.runs])
    assert (np.diff(kept, axis=0) >= 0).all()
    assert (kept[-1] == 400).all()
    for run in found.runs:
        for row in range(5):
            expected = hc.clopper_pearson_lower(run.successes[row], int(run.samples[row]), ALPHA)
            assert run.p_lower[row] == expected
    assert [run.points[-1].d for run in found.runs] == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.certified(2, 0.0), found.runs[2].certified(2, 0.0))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scope", ["per budget", "simultaneous"])
def test_certificates_state_their_own_law_estimate_and_scope(kernel, scope):
    found = frontier_for(smoothed_for(kernel, sigma=0.5), inputs_for(kernel), samples=300, scope=scope)
    documents = list(found.certificates())
    assert len(documents) == 4
    for slots, (run, document) in enumerate(zip(found.runs, documents, strict=True)):
        assert hc.verify_document(json.loads(json.dumps(document))).ok
        [law] = document["law"]["discrete"]
        assert sum(count for _, count in law["positions"]) == slots
        assert document["estimate"]["samples"] == run.samples[0]
        assert float.fromhex(document["estimate"]["alpha"]) == run.alpha
        assert document["threat"]["discrete"][0]["max_d"] == slots
        said = " ".join(document["assumptions"])
        assert ("of 300 with noise on the first 3 slots of modality 'text'" in said) == (slots < 3)
        assert ("hold together with probability at least 0.9499999" in said) == (scope == "simultaneous")
        assert ("was fixed before the counts were known" in said) == (scope == "per budget")
        assert document["provenance"]["slots"]["noisy"] == slots


@pytest.mark.parametrize("alpha", [0.05, 0.01, 1e-9, 0.3, 0.7])
@pytest.mark.parametrize("parts", [1, 3, 7, 9, 31])
def test_shares_of_alpha_add_up_to_at_most_alpha(alpha, parts):
    share = share_of(alpha, parts)
    assert Fraction(share) * parts <= Fraction(alpha)
    assert Fraction(float(np.nextafter(share, 1.0))) * parts > Fraction(alpha)


def test_without_kept_copies_nothing_is_certified():
    smoothed = hc.SmoothedClassifier(
        table_for("uniform", 0, likely=1.0), noise={"text": hc.UniformReplacement(1.0)}
    )
    found = frontier_for(smoothed, inputs_for("uniform", 2), samples=50, threshold=0.01)
    for run in found.runs[:3]:
        assert run.samples.tolist() == [0, 0]
        assert run.p_lower.tolist() == [0.0, 0.0]
        assert not any(point.radii.certified.any() for point in run.points)
        assert list(run.certificates()) == []
    assert found.runs[3].point(0).radii.certified.all()
    assert len(list(found.certificates())) == 2
    assert len(found.frame()) == 2 * (1 + 2 + 3 + 4)


def test_fewer_slots_can_be_asked_for_from_the_start():
    smoothed, X = smoothed_for("fields"), inputs_for("fields", 3)
    found = frontier_for(smoothed, X, max_d=2, scope="simultaneous")
    assert found.slots == 2
    assert found.runs[0].alpha == share_of(ALPHA, 3)
    assert (found.runs[2].samples == 400).all()
    frame = found.frame()
    assert frame["slots"].tolist() == [0] * 3 + [1] * 6 + [2] * 9
    assert found.runs[2].settings["noise"]["text"]["betas"] == [0.25, 0.5]


def test_the_label_is_chosen_on_separate_copies_and_shared():
    smoothed, X = smoothed_for("uniform"), inputs_for("uniform", 3)
    found = frontier_for(smoothed, X, label=None, selection_samples=60)
    assert found.cost["model_calls"] == 3 * (1 + 60 + 400)
    for run in found.runs:
        assert run.predictions.tolist() == ["b"] * 3
        assert run.settings["selection_samples"] == 60


def test_what_a_store_holds_is_not_drawn_again(tmp_path):
    smoothed, X = smoothed_for("uniform"), inputs_for("uniform", 3)
    first = frontier_for(smoothed, X)
    for resume in (False, True):
        with RunStore.open(tmp_path / "run.sqlite", identity={"run": "slots"}, resume=resume) as store:
            found = frontier_for(smoothed, X, store=store)
        assert found.cost["model_calls_from_store"] == (3 * 401 if resume else 0)
        for ours, theirs in zip(found.runs, first.runs, strict=True):
            np.testing.assert_array_equal(ours.counts, theirs.counts)


def test_processes_count_the_same():
    smoothed, X = smoothed_for("absorbing"), inputs_for("absorbing", 3)
    ours = frontier_for(smoothed, X, samples=6_000)
    theirs = frontier_for(smoothed, X, samples=6_000, executor=Processes(workers=2))
    for one, other in zip(ours.runs, theirs.runs, strict=True):
        np.testing.assert_array_equal(one.counts, other.counts)


def test_the_deployed_classifier_has_noise_on_its_slots_alone():
    smoothed = smoothed_for("fields")
    deployed = on_first_slots(smoothed, modality="text", slots=2)
    assert deployed.noise["text"] == hc.FieldReplacement([0.25, 0.5])
    surface = deployed.classifier.surfaces()["text"]
    assert surface.eligible == (0, 2)
    X = inputs_for("fields", 2)
    answers = deployed.predict(X, samples=200, alpha=0.01, seed=1)
    assert answers.shape == (2,)
    run = deployed.certify(X, threat=hc.Substitution(2), samples=50, alpha=0.05, seed=1, threshold=0.5)
    assert all(hc.verify_document(document).ok for document in run.certificates())
    noise = noise_on_first(SmoothingNoise(smoothed.noise, smoothed.classifier.surfaces()), "text", 2)
    assert noise.kernels == dict(deployed.noise)


def test_wrong_arguments_are_named():
    smoothed, X = smoothed_for("uniform"), inputs_for("uniform")
    with pytest.raises(hc.ParameterError, match="scope must be"):
        frontier_for(smoothed, X, scope="all")
    with pytest.raises(hc.ParameterError, match=r"slots must be an integer in \[0, 3\], got 4"):
        frontier_for(smoothed, X, max_d=4)
    with pytest.raises(hc.ParameterError, match=r"modality must be one of .*text.*, got 'tag'"):
        slot_frontier(
            smoothed, X, modality="tag", samples=9, alpha=0.1, seed=0, threshold=0.5, scope="per budget"
        )
    with pytest.raises(hc.ParameterError, match="threshold must be"):
        frontier_for(smoothed, X, threshold=1.5)
    with pytest.raises(hc.ParameterError, match="label must be one of a, b, c"):
        frontier_for(smoothed, X, label="d")
    with pytest.raises(hc.ParameterError, match="slots must be"):
        on_first_slots(smoothed, modality="text", slots=-1)
    with pytest.raises(hc.ParameterError, match="slots must be"):
        frontier_for(smoothed, X).certified(4, 0.0)


def test_deletion_moves_symbols_and_is_refused():
    class Sequences(Table):
        def surfaces(self):
            return {"text": DiscreteSurface((3,) * 4, (0, 1, 2, 3), sequence=True)}

    smoothed = hc.SmoothedClassifier(Sequences((0,) * 48, SIZES), noise={"text": hc.RandomDeletion(0.5)})
    with pytest.raises(hc.ParameterError, match="deletion kernel moves symbols"):
        frontier_for(smoothed, {})


# completed copies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
def test_completed_copies_are_the_copies_of_each_number_of_slots(kernel):
    """All copies, asked one by one: the first d slots as drawn, the rest as in the input."""
    smoothed, X = smoothed_for(kernel, sigma=0.5), inputs_for(kernel)
    frontier = frontier_for(smoothed, X, reuse="completed", samples=300)
    base = smoothed.classifier
    noise, inputs = SmoothingNoise(smoothed.noise, base.surfaces()), base.encode(X)
    columns = list(slot_columns(noise, "text"))
    for row, key in enumerate(RowStreams(3).keys(inputs)):
        drawn = noise.draw(inputs, row, 300, key, stage=Stage.ESTIMATE, block=0)
        for slots in range(4):
            text = np.tile(inputs["text"][row], (300, 1))
            text[:, columns[:slots]] = drawn["text"][:, columns[:slots]]
            answers = base.predict_encoded(drawn | {"text": text})
            assert frontier.runs[slots].counts[row].tolist() == np.bincount(answers, minlength=3).tolist()
            assert frontier.runs[slots].samples[row] == 300


def test_completed_copies_cost_as_many_answers_as_they_have_beginnings():
    columns = (0, 1, 3)
    clean = np.array([[5, 5, 5, 5]])
    drawn = np.array([[5, 5, 5, 5], [1, 5, 5, 5], [5, 2, 5, 3], [1, 2, 5, 3]])
    asked = []

    class Asked:
        classes_ = np.array(["a", "b"])

        def predict_encoded(self, batch):
            asked.append(batch["text"].tolist())
            return (batch["text"][:, 3] == 3).astype(int)

    class Given(Copies):
        def drawn(self, name):
            return drawn

    noise = SmoothingNoise({"text": hc.UniformReplacement(0.5)}, {"text": DiscreteSurface((9,) * 4, columns)})
    copies = Given(noise, {"text": clean}, 0, 4, b"0" * 16, Stage.ESTIMATE, 0)
    cells = Completed("text", columns).ask(Asked(), copies)
    assert asked == [
        [
            [5, 5, 5, 5],
            *([5, 5, 5, 5], [1, 5, 5, 5]),
            *([5, 5, 5, 5], [5, 2, 5, 5], [5, 2, 5, 3]),
            *([5, 5, 5, 5], [1, 5, 5, 5], [1, 2, 5, 5], [1, 2, 5, 3]),
        ]
    ]
    assert cells.reshape(4, 2).tolist() == [[4, 0], [4, 0], [4, 0], [2, 2]]


def test_certificates_of_completed_copies_say_so():
    frontier = frontier_for(smoothed_for("uniform"), inputs_for("uniform"), reuse="completed")
    documents = list(frontier.certificates())
    assert all(hc.verify_document(document).ok for document in documents)
    text = json.dumps(documents[0])
    assert "with the slots behind slot 0 as they are in the input" in text
    assert "share their noise with them" in text


@pytest.mark.parametrize("kernel", KERNELS)
def test_completed_counts_agree_with_separately_drawn_ones(kernel):
    """The same law as runs with noise on d slots alone; false alarms about once in 2 000."""
    smoothed, X = smoothed_for(kernel), inputs_for(kernel)
    frontier = frontier_for(smoothed, X, reuse="completed", samples=4_000)
    for slots in range(4):
        alone = on_first_slots(smoothed, modality="text", slots=slots).counts(X, samples=4_000, seed=11)
        for ours, theirs in zip(frontier.runs[slots].counts, alone, strict=True):
            assert chi2_contingency(np.array([ours, theirs]) + 1).pvalue > 1e-5


def test_ways_to_reuse_are_named():
    with pytest.raises(hc.ParameterError, match='reuse must be "kept" or "completed", got \'all\''):
        frontier_for(smoothed_for("uniform"), inputs_for("uniform"), reuse="all")
