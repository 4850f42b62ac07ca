"""What counts as a change, and how far inputs are: against definitions, exactly."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridcert as hc
from hybridcert.attacks.changes import alignment, changes_within, least_changes
from hybridcert.attacks.distance import Ball, distance_upper
from hybridcert.attacks.edits import Edited, Edits
from hybridcert.attacks.random_edits import distinct, filled, random_moves, single_moves
from hybridcert.kernels.matrix import MatrixKernel
from hybridcert.kernels.synonyms import SynonymReplacement
from hybridcert.threats import Additions, Deletion, DiscreteSurface, Flips, Indel, Removals

WORDS = st.lists(st.integers(0, 2), max_size=6)
SEQUENCE_THREATS = [hc.Substitution, hc.Insertion, Deletion, Indel, hc.Edit]


def codes(word):
    return np.array(word, dtype=np.int64)


@functools.cache
def common(a, b):
    """Length of the longest common subsequence, from its recursion."""
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + common(a[1:], b[1:])
    return max(common(a[1:], b), common(a, b[1:]))


@functools.cache
def edit_distance(a, b):
    """Levenshtein distance, from its recursion."""
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return edit_distance(a[1:], b[1:])
    return 1 + min(edit_distance(a[1:], b), edit_distance(a, b[1:]), edit_distance(a[1:], b[1:]))


def distance(kind, a, b):
    """The number of changes of one kind, math.inf where no number of them leads from a to b."""
    if kind is hc.Edit:
        return edit_distance(a, b)
    shared = common(a, b)
    if kind is Indel:
        return len(a) + len(b) - 2 * shared
    if kind is hc.Insertion:
        return len(b) - len(a) if shared == len(a) else math.inf
    if kind is Deletion:
        return len(a) - len(b) if shared == len(b) else math.inf
    return sum(x != y for x, y in zip(a, b, strict=True)) if len(a) == len(b) else math.inf


@pytest.mark.parametrize("kind", SEQUENCE_THREATS)
@given(a=WORDS, b=WORDS, d=st.integers(0, 7))
def test_changes_of_sequences_are_counted_by_their_definition(kind, a, b, d):
    truth = distance(kind, tuple(a), tuple(b))
    assert least_changes(kind(1), codes(a), codes(b), d) == (truth if truth <= d else None)
    assert changes_within(kind(1), codes(a), codes(b), d) == (truth <= d)
    padded = codes([*b, -1, -1])
    assert changes_within(kind(1), codes([*a, -1]), padded, d) == (truth <= d)


@given(
    bits=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=8),
    d=st.integers(0, 8),
    caps=st.tuples(st.none() | st.integers(0, 3), st.none() | st.integers(0, 3)),
)
def test_flips_are_counted_with_their_caps(bits, d, caps):
    a, b = codes([x for x, _ in bits]), codes([y for _, y in bits])
    added, removed = sum(y > x for x, y in bits), sum(y < x for x, y in bits)
    within = added + removed <= d
    assert changes_within(Additions(1), a, b, d) == (within and removed == 0)
    assert changes_within(Removals(1), a, b, d) == (within and added == 0)
    fits = all(cap is None or n <= cap for n, cap in zip((added, removed), caps, strict=True))
    flips = Flips(1, max_additions=caps[0], max_removals=caps[1])
    assert changes_within(flips, a, b, d) == (within and fits)


def edits_of(threat, word, d, *, kernel=None, sizes=(3,) * 9, sequence=True, pool=None):
    surface = DiscreteSurface(tuple(sizes), tuple(range(len(sizes))), sequence=sequence)
    kernel = hc.RandomDeletion(0.5) if kernel is None else kernel
    return Edits.of(threat, surface, codes(word), d, kernel=kernel, pool=pool)


@pytest.mark.parametrize("kind", SEQUENCE_THREATS)
@given(word=WORDS, d=st.integers(0, 4), seed=st.integers(0, 999))
def test_random_edits_stay_within_the_budget_and_remember_what_they_did(kind, word, d, seed):
    edits, stream = edits_of(kind(4), word, d), np.random.default_rng(seed)
    state = filled(edits, edits.start, stream)
    for _ in range(3):
        found = distinct(edits, state, random_moves(edits, state, stream, 6), 6)
        for edited in found:
            truth = distance(kind, tuple(word), tuple(edited.codes.tolist()))
            assert truth <= edits.count(edited) <= d
        assert len({e.codes.tobytes() for e in found}) == len(found)
        state = found[0] if found else state
    recovered = edits.recovered(state.codes)
    assert edits.count(recovered) == distance(kind, tuple(word), tuple(state.codes.tolist()))
    kept = recovered.source[recovered.source >= 0]
    assert (np.diff(kept) > 0).all()
    back = state
    while undos := edits.undos(back):  # all changes can be taken back, one by one
        before = edits.count(back)
        back = edits.undone(back, undos[0])
        assert edits.count(back) < before
    assert back.codes.tolist() == word


def test_random_edits_use_up_the_budget():
    stream = np.random.default_rng(0)
    for kind in SEQUENCE_THREATS:
        edits = edits_of(kind(2), [0, 1, 2, 0, 1], 2)
        assert edits.count(filled(edits, edits.start, stream)) == 2
        reached = set()
        for _ in range(300):
            state = filled(edits, edits.start, stream)
            reached.add(distance(kind, (0, 1, 2, 0, 1), tuple(state.codes.tolist())))
        assert 2 in reached


@pytest.mark.parametrize("kind", SEQUENCE_THREATS)
def test_single_moves_are_all_inputs_one_move_away(kind):
    word = [0, 1, 0]
    edits = edits_of(kind(2), word, 1, sizes=(2,) * 5)
    found = single_moves(edits, edits.start, 10_000)
    reached = {tuple(e.codes.tolist()) for e in found}
    words = [()]
    everything = set()
    for _ in range(5):
        everything |= set(words)
        words = [(*w, x) for w in words for x in (0, 1)]
    expected = {w for w in everything if w != tuple(word) and distance(kind, tuple(word), w) <= 1}
    assert reached == expected
    assert single_moves(edits, edits.start, 1) is None or len(expected) <= 1


def test_a_full_budget_is_moved_elsewhere():
    edits = edits_of(
        hc.Substitution(1), [0, 0, 0], 1, kernel=hc.UniformReplacement(0.5), sequence=False, sizes=(2,) * 3
    )
    state = edits.start.substituted(0, 1)
    reached = {tuple(e.codes.tolist()) for e in single_moves(edits, state, 100)}
    assert reached == {(0, 0, 0), (0, 1, 0), (0, 0, 1)}


def test_only_substitutes_that_certificates_cover_are_used():
    synonyms = SynonymReplacement({0: [1], 1: [0], 2: [3]})
    edits = edits_of(hc.Substitution(3), [0, 2, 4], 3, kernel=synonyms, sequence=False, sizes=(5,) * 3)
    reached = {tuple(e.codes.tolist()) for e in single_moves(edits, edits.start, 100)}
    assert reached == {(1, 2, 4), (0, 3, 4)}
    stream = np.random.default_rng(0)
    for edited in distinct(edits, edits.start, random_moves(edits, edits.start, stream, 50), 50):
        assert tuple(edited.codes.tolist()) in {(1, 2, 4), (0, 3, 4), (1, 3, 4)}
    with pytest.raises(hc.ParameterError, match="threat allows"):
        edits.recovered(codes([2, 2, 4]))
    listed = MatrixKernel([[1, 1, 1]] * 3, substitutions=[(0, 2)], weights=True)
    edits = edits_of(hc.Substitution(1), [0, 1], 1, kernel=listed, sequence=False, sizes=(3,) * 2)
    assert [e.codes.tolist() for e in single_moves(edits, edits.start, 100)] == [[2, 1]]


def test_open_alphabets_take_symbols_from_a_pool():
    edits = edits_of(hc.Insertion(2), [7, 9], 2, sizes=(2**62,) * 4, pool=codes([7, 9, 11]))
    stream = np.random.default_rng(0)
    for edited in distinct(edits, edits.start, random_moves(edits, edits.start, stream, 30), 30):
        assert set(edited.codes.tolist()) <= {7, 9, 11}


def test_alphabets_and_room_are_respected():
    edits = edits_of(hc.Edit(3), [0, 0], 3, sizes=(3, 3, 3))
    assert not edits.allows(Edited(codes([0, 3]), codes([0, 1])))
    assert not edits.allows(Edited(codes([0, 0, 1, 1]), codes([0, 1, -1, -1])))
    assert edits.allows(Edited(codes([0, 0, 1]), codes([0, 1, -1])))
    with pytest.raises(hc.ParameterError, match="fixed positions"):
        edits_of(hc.Insertion(1), [0], 1, sequence=False)
    with pytest.raises(hc.ParameterError, match="within d = 3"):
        edits.recovered(codes([1, 1, 1, 1, 1, 1]))


@pytest.mark.parametrize("kind", SEQUENCE_THREATS)
@given(a=WORDS, b=WORDS)
def test_alignments_explain_the_distance(kind, a, b):
    truth = distance(kind, tuple(a), tuple(b))
    if truth == math.inf:
        return
    edits = edits_of(kind(12), a, 12)
    source = alignment(kind(12), codes(a), codes(b), 12)
    assert edits.count(Edited(codes(b), source)) == truth


# -- continuous --------------------------------------------------------------------------------------------

COORDINATES = st.one_of(
    st.floats(-1e3, 1e3),
    st.floats(-1e-9, 1e-9),
    st.sampled_from([0.0, 1.0, 1 / 3, 1e15, -1e15, 1e-300, 5e-324]),
)


def exceeds(clean, point, scales, norm, bound):
    """Whether the exact distance exceeds a float bound, in rational arithmetic."""
    parts = [
        abs(Fraction(p) - Fraction(c)) / Fraction(s) for c, p, s in zip(clean, point, scales, strict=True)
    ]
    if math.isinf(bound):
        return False
    if norm == "l1":
        return sum(parts) > Fraction(bound)
    return sum(part**2 for part in parts) > Fraction(bound) ** 2


@pytest.mark.parametrize("norm", ["l2", "l1"])
@given(
    pairs=st.lists(st.tuples(COORDINATES, COORDINATES, st.sampled_from([1.0, 0.25, 0.1, 3.0])), max_size=6)
)
def test_the_distance_is_never_understated_and_nearly_exact(norm, pairs):
    clean, point, scales = (np.array([p[i] for p in pairs], dtype=np.float64) for i in range(3))
    bound = distance_upper(clean, point, scales=scales, norm=norm)
    assert not exceeds(clean, point, scales, norm, bound)
    if bound > 1e-150:
        assert exceeds(clean, point, scales, norm, bound * (1 - 1e-14))
    assert (bound == 0.0) == bool((clean == point).all())


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("move", [1e-140, 1e-162, 1e-170, 1e-300, 5e-324])
@pytest.mark.parametrize("scale", [1.0, 1e10, 1e-10])
def test_distances_whose_squares_underflow_are_not_understated(norm, move, scale):
    clean, point, scales = np.zeros(3), np.array([move, 0.0, -move]), np.full(3, scale)
    bound = distance_upper(clean, point, scales=scales, norm=norm)
    assert not exceeds(clean, point, scales, norm, bound)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@given(
    pairs=st.lists(st.tuples(COORDINATES, st.floats(-1e4, 1e4)), min_size=1, max_size=6),
    radius=st.one_of(st.sampled_from([0.0, 1.0, 1e-8, 1e8]), st.floats(1e-6, 10.0)),
    scale=st.sampled_from([1.0, 0.1]),
)
def test_points_of_a_ball_lie_in_it_exactly(norm, pairs, radius, scale):
    clean, shift = (np.array([p[i] for p in pairs], dtype=np.float64) for i in range(2))
    around = Ball(clean, np.full_like(clean, scale), norm, radius)
    point = around.nearest(shift)
    assert not exceeds(clean, point, around.scales, norm, radius)
    if np.abs(clean).max() <= 1e3 and radius >= 1e-6:  # not much is given away
        size = np.abs(shift).sum() if norm == "l1" else np.linalg.norm(shift)
        reached = distance_upper(clean, point, scales=around.scales, norm=norm)
        assert reached >= min(size, radius) * (1 - 1e-5) - 1e-9


def test_an_ell_one_projection_is_the_nearest_point():
    rng = np.random.default_rng(0)
    clean = np.zeros(3)
    around = Ball(clean, np.ones(3), "l1", 1.0)
    for _ in range(20):
        shift = 3 * rng.standard_normal(3)
        found = np.linalg.norm(around.nearest(shift) - shift)
        others = rng.standard_normal((5_000, 3))
        others /= np.abs(others).sum(axis=1, keepdims=True)
        assert found <= np.linalg.norm(others - shift, axis=1).min() + 1e-9


def test_shifts_that_are_no_numbers_change_nothing():
    around = Ball(np.ones(2), np.ones(2), "l2", 1.0)
    assert around.nearest(np.array([np.nan, 0.0])).tolist() == [1.0, 1.0]
    assert distance_upper(np.zeros(1), np.array([1e200]), scales=np.ones(1), norm="l2") == math.inf
