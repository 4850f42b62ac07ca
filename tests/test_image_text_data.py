"""Image-text data: loaders on real files, what they refuse, and the way back."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybridcert.datasets.image_text import ImageTextPairs, Pair
from hybridcert.datasets.jsonl_pairs import read_jsonl_pairs, write_pairs
from hybridcert.datasets.mm_safetybench import read_mm_safetybench
from hybridcert.datasets.nlvr import read_nlvr
from hybridcert.errors import DataError, ParameterError

_SCRIPT = Path(__file__).resolve().parents[1] / "examples" / "remove_text" / "remove_text.py"


def grey(level, size=(6, 4)):
    return Image.new("L", size, level)


def noise(seed, shape=(5, 7, 3)):
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A JSON Lines file with two images in a subfolder."""
    (tmp_path / "img").mkdir()
    for number in range(2):
        Image.fromarray(noise(number)).save(tmp_path / "img" / f"{number}.png")
    lines = [
        {"id": "first", "text": "a cat", "image": "img/0.png", "label": "safe", "split": "dev"},
        {"id": 7, "text": "", "image": "img/1.png", "label": "unsafe", "split": "test"},
    ]
    write_lines(tmp_path / "data.jsonl", lines)
    return tmp_path


def write_lines(file, records):
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def test_pairs_are_read_with_everything_that_is_said_about_them(folder):
    pairs = read_jsonl_pairs(folder / "data.jsonl")
    assert pairs.ids == ("first", "7")
    assert pairs.labels == ("safe", "unsafe")
    assert pairs.meta == ({"split": "dev"}, {"split": "test"})
    assert pairs.inputs == {"text": ["a cat", ""], "image": [folder / "img/0.png", folder / "img/1.png"]}
    assert pairs.source == str(folder / "data.jsonl")


@pytest.mark.parametrize(
    ("index", "ids"),
    [
        (slice(1, None), ("7",)),
        ([1, 0], ("7", "first")),
        ([], ()),
        (np.array([True, False]), ("first",)),
        (np.array([1]), ("7",)),
    ],
)
def test_rows_keep_the_order_that_is_asked_for(folder, index, ids):
    pairs = read_jsonl_pairs(folder / "data.jsonl").rows(index)
    assert pairs.ids == ids
    assert len(pairs) == len(pairs.texts) == len(pairs.images) == len(pairs.labels) == len(pairs.meta)


def test_fields_can_have_other_names(folder):
    write_lines(
        folder / "other.jsonl", [{"key": 1, "caption": "x", "file": "0.png", "harm": 1, "label": "a note"}]
    )
    pairs = read_jsonl_pairs(
        folder / "other.jsonl",
        images=folder / "img",
        text_field="caption",
        image_field="file",
        label_field="harm",
        id_field="key",
        classes={0: "safe", 1: "unsafe"},
    )
    assert (pairs.ids, pairs.labels, pairs.meta) == (("1",), ("unsafe",), ({"label": "a note"},))


def test_without_ids_and_labels_lines_are_numbered(folder):
    (folder / "bare.jsonl").write_text(
        '\ufeff{"text": "a", "image": "img/0.png"}\n\n{"text": "b", "image": "img/1.png"}\n', encoding="utf-8"
    )
    pairs = read_jsonl_pairs(folder / "bare.jsonl")
    assert pairs.ids == ("1", "3")
    assert pairs.labels is None


GOOD = '{"id": 1, "text": "a", "image": "img/0.png", "label": "safe"}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + '{"id": 2, "text": "a", "image": \n', r"data\.jsonl, line 2: not valid JSON \(Expecting"),
        (GOOD + "[1]\n", r"line 2: must be a JSON object, got list"),
        (
            GOOD + '{"id": 2, "text": "a", "text": "b", "image": "img/0.png"}\n',
            r"line 2.*'text' occurs twice",
        ),
        (GOOD + '{"id": 2, "image": "img/0.png", "label": "safe"}\n', r"line 2: missing field 'text'; the"),
        (
            GOOD + '{"id": 2, "text": 5, "image": "img/0.png"}\n',
            r"line 2: field 'text' must be a string, got 5",
        ),
        (GOOD + '{"id": 2, "text": "a", "image": "no.png"}\n', r"line 2: there is no image file .*no\.png"),
        (GOOD + '{"id": 2, "text": "a", "image": "img/0.png"}\n', r"line 2: missing field 'label'"),
        (
            GOOD + '{"id": 2, "text": "a", "image": "img/0.png", "label": 0.5}\n',
            r"line 2: label must.*got 0\.5",
        ),
        (GOOD + '{"id": 2.5, "text": "a", "image": "img/0.png"}\n', r"line 2: field 'id' must.*got 2\.5"),
        (GOOD + GOOD, r"data\.jsonl: id '1' occurs twice, in pairs 0 and 1"),
        ("\n \n", r"holds no pairs"),
    ],
)
def test_broken_lines_are_named(folder, content, message):
    (folder / "data.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_jsonl_pairs(folder / "data.jsonl")
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_named(folder):
    (folder / "data.jsonl").write_bytes(GOOD.encode() + b'{"id": 2, "text": "\xff"}\n')
    with pytest.raises(DataError, match="line 2: not UTF-8 text"):
        read_jsonl_pairs(folder / "data.jsonl")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_jsonl_pairs(folder / "nothing.jsonl")


def test_a_label_without_a_name_is_refused(folder):
    with pytest.raises(DataError, match="line 1: label must be one of 0, 1, got 'safe'"):
        read_jsonl_pairs(folder / "data.jsonl", classes={0: "safe", 1: "unsafe"})


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(DataError, match="here: 2 ids, but texts has 1 entries"):
        ImageTextPairs(("a", "b"), ("x",), (grey(1), grey(2)), None, ({}, {}), "here")
    with pytest.raises(DataError, match="pair 'b' has no label"):
        ImageTextPairs.of(
            [Pair("a", "", grey(1), "safe", {}), Pair("b", "", grey(1), None, {})], source="here"
        )


def mixed(folder):
    """Pairs with every kind of image: file, PIL with palette, arrays of levels and of floats."""
    return ImageTextPairs.of(
        [
            Pair("file", "café \u2028", folder / "img/0.png", "safe", {"n": 1, "meta": {"deep": [1]}}),
            Pair("pil", "b", Image.fromarray(noise(3)).quantize(16), "unsafe", {}),
            Pair("cmyk", "b", Image.fromarray(noise(3)).convert("CMYK"), "unsafe", {}),
            Pair("grey", "c", noise(4, (3, 3)), "unsafe", {}),
            Pair("alpha", "c", noise(4, (3, 3, 4)), "unsafe", {}),
        ],
        source="mixed",
    )


def test_written_pairs_are_read_again_with_the_same_digest(folder, tmp_path):
    pairs = mixed(folder)
    file = write_pairs(pairs, tmp_path / "out")
    again = read_jsonl_pairs(tmp_path / "out")
    assert file == tmp_path / "out" / "pairs.jsonl"
    assert (again.ids, again.texts, again.labels, again.meta) == (
        pairs.ids,
        pairs.texts,
        pairs.labels,
        ({"n": 1, "meta": {"deep": [1]}}, {}, {}, {}, {}),
    )
    assert again.digest() == pairs.digest()
    assert again.images[0].read_bytes() == (folder / "img/0.png").read_bytes()
    np.testing.assert_array_equal(np.asarray(Image.open(again.images[3])), noise(4, (3, 3)))
    assert read_jsonl_pairs(write_pairs(again, tmp_path / "twice")).digest() == pairs.digest()


def test_the_digest_tells_pairs_apart_and_nothing_else(folder):
    pairs = read_jsonl_pairs(folder / "data.jsonl")
    a, b = pairs.images
    held = [np.asarray(Image.open(path)) for path in (a, b)]
    as_arrays = ImageTextPairs(pairs.ids, pairs.texts, tuple(held), pairs.labels, ({}, {}), "elsewhere")
    assert as_arrays.digest() == pairs.digest()
    changed = held[0].copy()
    changed[0, 0, 0] ^= 1
    others = [
        pairs.rows([1, 0]),
        pairs.rows([0]),
        ImageTextPairs(pairs.ids, pairs.texts, (changed, b), pairs.labels, pairs.meta, ""),
        ImageTextPairs(pairs.ids, pairs.texts, (a, b), None, pairs.meta, ""),
        ImageTextPairs(pairs.ids, ("a cat", " "), (a, b), pairs.labels, pairs.meta, ""),
        ImageTextPairs(
            pairs.ids, pairs.texts, (held[0].astype(float) / 255, b), pairs.labels, pairs.meta, ""
        ),
    ]
    assert len({pairs.digest(), *(other.digest() for other in others)}) == 1 + len(others)


def test_floats_are_written_without_loss_or_not_at_all(folder, tmp_path):
    exact = noise(5, (4, 4, 1)) / 255.0
    one = ImageTextPairs(("a",), ("",), (exact,), None, ({},), "floats")
    write_pairs(one, tmp_path / "exact")
    read = np.asarray(Image.open(read_jsonl_pairs(tmp_path / "exact").images[0]))
    np.testing.assert_array_equal(read / 255.0, exact[:, :, 0])
    finer = ImageTextPairs(("a",), ("",), (exact + 1e-4,), None, ({},), "floats")
    with pytest.raises(DataError, match="floats: pair 'a': an image must hold uint8 or multiples of 1/255"):
        write_pairs(finer, tmp_path / "finer")


def test_what_cannot_be_written_is_refused(folder, tmp_path):
    pairs = read_jsonl_pairs(folder / "data.jsonl")
    with pytest.raises(DataError, match="is not an empty folder"):
        write_pairs(pairs, folder)
    odd = ImageTextPairs(("a",), ("",), (grey(1),), None, ({"when": object()},), "odd")
    with pytest.raises(DataError, match="odd: pair 'a': meta cannot be written as JSON"):
        write_pairs(odd, tmp_path / "odd")
    write_pairs(pairs.rows([]), tmp_path / "none")
    with pytest.raises(DataError, match="holds no pairs"):
        read_jsonl_pairs(tmp_path / "none")


def test_damaged_images_are_named(folder):
    (folder / "img/0.png").write_bytes((folder / "img/0.png").read_bytes()[:60])
    (folder / "img/1.png").write_bytes(b"no image")
    pairs = read_jsonl_pairs(folder / "data.jsonl")
    with pytest.raises(DataError, match=r"pair 'first': .*(damaged|cannot be read)"):
        pairs.digest()
    with pytest.raises(DataError, match=r"pair '7': .*is no image that can be read"):
        pairs.rows([1]).digest()


def save_memes(folder, **changes):
    datasets = pytest.importorskip("datasets")
    columns = {
        "id": [1, 2],
        "img": [Image.fromarray(noise(1)), Image.fromarray(noise(2))],
        "text": ["so cute", "so mean"],
        "label": [0, 1],
        "source": ["x", "y"],
    } | changes
    features = datasets.Dataset.from_dict({k: v for k, v in columns.items() if k != "img"}).features
    embedded = not isinstance(columns["img"][0], str)
    features["img"] = datasets.Image() if embedded else datasets.Value("string")
    table = datasets.Dataset.from_dict(columns, features=features)
    table.save_to_disk(str(folder))
    return table


def test_a_saved_data_set_with_embedded_images(tmp_path):
    pytest.importorskip("datasets")
    from hybridcert.datasets.hf_pairs import read_hf_pairs

    save_memes(tmp_path / "memes")
    pairs = read_hf_pairs(tmp_path / "memes")
    assert (pairs.ids, pairs.labels) == (("1", "2"), ("safe", "unsafe"))
    assert pairs.texts == ("so cute", "so mean")
    assert pairs.meta == ({"source": "x"}, {"source": "y"})
    np.testing.assert_array_equal(np.asarray(pairs.images[1]), noise(2))
    assert read_jsonl_pairs(write_pairs(pairs, tmp_path / "out")).digest() == pairs.digest()


def test_a_saved_data_set_with_paths_splits_and_class_names(tmp_path):
    datasets = pytest.importorskip("datasets")
    from hybridcert.datasets.hf_pairs import read_hf_pairs

    table = save_memes(tmp_path / "single", img=["img/1.png", "img/2.png"])
    named = table.cast_column("label", datasets.ClassLabel(names=["fine", "hateful"]))
    datasets.DatasetDict({"dev": named, "test": named}).save_to_disk(str(tmp_path / "memes"))
    (tmp_path / "pictures" / "img").mkdir(parents=True)
    for number in (1, 2):
        Image.fromarray(noise(number)).save(tmp_path / "pictures" / "img" / f"{number}.png")
    pairs = read_hf_pairs(tmp_path / "memes", split="dev", images=tmp_path / "pictures", classes=None)
    assert pairs.labels == ("fine", "hateful")
    assert pairs.images == tuple(tmp_path / "pictures" / "img" / f"{n}.png" for n in (1, 2))
    bare = read_hf_pairs(tmp_path / "single", images=tmp_path / "pictures", label_column=None, id_column=None)
    assert (bare.ids, bare.labels) == (("0", "1"), None)
    with pytest.raises(DataError, match="holds the splits dev, test: name one"):
        read_hf_pairs(tmp_path / "memes", images=tmp_path / "pictures")
    with pytest.raises(DataError, match="no split 'train'; there are dev, test"):
        read_hf_pairs(tmp_path / "memes", split="train")
    with pytest.raises(DataError, match="holds a single data set: leave split out, got 'dev'"):
        read_hf_pairs(tmp_path / "single", split="dev")
    with pytest.raises(DataError, match=r"row 0: there is no image file .*single/img/1\.png"):
        read_hf_pairs(tmp_path / "single")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": [0, 5]}, "row 1: label must be one of 0, 1, got 5"),
        ({"text": ["a", None]}, "row 1: field 'text' must be a string, got None"),
        ({"id": [3, 3]}, "id '3' occurs twice"),
        ({"img": [{"bytes": b"\x89PNG no", "path": None}] * 2}, "row 0: the embedded image is no image"),
    ],
)
def test_broken_rows_of_a_saved_data_set_are_named(tmp_path, changes, message):
    pytest.importorskip("datasets")
    from hybridcert.datasets.hf_pairs import read_hf_pairs

    save_memes(tmp_path / "memes", **changes)
    with pytest.raises(DataError, match=message):
        read_hf_pairs(tmp_path / "memes")


def test_a_truncated_embedded_image_is_named_when_it_is_read(tmp_path):
    pytest.importorskip("datasets")
    from hybridcert.datasets.hf_pairs import read_hf_pairs

    buffer = io.BytesIO()
    Image.fromarray(noise(1, (40, 40, 3))).save(buffer, format="PNG")
    cut = {"bytes": buffer.getvalue()[:-900], "path": None}
    save_memes(tmp_path / "memes", img=[cut, cut])
    with pytest.raises(DataError, match="row 0: the image is damaged"):
        read_hf_pairs(tmp_path / "memes")


def test_folders_without_a_data_set_are_refused(tmp_path):
    pytest.importorskip("datasets")
    from hybridcert.datasets.hf_pairs import read_hf_pairs

    with pytest.raises(DataError, match="cannot be read as a saved data set"):
        read_hf_pairs(tmp_path)
    save_memes(tmp_path / "memes")
    with pytest.raises(DataError, match="missing column 'caption'; it has id"):
        read_hf_pairs(tmp_path / "memes", text_column="caption")


SCENARIO = "01-Illegal_Activitiy"


@pytest.fixture
def bench(tmp_path):
    """Two scenarios in the published layout; keys are out of order."""
    questions = tmp_path / "data" / "processed_questions"
    questions.mkdir(parents=True)
    for scenario, keys in ((SCENARIO, ("10", "2", "0")), ("02-HateSpeech", ("0",))):
        entries = {
            key: {
                "Question": f"q{key}",
                "Changed Question": f"c{key}",
                "Key Phrase": "a phrase",
                "Phrase Type": "activity",
                "Rephrased Question": f"written {key}",
                "Rephrased Question(SD)": f"shown {key}",
            }
            for key in keys
        }
        (questions / f"{scenario}.json").write_text(json.dumps(entries, indent=4), encoding="utf-8")
        for variant in ("SD", "SD_TYPO", "TYPO"):
            (tmp_path / "data" / "imgs" / scenario / variant).mkdir(parents=True)
            for key in keys:
                grey(len(variant) * 20).save(tmp_path / "data" / "imgs" / scenario / variant / f"{key}.jpg")
    return tmp_path


@pytest.mark.parametrize(("variant", "word"), [("SD", "shown"), ("SD_TYPO", "written"), ("TYPO", "written")])
def test_each_variant_has_the_text_of_the_published_protocol(bench, variant, word):
    pairs = read_mm_safetybench(bench, variant=variant)
    assert pairs.ids == (f"{SCENARIO}/0", f"{SCENARIO}/2", f"{SCENARIO}/10", "02-HateSpeech/0")
    assert pairs.texts == (f"{word} 0", f"{word} 2", f"{word} 10", f"{word} 0")
    assert pairs.images[2] == bench / "data" / "imgs" / SCENARIO / variant / "10.jpg"
    assert set(pairs.labels) == {"unsafe"}
    assert pairs.meta[1]["Question"] == "q2"
    assert pairs.meta[1]["scenario"] == SCENARIO
    chosen = read_mm_safetybench(bench, variant=variant, scenarios=["02-HateSpeech"])
    assert chosen.ids == ("02-HateSpeech/0",)


def test_what_is_wrong_with_the_bench_is_named(bench):
    file = bench / "data" / "processed_questions" / f"{SCENARIO}.json"
    with pytest.raises(ParameterError, match="variant must be one of SD, SD_TYPO, TYPO, got 'OCR'"):
        read_mm_safetybench(bench, variant="OCR")
    with pytest.raises(
        DataError, match="no scenario '03-Fraud'; there are 01-Illegal_Activitiy, 02-HateSpeech"
    ):
        read_mm_safetybench(bench, variant="SD", scenarios=["03-Fraud"])
    (bench / "data" / "imgs" / SCENARIO / "SD" / "2.jpg").unlink()
    with pytest.raises(DataError, match=r"key '2': there is no image file .*SD/2\.jpg"):
        read_mm_safetybench(bench, variant="SD")
    whole = file.read_text(encoding="utf-8")
    file.write_text(whole.replace("Rephrased Question(SD)", "Other"), encoding="utf-8")
    with pytest.raises(DataError, match=r"key '0': missing field 'Rephrased Question\(SD\)'; the fields are"):
        read_mm_safetybench(bench, variant="SD")
    file.write_text(whole[: whole.index("q2")], encoding="utf-8")
    with pytest.raises(DataError, match=r"Activitiy\.json: not valid JSON \(.*line 11\)"):
        read_mm_safetybench(bench, variant="SD")
    file.write_text('{"0": 1}', encoding="utf-8")
    with pytest.raises(DataError, match="key '0': must be a JSON object, got int"):
        read_mm_safetybench(bench, variant="SD")
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="hold no questions"):
        read_mm_safetybench(bench, variant="SD", scenarios=[SCENARIO])
    with pytest.raises(DataError, match="holds no scenarios"):
        read_mm_safetybench(bench / "data", variant="SD")


def write_nlvr(folder, **changes):
    grey(9).save(folder / "one.png")
    digest = hashlib.sha256((folder / "one.png").read_bytes()).hexdigest()
    record = {"identifier": "1-0", "sentence": "a box", "image": "one.png", "label": True} | {
        "image_sha256": digest
    }
    write_lines(folder / "examples.jsonl", [record | changes])


def test_nlvr_checks_the_digests_of_its_images(tmp_path):
    write_nlvr(tmp_path)
    assert read_nlvr(tmp_path).labels == ("true",)
    assert read_nlvr(tmp_path, classes={True: "unsafe", False: "safe"}).labels == ("unsafe",)
    grey(10).save(tmp_path / "one.png")
    with pytest.raises(DataError, match=r"line 1: .*one\.png' has SHA-256 .*, expected"):
        read_nlvr(tmp_path)
    write_nlvr(tmp_path, label=None)
    with pytest.raises(DataError, match="line 1: label must be"):
        read_nlvr(tmp_path)
    write_nlvr(tmp_path, image="two.png")
    with pytest.raises(DataError, match=r"line 1: there is no image file .*two\.png"):
        read_nlvr(tmp_path)
    (tmp_path / "examples.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="holds no examples"):
        read_nlvr(tmp_path)


def test_the_real_subset_of_nlvr(shared):
    folder = shared / "data" / "nlvr"
    if not folder.is_dir():
        pytest.skip(f"no NLVR at {folder}")
    pairs = read_nlvr(folder)
    assert len(pairs) == 600
    assert set(pairs.labels) == {"true", "false"}
    with Image.open(pairs.images[0]) as picture:
        assert pairs.meta[0]["size"] == list(picture.size)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("remove_text", _SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["remove_text"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["remove_text"]


@pytest.fixture
def album(tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    Image.fromarray(noise(1)).save(tmp_path / "in" / "a.png")
    Image.fromarray(noise(2)).save(tmp_path / "in" / "sub" / "b.jpg")
    return tmp_path


def negative(calls):
    """An editor that inverts an image, at half its size, and notes the seeds that it got."""

    def edit(picture, seed):
        calls.append(seed)
        small = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)))
        return Image.eval(small, lambda level: 255 - level)

    return edit


def test_removing_text_mirrors_the_folder_and_goes_on_where_it_was(script, album):
    calls, said = [], []
    settings = script.Settings()
    source, target = album / "in", album / "out"
    tally = script.edit_folder(source, target, negative(calls), settings, say=said.append)
    assert (tally.edited, tally.found, dict(tally.failed)) == (2, 0, {})
    with Image.open(target / "sub" / "b.jpg") as result:
        assert (result.format, result.size) == ("JPEG", (7, 5))
    first = (target / "a.png").read_bytes()
    (target / "a.png").unlink()
    again = script.edit_folder(source, target, negative(calls), settings, say=said.append)
    assert (again.edited, again.found) == (1, 1)
    assert (target / "a.png").read_bytes() == first
    assert calls[0] == calls[2] != calls[1]
    assert not list(target.rglob(".*"))


def test_an_image_that_fails_leaves_nothing_and_stops_nobody(script, album):
    (album / "in" / "broken.png").write_bytes(b"nothing")
    tally = script.edit_folder(album / "in", album / "out", negative([]), script.Settings(), say=[].append)
    assert tally.edited == 2
    assert set(tally.failed) == {"broken.png"}
    assert sorted(path.name for path in (album / "out").rglob("*.*")) == ["a.png", "b.jpg", script.SETTINGS]


def test_results_of_other_settings_are_not_mixed(script, album):
    source, target = album / "in", album / "out"
    script.edit_folder(source, target, negative([]), script.Settings(), say=[].append)
    with pytest.raises(ValueError, match="was begun with seed 0, got 1"):
        script.edit_folder(source, target, negative([]), script.Settings(seed=1), say=[].append)
    (target / script.SETTINGS).write_text("[", encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged"):
        script.begin(source, target, script.Settings())
    (target / script.SETTINGS).unlink()
    with pytest.raises(ValueError, match=r"is not empty and has no remove_text\.json"):
        script.begin(source, target, script.Settings())
    with pytest.raises(ValueError, match="lies in the folder of images"):
        script.begin(source, source / "out", script.Settings())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1"], "--seed must be an integer >= 0, got -1"),
        (["--steps", "0"], "--steps must be an integer >= 1, got 0"),
        (["--guidance", "nan"], "--guidance must be a finite number >= 0"),
        (["--area", "9"], "--area must be an integer >= 1024, got 9"),
        (["--prompt", " "], "--prompt must not be empty"),
    ],
)
def test_arguments_of_the_script_are_checked(script, album, capsys, arguments, message):
    with pytest.raises(SystemExit):
        script.main([str(album / "in"), str(album / "out"), *arguments])
    assert message in capsys.readouterr().err
    assert not (album / "out").exists()


def test_the_script_says_what_it_cannot_do(script, album, capsys):
    assert script.main([str(album / "none"), str(album / "out")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    (album / "empty").mkdir()
    assert script.main([str(album / "empty"), str(album / "out")]) == 2
    assert "holds no images" in capsys.readouterr().err
    script.edit_folder(album / "in", album / "out", negative([]), script.Settings(), say=[].append)
    assert script.main([str(album / "in"), str(album / "out")]) == 0
    assert capsys.readouterr().out.startswith("0 edited, 2 found, 0 failed")


def tiny_kontext(folder):
    """Save a Kontext pipeline of the real architecture with random weights; its tokenizers know letters."""
    import torch
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        FluxKontextPipeline,
        FluxTransformer2DModel,
    )
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTokenizer,
        T5Config,
        T5EncoderModel,
        T5TokenizerFast,
    )

    letters = "abcdefghijklmnopqrstuvwxyz"
    torch.manual_seed(0)
    (folder / "clip").mkdir(parents=True)
    pieces = [letter + end for letter in letters for end in ("", "</w>")]
    vocabulary = {
        piece: code for code, piece in enumerate(("<|startoftext|>", "<|endoftext|>", "!", *pieces))
    }
    (folder / "clip" / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "clip" / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    scored = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -5.0), ("▁", -1.0), *((x, -2.0) for x in letters)]
    FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(4,) * 4,
            latent_channels=1,
            norm_num_groups=1,
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.0609,
            scaling_factor=1.5035,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                hidden_size=32,
                intermediate_size=37,
                num_attention_heads=4,
                num_hidden_layers=1,
                vocab_size=99,
            )
        ),
        tokenizer=CLIPTokenizer(
            str(folder / "clip" / "vocab.json"), str(folder / "clip" / "merges.txt"), model_max_length=77
        ),
        text_encoder_2=T5EncoderModel(
            T5Config(vocab_size=99, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4)
        ),
        tokenizer_2=T5TokenizerFast(vocab=scored, extra_ids=0, model_max_length=512),
        transformer=FluxTransformer2DModel(
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ),
    ).save_pretrained(folder / "pipeline")
    return folder / "pipeline"


@pytest.mark.slow
def test_the_script_runs_a_pipeline_of_the_real_architecture(script, tmp_path, capsys):
    pytest.importorskip("diffusers")
    model = tiny_kontext(tmp_path)
    (tmp_path / "in").mkdir()
    Image.fromarray(noise(1, (32, 48, 3))).save(tmp_path / "in" / "a.png")
    options = [
        "--model",
        str(model),
        "--device",
        "cpu",
        "--dtype",
        "float32",
        "--steps",
        "1",
        "--area",
        "4096",
    ]
    pixels = []
    for out, seed in (("one", "0"), ("two", "0"), ("three", "1")):
        assert script.main([str(tmp_path / "in"), str(tmp_path / out), *options, "--seed", seed]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith("1 edited, 0 found, 0 failed")
        with Image.open(tmp_path / out / "a.png") as result:
            assert result.size == (48, 32)
            pixels.append(result.tobytes())
    assert pixels[0] == pixels[1] != pixels[2]


def test_without_the_library_its_data_sets_are_refused(tmp_path, monkeypatch):
    from hybridcert.datasets.hf_pairs import read_hf_pairs

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ParameterError, match=r"need the extra vlm: pip install 'hybridcert\[vlm\]'"):
        read_hf_pairs(tmp_path)
