"""Pairs that are unsafe only together: what is kept, what falls out, and how sure that is."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image
from scipy.stats import binom

import hybridcert as hc
from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.image_text import ImageTextInputs, SuffixSlots, as_text
from hybridcert.adapters.word_alphabet import WordAlphabet
from hybridcert.cli.filter_interaction import command, filtered, print_interaction
from hybridcert.datasets.image_text import ImageTextPairs, Pair
from hybridcert.datasets.jsonl_pairs import read_jsonl_pairs, write_pairs
from hybridcert.datasets.nlvr import read_nlvr
from hybridcert.errors import DataError, ModelError, ParameterError
from hybridcert.experiments.interaction import Step, filter_interaction
from hybridcert.experiments.interaction_result import write_interaction
from hybridcert.experiments.interaction_run import Filtering, run_filter
from hybridcert.experiments.run_directory import stored_copies

CANVAS = Canvas(height=8, width=8, channels=1)
SLOTS, BETA, SIGMA = 4, 0.5, 0.25
WORDS = ("and", "boom", "or", "the", "then", "well", "when")
ALPHABET = WordAlphabet(WORDS)
BOOM = 1 - (1 - BETA / (ALPHABET.size - 1)) ** SLOTS
"""How often noise writes "boom" into empty slots."""


class GreyAndWords:
    """Reads the words of a prompt and the mean grey level of an image.

    Unsafe: "match" with a dark image; "snow" with a bright one; a "bomb" or a white image by itself; "fuse"
    and a "boom" in the slots. A "smudge" makes an answer that is neither, and "crash" raises. After
    ``dies_after`` copies the model is gone for good; a black image takes it down for that moment.
    """

    classes_ = np.array(["safe", "unsafe", "unreadable"])
    not_in_digest = ("copies", "dies_after")

    def __init__(self, *, touchy=False, broken=False, dies_after=math.inf):
        self._inputs = ImageTextInputs(SuffixSlots(SLOTS), ALPHABET, CANVAS)
        self._touchy, self._broken = touchy, broken
        self.dies_after = dies_after
        self.copies = 0

    def described(self):
        return {"name": "grey and words", "policy": "Is this safe?"}

    def surfaces(self):
        return self._inputs.surfaces()

    def encode(self, X):
        return self._inputs.encode(X)

    def predict_encoded(self, batch):
        if self.copies + len(batch["prompt"]) > self.dies_after:
            self.dies_after = 0
            raise ModelError("the server is gone")
        if (batch["image"] == 0.0).all(axis=1).any():
            raise ModelError("the image took it down")
        self.copies += len(batch["prompt"])
        answers = [
            self._answer(as_text(prompt).split(), ALPHABET.spell(suffix.tolist()).split(), image)
            for prompt, suffix, image in zip(batch["prompt"], batch["suffix"], batch["image"], strict=True)
        ]
        return np.array(answers, dtype=np.intp)

    def _answer(self, words, suffix, image):
        if "crash" in words or self._broken:
            raise RuntimeError("out of order")
        if "smudge" in words or "smudge" in suffix:
            return 2
        grey = float(image.mean())
        unsafe = (
            ("match" in words and grey < 0.3)
            or ("snow" in words and grey > 0.65)
            or "bomb" in words
            or grey > 0.9
            or (("fuse" in words or self._touchy) and "boom" in suffix)
        )
        return int(unsafe)


def smoothed(**options):
    noise = {"suffix": hc.UniformReplacement(BETA), "image": hc.GaussianNoise(SIGMA)}
    return hc.SmoothedClassifier(GreyAndWords(**options), noise=noise)


def run(classifier, pairs, **changes):
    settings = {
        "blank": CANVAS.blank(),
        "samples": 400,
        "alpha": 0.01,
        "threshold": 0.05,
        "seed": 3,
    } | changes
    return filter_interaction(classifier, pairs, **settings)


@pytest.fixture
def pairs(tmp_path):
    """Pairs that fall out at every step, and two that stay; image files of their own."""
    levels = {"dark": 20, "bright": 224, "white": 250}
    for name, level in levels.items():
        Image.new("L", (16, 16), level).save(tmp_path / f"{name}.png")
    (tmp_path / "damaged.png").write_bytes((tmp_path / "dark.png").read_bytes()[:50])
    rows = [
        ("kept", "light the match", "dark"),
        ("text", "a bomb and a match", "dark"),
        ("image", "light the match", "white"),
        ("pair", "good morning", "dark"),
        ("noisy text", "the match and the fuse", "dark"),
        ("noisy image", "snow today", "bright"),
        ("crash", "crash", "dark"),
        ("missing", "light the match", "none"),
        ("damaged", "light the match", "damaged"),
        ("smudge", "a smudge", "dark"),
        ("kept too", "a match please", "dark"),
    ]
    return ImageTextPairs.of(
        [Pair(name, text, tmp_path / f"{image}.png", "unsafe", {}) for name, text, image in rows],
        source="rows",
    )


def test_every_example_is_kept_or_falls_out_for_a_reason(pairs):
    found = run(smoothed(), pairs)
    frame = found.frame.set_index("id")
    assert list(frame.index) == list(pairs.ids)
    assert frame["step"].to_dict() == {
        "kept": Step.KEPT,
        "text": Step.TEXT,
        "image": Step.IMAGE,
        "pair": Step.PAIR,
        "noisy text": Step.NOISE,
        "noisy image": Step.NOISE,
        "crash": Step.FAILED,
        "missing": Step.UNREADABLE,
        "damaged": Step.UNREADABLE,
        "smudge": Step.TEXT,
        "kept too": Step.KEPT,
    }
    assert found.kept.ids == ("kept", "kept too")
    assert list(frame.index[frame["kept"]]) == ["kept", "kept too"]
    reasons = frame["reason"]
    assert (reasons[frame["kept"]] == "").all()
    assert reasons["text"] == "text alone: the answer is unsafe"
    assert reasons["smudge"] == "text alone: the answer is unreadable"
    assert reasons["pair"] == "text and image together: the answer is safe"
    assert "text alone: RuntimeError: out of order" in reasons["crash"]
    assert "row 'missing': there is no image file" in reasons["missing"]
    assert "row 'damaged'" in reasons["damaged"]
    assert "noisy copies of (text, no image) are not safe" in reasons["noisy text"]
    assert "noisy copies of (no text, image) are not safe" in reasons["noisy image"]
    assert not reasons.str.contains("\n").any()
    assert frame.loc["kept", ["text_alone", "image_alone", "together"]].tolist() == ["safe", "safe", "unsafe"]
    assert frame.loc["missing", ["text_alone", "image_alone", "together"]].isna().all()


def test_the_steps_add_up(pairs):
    found = run(smoothed(), pairs)
    steps = found.steps().set_index("step")
    assert steps["dropped"].to_dict() == {
        "cannot be read": 2,
        "the classifier failed": 1,
        "text alone is not safe": 2,
        "image alone is not safe": 1,
        "text and image together are not unsafe": 1,
        "noise alone triggers": 2,
    }
    assert steps["left"].tolist() == [9, 8, 6, 5, 4, 2]
    assert steps["left"].iloc[-1] == len(found.kept)


def test_hits_follow_the_law_of_the_noise(pairs):
    samples = 2000
    frame = run(smoothed(), pairs, samples=samples).frame.set_index("id")
    hits = int(frame.loc["noisy text", "text_hits"])
    low, high = binom.ppf([5e-7, 1 - 5e-7], samples, BOOM)  # false alarms: one in a million
    assert low <= hits <= high
    grey = 224 / 255
    crossing = 0.5 * math.erfc((0.9 - grey) / (SIGMA / 8) / math.sqrt(2))
    low, high = binom.ppf([5e-7, 1 - 5e-7], samples, crossing)
    assert low <= int(frame.loc["noisy image", "image_hits"]) <= high
    assert frame.loc["kept", ["text_hits", "image_hits", "nothing_hits"]].tolist() == [0, 0, 0]
    expected = float(hc.clopper_pearson_upper(hits, samples, 0.01))
    assert frame.loc["noisy text", "text_upper"] == expected
    assert frame.loc[["text", "crash", "missing"], ["text_hits", "text_upper"]].isna().all(axis=None)


def test_a_pair_that_noise_triggers_survives_no_more_often_than_alpha():
    """The threshold is the true share, so each pair may stay with probability alpha at most.

    300 pairs with noise of their own. A filter that keeps its promise fails this with probability below one
    in a million.
    """
    alpha, count = 0.2, 300
    dark = np.full((8, 8), 20, dtype=np.uint8)
    texts = [f"match and fuse {number}" for number in range(count)]
    many = ImageTextPairs(
        tuple(map(str, range(count))), tuple(texts), (dark,) * count, None, ({},) * count, ""
    )
    found = run(smoothed(), many, samples=60, alpha=alpha, threshold=BOOM, batch=100)
    assert set(found.frame["step"]) == {Step.KEPT, Step.NOISE}
    assert 0 < len(found.kept) <= binom.ppf(1 - 1e-6, count, alpha)


def test_a_classifier_that_noise_alone_triggers_is_asked_no_further(pairs):
    classifier = smoothed(touchy=True)
    found = run(classifier, pairs)
    frame = found.frame.set_index("id")
    assert len(found.kept) == 0
    assert frame.loc["kept", "step"] == Step.NOISE
    assert "(no text, no image)" in frame.loc["kept", "reason"]
    assert frame["text_hits"].isna().all()
    assert frame["nothing_hits"].nunique() == 1
    assert classifier.classifier.copies < 3 * len(pairs) + 4 * 400


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batches_change_nothing(pairs, batch):
    pd.testing.assert_frame_equal(run(smoothed(), pairs, batch=batch).frame, run(smoothed(), pairs).frame)


def black(pairs, *rows):
    """Return pairs, some of which have an image that takes the classifier down."""
    images = [np.zeros((8, 8)) if row in rows else image for row, image in enumerate(pairs.images)]
    return ImageTextPairs(pairs.ids, pairs.texts, tuple(images), None, pairs.meta, pairs.source)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_a_pair_that_takes_the_classifier_down_is_dropped_alone(pairs, batch):
    whole = run(smoothed(), pairs).frame.set_index("id")
    frame = run(smoothed(), black(pairs, 1, 2, 5), batch=batch).frame.set_index("id")
    gone = ["text", "image", "noisy image"]
    assert (frame.loc[gone, "step"] == Step.FAILED).all()
    assert (frame.loc[gone, "reason"] == "text alone: the image took it down").all()
    pd.testing.assert_frame_equal(frame.drop(gone), whole.drop(gone))


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_three_such_pairs_in_a_row_end_the_filter(pairs, batch):
    with pytest.raises(ModelError, match=r"^the image took it down$"):
        run(smoothed(), black(pairs, 3, 4, 5), batch=batch)


@pytest.mark.parametrize("copies", [40, 1000])
def test_a_classifier_that_is_gone_ends_the_filter_and_what_it_answered_is_kept(pairs, copies, tmp_path):
    rows = [row for row, name in enumerate(pairs.ids) if name not in ("missing", "damaged", "crash")]
    pairs = pairs.rows(rows)
    classifier = smoothed(dies_after=copies)
    asked = Filtering(classifier, pairs, canvas=CANVAS, samples=400, alpha=0.01, threshold=0.05, seed=3)
    out = tmp_path / "out"
    with pytest.raises(ModelError, match="the server is gone") as error:
        filtered(asked, out, resume=False)
    assert not (out / "environment.json").exists()
    kept = classifier.classifier.copies
    assert stored_copies(out) == kept
    assert 0 < kept <= copies
    assert str(error.value) == (
        f"the server is gone; the answers to {kept} copies are kept in {out}; continue with the same command "
        f"and --out {out} --resume"
    )
    classifier.classifier.dies_after, classifier.classifier.copies = math.inf, 0
    found = run_filter(asked, out, resume=True)
    pd.testing.assert_frame_equal(found.frame, run(smoothed(), pairs).frame)
    assert classifier.classifier.copies == stored_copies(out) - kept


def test_a_classifier_that_is_gone_at_the_last_pairs_is_not_held_against_them(pairs):
    left = pairs.rows([0, 4, 5, 10])  # what noise is put on, two pairs at a time
    with pytest.raises(ModelError, match="the server is gone"):
        run(smoothed(dies_after=1700), left, batch=2)  # clean, nothing, and the first two
    assert len(run(smoothed(dies_after=10**9), left, batch=2).kept) == 2


def test_model_and_policy_are_named(pairs, tmp_path):
    asked = Filtering(
        smoothed(), pairs.rows([0, 1]), canvas=CANVAS, samples=100, alpha=0.01, threshold=0.05, seed=3
    )
    run_filter(asked, tmp_path / "out", resume=False)
    for name in ("filter.json", "environment.json"):
        content = json.loads((tmp_path / "out" / name).read_text(encoding="utf-8"))
        model = content["model"] if name == "environment.json" else content["settings"]["model"]
        assert (model["class"], model["name"]) == ("GreyAndWords", "grey and words")
        assert model["policy"] == "Is this safe?"
    assert re.fullmatch("[0-9a-f]+", model["sha256"])


def test_progress_is_told(pairs):
    told = []
    run(smoothed(), pairs, batch=4, progress=lambda *what: told.append(what))
    assert [t for t in told if t[0] == "asking without noise"] == [
        ("asking without noise", done, 11) for done in (0, 4, 8)
    ]
    assert told[-1] == ("asking with noise", 0, 4)


def test_a_broken_classifier_or_broken_data_end_the_filter(pairs):
    with pytest.raises(ModelError, match=r"the classifier failed on every input: .*out of order"):
        run(smoothed(broken=True), pairs)
    with pytest.raises(ModelError, match=r"the classifier failed on every input: .*out of order"):
        run(smoothed(broken=True), pairs.rows([0, 1, 7]))
    with pytest.raises(ModelError, match=r"^the classifier failed on all 2 pairs: the image took it down$"):
        run(smoothed(), black(pairs, 0, 1).rows([0, 1, 7]))
    with pytest.raises(DataError, match="rows: no pair can be read; the first: row 'missing'"):
        run(smoothed(), pairs.rows([7, 8]))
    with pytest.raises(DataError, match="rows: there are no pairs to filter"):
        run(smoothed(), pairs.rows([]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "samples must be an integer >= 1, got 0"),
        ({"batch": 0}, "batch must be an integer >= 1, got 0"),
        ({"alpha": 1.0}, r"alpha must be in \(0, 1\), got 1.0"),
        ({"threshold": 0.0}, r"threshold must be in \(0, 1\), got 0.0"),
        ({"safe": "fine"}, "label must be one of safe, unsafe, unreadable, got 'fine'"),
        ({"unsafe": "bad"}, "label must be one of safe, unsafe, unreadable, got 'bad'"),
        ({"samples": 89}, "samples must be at least 90 for threshold 0.05 at alpha 0.01, got 89"),
    ],
)
def test_values_outside_their_ranges_are_refused(pairs, changes, message):
    with pytest.raises(ParameterError, match=message):
        run(smoothed(), pairs, **changes)


def test_the_smallest_number_of_samples_lets_pairs_pass(pairs):
    assert run(smoothed(), pairs, samples=90).kept.ids == ("kept", "kept too")


def test_what_is_kept_is_written_and_read_again(pairs, tmp_path):
    found = run(smoothed(), pairs)
    write_interaction(found, tmp_path / "out")
    again = read_jsonl_pairs(tmp_path / "out" / "kept")
    assert again.digest() == found.kept.digest()
    table = pd.read_csv(tmp_path / "out" / "examples.csv", dtype={"id": str})
    assert table["step"].tolist() == found.frame["step"].tolist()
    assert table["text_upper"].tolist()[0] == found.frame["text_upper"].tolist()[0]
    summary = json.loads((tmp_path / "out" / "filter.json").read_text(encoding="utf-8"))
    assert (summary["examples"], summary["kept"]) == (11, 2)
    assert summary["settings"] == dict(found.settings)
    assert summary["steps"][-1] == {"step": "noise alone triggers", "dropped": 2, "left": 2}
    assert run(smoothed(), again).kept.ids == again.ids


def test_the_table_is_printed(pairs, tmp_path, capsys):
    found = run(smoothed(), pairs)
    print_interaction(found, tmp_path, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["given", "11"]
    assert lines[-2].split()[-2:] == ["2", "2"]
    assert lines[-1].startswith(f"kept pairs: {tmp_path / 'kept'}")
    print_interaction(found, tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out)["kept"] == 2


def test_real_sentences_and_pictures(shared, tmp_path):
    """NLVR pictures are light grey on the canvas, so each sentence that begins with "snow" interacts."""
    folder = shared / "data" / "nlvr"
    if not folder.is_dir():
        pytest.skip(f"no NLVR at {folder}")
    some = read_nlvr(folder).rows(slice(24))
    texts = tuple(f"snow {text}" if row % 2 else text for row, text in enumerate(some.texts))
    pairs = ImageTextPairs(some.ids, texts, some.images, some.labels, some.meta, some.source)
    found = run(smoothed(), pairs, samples=200)
    greys = np.array([CANVAS.read(image, name="image").mean() for image in some.images])
    assert ((greys > 0.68) & (greys < 0.78)).all()
    assert found.kept.ids == some.ids[1::2]
    assert set(found.frame["step"][::2]) == {Step.PAIR}
    write_pairs(found.kept, tmp_path / "kept")
    again = read_jsonl_pairs(tmp_path / "kept")
    assert again.digest() == found.kept.digest()
    assert again.meta == found.kept.meta


def filter_command(*arguments):
    app = typer.Typer()
    app.command()(command)
    app(args=[str(part) for part in arguments], standalone_mode=False)


USUAL = {
    "--model": "none",
    "--canvas": "8x8",
    "--samples": "100",
    "--alpha": "0.01",
    "--threshold": "0.1",
    "--seed": "0",
    "--sigma": "0.25",
    "--beta": "0.25",
    "--slots": "4",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--canvas": "8"}, "--canvas must be WIDTHxHEIGHT such as 64x64, got '8'"),
        ({"--samples": "many"}, "--samples must be an integer in"),
        ({"--sigma": "0"}, "--sigma must be a finite number > 0, got 0"),
        ({"--slots": "0"}, "--slots must be an integer >= 1, got '0'"),
        ({"--slots": None}, "give exactly one of --slots and --max-length"),
        ({"--max-length": "9"}, "give exactly one of --slots and --max-length"),
        ({"--variant": "SD"}, "--variant belongs to --layout mm-safetybench, got --layout jsonl"),
        (
            {"--layout": "nlvr", "--images": "x"},
            "--images belongs to --layout jsonl or datasets, got --layout",
        ),
        ({"--layout": "mm-safetybench"}, "variant must be one of SD, SD_TYPO, TYPO, got None"),
        ({"--layout": "nlvr"}, "examples.jsonl cannot be read"),
        ({}, "pairs.jsonl cannot be read"),
    ],
)
def test_options_of_the_command_are_checked(tmp_path, changes, message):
    given = {key: value for key, value in (USUAL | changes).items() if value is not None}
    options = [part for pair in given.items() for part in pair]
    with pytest.raises((ParameterError, DataError), match=re.escape(message)):
        filter_command(tmp_path, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_the_command_refuses_a_folder_that_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    options = [part for pair in USUAL.items() for part in pair]
    with pytest.raises(DataError, match="is not empty"):
        filter_command(tmp_path, "--out", tmp_path / "out", *options)
