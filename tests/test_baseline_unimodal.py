"""Image-only and text-only certificates, and the words in which every baseline is described."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import arb
from hypothesis import given
from hypothesis import strategies as st

import hybridcert as hc
from balls import ball, precision
from classifiers import Sign, WordsAndNumbers
from exact_laws import knapsack, uniform_law
from hybridcert.baselines.catalogue import BASELINES, frame
from hybridcert.baselines.certified import LargestBudget, largest_budget
from hybridcert.baselines.draws import Draws
from hybridcert.baselines.image_only import image_only, image_only_radii
from hybridcert.baselines.naive_product import UNSOUND, NaiveClaims
from hybridcert.baselines.text_only import text_only, text_only_budgets
from hybridcert.errors import ParameterError

DRAWS = Draws(samples=500, alpha=0.01, seed=3)


def quantile(p: float) -> arb:
    """Φ⁻¹(p), as a ball."""
    return arb(2).sqrt() * (2 * ball(p) - 1).erfinv()


class TestImageOnly:
    @pytest.mark.parametrize(
        ("p", "radius"),
        [(0.999, 1.545), (0.99, 1.163), (0.9, 0.641), (0.75, 0.337)],  # σ Φ⁻¹(p) by a table of the normal law
    )
    def test_radius_at_one_half_is_sigma_times_the_quantile(self, p: float, radius: float) -> None:
        found = image_only_radii(p_lower=p, sigma=0.5, threshold=0.5)
        assert found.certified[0]
        assert found.radius[0] == pytest.approx(radius, abs=6e-4)

    def test_the_largest_radius_of_100_000_copies_is_that_of_the_source(self) -> None:
        """Cohen et al. 2019: n = 100 000, α = 0.001, all right: about 3.8 σ, where their figures end."""
        p = hc.clopper_pearson_lower(100_000, 100_000, 0.001)
        assert float(image_only_radii(p_lower=p, sigma=1.0, threshold=0.5).radius[0]) == pytest.approx(
            3.811, abs=1e-3
        )

    @given(
        p=st.floats(0.01, 0.999999), tau=st.floats(1e-6, 0.99), sigma=st.sampled_from([0.12, 0.25, 1.0, 64.0])
    )
    def test_never_above_the_closed_form_and_close_to_it(self, p: float, tau: float, sigma: float) -> None:
        found = image_only_radii(p_lower=p, sigma=sigma, threshold=tau)
        if not found.certified[0]:
            assert p <= tau
            return
        claimed = float(found.radius[0])
        with precision(256):
            exact = ball(sigma) * (quantile(p) - quantile(tau))
            assert ball(claimed) <= exact
            assert claimed == pytest.approx(float(exact.mid()), rel=1e-8, abs=1e-8 * sigma)

    def test_counts_become_radii_and_say_nothing_about_changed_symbols(self) -> None:
        found = image_only(
            Sign(), [[1.0, 0.0], [0.1, 0.0]], noise={"numeric": hc.GaussianNoise(0.5)}, label="yes",
            threshold=0.5, draws=DRAWS,
        )  # fmt: skip
        p = hc.clopper_pearson_lower(found.run.successes, 500, 0.01)
        expected = image_only_radii(p_lower=p, sigma=0.5, threshold=0.5)
        np.testing.assert_array_equal(found.radii.radius, expected.radius)
        assert found.claims(d=0, eps=0.5).tolist() == [True, False]
        assert not found.claims(d=1, eps=0.0).any()

    def test_laplace_noise_has_radii_too(self) -> None:
        found = image_only_radii(p_lower=0.9, sigma=2.0, threshold=0.5, noise="laplace")
        assert float(found.radius[0]) == pytest.approx(-2.0 * np.log(2 * 0.1), rel=1e-9)

    def test_noise_on_words_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="LaplaceNoise alone, got uniform on modality"):
            image_only(
                WordsAndNumbers(), {}, noise={"text": hc.UniformReplacement(0.5)}, label=1, threshold=0.5,
                draws=DRAWS,
            )  # fmt: skip


class TestTextOnly:
    @pytest.mark.parametrize("beta", [0.25, 0.5, 0.75])
    @pytest.mark.parametrize("threshold", [0.05, 0.5])
    def test_the_largest_budget_is_that_of_the_exact_knapsack(self, beta: float, threshold: float) -> None:
        """Against the fractional knapsack in rationals; the p's are away from its ties."""
        p = [0.1, 0.5, 0.8, 0.9, 0.99, 0.999]
        spectra = [hc.UniformReplacement(beta).spectrum([7] * d) for d in range(6)]
        found = text_only_budgets(p_lower=p, spectra=spectra, threshold=threshold)
        for row, score in enumerate(p):
            values = [knapsack(uniform_law(beta, [7] * d), Fraction(score)) for d in range(6)]
            holds = [value > Fraction(threshold) for value in values]
            assert bool(found.certified[row]) is holds[0]
            expected = 0
            while expected < 5 and holds[expected + 1] and holds[0]:
                expected += 1
            assert int(found.d[row]) == expected

    def test_absorbing_noise_by_hand(self) -> None:
        """V = p − (1 − β^d): with β = ½ and p = 0.9 it is 0.4, 0.15, below 0."""
        spectra = [hc.Absorbing(0.5).spectrum(d) for d in range(5)]
        assert text_only_budgets(p_lower=0.9, spectra=spectra, threshold=0.14).d.tolist() == [2]
        assert text_only_budgets(p_lower=0.9, spectra=spectra, threshold=0.16).d.tolist() == [1]
        assert text_only_budgets(p_lower=0.1, spectra=spectra, threshold=0.16).certified.tolist() == [False]

    def test_a_value_at_the_threshold_is_not_above_it(self) -> None:
        """V = ¾ − ½ = ¼, a float, and ½ at d = 0."""
        spectra = [hc.Absorbing(0.5).spectrum(d) for d in range(2)]
        assert text_only_budgets(p_lower=0.75, spectra=spectra, threshold=0.25 - 1e-9).d.tolist() == [1]
        assert text_only_budgets(p_lower=0.75, spectra=spectra, threshold=0.25).d.tolist() == [0]
        assert not text_only_budgets(p_lower=0.5, spectra=spectra, threshold=0.5).certified.any()

    def test_counts_become_budgets_and_say_nothing_about_shifts(self) -> None:
        X = {"text": [[0, 1, 2]], "tag": [[0]], "numeric": [[1.0]], "other": [[0.0]]}
        found = text_only(
            WordsAndNumbers(), X, noise={"text": hc.UniformReplacement(0.125)}, threat=hc.Substitution(2),
            label=1, threshold=0.01, draws=DRAWS,
        )  # fmt: skip
        kernel = hc.UniformReplacement(0.125)
        spectra = [kernel.spectra(hc.Substitution(2), d, [3, 5]) for d in range(3)]
        expected = text_only_budgets(p_lower=found.run.p_lower, spectra=spectra, threshold=0.01)
        np.testing.assert_array_equal(found.largest.d, expected.d)
        assert found.claims(d=int(expected.d[0]), eps=0.0).all()
        assert not found.claims(d=int(expected.d[0]) + 1, eps=0.0).any()
        assert not found.claims(d=0, eps=0.001).any()

    def test_noise_on_numbers_is_refused(self) -> None:
        with pytest.raises(ParameterError, match="discrete modalities alone, got gaussian on modality"):
            text_only(
                Sign(), [], noise={"numeric": hc.GaussianNoise(1.0)}, threat=hc.Substitution(1), label="yes",
                threshold=0.5, draws=DRAWS,
            )  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"spectra": []}, "spectra must have an entry"),
            ({"threshold": 0.0}, "threshold must be in"),
            ({"p_lower": 1.5}, "p_lower must be in"),
        ],
    )
    def test_values_out_of_range(self, change: dict[str, Any], message: str) -> None:
        given = {"p_lower": 0.5, "spectra": [hc.LikelihoodSpectrum.identity()], "threshold": 0.25}
        with pytest.raises(ParameterError, match=message):
            text_only_budgets(**{**given, **change})


class TestVocabulary:
    def test_the_naive_product_alone_is_unsound(self) -> None:
        assert [b.name for b in BASELINES if not b.sound] == [NaiveClaims.baseline.name]
        assert UNSOUND in NaiveClaims.baseline.name
        assert len({b.name for b in BASELINES}) == len(BASELINES) == 8
        assert all(b.needs for b in BASELINES if b.sound)

    def test_the_catalogue_is_a_table(self) -> None:
        table = frame()
        assert list(table["sound"]) == [True] * 7 + [False]
        assert "boundary" not in table.columns
        assert table.notna().all(axis=None)

    def test_a_budget_that_comes_back_is_not_counted(self) -> None:
        holds = np.array([[True, True], [False, True], [True, True], [True, False]])
        found = largest_budget(lambda d: holds[d], 3)
        assert found.d.tolist() == [0, 2]
        assert found.covers(1).tolist() == [False, True]

    def test_not_certified_at_all_covers_nothing(self) -> None:
        found = LargestBudget(np.array([False]), np.array([0]))
        assert not found.covers(0).any()

    def test_budgets_are_checked(self) -> None:
        found = image_only(
            Sign(), [[1.0, 0.0]], noise={"numeric": hc.GaussianNoise(0.5)}, label="yes", threshold=0.5,
            draws=DRAWS,
        )  # fmt: skip
        with pytest.raises(ParameterError, match="d must be an integer >= 0, got -1"):
            found.claims(d=-1, eps=0.0)
        with pytest.raises(ParameterError, match="eps must be a finite number >= 0, got nan"):
            found.claims(d=0, eps=float("nan"))

    def test_a_label_is_chosen_before_the_copies(self) -> None:
        with pytest.raises(ParameterError, match="label is needed"):
            image_only(
                Sign(), [[1.0, 0.0]], noise={"numeric": hc.GaussianNoise(0.5)}, label=None, threshold=0.5,
                draws=DRAWS,
            )  # fmt: skip
