"""Attacks on certified inputs in memory: budgets, outcomes and their file, violations, counterexamples."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import hybridcert as hc
from hybridcert.attacks import Judgement
from hybridcert.certification import CertificationRun
from hybridcert.documents.claims import ScoreAbove, TopK
from hybridcert.errors import ConfigError, DataError, ModelError
from hybridcert.experiments.attack.budgets import budgets_of, room_of
from hybridcert.experiments.attack.campaign import Campaign, attack_run
from hybridcert.experiments.attack.certified import CertifiedInput, CertifiedPoint, certified_in, chosen
from hybridcert.experiments.attack.counterexample import Counterexample, write_counterexample
from hybridcert.experiments.attack.log import OUTCOMES_FILE, OutcomeLog
from hybridcert.experiments.attack.outcome import NO_ATTACK, Outcome
from hybridcert.experiments.attack.plan import Plan, Subject
from hybridcert.experiments.attack.recheck import lies_within, recheck
from hybridcert.experiments.attack.section import AttackSection, BudgetSection
from hybridcert.experiments.attack.table import table4, table_rows
from hybridcert.joint_threat import JointThreat
from hybridcert.sampling.noise import SmoothingNoise
from hybridcert.threats import Deletion, Insertion
from tabular_data import small_table

QUICK = {"inputs": 4, "iterations": 4, "copies": 32, "candidates": 8, "estimate_samples": 400}


@pytest.fixture(scope="module")
def certified() -> tuple[hc.SmoothedClassifier, Any, CertificationRun]:
    """A smoothed table classifier, twelve of its inputs, and their certificates."""
    table = small_table()
    X, y = table[["age", "income", "colour", "shape"]], table["outcome"]
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["colour", "shape"]), (StandardScaler(), ["age", "income"])
    )
    classifier = hc.DataFrameClassifier(
        make_pipeline(columns, LogisticRegression()),
        X,
        numeric=["age", "income"],
        categorical=["colour", "shape"],
    )
    smoothed = hc.SmoothedClassifier(
        classifier, noise={"categorical": hc.UniformReplacement(0.5), "numeric": hc.GaussianNoise(0.5)}
    ).fit(X[:200], y[:200], noisy_copies=3, seed=0)
    run = smoothed.certify(
        X[200:212], threat=hc.Fields(1), samples=400, alpha=0.01, threshold=0.5, seed=1, selection_samples=30
    )
    return smoothed, X[200:212], run


@pytest.fixture(scope="module")
def subject(certified: tuple[hc.SmoothedClassifier, Any, CertificationRun]) -> Subject:
    smoothed, X, run = certified
    return Subject.of_run(smoothed, X, run, threat=hc.Fields(1))


@pytest.fixture(scope="module")
def campaign(subject: Subject) -> Campaign:
    return attack_run(subject, AttackSection(**QUICK))


def inflated(subject: Subject, factor: float) -> Subject:
    """The same inputs with certificates that promise too much."""
    wrong = [
        dataclasses.replace(
            one,
            points=tuple(dataclasses.replace(point, radius=factor * point.radius) for point in one.points),
        )
        for one in subject.certified
    ]
    return dataclasses.replace(subject, certified=wrong)


def test_the_inputs_are_those_that_a_run_certified(subject: Subject, certified: tuple[Any, Any, Any]):
    _, X, run = certified
    names = [one.name for one in subject.certified]
    assert names == [str(name) for name in X.index[run.point(0).radii.certified]]
    for one in subject.certified:
        row = X.index.tolist().index(int(one.name))
        assert one.row == row
        assert {point.d: point.radius for point in one.points} == {
            (point.d,): point.radii.radius[row] for point in run.points if point.radii.certified[row]
        }


def test_other_inputs_than_those_of_the_run_are_refused(certified: tuple[Any, Any, Any]):
    smoothed, X, run = certified
    with pytest.raises(DataError, match="X must hold the inputs of the run in their order"):
        Subject.of_run(smoothed, X[::-1], run, threat=hc.Fields(1))


def test_no_attack_inside_certified_budgets_succeeds(campaign: Campaign):
    assert campaign.violations == ()
    inside = [o for o in campaign.outcomes if o.inside and o.judgement is not None]
    assert len(inside) == campaign.plan.attempts > 0
    assert campaign.plan.level * campaign.plan.attempts <= 0.01


def test_every_attack_keeps_its_budget_and_every_input_has_its_outcomes(campaign: Campaign):
    for outcome in campaign.outcomes:
        assert sum(outcome.changes.values()) <= sum(outcome.d)
        assert outcome.distance_upper <= outcome.epsilon
        assert sum(outcome.counts) == (400 if outcome.smoothed else 1)
    for one, budgets in zip(campaign.plan.inputs, campaign.plan.budgets, strict=True):
        names = [o.budget for o in campaign.outcomes if o.input == one.name and o.smoothed]
        assert names == [NO_ATTACK, *(budget.name for budget in budgets)]


def test_attacks_reach_further_within_larger_budgets_and_break_the_base_classifier(campaign: Campaign):
    rows = {row.budget: row for row in table_rows(campaign)}
    none, inside, beyond = rows[NO_ATTACK], rows["d*, r*"], rows["d*, 3 r*"]
    assert none.other_percent < inside.other_percent < beyond.other_percent
    assert beyond.crossed is not None
    assert beyond.crossed > 0 == inside.crossed
    assert none.crossed is None
    assert beyond.unsmoothed_lost > 0 == none.unsmoothed_lost


def test_table_4_has_the_papers_numbers_beside_ours(campaign: Campaign):
    table = table4(campaign).set_index("budget")
    assert table.loc["d*, r*", "paper_percent"] == 74.286
    assert table.loc["d* + 2, r*", "paper_standard_error"] == 5.123
    assert np.isnan(table.loc[NO_ATTACK, "paper_percent"])
    shares = [
        100 * (1 - o.counts[o.label] / 400) for o in campaign.outcomes if o.budget == "d*, r*" and o.smoothed
    ]
    assert table.loc["d*, r*", "other_percent"] == pytest.approx(np.mean(shares))
    assert table.loc["d*, r*", "standard_error"] == pytest.approx(np.std(shares, ddof=1) / np.sqrt(4))


@dataclasses.dataclass
class Told:
    """A report that keeps what it is told."""

    said: list[tuple[str, int, int]] = dataclasses.field(default_factory=list)

    def __call__(self, what: str, done: int, total: int) -> None:
        self.said.append((what, done, total))

    def sampling(self, what: str, progress: Any) -> None:
        raise AssertionError


def test_progress_counts_from_the_start_and_only_what_is_left(subject: Subject, campaign: Campaign):
    first = campaign.plan.inputs[0].name
    before = [outcome for outcome in campaign.outcomes if outcome.input == first]
    told = Told()
    found = attack_run(subject, plan=campaign.plan, before=before, report=told)
    left = campaign.plan.outcomes - len(before)
    new = len(found.outcomes) - len(before)
    assert told.said == [("attacking 3 inputs", done, left) for done in range(new + 1)]


def test_an_attack_that_goes_on_ends_as_one_in_a_single_piece(subject: Subject, campaign: Campaign):
    first = campaign.plan.inputs[0].name
    before = [outcome for outcome in campaign.outcomes if outcome.input == first]
    told: list[Outcome] = []
    rest = attack_run(
        subject,
        plan=campaign.plan,
        before=before,
        keep=lambda outcome, certified, attack: told.append(outcome),
    )
    assert rest.outcomes == campaign.outcomes
    assert told == list(campaign.outcomes[len(before) :])
    assert rest.calls_before == sum(outcome.calls for outcome in before)


def test_certificates_that_promise_too_much_are_caught(subject: Subject, tmp_path: Path):
    """Three times the radius: the claim is false there, and fresh copies say so, at level 0.01."""
    wrong = inflated(subject, 3.0)
    section = AttackSection(**QUICK, unsmoothed=False, budgets=(BudgetSection(),))
    written: list[Path] = []
    plan = Plan.of(wrong, section)

    def keep(outcome: Outcome, one: CertifiedInput, attack: Any) -> None:
        if outcome.violation:
            written.append(
                write_counterexample(tmp_path, outcome, attack, certified=one, subject=wrong, plan=plan)
            )

    found = attack_run(wrong, plan=plan, keep=keep)
    assert found.violations
    assert len(written) == len(found.violations)
    example = Counterexample.read(written[0])
    again = recheck(example, wrong, seed=1)
    assert again.confirmed
    assert again.within
    with pytest.raises(DataError, match="was judged with seed 0 before"):
        recheck(example, wrong, seed=0)
    other = dataclasses.replace(wrong, claim=ScoreAbove(0.25))
    with pytest.raises(DataError, match="is about another claim"):
        recheck(example, other, seed=1)
    with pytest.raises(DataError, match="the run certifies nothing about its clean input within d = "):
        recheck(example, subject, seed=1)  # with a third of the radius
    with pytest.raises(DataError, match="the run certifies nothing about its clean input within d = "):
        recheck(dataclasses.replace(example, d={"categorical": 9}), wrong, seed=1)
    [used] = [o.distance_upper for o in found.violations if o.input == again.input]
    outside = recheck(dataclasses.replace(example, epsilon=0.5 * used), wrong, seed=1)
    assert outside.judgement.violation
    assert not outside.within
    assert not outside.confirmed


def test_a_counterexample_is_read_bit_for_bit_as_it_was_attacked(subject: Subject, tmp_path: Path):
    wrong = inflated(subject, 3.0)
    plan = Plan.of(wrong, AttackSection(**QUICK, unsmoothed=False, budgets=(BudgetSection(),)))
    seen: list[Any] = []

    def keep(outcome: Outcome, one: CertifiedInput, attack: Any) -> None:
        if outcome.violation:
            path = write_counterexample(tmp_path, outcome, attack, certified=one, subject=wrong, plan=plan)
            seen.append((Counterexample.read(path), one, attack, path))

    attack_run(wrong, plan=plan, keep=keep)
    example, one, attack, path = seen[0]
    for name, array in wrong.inputs.items():
        for read, was in (
            (example.clean[name][0], array[one.row]),
            (example.adversarial[name][0], attack.adversarial[name][0]),
        ):
            assert read.dtype == was.dtype
            assert read.tobytes() == was.tobytes()
    assert sorted(p.name for p in path.parent.iterdir()) == sorted(
        p.name for *_, p in seen
    )  # no scratch left
    record = json.loads(path.read_text())
    assert set(record["readable"]["adversarial"]) == {"age", "income", "colour", "shape"}
    for part, says in (
        ("adversarial", "is no counterexample as"),
        ("schema", "expected what"),
        ("budget", "is no counterexample as"),
    ):
        path.write_text(json.dumps({key: value for key, value in record.items() if key != part}))
        with pytest.raises(DataError, match=says):
            Counterexample.read(path)
    path.write_text(json.dumps(record | {"clean": record["adversarial"]}))
    with pytest.raises(DataError, match="is not the one that its digest names"):
        Counterexample.read(path)
    path.write_text(json.dumps(record | {"adversarial": {"numeric": record["clean"]["numeric"]}}))
    with pytest.raises(DataError, match="are not made of the same modalities"):
        Counterexample.read(path)


def test_what_the_threat_does_not_name_has_to_stay(subject: Subject):
    clean = {name: array[:1] for name, array in subject.inputs.items()}

    def within(d: int, epsilon: float, **changed: Any) -> bool:
        return lies_within(subject, clean, {**clean, **changed}, d={"categorical": d}, epsilon=epsilon)

    moved = clean["numeric"] + [[0.3, 0.4]]
    recoded = clean["categorical"].copy()
    recoded[0, 0] = (recoded[0, 0] + 1) % 3
    assert within(0, 0.0)
    assert within(0, 0.51, numeric=moved)
    assert not within(0, 0.49, numeric=moved)
    assert not within(0, 9.0, numeric=np.full_like(moved, np.nan))
    assert within(1, 0.0, categorical=recoded)
    assert not within(0, 0.0, categorical=recoded)
    without = dataclasses.replace(subject, joint=dataclasses.replace(subject.joint, threats={}))
    assert not lies_within(without, clean, {**clean, "categorical": recoded}, d={}, epsilon=1.0)


def a_certified(*points: tuple[int, float]) -> CertifiedInput:
    return CertifiedInput(0, "a", 0, 0.01, tuple(CertifiedPoint((d,), radius) for d, radius in points))


def test_budgets_begin_with_certified_ones_and_end_where_there_is_no_room(subject: Subject):
    section = AttackSection()
    found = budgets_of(
        a_certified((0, 0.5), (1, 0.25)), section.budgets, joint=subject.joint, inputs=subject.inputs
    )
    assert [(b.name, b.inside, b.d, b.epsilon) for b in found] == [
        ("0, r(0)", True, (0,), 0.5),
        ("d*, r*", True, (1,), 0.25),
        ("d*, 1.5 r*", False, (1,), 0.375),
        ("d*, 3 r*", False, (1,), 0.75),
        ("0, 3 r(0)", False, (0,), 1.5),
        ("d* + 2, r*", False, (2,), 0.25),  # two fields are all there are
        ("d* + 4, r*", False, (2,), 0.25),
    ]
    everything = a_certified((0, 0.5), (1, 0.25), (2, 0.0))
    found = budgets_of(everything, section.budgets, joint=subject.joint, inputs=subject.inputs)
    assert [b.name for b in found] == [
        "0, r(0)",
        "d*, r*",
        "0, 3 r(0)",
    ]  # no multiples of 0, and no field is left
    found = budgets_of(a_certified((0, 0.0)), section.budgets, joint=subject.joint, inputs=subject.inputs)
    assert [b.name for b in found] == ["d* + 2, r*", "d* + 4, r*"]  # without any change there is no attack


def test_a_budget_starts_from_what_is_part_of_it(subject: Subject):
    small, larger, other = (
        budgets_of(a_certified((1, 0.25)), [section], joint=subject.joint, inputs=subject.inputs)[0]
        for section in (BudgetSection(), BudgetSection(times_r=1.5), BudgetSection(more_d=2))
    )
    assert larger.holds(small)
    assert other.holds(small)
    assert not small.holds(larger)
    assert not larger.holds(other)


@pytest.mark.parametrize(("threat", "room"), [(Insertion(2), 3), (Deletion(2), 2)])
def test_sequences_have_room_for_what_their_classifier_takes(threat: Any, room: int):
    classifier = hc.TextClassifier(make_pipeline(LogisticRegression()), max_length=5)
    inputs = {"text": np.array([[1, 2, -1]])}
    noise = hc.SmoothedClassifier(classifier, noise={"text": hc.RandomDeletion(0.5)}).noise
    joint = JointThreat.of(SmoothingNoise(noise, classifier.surfaces()), threat)
    assert room_of(joint, inputs, 0) == (room,)


def test_the_choice_of_inputs_is_seeded_and_keeps_their_order(subject: Subject):
    few = chosen(subject.certified, 4, seed=0)
    assert few == chosen(subject.certified, 4, seed=0) != chosen(subject.certified, 4, seed=1)
    rows = [one.row for one in few]
    assert rows == sorted(rows)
    assert chosen(subject.certified, 99, seed=0) == list(subject.certified)


def test_largest_budgets_go_by_all_modalities_together():
    points = (((0, 2), 0.5), ((1, 1), 0.75), ((1, 0), 9.0))
    several = CertifiedInput(0, "a", 0, 0.01, tuple(CertifiedPoint(*point) for point in points))
    assert several.largest == CertifiedPoint((1, 1), 0.75)
    assert several.without_changes is None


def test_too_few_samples_for_any_violation_are_refused(subject: Subject):
    with pytest.raises(ConfigError, match=r"attack.samples must be at least \d+, got 3: with fewer copies"):
        Plan.of(subject, AttackSection(**QUICK, samples=3))
    with pytest.raises(ConfigError, match="certified no input"):
        Plan.of(dataclasses.replace(subject, certified=[]), AttackSection())


def test_small_thresholds_are_judged_by_as_many_copies_as_a_violation_needs(subject: Subject):
    plan = Plan.of(dataclasses.replace(subject, claim=ScoreAbove(0.001)), AttackSection(**QUICK))
    assert plan.samples > 1000
    assert 0.999**plan.samples <= plan.level
    assert Plan.of(subject, AttackSection(**QUICK)).samples == 1000


def test_more_candidates_are_scored_where_no_derivatives_point_to_them(subject: Subject):
    settings = {key: value for key, value in QUICK.items() if key != "candidates"}
    assert Plan.of(subject, AttackSection(**settings)).settings.candidates == 8
    for method in ("score", "decision"):
        assert Plan.of(subject, AttackSection(**settings, method=method)).settings.candidates == 32
    given = AttackSection(**settings, method="score", candidates=5)
    assert Plan.of(subject, given).settings.candidates == 5
    silent = dataclasses.replace(subject, classifier=Broken(subject.classifier, dies=False))
    with pytest.raises(ModelError, match="method 'score' needs margins, which Broken does not offer"):
        Plan.of(silent, AttackSection(method="score"))


def an_outcome(counts: tuple[int, ...], *, violation: bool = False, inside: bool = True) -> Outcome:
    judgement = Judgement(counts, sum(counts), 0.1, 1 / 3, 2 / 3, violation, False)
    return Outcome(
        "ä\u2028",
        1,
        "d*, r*",
        inside,
        True,
        (1,),
        0.1,
        {"text": 1},
        0.1,
        (0.5, 1 / 3),
        "score",
        9,
        counts,
        judgement,
    )


def test_outcomes_are_read_as_they_were_written():
    outcome = an_outcome((2, 1))
    assert "\n" not in outcome.line()
    assert Outcome.of_line(outcome.line()) == outcome
    plain = dataclasses.replace(outcome, judgement=None)
    assert Outcome.of_line(plain.line()) == plain


def test_only_inside_a_certified_budget_a_failed_claim_is_a_violation():
    assert an_outcome((2, 1), violation=True).violation
    assert not an_outcome((2, 1), violation=True, inside=False).violation
    assert not an_outcome((2, 1)).violation


def test_a_claim_fails_by_estimate_as_it_says():
    assert an_outcome((3, 1)).crosses(ScoreAbove(0.25))
    assert not an_outcome((3, 1)).crosses(ScoreAbove(0.24))
    assert an_outcome((3, 1, 2)).crosses(TopK(2, 3))
    assert not an_outcome((3, 1, 1)).crosses(TopK(2, 3))


def test_a_log_goes_on_where_it_was_cut_short(tmp_path: Path):
    identity = {"settings": {"seed": 0}}
    log = OutcomeLog.open(tmp_path, identity=identity, resume=False)
    for counts in ((2, 1), (1, 2), (0, 3)):
        log.append(an_outcome(counts))
    log.close()
    path = tmp_path / OUTCOMES_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    log = OutcomeLog.open(tmp_path, identity=identity, resume=True)
    assert log.outcomes == [an_outcome((2, 1)), an_outcome((1, 2))]
    log.keep(1)
    assert log.outcomes == [an_outcome((2, 1))]
    for counts in ((1, 2), (0, 3)):
        log.append(an_outcome(counts))
    log.close()
    assert path.read_bytes() == whole
    path.write_bytes(whole[:20])  # even the first line
    OutcomeLog.open(tmp_path, identity=identity, resume=True).close()
    assert path.read_bytes() == whole[: whole.index(b"\n") + 1]


def test_a_log_of_something_else_is_refused(tmp_path: Path):
    OutcomeLog.open(tmp_path, identity={"settings": {"seed": 0}}, resume=False).close()
    with pytest.raises(DataError, match="holds an attack: continue or show it with --resume"):
        OutcomeLog.open(tmp_path, identity={"settings": {"seed": 0}}, resume=False)
    with pytest.raises(DataError, match=r"settings.seed was 0, is 1"):
        OutcomeLog.open(tmp_path, identity={"settings": {"seed": 1}}, resume=True)
    (tmp_path / OUTCOMES_FILE).write_text("[]\n")
    with pytest.raises(DataError, match="line 1, is not what an attack writes"):
        OutcomeLog.open(tmp_path, identity={"settings": {"seed": 0}}, resume=True)


def test_a_run_in_memory_tells_its_certified_inputs(certified: tuple[Any, Any, CertificationRun]):
    _, _, run = certified
    none = dataclasses.replace(
        run,
        points=tuple(
            dataclasses.replace(
                point, radii=dataclasses.replace(point.radii, certified=np.zeros(len(run), dtype=np.bool_))
            )
            for point in run.points
        ),
    )
    assert certified_in(none) == []


def test_processes_find_what_one_finds(subject: Subject, campaign: Campaign):
    told: list[str] = []
    found = attack_run(
        subject,
        plan=campaign.plan,
        workers=2,
        keep=lambda outcome, certified, attack: told.append(certified.name),
    )
    assert found.outcomes == campaign.outcomes
    assert told == [outcome.input for outcome in campaign.outcomes]


def test_estimates_and_judgements_have_other_copies(subject: Subject):
    """Of one look at as many copies as an estimate, counts would all be equal if the copies were the same.

    They are not for at least one of the attacks with a score inside (0.05, 0.95): for others to agree on
    each of four by chance has probability below (0.13)^4 < 3e-4.
    """
    section = AttackSection(**QUICK | {"estimate_samples": 200}, samples=200, unsmoothed=False)
    found = attack_run(subject, section).outcomes
    judged = [o for o in found if o.judgement is not None and 0.05 < o.other_share < 0.95]
    assert len({o.counts for o in judged}) >= 4
    assert all(o.judgement is not None and o.judgement.samples == 200 for o in judged)
    assert any(o.judgement is not None and o.judgement.counts != o.counts for o in judged)


def test_what_cannot_be_pickled_needs_one_process(subject: Subject):
    broken = dataclasses.replace(subject, classifier=Broken(lambda: None, dies=False))
    plan = Plan.of(subject, AttackSection(**QUICK))
    with pytest.raises(ModelError, match=r"cannot be pickled for other processes: .*; use one worker"):
        attack_run(broken, plan=plan, workers=2)


@dataclasses.dataclass
class Broken:
    """A classifier that raises, or takes its process with it, about inputs from some row on."""

    inner: Any
    dies: bool

    @property
    def classes_(self) -> Any:
        return self.inner.classes_

    def surfaces(self) -> Any:
        return self.inner.surfaces()

    def encode(self, X: Any) -> Any:
        return self.inner.encode(X)

    def predict_encoded(self, batch: Any) -> Any:
        if self.dies:
            os._exit(3)
        raise RuntimeError("out of order")


@pytest.mark.parametrize(("dies", "says"), [(True, "died: look at its memory"), (False, "out of order")])
def test_a_process_that_fails_ends_the_attack_with_one_line(subject: Subject, dies: bool, says: str):
    broken = dataclasses.replace(subject, classifier=Broken(subject.classifier, dies))
    with pytest.raises(ModelError, match=says):
        attack_run(broken, AttackSection(**QUICK), workers=2)
    assert multiprocessing.active_children() == []


def test_the_answer_itself_is_attacked_where_it_is_certified(certified: tuple[Any, Any, Any]):
    """A claim about the first place: certified budgets hold, and radii three times as long do not."""
    smoothed, X, _ = certified
    run = smoothed.certify(X, threat=hc.Fields(1), samples=400, alpha=0.01, top_k=1, seed=1)
    subject = Subject.of_run(smoothed, X, run, threat=hc.Fields(1))
    assert subject.claim == TopK(1, 2)
    section = AttackSection(**QUICK, unsmoothed=False, budgets=(BudgetSection(),))
    assert attack_run(subject, section).violations == ()
    assert attack_run(inflated(subject, 3.0), section).violations
