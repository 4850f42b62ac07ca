"""A small OpenAI-compatible server on loopback, whose faults a test switches on.

Its model is a rule: a message with the word "bomb" and a bright image is unsafe. Run as a script it serves on
the port that it is given, until it is killed.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "rule"


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is answered instead: a status, or a connection that is closed without a word."""

    status: int | None
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


DROP = Fault(None)


@dataclasses.dataclass
class Behaviour:
    """How the server answers, and what it was asked."""

    logprobs: bool = True
    model: str = MODEL
    fingerprint: str | None = "fp_1"
    version: str | None = "0.9.1"
    delay: Callable[[dict[str, Any]], float] = lambda request: 0.0
    fault: Callable[[dict[str, Any], int], Fault | None] = lambda request, number: None
    choice: dict[str, Any] | None = None
    bodies: list[bytes] = dataclasses.field(default_factory=list)
    authorizations: list[str | None] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)


def said(request: dict[str, Any]) -> str:
    """Return the text of a request's message."""
    content = request["messages"][0]["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def shown(request: dict[str, Any]) -> Any:
    """Return the image of a request's message as the levels of its pixels; None without one."""
    from PIL import Image

    content = request["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in content if not isinstance(part, str) and "image_url" in part]
    if isinstance(content, str) or not urls:
        return None
    head, data = urls[0].split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def unsafe(request: dict[str, Any]) -> bool:
    """Judge a request as the model does."""
    image = shown(request)
    return "bomb" in said(request).split() and (image is None or image.mean() > 127.5)


def completion(request: dict[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """Return a response in the format of the interface."""
    likely, other = ("Unsafe", "Safe") if unsafe(request) else ("Safe", "Unsafe")
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": f"{likely}."},
        "finish_reason": "length",
    }
    if request.get("logprobs") and behaviour.logprobs:
        shares = {f" {likely}": 0.35, other: 0.38, likely.upper(): 0.2, "!": 0.05}
        top = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in shares.items()]
        choice["logprobs"] = {"content": [{**top[1], "top_logprobs": top[: request["top_logprobs"]]}]}
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": behaviour.model,
        "choices": [choice if behaviour.choice is None else behaviour.choice],
    }
    return answer | ({} if behaviour.fingerprint is None else {"system_fingerprint": behaviour.fingerprint})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "rules/1"
    sys_version = ""
    wbufsize = -1  # head and body in one packet

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    @property
    def behaviour(self) -> Behaviour:
        return self.server.behaviour  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        behaviour = self.behaviour
        if self.path == "/v1/models":
            entry = {"id": MODEL, "object": "model", "created": int(time.time()), "owned_by": "test"}
            self._answer(200, {"object": "list", "data": [entry | {"max_model_len": 512}]})
        elif self.path == "/version" and behaviour.version is not None:
            self._answer(200, {"version": behaviour.version})
        else:
            self._answer(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        behaviour = self.behaviour
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        with behaviour.lock:
            behaviour.bodies.append(body)
            behaviour.authorizations.append(self.headers.get("Authorization"))
            fault = behaviour.fault(request, behaviour.bodies.count(body))
        if fault is DROP:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault is not None:
            self._answer(fault.status or 500, fault.body, *fault.headers)
        else:
            time.sleep(behaviour.delay(request))
            self._answer(200, completion(request, behaviour))

    def _answer(self, status: int, body: Any, *headers: tuple[str, str]) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.behaviour = behaviour

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that went away are no news."""


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """Serve in a thread of this process; yield the base address."""
    server = _Server(0, behaviour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[Any], seconds: float = 60.0) -> None:
    """Wait until a server process listens."""
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        assert time.monotonic() < deadline, "the server does not listen"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.02)


@contextlib.contextmanager
def server_process(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server as a process of its own, which may be killed; end it in any case."""
    with subprocess.Popen([sys.executable, str(Path(__file__)), str(port)]) as process:
        try:
            wait_for(port, process)
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    _Server(int(sys.argv[1]), Behaviour()).serve_forever()
