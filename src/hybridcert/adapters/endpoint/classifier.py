"""An image-text model behind an OpenAI-compatible endpoint, as a classifier of encoded pairs."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from hybridcert.adapters.endpoint.client import Client, Reply
from hybridcert.adapters.endpoint.messages import Messages
from hybridcert.adapters.endpoint.request import Request
from hybridcert.adapters.endpoint.stack import Consistency, ServingStack, listed_fields
from hybridcert.adapters.endpoint.transport import Transport
from hybridcert.adapters.endpoint.verdict import LABELS, UNCLAIMABLE, UNREADABLE, ByLogprobs, decision_of
from hybridcert.adapters.image_text import ImageTextInputs
from hybridcert.adapters.policy import Policy
from hybridcert.certificate.ranges import check_count
from hybridcert.errors import ModelError
from hybridcert.sampling.classifier import Batch
from hybridcert.threats import Surface

_VERSIONS = ("version", "server_info", "get_server_info")


class EndpointClassifier:
    """A guard that answers Safe or Unsafe through ``POST {base_url}/chat/completions``.

    Its labels are "safe", "unsafe" and "unreadable". An answer that spells neither of the first two counts
    as "unreadable", and so against whatever is claimed: it is never skipped, and never asked for again. That
    label itself cannot be claimed.

    Every row is asked on its own, equal rows too. Temperature 0, top_p 1, n 1 and the seed are sent with
    every request. A server that still answers with chance of its own, independent from request to request,
    leaves certificates valid: they are then about the expected answer. One whose answer to a row depends on
    what else it is busy with breaks the contract of `Classifier`.

    A certificate holds for the serving stack that was asked, see `serving_stack`. A change of the model's
    name or of the system fingerprint in the responses ends a run. `pinned` binds a run to one stack over all
    its processes and resumptions.

    Parameters
    ----------
    base_url : str
        What ``/chat/completions`` is appended to, such as ``http://localhost:8000/v1``.
    model : str
        The name that the server knows the model by.
    inputs : ImageTextInputs
        Canvas, region, and a `WordAlphabet`.
    policy : str, path or None
        The text that is put to the model, with the placeholders {image}, {text} and {suffix}; a
        `pathlib.Path` names a file that holds it. None is the policy that ships with the package.
    decision : {"logprobs", "text"}
        By the summed probability of the spellings of each label as the first token, or by the first word
        that is generated.
    spellings : mapping of "safe" and "unsafe" to lists of str, optional
        Default: Safe and Unsafe. Case and white space around a word play no part. A label that the model
        begins with a token of its own ("Un") is spelled like that token where logprobs decide.
    top_logprobs : int in [1, 20]
        Alternatives to ask for where logprobs decide. Where neither label is among them the answer is
        unreadable.
    max_tokens : int >= 1
        How much to generate where the text decides.
    seed : int
        Sent with every request.
    extra : mapping, optional
        More fields of the request, such as ``{"repetition_penalty": 1.0}`` for a server that applies the
        model's own sampling defaults. Fields that the classifier sets cannot be among them.
    api_key_env : str, optional
        Name of the environment variable with the key. The key itself is in no description and no pickle.
    concurrency : int >= 1
        Requests at a time, in each process that asks.
    attempts : int >= 1
        How often a request is sent, with the same body: after connection errors, time-outs, 408, 429 and
        5xx. Any other refusal ends the run.
    timeout : float > 0
        Seconds to wait for the server at each step of a request.
    block_copies : int >= 1
        Most copies in one call: what is lost when the endpoint dies.
    stack : ServingStack, optional
        The stack to insist on; see `pinned`.

    Raises
    ------
    ParameterError, ConfigError
        For values outside these ranges, or a policy that cannot be read.

    Attributes
    ----------
    unclaimable : tuple of str
        Labels that no certificate is about: "unreadable".

    Examples
    --------
    >>> from hybridcert.adapters.canvas import Canvas
    >>> from hybridcert.adapters.image_text import ImageTextInputs, SuffixSlots
    >>> from hybridcert.adapters.word_alphabet import WordAlphabet
    >>> inputs = ImageTextInputs(SuffixSlots(8), WordAlphabet(["sure", "here"]), Canvas(224, 224))
    >>> guard = EndpointClassifier("http://localhost:8000/v1", "guard", inputs=inputs)
    """

    unclaimable = UNCLAIMABLE
    not_in_digest = ("_transport",)  # how often and how fast is asked; the address is an attribute of its own

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        inputs: ImageTextInputs,
        policy: str | Path | None = None,
        decision: Literal["logprobs", "text"] = "logprobs",
        spellings: Mapping[str, Sequence[str]] | None = None,
        top_logprobs: int = 20,
        max_tokens: int = 8,
        seed: int = 0,
        extra: Mapping[str, Any] | None = None,
        api_key_env: str | None = None,
        concurrency: int = 16,
        attempts: int = 5,
        timeout: float = 60.0,
        block_copies: int = 64,
        stack: ServingStack | None = None,
    ) -> None:
        check_count("block_copies", block_copies)
        self.base_url = base_url
        self.model = model
        self.block_copies = block_copies
        self.stack = stack
        self._transport = Transport(base_url, api_key_env, concurrency, attempts, timeout)
        asked = Policy.of(policy)
        asked.check_asks_only()
        self._messages = Messages(inputs, asked)
        chosen = decision_of(decision, spellings=spellings, top_logprobs=top_logprobs, max_tokens=max_tokens)
        self._request = Request(model, chosen, seed, {} if extra is None else extra)
        self._open: tuple[Client, Consistency, ServingStack] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, {self.model!r}, ...)"

    def __getstate__(self) -> dict[str, Any]:
        """Return the description alone: no connection, no key, nothing that was observed."""
        return vars(self) | {"_open": None}

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """The labels "safe", "unsafe" and "unreadable"."""
        return np.array(LABELS)

    def surfaces(self) -> dict[str, Surface]:
        """Return what each modality is made of and where noise and adversary act."""
        return self._messages.inputs.surfaces()

    def encode(self, X: Any) -> dict[str, npt.NDArray[Any]]:
        """Check pairs and return their arrays; see `ImageTextInputs.encode`."""
        return self._messages.inputs.encode(X)

    def load(self) -> None:
        """Open the connection and ask once about an empty pair, which shows whether the endpoint is usable.

        Raises
        ------
        ParameterError
            If the extra or the key is missing.
        ModelError
            If the endpoint does not answer, refuses, lacks the log-probabilities that were asked for, does
            not know the labels as single tokens, or is another stack than the one to insist on.
        """
        self.close()
        client, consistency = Client(self._transport), Consistency()
        try:
            reply = client.complete([self._request.body(self._messages.blank())])[0]
            consistency.check(reply.content)
            self._check_labels(_choice(reply))
            stack = self._ask_stack(client, reply)
            self._check_stack(stack)
        except BaseException:
            client.close()
            raise
        self._open = client, consistency, stack

    def close(self) -> None:
        """Close the connection; it is opened again where it is needed."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def predict_encoded(self, batch: Batch) -> npt.NDArray[np.intp]:
        """Return the index of the label of every row, shape (rows,).

        Raises
        ------
        ModelError
            If the endpoint does not answer any more, refuses a request, does not do what it was asked for,
            or changed since the connection was opened.
        HybridCertError
            If a request failed in every attempt while the endpoint is up.
        """
        client, consistency, _ = self._opened()
        rows = len(next(iter(batch.values())))
        answers = np.empty(rows, dtype=np.intp)
        for start in range(0, rows, self.block_copies):
            chunk = range(start, min(start + self.block_copies, rows))
            bodies = (self._request.body(self._messages.of(batch, row)) for row in chunk)
            for row, reply in zip(chunk, client.complete(bodies), strict=True):
                consistency.check(reply.content)
                answers[row] = self._request.decision.read(_choice(reply))
        return answers

    def serving_stack(self) -> ServingStack:
        """Return what the endpoint said about itself when the connection was opened; open it if need be."""
        return self._opened()[2]

    def pinned(self) -> Self:
        """Return a copy that insists on the stack that answers now: every process that loads it checks.

        The stack is then part of the model's digest, so a store refuses to go on with another one.
        """
        pinned = copy.copy(self)
        pinned.stack = self.serving_stack()
        return pinned

    def described(self) -> dict[str, Any]:
        """Return what answers, as plain values for certificates; ask the endpoint if nothing is known."""
        stack = self.serving_stack() if self.stack is None else self.stack
        return {
            "kind": "endpoint",
            "base_url": self.base_url,
            "policy": self._messages.policy.text,
            **self._request.described(),
            "serving_stack": stack.described(),
        }

    def _opened(self) -> tuple[Client, Consistency, ServingStack]:
        if self._open is None:
            self.load()
        assert self._open is not None
        return self._open

    def _check_labels(self, choice: Mapping[str, Any]) -> None:
        """Raise ModelError where the first token is none of the labels, not even among the alternatives."""
        decision = self._request.decision
        if not isinstance(decision, ByLogprobs):
            return
        tokens = [token for token, _ in decision.alternatives(choice)]
        spellings = decision.spellings
        if tokens and all(spellings.label(token) == UNREADABLE for token in tokens):
            wanted = ", ".join(map(repr, (*spellings.safe, *spellings.unsafe)))
            raise ModelError(
                f"the model's first token about an empty pair is none of {wanted} but {tokens[0]!r} or the "
                "like: name the tokens that it begins its labels with by spellings="
            )

    def _check_stack(self, stack: ServingStack) -> None:
        """Raise ModelError for another stack than the one to insist on."""
        change = None if self.stack is None else self.stack.changes(stack)
        if change is not None:
            raise ModelError(f"{self.base_url} is another serving stack: {change}")

    def _ask_stack(self, client: Client, reply: Reply) -> ServingStack:
        versions = (client.look_up(f"{self._transport.root}/{path}") for path in _VERSIONS)
        told = (found.get("version") for found in versions if isinstance(found, Mapping))
        version = next((text for text in told if isinstance(text, str)), None)
        return ServingStack(
            model=reply.content.get("model"),
            system_fingerprint=reply.content.get("system_fingerprint"),
            server=reply.server,
            version=version,
            listed=listed_fields(client.look_up(f"{self._transport.address}/models"), self.model),
        )


def _choice(reply: Reply) -> Mapping[str, Any]:
    """Return the completion in a reply; raise ModelError where there is none."""
    choices = reply.content.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, Mapping) or not isinstance(choice.get("message"), Mapping):
        shown = " ".join(json.dumps(dict(reply.content)).split())[:200]
        raise ModelError(f"the endpoint must answer with choices[0].message, got {shown}")
    return choice
