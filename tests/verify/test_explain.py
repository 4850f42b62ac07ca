"""What a certificate says in plain sentences is what it means, no more."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from flint import fmpq
from hypothesis import given
from hypothesis import strategies as st
from test_refusals import _tamper, specimen

from hybridcert.verify import explain, verify_document
from hybridcert.verify.decimals import shown_down, shown_near, shown_up

positive = st.fractions(Fraction(1, 10**12), 10**12, max_denominator=10**12)


def explained(name: str, path: str = "", value: object = None) -> str:
    document: dict[str, Any] = specimen(name)
    if path:
        _tamper(path, value)(document)
    verdict = verify_document(document)
    assert verdict.ok, verdict.reasons
    return "\n".join(explain(document, verdict))


@given(value=positive)
def test_printed_bounds_are_bounds(value: Fraction):
    exact = fmpq(value.numerator, value.denominator)
    down, near, up = (Fraction(shown(exact)) for shown in (shown_down, shown_near, shown_up))
    assert down <= value <= up
    assert near in (down, up)
    assert abs(near - value) * 2 <= up - down
    assert up - down <= value / 10**5


def test_printed_zeros_and_carries():
    assert [shown(fmpq(0)) for shown in (shown_down, shown_near, shown_up)] == ["0", "0", "0"]
    assert shown_up(fmpq(9999999, 10**7)) == "1"
    assert shown_near(fmpq(int(0.3 * 2**60), 2**60)) == "0.3"


NOISE = [
    ("uniform", "with probability β = 0.25 each symbol gives way to another one of its alphabet, of 50000"),
    ("fields", "with probability β = 0.5 each field takes another one of its 7 to 42 categories"),
    ("fields-enumerated", "with probability β = 0.25 to 0.5 each field"),
    ("randomized-response", "each symbol is ρ = 3 times as likely to stay as to become any given other one"),
    ("absorbing", "each symbol is masked with probability β = 0.75"),
    ("flips", "each 0 is turned on with probability p₊ = 0.125, each 1 turned off with probability p₋ = 0.5"),
    ("synonyms", "each word is drawn evenly from its own noise set, of 4 to 12 words"),
    ("matrix", "its row of a transition matrix over 3 symbols (substitutions: 3 pairs)"),
    ("edit", "each symbol is deleted with probability β = 0.75, the rest closes up"),
    ("laplace", "'row': Laplace noise of scale = 0.3 on 6 features, in 'std'"),
    ("mahalanobis", "'row': Gaussian noise of standard deviation σ = 0.1 to 0.5 on 3 features, in 'mixed'"),
]


@pytest.mark.parametrize(("name", "expected"), NOISE)
def test_the_noise_is_named_with_its_parameters(name: str, expected: str):
    assert expected in explained(name)


@pytest.mark.parametrize("name", ["uniform", "top-1", "top-k"])
def test_counts_are_the_word_of_the_issuer(name: str):
    text = explained(name)
    assert "given the counts and the noise that the document states" in text
    assert "verification proves what follows from them, not that they were" in text
    assert "Counts that were made up, or chosen among several draws, prove nothing." in text
    assert "the expected\n  share of such statements that are wrong is at most 1 - confidence" in text


def test_rivals_of_a_label_are_bounded():
    assert "and number 2 among those of the other labels at most 0.0352419." in explained("top-k")
    assert 0.0352418 < float.fromhex(specimen("top-k")["estimate"]["p_upper"]) <= 0.0352419
    text = explained("top-1")
    p_lower = Fraction(float.fromhex(specimen("top-1")["estimate"]["p_lower"]))
    shown = shown_up(fmpq(1) - fmpq(p_lower.numerator, p_lower.denominator))
    assert f"and those of all other labels together at most {shown}." in text


def test_what_a_symbol_is():
    silent = explained("edit")
    assert "'text': the document does not say what a symbol is (a word, a character, …)." in silent
    text = explained("edit", "law.discrete.0.symbols", "words split at white space")
    assert "anywhere in it, where a symbol is: 'words split at white space'." in text
    assert "does not say what a symbol is" not in text
    assert "where a symbol is: 'a\\x1b'" in explained("uniform", "law.discrete.0.symbols", "a\x1b")
    assert "where a symbol is" not in explained("uniform")


def test_matrix_threats_go_by_the_list():
    assert "are replaced as the list of substitutions allows, whatever the matrix says" in explained("matrix")


def test_a_mahalanobis_budget_is_measured_in_noise_scales():
    text = explained("mahalanobis", "threat.continuous.unit", "euros of the bank account")
    assert "is at most the radius, measured in noise scales σ_j." in text
    assert "euros" not in text
