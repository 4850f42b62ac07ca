"""Reproduced tables and figures without a guard: settings, the paper's numbers, sentences about ours."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import hybridcert as hc
from hybridcert.errors import ConfigError, DataError, ParameterError
from hybridcert.experiments.attack.table import TableRow
from hybridcert.experiments.config_files import read_mapping
from hybridcert.experiments.reproduction import (
    figure2,
    figure4,
    figure5,
    table1,
    table2,
    table3,
    table4,
    table5,
    table6,
)
from hybridcert.experiments.reproduction.census import census_runs, raw_census
from hybridcert.experiments.reproduction.finding import Curve, Finding, mean_lower
from hybridcert.experiments.reproduction.paper import THRESHOLD, reported
from hybridcert.experiments.reproduction.registry import ARTEFACTS, artefacts_of
from hybridcert.experiments.reproduction.run import Request
from hybridcert.experiments.reproduction.settings import find, names, read_setting
from hybridcert.experiments.reproduction.wording import per, share_down, trend
from hybridcert.experiments.reproduction.writing import as_markdown

EPS = (0.0, 0.5)


# settings and data ----------------------------------------------------------------------------------------


def test_everything_that_is_read_ships_as_package_data():
    package = resources.files("hybridcert.experiments.reproduction")
    files = ["paper.yaml", *(f"settings/{name}.yaml" for name in ("adult", *names()))]
    assert names() == ["digits", "hateful_memes", "mm_safetybench"]
    for name in files:
        assert yaml.safe_load(package.joinpath(name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["hateful_memes", "mm_safetybench"])
def test_settings_for_data_of_ones_own_name_llava_guard_and_the_papers_parameters(name, tmp_path):
    setting = read_setting(name, data=tmp_path)
    assert setting.data is not None
    assert setting.data.path == str(tmp_path)
    assert setting.model.checkpoint is not None
    assert "LlavaGuard" in setting.model.checkpoint.path
    assert (setting.claim.samples, setting.claim.alpha, setting.noise.beta) == (10_000, 0.01, 0.25)
    assert setting.noise.sigmas == tuple(reported("figure4")["sigmas"])
    assert setting.noise.betas == tuple(reported("table2")["rows"])
    assert setting.claim.thresholds[0] == THRESHOLD
    assert str(tmp_path) not in str(setting.identity())


def test_every_setting_reaches_the_corruption_rates_of_the_paper():
    digits = read_setting("digits")
    assert digits.noise.betas == tuple(reported("table2")["rows"])
    assert digits.subsampling.keep == tuple(reported("table6")["rows"])
    assert (0.0, *digits.noise.accuracy_betas) == tuple(reported("table5")["betas"])


def test_census_setting_is_the_example_with_a_sweep():
    example = Path(__file__).parents[1] / "examples" / "adult.yaml"
    if not example.is_file():
        pytest.skip(f"no example at {example}: tests run without the checkout")
    raw = raw_census()
    sweep = raw.pop("sweep")
    assert raw == read_mapping(example)
    assert sweep["noise.categorical.beta"][0] == reported("figure2")["beta"]
    assert census_runs(None)[0].directory == "beta=0.25,sigma=0.5"


def test_the_papers_threshold_is_that_of_100_000_copies():
    assert hc.threshold_for(copies=100_000, miss=0.01) == pytest.approx(THRESHOLD, rel=2e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": 0}, "pairs must be an integer >= 1, got 0"),
        ({"claim": {"samples": 10, "alpha": 0.1, "thresholds": [2], "seed": 0}}, "must be in (0, 1), got 2"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"data": {"path": "x"}}, "needs one of digits and data, got both"),
        ({"noise": None}, "noise must be"),
        ({"canvas": {"height": 7, "width": 8, "channels": 1}}, "patches that divide the canvas, 7 × 8, got"),
        ({"model": None}, "model must be"),
        ({"eps": []}, "eps must be"),
        (
            {"subsampling": {"keep": [1.0], "patch": 2, "fine_patch": 1, "samples": 10}},
            "needs a share below 1 among keep, got [1.0]",
        ),
        ({"regions": {"suffix_slots": 8, "whole_prompt": 12, "whole_prompt_max_d": 0}}, ">= 1, got 0"),
        (
            {
                "noise": {
                    "beta": 0.25,
                    "betas": [0.5, 0.25],
                    "sigma": 0.5,
                    "sigmas": [0.5],
                    "accuracy_betas": [0.1],
                    "accuracy_sigmas": [0.5],
                }
            },
            "needs betas ascending, got [0.5, 0.25]",
        ),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(changes, message, tmp_path):
    raw = read_mapping(find("digits")) | changes
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError) as caught:
        read_setting(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_keys_are_named(tmp_path):
    raw = read_mapping(find("digits"))
    del raw["claim"]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match="claim is required"):
        read_setting(str(path))


def test_names_that_are_nothing_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="did you mean digits"):
        read_setting("digit")
    with pytest.raises(ConfigError, match="makes its own pairs"):
        read_setting("digits", data=tmp_path)
    with pytest.raises(ConfigError, match="pass --data PATH"):
        read_setting("hateful_memes")
    with pytest.raises(ConfigError, match="configuration of certify"):
        read_setting(str(find("adult")))
    raw = read_mapping(find("digits"))
    raw["noise"]["sigma"] = 3.0
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match="noise needs sigma among sigmas"):
        read_setting(str(path))


def test_ids_are_known_and_others_refused():
    assert len(artefacts_of("all")) == len(ARTEFACTS) == 9
    assert [one.id for one in artefacts_of("table6")] == ["table6"]
    with pytest.raises(ParameterError, match="did you mean table6"):
        artefacts_of("tabel6")
    with pytest.raises(ParameterError, match="known are figure2, table1"):
        artefacts_of("zzz")


def test_data_of_all_is_a_table_by_its_ending_or_else_pairs(tmp_path):
    table = tmp_path / "adult.parquet"
    table.touch()
    request = Request.of(artefacts_of("all"), data=table)
    assert {run.config.data.path for run in request.census} == {str(table)}
    assert request.setting is not None
    assert request.setting.digits is not None
    request = Request.of(artefacts_of("all"), data=tmp_path, setting="hateful_memes")
    assert {run.config.data.path for run in request.census} == {None}
    assert request.setting is not None
    assert request.setting.data is not None
    assert request.setting.data.path == str(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        Request.of(artefacts_of("table1"), data=tmp_path / "nothing")
    with pytest.raises(ConfigError, match="must be the file of the census table"):
        Request.of(artefacts_of("figure2"), data=tmp_path)


# numbers --------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=20))
def test_means_of_lower_bounds_are_lower_bounds(values):
    exact = sum(map(Fraction, values), Fraction(0)) / len(values)
    mean = mean_lower(values)
    assert mean is not None
    assert Fraction(mean) <= exact
    assert mean == pytest.approx(float(exact), rel=1e-15)


def test_there_is_no_mean_of_nothing():
    assert mean_lower([]) is None


@given(st.integers(0, 300), st.integers(1, 300))
def test_shares_are_rounded_down(count, total):
    count = min(count, total)
    shown = Fraction(share_down(count, total).removesuffix(" %"))
    assert shown <= Fraction(100 * count, total) < shown + Fraction(1, 10)


def test_multiples_of_sigma_are_rounded_down():
    assert per(1.0, 0.25) == "3.99"
    assert per(None, 0.25) == "–"


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([3, 2, 2], "falls"),
        ([1, 1], "stays the same"),
        ([1, None, 2], "rises"),
        ([1, 3, 2], "neither falls nor rises throughout"),
        ([1], "cannot be told"),
    ],
)
def test_trends(values, name):
    assert trend(values) == name


def test_markdown_holds_title_sentences_and_every_cell():
    finding = Finding("T", pd.DataFrame(), [["a|b", "c"], ["1", "2"]], ("One.", "Two."), (), {})
    text = as_markdown(finding)
    assert text.startswith("# T\n\nOne.\n\nTwo.\n\n| a\\|b | c |\n| --- | --- |\n| 1 | 2 |\n")


# sentences follow the numbers -----------------------------------------------------------------------------


def accuracy(**changes):
    plain = figure2.Accuracy(
        beta=0.25,
        sigma=1.0,
        threshold=0.5,
        samples=10_000,
        curves=(Curve("d = 0", (2.0,) * 8), Curve("d = 1", (0.5,) * 4), Curve("d = 2", ())),
        inputs=10,
        longest=3.3,
        best=(0.99, 0.7, 0.39),
        agreed=True,
        commonest=7,
    )
    return dataclasses.replace(plain, **changes)


def test_figure2_says_what_cannot_be_and_what_is():
    said = " ".join(figure2.sentences([accuracy()]))
    assert "no row can be certified at d = 2: even one whose 10000 copies all agree has a worst-case" in said
    assert "score of 0.3900 there, which is not above τ = 0.5." in said
    assert "its own formulas rule that out at τ = 0.5" in said
    assert "never rises with d or with ε" in said
    crossing = accuracy(curves=(Curve("d = 0", (0.5, 0.6)), Curve("d = 1", (0.7,)), Curve("d = 2", ())))
    assert "rises with d at β = 0.25, σ = 1, unlike" in " ".join(figure2.sentences([crossing]))
    assert "A constant answer is right on 70.0 % of the rows" in said
    assert "at β = 0.25, σ = 1 it is 80.0 %. That agrees with the paper." in said
    other = accuracy(
        beta=0.5, curves=(*accuracy().curves[:2], Curve("d = 2", (0.25, 0.6875))), longest=1.656, sigma=0.5
    )
    said = " ".join(figure2.sentences([other]))
    assert "d = 2 is certified for 20.0 % of the rows at ε = 0 and up to ε = 0.68, no further than" in said
    assert "if all copies agree the radius is 1.65" in said
    assert "It cannot be reproduced with these σ." in said
    worse = accuracy(curves=(Curve("d = 0", (0.5,)), Curve("d = 1", (0.4,) * 3), Curve("d = 2", (0.9,))))
    said = " ".join(figure2.sentences([worse]))
    assert "rises with d at β = 0.25, σ = 1, unlike in the paper" in said
    doubtful = " ".join(figure2.sentences([accuracy(agreed=False)]))
    assert "no row is certified at d = 2: the best has a worst-case score of 0.3900" in doubtful
    assert "rule that out" not in doubtful
    assert "That is less than in the paper." in said
    wrong = " ".join(figure2.sentences([accuracy(best=(0.99, 0.8, 0.6))]))
    assert "At β = 0.25, σ = 1, no row is right and certified at d = 2." in wrong
    assert "can be certified at d = 2" not in wrong
    # 32.3 % as a float lies below 32.3: it must not be cut off to 32.2, nor differ from the table
    third = accuracy(curves=(Curve("d = 0", (2.0,) * 323), *accuracy().curves[1:]), inputs=1000)
    assert "at β = 0.25, σ = 1 it is 32.3 %" in " ".join(figure2.sentences([third]))
    assert "further than the 0.75" in said


def test_figure2_counts_rows_that_are_right_and_certified():
    config = census_runs(None)[0].config
    results = pd.DataFrame(
        {
            "d": [0, 0, 0, 1, 1, 1, 2, 2, 2],
            "label": ["a", "b", "a"] * 3,
            "target": ["a", "a", "a"] * 3,
            "certified": [True, True, True, True, True, False, False, False, False],
            "radius": pd.array([0.3, 0.9, 0.2, 0.1, 0.5, None, None, None, None], dtype="Float64"),
            "p_adv": [0.9, 0.9, 0.8, 0.7, 0.8, 0.4, 0.3, 0.39, 0.2],
            "successes": [10_000, 9_999, 9_000] * 3,
        }
    )
    found = figure2.accuracy(config, results)
    assert [curve.x for curve in found.curves] == [(0.2, 0.3), (0.1,), ()]
    assert found.best == (0.9, 0.8, 0.39)
    assert found.agreed
    assert (found.inputs, found.commonest) == (3, 3)
    assert found.longest == pytest.approx(0.5 * 3.313, abs=1e-3)  # σ Φ⁻¹(0.01^(1/10 000))


def frontiers(*sizes, sigma=0.5, threshold=THRESHOLD, radius=1.0):
    curves = tuple(Curve(f"d = {d}", (radius,) * size) for d, size in enumerate(sizes))
    return figure4.Frontiers(threshold, sigma, curves, 10)


def test_figure4_says_how_far_budgets_reach_and_what_more_noise_does():
    found = [frontiers(9, 8, 7, 4, 0), frontiers(9, 8, 7, 2, 0, sigma=1.0, radius=2.0)]
    said = " ".join(figure4.sentences(found, EPS))
    assert "fall with ε and, at every ε of the table, with d, as in the paper" in said
    assert "σ = 0.5: d = 3 and σ = 1: d = 3" in said
    assert "fewer pairs are certified at d = 3 and ε = 0 (20.0 % and 40.0 %)" in said
    assert "is longer: as in the paper" in said
    found = [frontiers(5, 6, 7, 8, 8, 8, 8), frontiers(9, 9, 9, 9, 9, 9, 9, sigma=1.0)]
    said = " ".join(figure4.sentences(found, EPS))
    assert "not always with d, unlike in the paper: at 6 points" in said
    assert "here d = 5 is certified for up to 90.0 % at ε = 0" in said
    assert "more pairs are certified" in said
    assert "unlike the paper" in said
    assert "nothing is compared" in figure4.sentences([frontiers(1, 1, threshold=0.5)], EPS)[0]
    majority = figure4.sentences([frontiers(1, 1), frontiers(1, 0, threshold=0.5)], EPS)[-1]
    assert "no pair keeps a certificate once a token changes: the budgets above owe much" in majority
    same = figure4.sentences([frontiers(1, 1), frontiers(1, 1, threshold=0.5)], EPS)[-1]
    assert same == "At τ = 0.5, from the same counts, certificates end at d = 1."
    short = " ".join(figure4.sentences([frontiers(9, 8, 7, 4, 0)], EPS))
    assert "here nothing at all is certified from there on" in short
    at_five = " ".join(figure4.sentences([frontiers(9, 9, 9, 9, 9, 8)], EPS))
    assert "here d = 5 is certified for up to 80.0 % at ε = 0" in at_five


def test_figure5_says_what_one_token_costs():
    def curves(joint, alone=(2.0,) * 10):
        return figure5.Curves(
            THRESHOLD,
            0.5,
            Curve("image only", alone),
            (Curve("d = 0", (1.5,) * 10), Curve("d = 1", joint)),
            10,
        )

    assert "50 % of that radius is lost, the rapid loss" in figure5.sentences([curves((1.0,) * 10)])[0]
    assert "10 % of that radius is lost, a smaller loss" in figure5.sentences([curves((1.8,) * 10)])[0]
    assert "no pair is certified against one replaced token" in figure5.sentences([curves(())])[0]
    said = figure5.sentences([curves((1.0,) * 4)])[0]
    assert "and at no ε against one replaced token: fewer than half keep a certificate" in said
    assert "none of that radius is lost" in figure5.sentences([curves((2.5,) * 10)])[0]
    others = [dataclasses.replace(curves(()), threshold=tau) for tau in (0.3, 0.5)]
    assert [one.split(" no pair")[0] for one in figure5.sentences(others)[:2]] == ["At τ = 0.3", "At τ = 0.5"]


def averages(*, radius=(2.0, 1.9), d=(3.0, 2.9), some=5, l0=(1.0, 0.3), threshold=THRESHOLD):
    return table1.Averages(
        threshold=threshold,
        some=some,
        inputs=8,
        radius={"image only": radius[0], "text only": 0.0, "joint": radius[1]},
        d={"image only": 0.0, "text only": d[0], "joint": d[1]},
        l0_some=some,
        l0={"image only": 0.0, "text only": l0[0], "joint": l0[1]},
    )


def test_table1_says_what_joint_certification_keeps():
    said = " ".join(table1.sentences([averages()], 0.5))
    assert "keeps 95 % of the image-only radius at d = 1 (1.89 of 2.00)" in said  # 1.9 is below 1.90
    assert "both costs are modest" in said
    assert "smaller, as in the paper" in said
    said = " ".join(table1.sentences([averages(radius=(2.0, 0.5), l0=(1.0, 1.0))], 0.5))
    assert "the cost in radius is larger" in said
    assert "no smaller, unlike in the paper" in said
    assert "there are no means" in table1.sentences([averages(some=0, threshold=0.5)], 0.5)[0]
    said = " ".join(table1.sentences([averages(d=(0.0, 1.0))], 0.5))
    assert "no part (there is none) of the text-only suffix budget" in said
    assert "costs are not compared" in said
    assert "larger than the paper's" not in said


def row2(beta, certified, mean_d, mean_radius, threshold=THRESHOLD):
    return table2.Row(threshold, beta, certified, 10, mean_d, mean_radius, (10, certified))


def test_table2_compares_trends_in_beta():
    like = [row2(0.1, 9, 2.0, 5.0), row2(0.25, 8, 3.0, 3.0), row2(0.5, 7, 4.0, 3.5), row2(1.0, 4, 8.0, 4.0)]
    said = " ".join(table2.sentences(like, 0.25))
    assert said.count("(as in the paper)") == 3
    assert "19.99 at β = 0.1" in said
    assert "4 of 10 pairs are certified, with a mean largest d of 8.00" in said
    flat = [row2(0.1, 9, 4.0, 5.0), row2(0.25, 9, 3.0, 4.0)]
    said = " ".join(table2.sentences(flat, 0.25))
    assert "the share of certified pairs stays the same (unlike the paper, where it falls)" in said
    assert "the mean largest d falls (unlike the paper, where it rises)" in said
    assert "At β = 1" not in said
    alone = [row2(0.1, 9, 2.0, 5.0), row2(0.25, 0, None, None)]
    assert "the mean largest d cannot be told (in the paper it rises)" in table2.sentences(alone, 0.25)[0]
    more = [row2(0.1, 3, 1.0, 1.0, tau) for tau in (0.2, 0.5)] + [row2(0.3, 5, 1.0, 1.0, 0.5)]
    low, high = table2.sentences(more, 1.0)[-2:]
    assert "At τ = 0.2, from the same counts, at most 3 of 10 pairs" in low
    assert "At τ = 0.5, from the same counts, at most 5 of 10 pairs" in high
    assert high.endswith("suffix of one token or more, at β = 0.3.")
    assert "Budgets cannot exceed the 1 slots that there are; at β = 0.1 and 0.25 some pairs" in said
    assert (
        "trends are not compared"
        in table2.sentences([row2(0.3, 1, 1.0, 1.0), row2(0.4, 1, 1.0, 1.0)], 1.0)[0]
    )


def test_what_is_said_of_the_papers_row_at_beta_one_is_true():
    """32 000 tokens, d = 8, p = 0.5, σ = 1: 3.91, where the published code says 5.73."""
    spectrum = hc.UniformReplacement(beta=1.0).spectrum(alphabet_sizes=[32_000] * 8)
    found = hc.radius(p_lower=0.5, spectrum=spectrum, sigma=1.0, threshold=THRESHOLD)
    assert found.radius[0] == pytest.approx(3.91, abs=5e-3)


def rows3(default=9.0, completed=2.0, shot=1.2, radius=(2.0, 1.5)):
    def row(way, seconds, mean_radius=1.0, mean_d=3.0):
        return table3.Row(way, seconds, 100.0, mean_radius, mean_d)

    return [
        row(table3.IMAGE, 1.0),
        row(table3.DEFAULT, default, radius[0]),
        row(table3.COMPLETED, completed, radius[0]),
        row(table3.ONE_SHOT, shot, radius[1]),
        row(table3.TEXT, 1.0),
    ]


def test_table3_compares_ratios():
    said = " ".join(table3.sentences(rows3(), 8))
    assert "costs 9.0 times image-only certification here and 3.2 times in the paper" in said
    assert "for 0.22 of the default's time, cheaper than the 0.7" in said
    assert "falls from 2.00 to 1.50 (paper: 2.07 to 1.55)" in said
    assert "It loses something here, as in the paper" in said
    said = " ".join(table3.sentences(rows3(completed=8.0, radius=(1.5, 2.0)), 8))
    assert "no cheaper than the 0.7" in said
    assert "It loses nothing here, unlike in the paper" in said
    assert "the mean largest d stays at 3.00 (paper: 1.48 to 1.23)" in said


def row4(budget, percent, *, inside, crossed=0, lost=0):
    return TableRow(
        budget=budget,
        inside=inside,
        inputs=4,
        mean_d=2.0,
        mean_epsilon=0.5,
        other_percent=percent,
        standard_error=1.0,
        crossed_by_estimate=crossed,
        crossed=crossed,
        unsmoothed_inputs=4,
        unsmoothed_lost=lost,
        paper_percent=None,
        paper_standard_error=None,
    )


def attacked(rows, violations=0):
    return table4.Attacked(THRESHOLD, tuple(rows), violations, 8, "gradient")


def test_table4_tells_violations_rising_success_and_real_attacks():
    rows = [
        row4("d*, r*", 20.0, inside=True, lost=1),
        row4("d*, 3 r*", 90.0, inside=False, crossed=2, lost=4),
    ]
    said = " ".join(table4.sentences([attacked(rows)]))
    assert "none of 8 attacks inside certified budgets (gradient search) violates" in said
    assert "rises, from 20.0 % to 90.0 % (d*, 3 r*); 2 of 4 claims are proven false within d*, 3 r*" in said
    assert "turns 4 of 4 answers (d*, 3 r*), so the attack is a real one" in said
    weak = [row4("d*, r*", 20.0, inside=True), row4("d*, 3 r*", 19.0, inside=False)]
    said = " ".join(table4.sentences([attacked(weak, violations=1)]))
    assert "1 of 8 attacks inside certified budgets violate a certificate" in said
    assert "does not rise" in said
    assert "no claim is proven false there either" in said
    assert "proves little" in said
    assert "nothing to attack" in table4.sentences([attacked([])])[0]
    none = dataclasses.replace(attacked(rows), attempts=0)
    assert "certified budgets hold no change at all" in table4.sentences([none])[0]


def cells5(full, image, suffix):
    return [
        table5.Cell(region, sigma, beta, flagged, 10, 0.5)
        for region, lost in (("full ℓ₀ text", full), ("suffix", suffix))
        for sigma, beta, flagged in (
            (0.0, 0.0, 10),
            (0.0, 0.5, 10 - lost),
            (0.5, 0.0, 10 - image),
            (0.5, 0.5, 10 - lost - image),
        )
    ]


def test_table5_says_which_noise_costs_more():
    said = " ".join(table5.sentences(cells5(full=6, image=1, suffix=0)))
    assert "full ℓ₀ text: without image noise, text noise of β = 0.5 costs 60 points" in said
    assert "costs more than noise on the slots alone, as in the paper" in said
    assert "The largest σ alone costs 10 points. Image noise costs less" in said
    said = " ".join(table5.sentences(cells5(full=1, image=3, suffix=2)))
    assert "costs no more than noise on the slots alone, unlike in the paper" in said
    assert "Image noise costs at least as much as noise on the whole prompt, unlike" in said


def row6(kind, keep, mean, above, certified):
    return table6.Row(kind, keep, mean, {THRESHOLD: above, 0.5: 0}, {THRESHOLD: certified, 0.5: 0}, 10)


def rows6(certified):
    return [
        row6(table6.PATCHES, 1.0, 1.0, 10, 0),
        row6(table6.PATCHES, 0.5, 0.4, 8, certified),
        row6(table6.FINE, 0.5, 0.3, 7, 0),
        row6(table6.IMAGE_WHOLE, 0.2, 0.1, 3, 0),
        row6(table6.TEXT_WHOLE, 0.2, 0.1, 3, 0),
    ]


def test_table6_holds_or_refutes_the_papers_conclusion_by_certificates():
    joint = [table6.Joint(THRESHOLD, 9, 10, 10), table6.Joint(0.5, 0, 0, 10)]
    said = table6.sentences(rows6(0), joint)
    assert "the paper's conclusion holds: subsampling certifies none of 10 pairs" in said[0]
    assert "although up to 8 pairs have p̂ > τ" in said[0]
    assert "holds for 9 of them" in said[0]
    assert "0.300 in place of 0.400 at 0.5: lower throughout, lower throughout in the paper" in " ".join(said)
    said = table6.sentences(rows6(4), joint)
    assert "the paper's conclusion is refuted here: subsampling certifies up to 4 of 10 pairs" in said[0]
    assert "(patches, 0.5 kept)" in said[0]
    assert "the paper's conclusion holds" in said[1]


def test_table6_of_the_paper_contradicts_itself_unless_tau_is_a_half():
    """If no share is above τ, neither is their mean."""
    paper = reported("table6")
    rows = [row for keep, row in paper["rows"].items() if keep < 1.0]
    assert all(above == 0 and mean > paper["threshold"] for above, mean in rows)
    assert max(mean for _, mean in rows) < 0.5
    said = " ".join(
        table6.sentences(rows6(0), [table6.Joint(THRESHOLD, 0, 0, 0), table6.Joint(0.5, 0, 0, 0)])
    )
    assert "The paper's column contradicts its means unless τ means a majority there" in said
    assert "not 0.018 (keep ratio 0.05)" in said
