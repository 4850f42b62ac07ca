"""torch modules behind the seam: inputs, calls, outputs, batches, pickles, certificates."""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import hybridcert as hc
from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.torch_image import TorchClassifier
from hybridcert.errors import DataError, ModelError, ParameterError
from hybridcert.sampling.model_digest import model_digest
from hybridcert.threats import ContinuousSurface, DiscreteSurface

torch = pytest.importorskip("torch")

CANVAS = Canvas(4, 6, 3)
NUMBERS = ContinuousSurface(5, tuple(range(5)), "units")
SLOTS = DiscreteSurface((7, 7, 3), (0, 1, 2))
TEXT = DiscreteSurface((9,) * 6, tuple(range(6)), sequence=True)


class Both(torch.nn.Module):
    """Reads an image, numbers and codes, and remembers what it was given."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = torch.nn.Embedding(9, 4)
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(72 + 5 + 4, 3)
        self.seen = []

    def forward(self, *, image, numeric, tokens):
        self.seen.append({"image": image, "numeric": numeric, "tokens": tokens})
        words = self.embed(tokens.clamp(min=0)) * (tokens >= 0)[..., None]
        features = torch.cat([image.flatten(1), numeric, words.sum(1).to(image.dtype)], dim=1)
        return self.head(self.drop(features))


def rows(m: int, seed: int = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {
        "image": draw.random((m, 4, 6, 3)),
        "numeric": draw.normal(size=(m, 5)),
        "tokens": draw.integers(0, 3, size=(m, 3)),
    }


def both(**options) -> TorchClassifier:
    return TorchClassifier(
        Both(), classes=["a", "b", "c"], image=CANVAS, numeric=NUMBERS, tokens=SLOTS, **options
    )


def linear(outputs: int = 2, seed: int = 0):
    torch.manual_seed(seed)
    return torch.nn.Linear(5, outputs)


def numeric(module, classes=(0, 1), **options) -> TorchClassifier:
    return TorchClassifier(module, classes=classes, numeric=NUMBERS, **options)


# inputs and calls


def test_several_modalities_are_named_and_have_the_shapes_torch_users_expect():
    classifier = both()
    assert set(classifier.surfaces()) == {"image", "numeric", "tokens"}
    X = rows(3)
    batch = classifier.encode(X)
    answers = classifier.predict_encoded(batch)
    seen = classifier.module.seen[0]
    assert (seen["image"].shape, seen["image"].dtype) == ((3, 3, 4, 6), torch.float32)
    assert torch.equal(seen["image"], torch.tensor(X["image"], dtype=torch.float32).permute(0, 3, 1, 2))
    assert torch.equal(seen["numeric"], torch.tensor(X["numeric"], dtype=torch.float32))
    assert seen["tokens"].dtype == torch.int64
    with torch.no_grad():
        expected = classifier.module.eval()(**seen).argmax(1)
    assert answers.tolist() == expected.tolist()


def test_one_modality_goes_by_position_and_names_can_be_given():
    X = rows(6)["numeric"]
    module = linear()
    positional = numeric(module)
    expected = module(torch.tensor(X, dtype=torch.float32)).argmax(1).tolist()
    assert positional.predict_encoded(positional.encode(X)).tolist() == expected
    named = numeric(module, arguments={"numeric": "input"})
    assert named.predict_encoded(named.encode({"numeric": X})).tolist() == expected
    other = numeric(module, arguments={"numeric": "features"})
    with pytest.raises(TypeError, match="features"):
        other.predict_encoded(other.encode(X))


def test_noisy_pixels_are_neither_clipped_nor_reordered():
    seen = []

    class Asked(torch.nn.Module):
        def forward(self, images):
            seen.append(images)
            return images.flatten(1)[:, :2]

    classifier = TorchClassifier(Asked(), classes=[0, 1], image=CANVAS)
    noisy = np.random.default_rng(0).normal(0.5, 2.0, (4, CANVAS.features))
    answers = classifier.predict_encoded({"image": noisy})
    assert np.array_equal(seen[0].numpy(), noisy.astype(np.float32).reshape(4, 3, 4, 6))
    assert answers.tolist() == (noisy[:, 1] > noisy[:, 0]).astype(int).tolist()


def test_a_front_sees_float32_and_the_module_its_own_type():
    seen = []

    def front(images):
        seen.append((images.shape, images.dtype))
        return 1 - images

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, 2)).double()
    plain = TorchClassifier(module, classes=[0, 1], image=CANVAS)
    fronted = TorchClassifier(module, classes=[0, 1], image=CANVAS, front=front)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 72)) / 256
    assert np.array_equal(
        fronted.predict_encoded({"image": pixels}), plain.predict_encoded({"image": 1 - pixels})
    )
    assert seen == [((20, 3, 4, 6), torch.float32)]


def test_tables_name_their_rows_in_errors():
    X = rows(2)
    table = pd.DataFrame({name: list(values) for name, values in X.items()}, index=["first", "second"])
    classifier = both()
    for name, array in classifier.encode(X).items():
        assert np.array_equal(classifier.encode(table)[name], array)
    table.at["second", "numeric"] = np.array([1.0, np.inf, 0, 0, 0])
    with pytest.raises(DataError, match="row 'second': numeric must be finite, got inf"):
        classifier.encode(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numeric": np.zeros((2, 4))}, r"row 0: numeric must have shape \(5,\), got \(4,\)"),
        ({"numeric": [["x"] * 5] * 2}, "row 0: numeric must hold numbers"),
        ({"tokens": [[0, 1, 2], [0, 1, 3]]}, r"row 1, position 2: code must be in \[0, 2\], got 3"),
        ({"tokens": [[0, -1, 2]] * 2}, r"row 0, position 1: code must be in \[0, 6\], got -1"),
        ({"tokens": [[0, 1]] * 2}, r"row 0: tokens must be 3 integers, got shape \(2,\)"),
        ({"tokens": np.zeros((2, 3))}, "row 0: tokens must be 3 integers, got shape .* of float64"),
        ({"image": np.full((2, 4, 6, 3), 1.5)}, r"row 0: pixel values must be in \[0, 1\], got 1.5"),
        ({"numeric": np.zeros((3, 5))}, "must have as many rows as one another"),
        ({"extra": [1, 2]}, "inputs must have image, numeric, tokens, got extra, image"),
    ],
)
def test_broken_inputs_are_named(change, message: str):
    with pytest.raises(DataError, match=message):
        both().encode(rows(2) | change)


def test_inputs_that_are_no_mapping_are_refused():
    for X in (np.zeros((2, 5)), "text", 3):
        with pytest.raises(DataError, match="must be a mapping or table with image, numeric, tokens"):
            both().encode(X)


def test_sequences_of_any_length_are_padded():
    classifier = TorchClassifier(torch.nn.Linear(6, 2), classes=[0, 1], tokens=TEXT)
    codes = classifier.encode([[1, 2, 3], [], [8, -1, -1]])["tokens"]
    assert codes.tolist() == [[1, 2, 3], [-1, -1, -1], [8, -1, -1]]
    with pytest.raises(DataError, match="row 0: tokens must be at most 6 integers"):
        classifier.encode([[0] * 7])
    with pytest.raises(DataError, match=r"row 0, position 1: code must be in \[0, 8\], got -1"):
        classifier.encode([[0, -1, 3]])


# outputs


def answering(output) -> TorchClassifier:
    """A module that says the same about every batch."""

    class Says(torch.nn.Module):
        def forward(self, x):
            return output

    return numeric(Says())


@pytest.mark.parametrize(
    ("output", "answers"),
    [
        (torch.tensor([[0.1, 0.2], [0.5, 0.5]]), [1, 0]),  # the first of equal ones
        (torch.tensor([[-0.1], [0.1]]), [0, 1]),
        (torch.tensor([0.0, 0.1]), [0, 1]),
        (SimpleNamespace(logits=torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.bfloat16)), [0, 1]),
        (torch.tensor([[-torch.inf, -torch.inf], [-torch.inf, 0.0]]), [0, 1]),
    ],
)
def test_scores_become_answers(output, answers):
    assert answering(output).predict_encoded({"numeric": np.zeros((2, 5))}).tolist() == answers


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(2, 3), r"must return scores of shape \(2, 2\), got \(2, 3\)"),
        (torch.zeros(1, 2), r"must return scores of shape \(2, 2\), got \(1, 2\)"),
        (torch.tensor([[0.0, torch.nan], [0, 0]]), "answered with NaN"),
        ("safe", "must return scores or logits, got str"),
    ],
)
def test_unreadable_outputs_are_errors(output, message: str):
    with pytest.raises(ModelError, match=message):
        answering(output).predict_encoded({"numeric": np.zeros((2, 5))})


# batches, types, devices


def test_batches_change_nothing():
    batch = both().encode(rows(50))
    expected = both(batch_size=50).predict_encoded(batch)
    for size in (1, 7, 49, 1000):
        assert np.array_equal(both(batch_size=size).predict_encoded(batch), expected)
    assert both().predict_encoded({name: array[:0] for name, array in batch.items()}).size == 0


def test_padded_batches_give_every_pass_one_shape_and_equal_scores():
    scores = []

    class Kept(torch.nn.Linear):
        def forward(self, x):
            scores.append(super().forward(x))
            return scores[-1]

    torch.manual_seed(0)
    module = Kept(5, 2)
    X = np.random.default_rng(0).normal(size=(11, 5))
    classifier = numeric(module, batch_size=8, pad_batches=True)
    whole = classifier.predict_encoded({"numeric": X})
    together = torch.cat([scores[0], scores[1][:3]])
    scores.clear()
    alone = [classifier.predict_encoded({"numeric": X[i : i + 1]})[0] for i in range(11)]
    assert {part.shape for part in scores} == {(8, 2)}
    assert torch.equal(torch.cat([part[:1] for part in scores]), together)
    assert whole.tolist() == alone


def test_dropout_is_off_and_the_own_module_keeps_its_type():
    module = Both()
    classifier = TorchClassifier(
        module, classes=[0, 1, 2], image=CANVAS, numeric=NUMBERS, tokens=SLOTS, dtype="float64"
    )
    batch = classifier.encode(rows(40))
    assert np.array_equal(classifier.predict_encoded(batch), classifier.predict_encoded(batch))
    assert module.head.weight.dtype == torch.float32
    copied = classifier._loaded
    assert copied.seen[0]["image"].dtype == torch.float64


def test_threads_are_set_where_the_module_is_loaded():
    before = torch.get_num_threads()
    classifier = numeric(linear(), threads=before + 1)
    assert torch.get_num_threads() == before
    try:
        classifier.load()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


# pickles and digests


class Recurrent(torch.nn.Module):
    """Shared weights, buffers of several types, a recurrent layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = torch.nn.Linear(5, 4), torch.nn.BatchNorm1d(4)
        self.recurrent = torch.nn.LSTM(4, 4, batch_first=True)
        self.last = torch.nn.Linear(4, 2, bias=False).to(torch.bfloat16)
        self.shared = self.first
        for name in ("b", "a", "c"):
            self.register_buffer(name, torch.arange(3), persistent=False)
        self.register_buffer("empty", torch.empty(0, 2, dtype=torch.float16))

    def forward(self, x):
        hidden = self.norm(self.shared(x))
        return self.last(self.recurrent(hidden[:, None])[0][:, 0].to(torch.bfloat16))


def test_pickles_carry_the_weights_and_shared_ones_stay_shared():
    classifier = numeric(Recurrent())
    X = {"numeric": np.random.default_rng(0).normal(size=(30, 5))}
    expected = classifier.predict_encoded(X)
    assert 0 < expected.sum() < 30
    other = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(other.predict_encoded(X), expected)
    assert other.module.shared is other.module.first
    assert other.module.last.weight.dtype == torch.bfloat16
    assert other.module.empty.shape == (0, 2)
    for name, tensor in classifier.module.state_dict().items():
        assert torch.equal(other.module.state_dict()[name], tensor)


def test_equal_weights_have_one_digest_in_every_process():
    code = (
        "from test_torch_image import Recurrent, numeric\n"
        "from hybridcert.sampling.model_digest import model_digest\n"
        "print(model_digest(numeric(Recurrent())))\n"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout.strip()
    classifier = numeric(Recurrent())
    digest = model_digest(classifier)
    assert digest == elsewhere
    classifier.predict_encoded({"numeric": np.zeros((1, 5))})
    assert model_digest(classifier) == digest
    with torch.no_grad():
        classifier.module.first.bias[0] += 1e-6
    assert model_digest(classifier) != digest


def test_a_function_is_called_in_every_process():
    X = {"numeric": np.random.default_rng(0).normal(size=(30, 5))}
    described = numeric(functools.partial(linear, seed=5))
    assert len(pickle.dumps(described)) < 1500
    expected = numeric(linear(seed=5)).predict_encoded(X)
    assert np.array_equal(pickle.loads(pickle.dumps(described)).predict_encoded(X), expected)
    with pytest.raises(ModelError, match=r"module\(\) must return a torch.nn.Module, got list"):
        numeric(list).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"module": torch.nn.Linear}, "module must be a torch.nn.Module or a function"),
        ({"module": "weights.pt"}, "module must be a torch.nn.Module or a function"),
        ({"classes": ["a"]}, "classes must list at least two distinct labels"),
        ({"classes": ["a", "a"]}, "classes must list at least two distinct labels"),
        ({"numeric": None}, "pass image=, numeric= or tokens="),
        ({"numeric": 5}, "numeric must be a ContinuousSurface or None, got 5"),
        ({"arguments": {"image": "x"}}, "arguments must name numeric, got"),
        ({"front": abs}, "front works on images"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"threads": 0}, "threads must be"),
    ],
)
def test_parameters_are_checked(options, message: str):
    given = {"module": linear(), "classes": [0, 1], "numeric": NUMBERS} | options
    with pytest.raises(ParameterError, match=message):
        TorchClassifier(given.pop("module"), **given)


# a certificate


class Pair(torch.nn.Module):
    """Unsafe where the code that is named agrees with the sign of the first number."""

    def forward(self, numeric, tokens):
        agrees = (tokens == 1).float().sum(1) - 1.5
        score = agrees * numeric[:, 0]
        return torch.stack([-score, score], dim=1)


def certified_pairs(executor: object = None) -> hc.CertificationRun:
    classifier = TorchClassifier(
        Pair(),
        classes=["safe", "unsafe"],
        numeric=ContinuousSurface(1, (0,), "units"),
        tokens=DiscreteSurface((2, 2, 2), (0, 1, 2)),
    )
    smoothed = hc.SmoothedClassifier(
        classifier, noise={"numeric": hc.GaussianNoise(0.5), "tokens": hc.UniformReplacement(0.2)}
    )
    X = {"numeric": np.array([[2.0], [-2.0]]), "tokens": np.array([[1, 1, 1], [0, 0, 0]])}
    return smoothed.certify(
        X,
        threat=hc.Substitution(1),
        samples=500,
        alpha=0.01,
        threshold=0.3,
        label="unsafe",
        seed=1,
        executor=executor,
    )


def test_numbers_and_codes_are_certified_together():
    frame = certified_pairs().frame()
    assert frame["certified"].all()
    assert (frame["radius"][2:].to_numpy() > 0).all()
    assert (frame["radius"][2:].to_numpy() < frame["radius"][:2].to_numpy()).all()


@pytest.mark.slow
def test_worker_processes_count_the_same():
    assert np.array_equal(certified_pairs(hc.Processes(1)).counts, certified_pairs().counts)


def test_a_linear_reader_of_images_agrees_with_scikit_learn():
    draw = np.random.default_rng(0)
    canvas = Canvas(4, 4, 1)
    X = draw.random((200, 4, 4))
    y = (X[:, :2].sum(axis=(1, 2)) > X[:, 2:].sum(axis=(1, 2))).astype(int)
    fitted = LogisticRegression(C=100).fit(X.reshape(200, 16), y)
    layer = torch.nn.Linear(16, 1).double()
    layer.weight.data[:], layer.bias.data[:] = map(torch.from_numpy, (fitted.coef_, fitted.intercept_))
    classifier = TorchClassifier(torch.nn.Sequential(torch.nn.Flatten(), layer), classes=[0, 1], image=canvas)
    noisy = (X + draw.normal(0, 0.3, X.shape)).reshape(200, 16)
    assert np.array_equal(classifier.predict_encoded({"image": noisy}), fitted.predict(noisy))
