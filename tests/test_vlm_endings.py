"""Several endings in one row: what each token sees is its own ending and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridcert.adapters.vlm.suffix_tree import compacted, packed


def seen_by(endings, variant):
    """What the end of a variant sees, by depth, itself last; and the depths."""
    row = endings.row[variant]
    column = endings.ids.shape[1] - endings.endings + endings.column[variant]
    columns = np.flatnonzero(endings.sees[row, column])
    order = columns[np.argsort(endings.depth[row, columns], kind="stable")]
    return endings.ids[row, order].tolist(), endings.depth[row, order].tolist()


@st.composite
def suffixes(draw):
    """Copies, each with beginnings of one drawn suffix, as frontiers over slots ask about them."""
    slots = draw(st.integers(1, 6))
    clean = draw(st.lists(st.integers(-1, 3), min_size=slots, max_size=slots))
    tokens, owner = [], []
    for copy in range(draw(st.integers(1, 5))):
        noisy = draw(st.lists(st.integers(-1, 3), min_size=slots, max_size=slots))
        beginnings = [clean]
        for kept in range(1, slots + 1):
            if noisy[kept - 1] != clean[kept - 1]:
                beginnings.append(noisy[:kept] + clean[kept:])
        tokens += beginnings
        owner += [copy] * len(beginnings)
    return np.array(tokens), np.array(owner)


@given(suffixes(), st.integers(1, 4))
def test_every_ending_sees_its_own_tokens_in_order(drawn, length):
    tokens, owner = drawn
    tail = np.arange(90, 90 + length)
    endings = packed(tokens, owner, tail)
    for variant, row in enumerate(tokens):
        expected = [token for token in row.tolist() if token >= 0] + tail.tolist()
        ids, depth = seen_by(endings, variant)
        assert ids == expected
        assert depth == list(range(len(expected)))


@given(suffixes())
def test_every_token_on_the_way_sees_what_comes_before_it(drawn):
    """Each column sees a chain of growing depth that ends in itself: causal attention along one ending."""
    tokens, owner = drawn
    endings = packed(tokens, owner, np.array([90, 91]))
    for row in range(endings.ids.shape[0]):
        used = np.flatnonzero(endings.sees[row].sum(axis=1) > 1)
        for column in used:
            seen = np.flatnonzero(endings.sees[row, column])
            depths = sorted(endings.depth[row, seen].tolist())
            assert depths == list(range(endings.depth[row, column] + 1))


def test_shared_tokens_stand_there_once():
    tokens = np.array([[-1, -1, -1], [5, -1, -1], [5, 6, -1], [5, 6, 7]])
    endings = packed(tokens, np.zeros(4, dtype=np.intp), np.array([90]))
    assert endings.ids.tolist() == [[5, 6, 7, 90, 90, 90, 90]]
    assert endings.depth.tolist() == [[0, 1, 2, 0, 1, 2, 3]]


def test_places_without_a_token_close_up():
    tokens, length = compacted(np.array([[-1, 4, -1, 5], [-1, -1, -1, -1]]))
    assert tokens.tolist() == [[4, 5, -1, -1], [-1, -1, -1, -1]]
    assert length.tolist() == [2, 0]


def test_masks_add_nothing_for_what_is_seen():
    torch = pytest.importorskip("torch", reason="needs the extra vlm")
    from hybridcert.adapters.vlm.suffix_tree import additive

    sees = torch.tensor([[[True, False], [True, True]]])
    mask = additive(sees, 3, torch.float32)
    assert mask.shape == (1, 1, 2, 5)
    assert (mask == 0).tolist() == [[[[True] * 3 + [True, False], [True] * 5]]]
    assert mask.min() == torch.finfo(torch.float32).min
