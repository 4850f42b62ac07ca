"""Endpoints: the same request for the same draw, every answer counted, every fault named."""

from __future__ import annotations

import email.utils
import importlib.util
import json
import math
import pickle
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx", reason="needs the extra endpoint")
pytest.importorskip("PIL", reason="needs the extra endpoint")

import hybridcert as hc
from endpoint_checkpoint import PROMPT, SERVE_NEEDS, ServeProcess, name_processor, serve_process
from endpoint_server import DROP, MODEL, Behaviour, Fault, free_port, said, server_process, serving, shown
from hybridcert.adapters.canvas import Canvas
from hybridcert.adapters.endpoint import EndpointClassifier, ServingStack, client
from hybridcert.adapters.endpoint.verdict import (
    SAFE,
    UNREADABLE,
    UNSAFE,
    ByLogprobs,
    ByText,
    Spellings,
    decision_of,
)
from hybridcert.adapters.image_text import ImageTextInputs, SuffixSlots, WholePrompt
from hybridcert.adapters.policy import Policy
from hybridcert.adapters.word_alphabet import WordAlphabet
from hybridcert.checkpoints import tiny_guard
from hybridcert.datasets.digits_captions import SUFFIX_SLOTS, VOCABULARY, load_digit_captions
from hybridcert.errors import ConfigError, HybridCertError, ModelError, ParameterError, RunMismatchError
from hybridcert.sampling.engine import Retries
from hybridcert.sampling.executors.processes import Processes
from hybridcert.sampling.model_digest import model_digest
from hybridcert.sampling.store import read_counts

WORDS = ("here", "is", "how", "now", "sure")
CANVAS = Canvas(4, 6, 1)
PLAIN = "{image} {text} {suffix}"
BRIGHT, DARK = np.full((4, 6), 0.9), np.full((4, 6), 0.1)
PAIRS = {
    "text": ["make a bomb", "make a bomb", "bake a cake", "bake a cake"],
    "image": [BRIGHT, DARK, BRIGHT, DARK],
    "suffix": ["", "sure here", "", "how"],
}
EXPECTED = [UNSAFE, SAFE, SAFE, SAFE]
SPELLINGS = Spellings.of({"safe": ["Safe"], "unsafe": ["Unsafe"]})
SECRET = "sk-do-not-tell-0123456789"


def slots(*, canvas: Canvas | None = CANVAS, count: int = 3, mask: str | None = None) -> ImageTextInputs:
    return ImageTextInputs(SuffixSlots(count), WordAlphabet(WORDS, mask=mask), canvas)


def guard(url: str, **changes: Any) -> EndpointClassifier:
    given: dict[str, Any] = {"inputs": slots(), "policy": PLAIN, "timeout": 10.0} | changes
    return EndpointClassifier(url, MODEL, **given)


def smoothed(classifier: EndpointClassifier) -> hc.SmoothedClassifier:
    return hc.SmoothedClassifier(
        classifier, noise={"suffix": hc.UniformReplacement(0.5), "image": hc.GaussianNoise(0.25)}
    )


def certified(classifier: EndpointClassifier, X: Any = PAIRS, **changes: Any) -> hc.CertificationRun:
    given = {"samples": 40, "selection_samples": 10, "alpha": 0.05, "seed": 3, "threshold": 0.5}
    return smoothed(classifier).certify(X, threat=hc.Substitution(1), **(given | changes))


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def url(behaviour: Behaviour) -> Iterator[str]:
    with serving(behaviour) as address:
        yield address


@pytest.fixture(scope="module", autouse=True)
def _starting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess | None]:
    """A `transformers serve` process, begun before the first test, for it takes a while to get ready."""
    if any(importlib.util.find_spec(name) is None for name in SERVE_NEEDS):
        yield None
        return
    with serve_process(tmp_path_factory.mktemp("serve")) as process:
        yield process


@pytest.fixture
def served(_starting: ServeProcess | None) -> ServeProcess:
    if _starting is None:
        pytest.skip(f"transformers serve needs {', '.join(SERVE_NEEDS)}")
    _starting.wait()
    return _starting


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT", 0.01)


# what is asked


def test_every_field_that_makes_answers_repeatable_is_sent(url: str, behaviour: Behaviour) -> None:
    classifier = guard(url, seed=7, extra={"repetition_penalty": 1.0})
    batch = classifier.encode({name: values[:1] for name, values in PAIRS.items()})
    batch["image"] = np.linspace(-0.5, 1.5, 24)[None]
    classifier.predict_encoded(batch)
    request = json.loads(behaviour.bodies[-1])
    parts = request.pop("messages")
    assert request == {
        "model": MODEL,
        "temperature": 0,
        "top_p": 1,
        "n": 1,
        "stream": False,
        "seed": 7,
        "max_tokens": 1,
        "logprobs": True,
        "top_logprobs": 20,
        "repetition_penalty": 1.0,
    }
    assert [part["type"] for part in parts[0]["content"]] == ["image_url", "text"]
    assert said({"messages": parts}) == " make a bomb "
    expected = np.rint(np.clip(batch["image"][0], 0, 1) * 255).reshape(4, 6)
    np.testing.assert_array_equal(shown({"messages": parts}), expected)


def test_colours_keep_their_places(url: str, behaviour: Behaviour) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 3, 3), dtype=np.uint8)
    classifier = guard(url, inputs=slots(canvas=Canvas(5, 3)))
    classifier.predict_encoded(classifier.encode({"text": ["a"], "image": [picture]}))
    np.testing.assert_array_equal(shown(json.loads(behaviour.bodies[-1])), picture)


@pytest.mark.parametrize("decision", ["logprobs", "text"])
def test_answers_keep_the_order_of_rows_whatever_order_they_come_back_in(
    url: str, behaviour: Behaviour, decision: str
) -> None:
    behaviour.delay = lambda request: 0.03 * (len(behaviour.bodies) % 3)
    classifier = guard(url, decision=decision, concurrency=8, block_copies=10)
    rows = np.random.default_rng(1).integers(0, 4, 37)
    batch = {name: values[rows] for name, values in classifier.encode(PAIRS).items()}
    answers = classifier.predict_encoded(batch)
    assert answers.tolist() == [EXPECTED[row] for row in rows]
    assert classifier.classes_.tolist() == ["safe", "unsafe", "unreadable"]
    assert len(behaviour.bodies) == 1 + 37  # equal rows are asked one by one


def test_requests_are_concurrent_but_not_more_than_allowed(url: str, behaviour: Behaviour) -> None:
    running, most = [0], [0]

    def delay(request: dict[str, Any]) -> float:
        with behaviour.lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.05)
        with behaviour.lock:
            running[0] -= 1
        return 0.0

    behaviour.delay = delay
    classifier = guard(url, concurrency=3)
    classifier.predict_encoded({n: np.repeat(v, 3, axis=0) for n, v in classifier.encode(PAIRS).items()})
    assert most[0] == 3


def test_slots_are_spelled_without_the_empty_ones_and_with_the_mask(url: str, behaviour: Behaviour) -> None:
    classifier = guard(url, inputs=slots(canvas=None, mask="[?]"))
    batch = classifier.encode({"text": ["say  {suffix}\n now"], "suffix": ["sure how"]})
    batch["suffix"] = np.array([[len(WORDS) + 1, len(WORDS), 2]])
    classifier.predict_encoded(batch)
    content = json.loads(behaviour.bodies[-1])["messages"][0]["content"]
    assert content == "say  {suffix}\n now [?] how".join([" ", ""])


@pytest.mark.parametrize("words", [None, ("make", "a", "bomb", "now")])
def test_whole_prompts_are_words_joined_by_single_spaces(
    url: str, behaviour: Behaviour, words: tuple[str, ...] | None
) -> None:
    mask = None if words is None else "[?]"
    inputs = ImageTextInputs(WholePrompt(5), WordAlphabet(words, mask=mask), None)
    classifier = guard(url, inputs=inputs, policy="> {image}{text} <")
    batch = classifier.encode({"text": ["make  a\tbomb", "a"]})
    assert classifier.predict_encoded(batch).tolist() == [UNSAFE, SAFE]
    asked = {said(json.loads(body)) for body in behaviour.bodies[1:]}
    assert asked == {"> make a bomb <", "> a <"}


def test_deleting_words_is_certified_against_insertions_anywhere(url: str) -> None:
    inputs = ImageTextInputs(WholePrompt(13), WordAlphabet(), None)
    model = hc.SmoothedClassifier(
        guard(url, inputs=inputs, policy="{text}"), noise={"text": hc.RandomDeletion(0.75)}
    )
    texts = {"text": ["bomb " * 12, "bake a cake"]}
    run = model.certify(
        texts, threat=hc.Insertion(1), samples=60, alpha=0.05, seed=1, threshold=0.5, selection_samples=20
    )
    assert list(run.predictions) == ["unsafe", "safe"]
    assert run.certified(d=1, eps=0.0).all()


# what is answered


@pytest.mark.parametrize(
    ("shares", "answer"),
    [
        ({"Safe": 0.4, "Unsafe": 0.5}, UNSAFE),
        ({"Unsafe": 0.4, "Safe": 0.3, " Safe": 0.15}, SAFE),
        ({"Unsafe": 0.4, "safe": 0.2, "SAFE": 0.2, "▁Safe": 0.05}, SAFE),
        ({"Un": 0.6, "S": 0.3}, UNREADABLE),
        ({"Unsafely": 0.6, "Safe": 1e-9}, SAFE),
        ({"Safe": 0.3, "Unsafe": 0.3}, UNREADABLE),
    ],
)
def test_spellings_are_summed(shares: dict[str, float], answer: int) -> None:
    top = [{"token": token, "logprob": math.log(share)} for token, share in shares.items()]
    choice = {"message": {"content": "Safe"}, "logprobs": {"content": [{"top_logprobs": top}]}}
    assert ByLogprobs(SPELLINGS, 20).read(choice) == answer


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {},
        {"content": None},
        {"content": []},
        {"content": [{"top_logprobs": []}]},
        {"content": [{}]},
        [],
    ],
)
def test_missing_log_probabilities_are_a_defect(logprobs: Any) -> None:
    with pytest.raises(ModelError, match="without them: use decision='text'"):
        ByLogprobs(SPELLINGS, 20).read({"message": {"content": "Safe"}, "logprobs": logprobs})


@pytest.mark.parametrize("logprob", [None, "x", float("nan"), 3.0, True])
def test_broken_log_probabilities_are_a_defect(logprob: Any) -> None:
    top = [{"token": "Safe", "logprob": logprob}]
    with pytest.raises(ModelError, match="tokens and their log-probabilities, got 'Safe'"):
        ByLogprobs(SPELLINGS, 20).read({"logprobs": {"content": [{"top_logprobs": top}]}})


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Safe", SAFE),
        ("  **unsafe**, because", UNSAFE),
        ("'SAFE'.", SAFE),
        ("safety first", UNREADABLE),
        ("I am not sure. Safe?", UNREADABLE),
        ("", UNREADABLE),
        (" ...", UNREADABLE),
        (None, UNREADABLE),
    ],
)
def test_the_first_word_decides(text: str | None, answer: int) -> None:
    assert ByText(SPELLINGS, 8).read({"message": {"content": text}}) == answer


def test_an_answer_that_was_kept_back_is_unreadable() -> None:
    kept_back = {"message": {"content": "Safe"}, "finish_reason": "content_filter", "logprobs": None}
    nothing = {"message": {"content": ""}, "logprobs": {"content": []}}
    assert ByText(SPELLINGS, 8).read(kept_back) == UNREADABLE
    assert ByLogprobs(SPELLINGS, 20).read(kept_back) == UNREADABLE
    assert ByLogprobs(SPELLINGS, 20).read(nothing) == UNREADABLE


def test_unreadable_answers_count_against_both_claims(url: str, behaviour: Behaviour) -> None:
    behaviour.choice = {"message": {"content": "I cannot judge this."}}
    for label in ("safe", "unsafe"):
        run = certified(guard(url, decision="text"), label=label)
        assert not run.certified(d=0, eps=0.0).any()
    counts = smoothed(guard(url, decision="text")).counts(PAIRS, samples=6, seed=0)
    assert counts.tolist() == [[0, 0, 6]] * 4


# what goes wrong


def test_a_request_is_repeated_with_the_same_body(url: str, behaviour: Behaviour) -> None:
    faults = [Fault(503, "overloaded"), DROP, Fault(429, {}, (("Retry-After", "0"),)), Fault(408, {}), DROP]
    behaviour.fault = lambda request, number: faults[number - 1] if number <= len(faults) else None
    classifier = guard(url, attempts=len(faults) + 1)
    batch = classifier.encode(PAIRS)
    assert classifier.predict_encoded(batch).tolist() == EXPECTED
    assert sorted(behaviour.bodies.count(body) for body in set(behaviour.bodies)) == [6] * 5


def test_retry_after_is_honoured(url: str, behaviour: Behaviour) -> None:
    behaviour.fault = lambda request, number: (
        Fault(429, {}, (("Retry-After", "0.7"),)) if number == 1 else None
    )
    started = time.monotonic()
    guard(url).load()
    assert 0.7 <= time.monotonic() - started < 3.0


def test_retry_after_takes_seconds_and_dates() -> None:
    in_a_while = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 28.0 <= (client._retry_after(in_a_while) or 0.0) <= 30.0
    assert client._retry_after("7") == 7.0
    assert client._retry_after("86400") == client.LONGEST_WAIT
    assert client._retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0.0
    assert client._retry_after("soon") is client._retry_after("nan") is client._retry_after(None) is None


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            Fault(400, {"error": {"message": "too long:\n 900 > 512 tokens"}}),
            "400: too long: 900 > 512 tokens",
        ),
        (Fault(404, {"error": "no such model"}), "404: no such model"),
        (Fault(422, {"detail": [{"loc": ["n"]}]}), '422: [{"loc": ["n"]}]'),
        (Fault(413, "too large"), "413: too large"),
        (Fault(307, "", (("Location", "https://x/"),)), "307: "),
    ],
)
def test_a_refusal_ends_the_run_and_quotes_the_server(
    url: str, behaviour: Behaviour, fault: Fault, message: str
) -> None:
    behaviour.fault = lambda request, number: fault if "bomb" in said(request) else None
    with pytest.raises(ModelError) as error:
        certified(guard(url))
    assert one_line(error) == f"{url} refuses the request: {message}"
    refused = [body for body in behaviour.bodies if b"bomb" in body]
    assert len(refused) == len(set(refused))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(200, "<html>hello</html>"), "answers with no JSON object: '<html>hello</html>'"),
        (Fault(200, []), "answers with no JSON object"),
        (Fault(200, {"error": "busy"}), 'must answer with choices\\[0\\].message, got {"error": "busy"}'),
    ],
)
def test_something_else_than_a_completion_ends_the_run(
    url: str, behaviour: Behaviour, fault: Fault, message: str
) -> None:
    behaviour.fault = lambda request, number: fault
    with pytest.raises(ModelError, match=message):
        certified(guard(url))


def test_missing_log_probabilities_end_the_run_before_anything_is_drawn(
    url: str, behaviour: Behaviour
) -> None:
    behaviour.logprobs = False
    with pytest.raises(ModelError, match="log-probabilities were asked for"):
        certified(guard(url))
    assert len(behaviour.bodies) == 1


def test_log_probabilities_that_go_missing_later_end_the_run(url: str, behaviour: Behaviour) -> None:
    classifier = guard(url)
    classifier.load()
    behaviour.logprobs = False
    with pytest.raises(ModelError, match="log-probabilities were asked for"):
        classifier.predict_encoded(classifier.encode(PAIRS))


def test_a_model_without_the_label_tokens_is_refused(url: str) -> None:
    with pytest.raises(ModelError, match="none of 'benign', 'harmful' but ' Safe' or the like"):
        guard(url, spellings={"safe": ["Benign"], "unsafe": ["Harmful"]}).load()


@pytest.mark.parametrize("field", ["model", "fingerprint"])
def test_an_endpoint_that_changes_ends_the_run(url: str, behaviour: Behaviour, field: str) -> None:
    classifier = guard(url, block_copies=2)
    classifier.load()
    setattr(behaviour, field, "other")
    with pytest.raises(ModelError, match=r"changed in the middle of a run: .* and is 'other'"):
        classifier.predict_encoded(classifier.encode(PAIRS))
    classifier.load()  # a new run, a new stack
    assert classifier.predict_encoded(classifier.encode(PAIRS)).tolist() == EXPECTED


def test_an_input_that_always_fails_is_reported_and_the_others_are_certified(
    url: str, behaviour: Behaviour
) -> None:
    behaviour.fault = lambda request, number: (
        Fault(500, {"error": {"message": "cannot decode"}}) if "cake how" in said(request) else None
    )
    X = {name: [*values[:2], *values[3:]] for name, values in PAIRS.items()}
    X["text"][2] = "cake how"
    run = certified(guard(url, attempts=2), X, retries=Retries(1), label="safe")
    assert list(run.failures) == [2]
    assert "failed in 2 attempts, last with 500: cannot decode" in run.failures[2]
    assert run.certified(d=0, eps=0.0).tolist() == [False, True, False]


def test_a_server_that_takes_too_long_is_asked_again(url: str, behaviour: Behaviour) -> None:
    classifier = guard(url, timeout=0.3, attempts=2)
    classifier.load()
    behaviour.delay = lambda request: 1.0 if "bomb" in said(request) else 0.0
    with pytest.raises(HybridCertError, match="failed in 2 attempts, last with ReadTimeout"):
        classifier.predict_encoded(classifier.encode(PAIRS))
    behaviour.delay = lambda request: 0.0
    assert classifier.predict_encoded(classifier.encode(PAIRS)).tolist() == EXPECTED


def test_nobody_at_the_address_is_a_clear_error() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(
        ModelError, match=r"does not answer after 2 attempts, last ConnectError: .*is it running"
    ):
        guard(url, attempts=2).load()


def test_an_endpoint_that_dies_keeps_what_was_counted(tmp_path: Path) -> None:
    port, store = free_port(), tmp_path / "run.sqlite"
    classifier = guard(f"http://127.0.0.1:{port}/v1", attempts=3, block_copies=16)
    with server_process(port) as server:
        with pytest.raises(ModelError, match="does not answer after 3 attempts") as error:
            certified(classifier, store=store, progress=lambda told: told.calls and server.kill())
        one_line(error)
    kept = int(read_counts(store)["copies"].sum())
    assert 0 < kept < 4 * 50
    with server_process(port):
        resumed = certified(classifier, store=store, resume=True)
        whole = certified(classifier)
    assert resumed.cost["model_calls_from_store"] == kept
    assert resumed.frame().equals(whole.frame())


def test_worker_processes_count_the_same(url: str) -> None:
    classifier = guard(url)
    alone = certified(classifier)
    together = certified(classifier, executor=Processes(workers=2))
    assert together.frame().equals(alone.frame())


# what is known about the endpoint


def test_the_serving_stack_is_recorded(url: str, behaviour: Behaviour) -> None:
    behaviour.model = "rule-2026-01"
    classifier = guard(url)
    assert classifier.serving_stack() == ServingStack(
        model="rule-2026-01",
        system_fingerprint="fp_1",
        server="rules/1",
        version="0.9.1",
        listed=(("id", MODEL), ("owned_by", "test"), ("max_model_len", 512)),
    )
    told = json.loads(json.dumps(classifier.described()))
    assert told["serving_stack"]["listed"] == {"id": MODEL, "owned_by": "test", "max_model_len": 512}
    assert told["request"]["temperature"] == 0
    assert told["policy"] == PLAIN


def test_a_pinned_classifier_insists_on_its_stack(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    store = tmp_path / "run.sqlite"
    certified(guard(url).pinned(), store=store)
    certified(guard(url).pinned(), store=store, resume=True)
    behaviour.version = "0.9.2"
    with pytest.raises(RunMismatchError):
        certified(guard(url).pinned(), store=store, resume=True)
    behaviour.version = "0.9.1"
    pinned = guard(url).pinned()
    behaviour.version = None
    with pytest.raises(ModelError, match=r"another serving stack: version was '0.9.1' and is None"):
        pinned.load()


def test_the_key_is_sent_and_told_to_nobody(
    url: str, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GUARD_KEY", SECRET)
    classifier = guard(url, api_key_env="GUARD_KEY")
    before = model_digest(classifier)
    run = certified(classifier, store=tmp_path / "run.sqlite")
    assert set(behaviour.authorizations) == {f"Bearer {SECRET}"}
    written = (tmp_path / "run.sqlite").read_bytes()
    told = (repr(classifier), repr(vars(classifier)), str(classifier.described()), str(run.settings))
    assert not any(SECRET in text for text in told)
    assert SECRET.encode() not in pickle.dumps(classifier) + written
    assert SECRET not in repr(pickle.loads(pickle.dumps(classifier)))
    monkeypatch.setenv("GUARD_KEY", "sk-another")
    assert model_digest(classifier) == before
    behaviour.fault = lambda request, number: Fault(401, {"error": {"message": "wrong key sk-another"}})
    with pytest.raises(ModelError, match=r"401: wrong key \*\*\*$"):
        classifier.load()


def test_a_key_that_is_not_there_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GUARD_KEY", raising=False)
    with pytest.raises(ParameterError, match="environment variable GUARD_KEY must hold the key"):
        guard(url, api_key_env="GUARD_KEY").load()
    monkeypatch.setenv("GUARD_KEY", "two words")
    with pytest.raises(ParameterError) as error:
        guard(url, api_key_env="GUARD_KEY").load()
    assert "two words" not in one_line(error)


def test_asking_changes_no_description(url: str) -> None:
    classifier = guard(url)
    fresh = pickle.loads(pickle.dumps(classifier))
    classifier.predict_encoded(classifier.encode(PAIRS))
    assert model_digest(classifier) == model_digest(fresh)
    assert fresh.predict_encoded(fresh.encode(PAIRS)).tolist() == EXPECTED
    classifier.close()
    assert classifier.predict_encoded(classifier.encode(PAIRS)).tolist() == EXPECTED


# a real `transformers serve`


def served_rule(served: ServeProcess, **changes: Any) -> EndpointClassifier:
    inputs = ImageTextInputs(SuffixSlots(2), WordAlphabet(("safe", "?")), Canvas(8, 8, 1))
    given: dict[str, Any] = {
        "policy": "{image} {text} {suffix}",
        "decision": "text",
        "max_tokens": 2,
    } | changes
    return EndpointClassifier(served.url, served.model, inputs=inputs, **given)


SERVED_PAIRS = {"text": [PROMPT] * 2, "image": [np.full((8, 8), 0.9), np.full((8, 8), 0.1)]}


def test_transformers_serve_answers_about_images(served: ServeProcess) -> None:
    classifier = served_rule(served)
    batch = {name: np.tile(rows, (4, 1)) for name, rows in classifier.encode(SERVED_PAIRS).items()}
    assert classifier.predict_encoded(batch).tolist() == [UNSAFE, SAFE] * 4
    model = hc.SmoothedClassifier(
        classifier, noise={"suffix": hc.UniformReplacement(0.5), "image": hc.GaussianNoise(0.1)}
    )
    run = model.certify(
        SERVED_PAIRS,
        threat=hc.Substitution(1),
        samples=20,
        selection_samples=5,
        alpha=0.05,
        seed=0,
        threshold=0.5,
    )
    assert run.predictions.tolist() == ["unsafe", "safe"]
    assert run.certified(d=0, eps=0.0).all()


def test_transformers_serve_runs_the_guard_that_ships(served: ServeProcess, tmp_path: Path) -> None:
    folder = tmp_path / "tiny_guard"
    shutil.copytree(tiny_guard(), folder)
    name_processor(folder)
    held_out = load_digit_captions(seed=0).held_out
    captions = [" ".join(VOCABULARY[code] for code in row if code) for row in held_out.text[:40]]
    images = [image.reshape(8, 8) for image in held_out.image[:40]]
    guard_that_ships = EndpointClassifier(
        served.url,
        str(folder),
        inputs=ImageTextInputs(SuffixSlots(SUFFIX_SLOTS), WordAlphabet(VOCABULARY[1:]), Canvas(8, 8, 1)),
        policy=folder / "policy.txt",
        decision="text",
        max_tokens=1,
    )
    answers = guard_that_ships.predict_encoded(guard_that_ships.encode({"text": captions, "image": images}))
    right = answers == np.where(held_out.label[:40] == "unsafe", UNSAFE, SAFE)
    assert right.mean() >= 0.9
    model = hc.SmoothedClassifier(
        guard_that_ships, noise={"suffix": hc.UniformReplacement(0.5), "image": hc.GaussianNoise(0.1)}
    )
    unsafe = int(np.flatnonzero(answers == UNSAFE)[0])
    run = model.certify(
        {"text": [captions[unsafe]], "image": [images[unsafe]]},
        threat=hc.Substitution(1),
        samples=40,
        alpha=0.05,
        seed=0,
        threshold=0.05,
        label="unsafe",
    )
    assert run.certified(d=1, eps=0.01).all()


def test_transformers_serve_drops_log_probabilities_and_is_found_out(served: ServeProcess) -> None:
    classifier = served_rule(served, decision="logprobs")
    with pytest.raises(ModelError, match="the endpoint answers without them: use decision='text'"):
        classifier.load()
    with pytest.raises(ModelError, match="without them"):
        hc.SmoothedClassifier(classifier, noise={"image": hc.GaussianNoise(0.1)}).counts(
            SERVED_PAIRS, samples=2, seed=0
        )


def test_transformers_serve_says_what_it_is(served: ServeProcess) -> None:
    assert served_rule(served).serving_stack() == ServingStack(
        model=served.model, server="uvicorn", listed=(("id", served.model), ("owned_by", "local"))
    )


def test_refusals_of_transformers_serve_are_quoted(served: ServeProcess) -> None:
    with pytest.raises(ModelError, match=r"422: Unexpected fields in the request: \{'top_k'\}"):
        served_rule(served, extra={"top_k": 1}).load()


# what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_url": "localhost:8000"}, "base_url must be an address"),
        ({"base_url": "http://me:pw@host/v1"}, "base_url must be free of credentials"),
        ({"base_url": "http://host/v1?key=pw"}, "base_url must be free of credentials"),
        ({"model": ""}, "model must be the name"),
        ({"seed": True}, "seed must be an integer"),
        ({"decision": "vote"}, "decision must be 'logprobs' or 'text', got 'vote'"),
        ({"top_logprobs": 21}, r"top_logprobs must be an integer in \[1, 20\], got 21"),
        ({"decision": "text", "max_tokens": 0}, "max_tokens must be an integer >= 1, got 0"),
        ({"block_copies": 0}, "block_copies must be an integer >= 1, got 0"),
        ({"concurrency": 0}, "concurrency must be an integer >= 1, got 0"),
        ({"attempts": 0}, "attempts must be an integer >= 1, got 0"),
        ({"timeout": 0.0}, "timeout must be a number of seconds > 0, got 0.0"),
        ({"timeout": None}, "timeout must be a number of seconds > 0, got None"),
        ({"extra": {"temperature": 1}}, "extra must leave 'temperature' alone"),
        ({"extra": {"max_tokens": 9}}, "extra must leave 'max_tokens' alone"),
        ({"extra": {"x": float("inf")}}, "extra must hold plain JSON values"),
        ({"api_key_env": SECRET}, "name of an environment variable, not the key"),
        ({"inputs": None}, "inputs must be ImageTextInputs"),
        ({"policy": "{image} {text}"}, "policy must say where the slots go"),
        ({"policy": "{text} {suffix}"}, "policy must say where the image goes"),
        ({"policy": "{image} {suffix}"}, "policy must hold {text} exactly once, got it 0 times"),
        ({"policy": "{image} {text} {suffix} {suffix}"}, "policy must hold {suffix} at most once"),
        ({"spellings": {"safe": ["Safe"]}}, "spellings must be given for 'safe' and 'unsafe'"),
        ({"spellings": {"safe": "Safe", "unsafe": ["No"]}}, "spellings of 'safe' must be a list of words"),
        ({"spellings": {"safe": [], "unsafe": ["No"]}}, "spellings of 'safe' must be a list of words"),
        ({"spellings": {"safe": ["No "], "unsafe": ["no"]}}, "a spelling must belong to one label, got 'no'"),
        (
            {"decision": "text", "spellings": {"safe": ["not bad"], "unsafe": ["bad"]}},
            "one word of letters and digits, got the spelling 'not bad'",
        ),
    ],
)
def test_parameters_outside_their_ranges_are_refused(changes: dict[str, Any], message: str) -> None:
    given = {"base_url": "http://localhost/v1", "model": MODEL, "inputs": slots(), "policy": PLAIN} | changes
    with pytest.raises(ParameterError, match=message) as error:
        EndpointClassifier(**given)
    assert SECRET not in one_line(error)
    assert isinstance(error.value, HybridCertError)


def test_an_alphabet_that_cannot_spell_is_refused() -> None:
    class Codes:
        size, blank, mask, open, symbols = 9, 9, False, False, "codes"

        def encode(self, text: str) -> list[int]:
            return [int(word) for word in text.split()]

    with pytest.raises(ParameterError, match="the alphabet must be a WordAlphabet, got Codes"):
        guard("http://localhost/v1", inputs=ImageTextInputs(SuffixSlots(2), Codes(), None))


@pytest.mark.parametrize("canvas", [CANVAS, None], ids=["image", "text alone"])
def test_a_text_that_spells_a_placeholder_is_a_text(
    canvas: Canvas | None, url: str, behaviour: Behaviour
) -> None:
    inputs = ImageTextInputs(WholePrompt(2), WordAlphabet(), canvas)
    classifier = guard(url, inputs=inputs, policy="{image}{text}")
    X = {"text": ["{image}"]} | ({} if canvas is None else {"image": [BRIGHT]})
    classifier.predict_encoded(classifier.encode(X))
    request = json.loads(behaviour.bodies[-1])
    assert said(request) == "{image}"
    content = request["messages"][0]["content"]
    if canvas is not None:
        assert [part["type"] for part in content] == ["image_url", "text"]


def test_unreadable_is_a_label_that_cannot_be_claimed(url: str) -> None:
    assert guard(url).unclaimable == ("unreadable",)
    with pytest.raises(ParameterError, match="'unreadable'") as error:
        certified(guard(url), label="unreadable")
    one_line(error)


def test_a_policy_that_begins_the_answer_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"policy must not hold \{answer\}: an endpoint takes no answer"):
        guard("http://localhost/v1", policy="{text} {suffix} {image} {answer} I say")


def test_policies_come_from_text_file_or_package(tmp_path: Path) -> None:
    file = tmp_path / "policy.txt"
    file.write_text("Ist das böse? {text}{suffix}{image}\n", encoding="utf-8")
    pieces = Policy.of(file).filled({"{text}": "{image}", "{suffix}": "!"})
    assert pieces == ["Ist das böse? {image}!", None, ""]
    shipped = Policy.of(None)
    shipped.check_inputs(slots())
    assert "Safe or Unsafe" in shipped.text
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Policy.of(tmp_path / "none.txt")
    file.write_bytes(b"\xff{text}")
    with pytest.raises(ConfigError, match="it is no UTF-8 text"):
        Policy.of(file)


def test_decisions_have_names() -> None:
    for name in ("logprobs", "text"):
        assert decision_of(name, spellings=None, top_logprobs=5, max_tokens=5).name == name
