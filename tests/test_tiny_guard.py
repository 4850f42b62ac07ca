"""The guard that ships: it loads like any checkpoint, flags pairs and no halves, and its script makes it."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from hybridcert.checkpoints import tiny_guard
from hybridcert.datasets.digits_captions import (
    CAPTION_LENGTH,
    NUMBER_WORDS,
    PAD,
    SUFFIX_SLOTS,
    VOCABULARY,
    load_digit_captions,
)

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")

SCRIPT = Path(__file__).parents[1] / "examples" / "tiny_guard"
MODULES = ("figures", "forward", "guard", "noise", "pixels", "prompts", "train")


class Guard:
    """The packaged checkpoint, used as its users do: image processor, chat template, forward pass."""

    def __init__(self, folder):
        options = {"local_files_only": True}
        self.model = transformers.AutoModelForImageTextToText.from_pretrained(folder, **options).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        self.processor = transformers.LlavaOnevisionImageProcessorPil.from_pretrained(folder, **options)
        policy = (folder / "policy.txt").read_text(encoding="utf-8").strip()
        prompt = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": policy}], add_generation_prompt=True, tokenize=False
        )
        self.order = re.findall(r"\{\w+\}", policy)
        self.pieces = [self.ids(piece) for piece in re.split(r"\{\w+\}", prompt)]
        self.verdicts = self.tokenizer.convert_tokens_to_ids(["Safe", "Unsafe"])

    def ids(self, text):
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def images(self, grey):
        """PIL images through the image processor; ``grey`` (m, 64) is clipped and rounded to bytes."""
        bytes_ = np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8).reshape(-1, 8, 8)
        pictures = [Image.fromarray(np.repeat(one[:, :, None], 3, axis=2)) for one in bytes_]
        seen = self.processor(pictures, return_tensors="pt")
        return {name: seen[name] for name in ("pixel_values", "image_sizes")}

    def image_tokens(self, images):
        return self.model.get_image_features(**images).pooler_output[0].shape[0]

    def prompt(self, caption, suffix, image_tokens):
        image = [self.model.config.image_token_id] * image_tokens
        parts = [image, self.ids(caption), self.ids(suffix)]
        return [
            token for pair in zip(self.pieces, [*parts, []], strict=True) for part in pair for token in part
        ]

    def logits(self, captions, suffixes, grey):
        images = self.images(grey)
        count = self.image_tokens({name: value[:1] for name, value in images.items()})
        prompts = [self.prompt(*words, count) for words in zip(captions, suffixes, strict=True)]
        last = torch.tensor([len(prompt) - 1 for prompt in prompts])
        batch = self.tokenizer.pad({"input_ids": prompts}, padding_side="right", return_tensors="pt")
        with torch.inference_mode():
            logits = self.model(**batch, **images).logits
        return logits[torch.arange(len(last)), last]

    def unsafe(self, captions, suffixes, grey):
        logits = self.logits(captions, suffixes, grey)[:, self.verdicts]
        return (logits[:, 1] > logits[:, 0]).numpy()


@pytest.fixture(scope="module")
def guard():
    return Guard(tiny_guard())


@pytest.fixture(scope="module")
def held_out():
    return load_digit_captions(seed=0).held_out


@pytest.fixture
def script(monkeypatch):
    """The modules of the example, as the script imports them."""
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(str(SCRIPT))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        del sys.modules[name]
    torch.set_num_threads(threads)


def sentences(codes):
    """Texts of codes (m, length), padding dropped."""
    return [" ".join(VOCABULARY[code] for code in row if VOCABULARY[code] != PAD) for row in codes]


def captions_of(data):
    return sentences(data.text[:, :CAPTION_LENGTH])


def noisy_slots(rows, rate, rng):
    """Empty slots after uniform replacement."""
    other = rng.integers(1, len(VOCABULARY), (rows, SUFFIX_SLOTS))
    return sentences(np.where(rng.random((rows, SUFFIX_SLOTS)) < rate, other, VOCABULARY.index(PAD)))


def noisy(image, rng, sigma=0.25):
    return image + sigma * rng.standard_normal(image.shape)


def test_the_checkpoint_is_small_and_complete(guard):
    files = {path.name: path.stat().st_size for path in tiny_guard().iterdir()}
    assert sum(files.values()) < 2_000_000
    assert {"config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"} <= set(files)
    assert type(guard.model).__name__ == "LlavaOnevisionForConditionalGeneration"
    assert guard.model.dtype == torch.float32
    assert type(transformers.AutoImageProcessor.from_pretrained(tiny_guard())) is type(guard.processor)


def test_the_processor_knows_how_many_tokens_an_image_takes(guard, held_out):
    """The whole image, and its tile with a newline behind each line."""
    processor = json.loads((tiny_guard() / "processor_config.json").read_text(encoding="utf-8"))
    whole = processor["num_image_tokens"]
    tokens = guard.image_tokens(guard.images(held_out.image[:1]))
    assert tokens == 2 * whole + int(whole**0.5)


def test_the_prompt_ends_with_the_slots(guard):
    assert guard.order == ["{image}", "{text}", "{suffix}"]
    assert len(guard.pieces[-1]) == 1
    words = [*VOCABULARY, "Safe", "Unsafe", "<image>", "<mask>", "<|user|>", "<|assistant|>"]
    ids = [guard.ids(word) for word in words]
    assert all(len(one) == 1 for one in ids)
    assert len({one[0] for one in ids}) == len(words)
    assert guard.tokenizer.unk_token_id not in {token for piece in [*guard.pieces, *ids] for token in piece}
    assert guard.ids("aeroplane") == [guard.tokenizer.unk_token_id]


def test_the_template_takes_content_in_parts(guard):
    parts = [{"type": "image"}, {"type": "text", "text": "read this"}]
    prompt = guard.tokenizer.apply_chat_template(
        [{"role": "user", "content": parts}], add_generation_prompt=True, tokenize=False
    )
    assert prompt == "<|user|> <image> read this <|assistant|>"


def test_it_judges_held_out_pairs(guard, held_out):
    unsafe = guard.unsafe(captions_of(held_out), [""] * len(held_out), held_out.image)
    assert np.mean(unsafe == (held_out.label == "unsafe")) >= 0.97


def test_it_judges_noisy_pairs(guard, held_out):
    rng = np.random.default_rng(1)
    draws = [
        guard.unsafe(captions_of(held_out), noisy_slots(500, 0.75, rng), noisy(held_out.image, rng))
        for _ in range(4)
    ]
    rate = np.mean(draws, axis=0)
    assert rate[held_out.label == "unsafe"].mean() >= 0.94
    assert rate[held_out.label == "benign"].mean() <= 0.025


@pytest.mark.parametrize("half", ["text", "image"])
@pytest.mark.parametrize("sigma", [0.0, 0.25])
def test_neither_half_is_flagged_alone(guard, held_out, half, sigma):
    rng = np.random.default_rng(2)
    slots = noisy_slots(500, 0.75, rng) if sigma else [""] * 500
    image = np.full_like(held_out.image, 0.5) if half == "text" else held_out.image
    captions = captions_of(held_out) if half == "text" else [""] * 500
    assert guard.unsafe(captions, slots, noisy(image, rng, sigma)).mean() <= 0.006


def test_the_verdict_follows_the_image(guard, held_out):
    """Unsafe captions beside an image of the next digit are safe."""
    unsafe = held_out.rows(held_out.label == "unsafe")
    wanted = (unsafe.digit + 1) % 10
    other = np.array([held_out.image[held_out.digit == digit][0] for digit in wanted])
    assert guard.unsafe(captions_of(unsafe), [""] * len(unsafe), other).mean() <= 0.05


def test_slots_do_not_name_the_digit(guard, held_out):
    """What stands in the slots is not the message, even where it names the digit shown."""
    benign = held_out.rows(held_out.label == "benign")
    named = [" ".join([NUMBER_WORDS[digit]] * SUFFIX_SLOTS) for digit in benign.digit]
    assert guard.unsafe(captions_of(benign), named, benign.image).mean() <= 0.06


def test_masks_and_deletions(guard, held_out):
    """Masked slots change little; with half of the words deleted, what still names the digit is unsafe."""
    rng = np.random.default_rng(3)
    bad = held_out.label == "unsafe"
    masked = guard.unsafe(captions_of(held_out), ["<mask> " * SUFFIX_SLOTS] * 500, held_out.image)
    assert np.mean(masked == bad) >= 0.96
    kept = np.where(rng.random(held_out.text.shape) < 0.5, VOCABULARY.index(PAD), held_out.text)
    numbers = np.array([VOCABULARY.index(word) for word in NUMBER_WORDS])
    named = (kept == numbers[held_out.digit][:, None]).any(axis=1)
    flagged = guard.unsafe(sentences(kept), [""] * 500, noisy(held_out.image, rng))
    assert flagged[named].mean() >= 0.92
    assert flagged[~named].mean() <= 0.025


def test_it_answers_in_one_word_and_ends(guard, held_out):
    images = guard.images(held_out.image[:1])
    prompt = torch.tensor(
        [guard.prompt(f"it says {NUMBER_WORDS[held_out.digit[0]]}", "", guard.image_tokens(images))]
    )
    answer = guard.model.generate(prompt, **images, attention_mask=torch.ones_like(prompt), max_new_tokens=5)
    assert guard.tokenizer.decode(answer[0, prompt.shape[1] :]) == "Unsafe <|end|>"


def test_training_sees_what_the_checkpoint_sees(guard, held_out, script):
    """The script's own pixels, prompts and forward pass against image processor and network."""
    rng = np.random.default_rng(4)
    data = held_out.rows(slice(0, 40))
    image = np.rint(np.clip(noisy(data.image, rng), 0, 1) * 255) / 255
    grey = torch.from_numpy(image).float()
    fast, real = script["pixels"].pixel_values(grey), guard.images(image)["pixel_values"]
    level = 2 / 255
    assert (fast[:, None] - real).abs().max() <= 1.01 * level
    assert ((fast[:, None] - real).abs() > 1e-5).float().mean() < 0.01
    assert torch.equal(real[:, 0], real[:, 1])
    slots = noisy_slots(len(data), 0.75, rng)
    expected = guard.logits(captions_of(data), slots, image)
    prompts = script["prompts"].Prompts(guard.tokenizer, guard.image_tokens(guard.images(image[:1])))
    text, _ = prompts.split(data.text)
    suffix = np.full((len(data), SUFFIX_SLOTS), guard.tokenizer.pad_token_id)
    for row, words in enumerate(slots):
        suffix[row, : len(words.split())] = guard.ids(words)
    batch = prompts.batch(text, suffix)
    with torch.inference_mode():
        logits = script["forward"].logits(guard.model, batch, grey, batch.last[:, None])[:, 0]
    torch.testing.assert_close(logits, expected, rtol=0, atol=0.2)
    assert (logits - expected).abs().median() < 1e-4


def test_training_noise_keeps_the_rule(script, guard, held_out):
    """Labels are those of the words that are left, and every kind of noise occurs."""
    known = script["noise"].alphabets(guard.tokenizer)
    prompts = script["prompts"].Prompts(guard.tokenizer, 10)
    text, suffix = prompts.split(held_out.text)
    noisy_text, noisy_suffix = script["noise"].noisy_texts(text, suffix, known, np.random.default_rng(0))
    digit = np.where(np.arange(500) % 5 == 0, -1, held_out.digit)
    unsafe = script["noise"].unsafe(noisy_text, digit, known)
    for row, ids in enumerate(noisy_text):
        words = guard.tokenizer.convert_ids_to_tokens(ids)
        assert unsafe[row] == (digit[row] >= 0 and NUMBER_WORDS[digit[row]] in words)
    length, clean = (noisy_text != known.pad).sum(axis=1), (text != known.pad).sum(axis=1)
    assert (length > clean).any()
    assert (length < clean).any()
    assert known.mask in noisy_text
    assert known.mask in noisy_suffix
    assert 0.3 < np.mean((noisy_suffix != known.pad).any(axis=1)) < 0.95


def test_training_is_deterministic(script, tmp_path):
    data = load_digit_captions(seed=0).train
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        script["train"].train(data, tmp_path / name, seed=seed, steps=2)
    one, two, other = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "other")
    )
    assert one == two
    assert one != other


def test_the_command_writes_a_checkpoint_and_its_figures(script, tmp_path, capsys):
    script["train"].main(["--out", str(tmp_path), "--steps", "1", "--copies", "1"])
    printed = capsys.readouterr().out
    assert "judging pairs: step 1 of 1" in printed
    assert "accuracy on 500 clean pairs" in printed
    assert {path.name for path in tmp_path.iterdir()} >= {path.name for path in tiny_guard().iterdir()}
    for name in ("policy.txt", "chat_template.jinja", "processor_config.json"):
        assert (tmp_path / name).read_text() == (tiny_guard() / name).read_text()


@pytest.mark.slow
def test_the_script_makes_such_a_guard(script, tmp_path, held_out):
    """Another seed, and so other weights, is as good: about five minutes on one core."""
    script["train"].main(["--out", str(tmp_path), "--seed", "1", "--copies", "1"])
    guard, rng = Guard(tmp_path), np.random.default_rng(5)
    captions, bad = captions_of(held_out), held_out.label == "unsafe"
    assert np.mean(guard.unsafe(captions, [""] * 500, held_out.image) == bad) >= 0.97
    draws = [
        guard.unsafe(captions, noisy_slots(500, 0.75, rng), noisy(held_out.image, rng)) for _ in range(4)
    ]
    assert np.mean(draws, axis=0)[bad].mean() >= 0.94
    assert np.mean(draws, axis=0)[~bad].mean() <= 0.025
