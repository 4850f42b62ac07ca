"""Random streams: a function of seed, content, stage, block and modality, and of nothing else."""

import numpy as np
import pytest

from hybridcert.errors import ParameterError
from hybridcert.sampling.streams import RowStreams, Stage

ROWS = {"text": np.array([[1, 2], [3, 4], [1, 2]]), "image": np.array([[0.5], [0.0], [0.5]])}


def draw(key: bytes, stage: Stage = Stage.ESTIMATE, block: int = 0, modality: int = 0) -> list[int]:
    return (
        RowStreams.generator(key, stage=stage, block=block, modality=modality).integers(0, 2**62, 4).tolist()
    )


def test_equal_rows_share_a_key_and_different_rows_do_not():
    first, second, third = RowStreams(7).keys(ROWS)
    assert first == third
    assert first != second
    assert len(first) == 16


def test_keys_do_not_depend_on_order_dtype_width_or_the_sign_of_zero():
    keys = RowStreams(7).keys(ROWS)
    reversed_rows = {name: values[::-1] for name, values in ROWS.items()}
    narrow = {"text": ROWS["text"].astype(np.int32), "image": -ROWS["image"] * -1.0}
    negative_zero = {"text": ROWS["text"], "image": np.where(ROWS["image"] == 0, -0.0, ROWS["image"])}
    assert RowStreams(7).keys(reversed_rows) == keys[::-1]
    assert RowStreams(7).keys(narrow) == keys
    assert RowStreams(7).keys(negative_zero) == keys


def test_keys_depend_on_seed_and_modality_names():
    renamed = {"words": ROWS["text"], "image": ROWS["image"]}
    assert RowStreams(7).keys(ROWS)[0] != RowStreams(8).keys(ROWS)[0]
    assert RowStreams(7).keys(ROWS)[0] != RowStreams(7).keys(renamed)[0]
    assert RowStreams(2**200).keys(ROWS)[0] != RowStreams(2**200 + 1).keys(ROWS)[0]


def test_streams_differ_by_stage_block_and_modality():
    key = RowStreams(0).keys(ROWS)[0]
    streams = [
        draw(key),
        draw(key, stage=Stage.SELECT),
        draw(key, stage=Stage.TRAIN),
        draw(key, stage=Stage.PREDICT),
        draw(key, block=1),
        draw(key, modality=1),
    ]
    assert len({tuple(s) for s in streams}) == len(streams)
    assert draw(key) == streams[0]


@pytest.mark.parametrize("seed", [-1, 1.5, True, "7"])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ParameterError, match="seed must be an integer >= 0"):
        RowStreams(seed)


def test_padding_at_the_end_of_symbols_is_no_content():
    narrow = RowStreams(7).keys({"text": np.array([[1, 2], [3, -1], [-1, -1]])})
    wide = RowStreams(7).keys({"text": np.array([[1, 2, -1, -1], [3, -1, -1, -1], [-1, -1, -1, -1]])})
    assert narrow == wide
    assert len(set(wide)) == 3
    assert RowStreams(7).keys({"text": np.zeros((1, 0), dtype=np.int64)}) == narrow[2:]


def test_padding_inside_symbols_and_in_numbers_is_content():
    texts = np.array([[1, -1, 2], [1, 2, -1], [-1, 1, 2]])
    assert len(set(RowStreams(7).keys({"text": texts}))) == 3
    assert RowStreams(7).keys({"x": np.array([[1.0, -1.0]])}) != RowStreams(7).keys({"x": np.array([[1.0]])})
