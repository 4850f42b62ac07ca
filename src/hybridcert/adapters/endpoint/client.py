"""HTTP to an OpenAI-compatible endpoint: concurrent requests, each repeated with the same body."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime
import email.utils
import json
import threading
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from hybridcert.adapters.endpoint.transport import Transport
from hybridcert.errors import HybridCertError, ModelError, ParameterError

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the second attempt, doubled from attempt to attempt; and the longest wait."""

LAST_WAIT = 2.0
"""Seconds that requests under way have to end, before the connection is closed under them."""

_AGAIN = {408, 429}
_QUOTED = 300
"""Characters of a server's message that are quoted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """A successful response: its JSON object, and the ``server`` header."""

    content: Mapping[str, Any]
    server: str | None


class Client:
    """An open connection, with threads that send requests. Not picklable.

    Parameters
    ----------
    transport : Transport

    Raises
    ------
    ParameterError
        If the extra is not installed or the key is missing.
    """

    def __init__(self, transport: Transport) -> None:
        self._httpx = _httpx()
        self._transport = transport
        self._key = transport.key()
        self._http = self._httpx.Client(
            headers={} if self._key is None else {"Authorization": f"Bearer {self._key}"},
            timeout=transport.timeout,
            limits=self._httpx.Limits(max_connections=transport.concurrency + 1),
        )
        self._threads = concurrent.futures.ThreadPoolExecutor(
            transport.concurrency, thread_name_prefix="endpoint"
        )
        self._under_way: set[concurrent.futures.Future[Reply]] = set()
        self._finalizer = weakref.finalize(self, _shut, self._http, self._threads, self._under_way)

    def close(self) -> None:
        """Close the connection, `LAST_WAIT` from now at most; a client that nobody holds closes itself."""
        self._finalizer()

    def complete(self, bodies: Iterable[bytes]) -> list[Reply]:
        """Send chat completions, the first while the next are still being written; keep their order.

        Connection errors, time-outs, 408, 429 and 5xx are tried again with the same body, after waits that
        double; ``Retry-After`` is honoured up to a minute.

        Raises
        ------
        ModelError
            For any other refusal, quoting the server; or when the endpoint does not answer any more.
        HybridCertError
            For a request that failed every time while the endpoint is up.
        """
        given_up = threading.Event()
        futures: list[concurrent.futures.Future[Reply]] = []
        try:
            for body in bodies:
                futures.append(self._threads.submit(self._complete, body, given_up))
                self._under_way.add(futures[-1])
                futures[-1].add_done_callback(self._under_way.discard)
            for future in concurrent.futures.as_completed(futures):
                future.result()  # the first failure ends the wait
            return [future.result() for future in futures]
        finally:
            given_up.set()
            for future in futures:
                future.cancel()

    def look_up(self, address: str) -> Any:
        """Return the JSON found at an address, asked for once; None where there is none."""
        with contextlib.suppress(self._httpx.RequestError, ValueError):
            response = self._http.get(address)
            if response.is_success:
                return response.json()
        return None

    def _complete(self, body: bytes, given_up: threading.Event) -> Reply:
        """Send one request until it succeeds, is refused, or was tried often enough."""
        address = f"{self._transport.address}/chat/completions"
        problem = ""
        for attempt in range(self._transport.attempts):
            wait = min(FIRST_WAIT * 2.0**attempt, LONGEST_WAIT)
            try:
                response = self._http.post(
                    address, content=body, headers={"Content-Type": "application/json"}
                )
            except self._httpx.RequestError as error:
                problem = f"{type(error).__name__}: {self._quoted(str(error))}"
            else:
                if response.is_success:
                    return self._reply(response)
                problem = f"{response.status_code}: {self._quoted(_message(response.text))}"
                if response.status_code not in _AGAIN and response.status_code < 500:
                    raise ModelError(f"{self._transport.base_url} refuses the request: {problem}")
                wait = _retry_after(response.headers.get("Retry-After")) or wait
            if attempt + 1 < self._transport.attempts and given_up.wait(wait):
                raise HybridCertError(f"given up, for another request failed; last {problem}")
        raise self._exhausted(problem)

    def _exhausted(self, problem: str) -> HybridCertError:
        """Return what to raise when a request failed every time."""
        times = f"{self._transport.attempts} attempt" + "s" * (self._transport.attempts > 1)
        try:
            up = self._http.get(f"{self._transport.address}/models").status_code < 500
        except self._httpx.RequestError:
            up = False
        if up:
            return HybridCertError(f"{self._transport.base_url} failed in {times}, last with {problem}")
        return ModelError(
            f"{self._transport.base_url} does not answer after {times}, last {problem}: is it running? What "
            "the store of a run holds is not asked again"
        )

    def _reply(self, response: Any) -> Reply:
        try:
            content = response.json()
        except ValueError:
            content = None
        if not isinstance(content, Mapping):
            raise ModelError(
                f"{self._transport.base_url} answers with no JSON object: {self._quoted(response.text)!r}; "
                "base_url ends in /v1 on most servers"
            )
        return Reply(content, response.headers.get("server"))

    def _quoted(self, text: str) -> str:
        """Return a text as one short line without the key."""
        if self._key is not None:
            text = text.replace(self._key, "***")
        line = " ".join(text.split())
        return line if len(line) <= _QUOTED else line[:_QUOTED] + "…"


def _shut(
    http: Any,
    threads: concurrent.futures.ThreadPoolExecutor,
    under_way: set[concurrent.futures.Future[Reply]],
) -> None:
    threads.shutdown(wait=False, cancel_futures=True)
    concurrent.futures.wait(list(under_way), timeout=LAST_WAIT)  # else they open connections that none closes
    http.close()


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise ParameterError(
            "asking an endpoint needs the extra endpoint: pip install 'hybridcert[endpoint]'"
        ) from error
    return httpx


def _message(text: str) -> str:
    """Return the message in the body of an error response, as servers variously write it."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    for name in ("error", "message", "detail"):
        if isinstance(found, Mapping) and found.get(name):
            found = found[name]
    return found if isinstance(found, str) else json.dumps(found)


def _retry_after(header: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for, a minute at most; None where it has none."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(header)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        seconds = (moment - datetime.datetime.now(datetime.UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT) if seconds == seconds else None
