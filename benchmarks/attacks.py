"""Attacks on everything that ships: certified budgets have to hold, larger ones to fail.

    python benchmarks/attacks.py [--inputs 10] [--workers 2] [--only NAME ...] [--adult PATH] [--sms PATH]

Five subjects: the digits filter of the demo, the guard that ships in suffix slots and with words inserted
anywhere, census income, and spam. Each is certified first. Exit code 1 if a certified claim turned out to be
false. The tables are looked for in ../shared/data; a subject without its table is skipped, and says so.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hybridcert as hc
from hybridcert.datasets.digits_captions import CAPTION_LENGTH, SUFFIX_SLOTS, VOCABULARY, load_digit_captions
from hybridcert.experiments.attack.campaign import attack_run
from hybridcert.experiments.attack.plan import Subject
from hybridcert.experiments.attack.section import BUDGETS, AttackSection, BudgetSection
from hybridcert.experiments.attack.table import table4
from hybridcert.experiments.config import parse_config, read_mapping
from hybridcert.experiments.sweep import expand

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
PAIRS = 40
BEYOND = (*BUDGETS, BudgetSection(of="zero", times_r=1.5))


def digits_filter() -> Subject:
    """The filter of `hybridcert demo`, suffix slots and image."""
    from hybridcert.adapters.digits_filter import DigitsFilter

    splits = load_digit_captions(seed=0)
    base = DigitsFilter(
        words=len(VOCABULARY), caption_length=CAPTION_LENGTH, suffix_slots=SUFFIX_SLOTS, seed=0
    )
    smoothed = hc.SmoothedClassifier(
        base, noise={"text": hc.UniformReplacement(0.75), "image": hc.GaussianNoise(0.25)}
    )
    smoothed.fit(splits.train.inputs, splits.train.readings, noisy_copies=10, seed=0)
    held_out = splits.held_out
    unsafe = held_out.rows(np.flatnonzero(held_out.label == "unsafe")[:PAIRS])
    return certified(smoothed, unsafe.inputs, hc.Substitution(SUFFIX_SLOTS), threshold=0.5, label="unsafe")


def guard_in_slots() -> Subject:
    """The guard that ships, uniform noise in eight slots."""
    from hybridcert.experiments.vlm_demo import guard

    noise = {"suffix": hc.UniformReplacement(0.75), "image": hc.GaussianNoise(0.25)}
    smoothed = hc.SmoothedClassifier(guard(hc.SuffixSlots(SUFFIX_SLOTS)), noise=noise)
    return certified(smoothed, guard_pairs(), hc.Substitution(SUFFIX_SLOTS), threshold=0.5, label="unsafe")


def guard_anywhere() -> Subject:
    """The same guard, words of the whole message deleted at random, words inserted anywhere."""
    from hybridcert.experiments.vlm_demo import guard

    noise = {"text": hc.RandomDeletion(0.7), "image": hc.GaussianNoise(0.25)}
    smoothed = hc.SmoothedClassifier(guard(hc.WholePrompt(CAPTION_LENGTH + 8)), noise=noise)
    return certified(smoothed, guard_pairs(), hc.Insertion(4), threshold=0.05, label="unsafe")


def guard_pairs() -> dict[str, list[Any]]:
    """Return held-out unsafe pairs as the guard takes them."""
    from hybridcert.experiments.vlm_demo import inputs_of

    held_out = load_digit_captions(seed=0).held_out
    return inputs_of(held_out.rows(np.flatnonzero(held_out.label == "unsafe")[:PAIRS]))


def census(path: Path) -> Subject:
    """Return `examples/adult.yaml` at β = 0.5, so that d = 2 is certified for some rows."""
    from hybridcert.experiments.tabular import load_table, prepared_tabular

    raw = read_mapping(ROOT / "examples" / "adult.yaml")
    raw["data"]["path"], raw["noise"]["categorical"]["beta"] = str(path), 0.5
    config = parse_config(raw, source="adult.yaml")
    train, test = load_table(config.data).split(test_rows=200, seed=config.data.split_seed)
    prepared = prepared_tabular(config, train=train)
    return certified(prepared.smoothed, test.X, prepared.threat, threshold=config.certificate.threshold)


def spam(path: Path) -> Subject:
    """Return `examples/sms_spam.yaml` at β = 0.85: words inserted anywhere."""
    from hybridcert.experiments.text import load_texts, prepared_text

    raw = read_mapping(ROOT / "examples" / "sms_spam.yaml")
    raw["data"]["path"] = str(path)
    runs = expand(raw, source="sms_spam.yaml")
    config = next(run.config for run in runs if run.config.noise.text.beta == 0.85)
    train, test = load_texts(config.data).table.split(test_rows=300, seed=config.data.split_seed)
    prepared = prepared_text(config, train=train)
    flagged = (test.y == config.certificate.label).to_numpy()
    claim = {"threshold": config.certificate.threshold, "label": config.certificate.label}
    return certified(prepared.smoothed, test.X[flagged], prepared.threat, **claim)


def certified(smoothed: hc.SmoothedClassifier, X: Any, threat: Any, **claim: Any) -> Subject:
    """Certify with 2 000 copies, and return what can be attacked."""
    run = smoothed.certify(X, threat=threat, samples=2_000, alpha=0.01, seed=0, **claim)
    return Subject.of_run(smoothed, X, run, threat=threat)


def report(name: str, make: Callable[[], Subject], section: AttackSection, workers: int) -> bool:
    """Attack one subject, print its table, and return whether a certified claim is false."""
    started = time.perf_counter()
    subject = make()
    ready = time.perf_counter()
    campaign = attack_run(subject, section, workers=workers)
    table = table4(campaign)
    methods = sorted({one.method for one in campaign.outcomes} - {"none"})
    print(
        f"\n{name}: {len(subject.certified)} inputs certified, {len(campaign.plan.inputs)} attacked by "
        f"{methods[0]}"
    )
    print(f"{ready - started:.0f} s to train and certify, {campaign.seconds:.0f} s to attack and judge")
    shown = table[
        ["budget", "inputs", "mean_d", "mean_epsilon", "other_percent", "crossed_by_estimate", "crossed"]
    ]
    lost = table["unsmoothed_lost"].astype(str) + " of " + table["unsmoothed_inputs"].astype(str)
    print(shown.assign(unsmoothed_lost=lost).round(2).to_string(index=False))
    print(
        f"violations inside certified budgets: {len(campaign.violations)} of {campaign.plan.attempts} attacks"
    )
    return bool(campaign.violations)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--adult", type=Path, default=DATA / "adult.parquet")
    parser.add_argument("--sms", type=Path, default=DATA / "sms_spam.csv")
    given = parser.parse_args()
    section = AttackSection(inputs=given.inputs, seed=0, budgets=BEYOND)
    subjects: dict[str, Callable[[], Subject]] = {
        "digits-filter": digits_filter,
        "guard-slots": guard_in_slots,
        "guard-anywhere": guard_anywhere,
        "adult": lambda: census(given.adult),
        "sms": lambda: spam(given.sms),
    }
    needed = {"adult": given.adult, "sms": given.sms}
    violated = False
    for name, make in subjects.items():
        if given.only and name not in given.only:
            continue
        if name in needed and not needed[name].is_file():
            print(f"\n{name}: skipped, there is no {needed[name]}")
            continue
        violated |= report(name, make, section, given.workers)
        sys.stdout.flush()
    return int(violated)


if __name__ == "__main__":
    sys.exit(main())
