"""Where an endpoint is and how patiently it is asked: a description without secrets."""

from __future__ import annotations

import dataclasses
import numbers
import os
import re
import urllib.parse

from hybridcert.certificate.ranges import check_count
from hybridcert.errors import ParameterError


@dataclasses.dataclass(frozen=True, slots=True)
class Transport:
    """Where requests go and how patiently.

    Parameters
    ----------
    base_url : str
        What ``/chat/completions`` is appended to, such as ``http://localhost:8000/v1``.
    api_key_env : str, optional
        Name of the environment variable that holds the key. It is read when the connection is opened, in
        each process, and kept nowhere else.
    concurrency : int >= 1
        Requests at a time.
    attempts : int >= 1
        How often a request is sent, always with the same body.
    timeout : float > 0
        Seconds to wait for the server at each step of a request.

    Raises
    ------
    ParameterError
        For values outside these ranges, or an address with credentials or a query.
    """

    base_url: str
    api_key_env: str | None
    concurrency: int
    attempts: int
    timeout: float

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.base_url) if isinstance(self.base_url, str) else None
        if parts is not None and ("@" in parts.netloc or parts.query or parts.fragment):
            raise ParameterError(
                "base_url must be free of credentials and queries, for certificates state it: name the "
                "environment variable that holds the key with api_key_env="
            )
        if parts is None or parts.scheme not in ("http", "https") or not parts.netloc:
            raise ParameterError(
                f"base_url must be an address like 'http://localhost:8000/v1', got {self.base_url!r}"
            )
        if self.api_key_env is not None and not re.fullmatch(
            r"[A-Za-z_]\w*", str(self.api_key_env), re.ASCII
        ):
            raise ParameterError(
                "api_key_env must be the name of an environment variable, not the key itself; got "
                f"{len(str(self.api_key_env))} characters that are no such name"
            )
        check_count("concurrency", self.concurrency)
        check_count("attempts", self.attempts)
        if not (isinstance(self.timeout, numbers.Real) and 0 < self.timeout < float("inf")):
            raise ParameterError(f"timeout must be a number of seconds > 0, got {self.timeout!r}")

    @property
    def address(self) -> str:
        """The base address without a slash at its end."""
        return self.base_url.rstrip("/")

    @property
    def root(self) -> str:
        """The server's own address, in front of ``/v1``."""
        return self.address.removesuffix("/v1")

    def key(self) -> str | None:
        """Return the key from the environment; raise ParameterError where it is missing or no key."""
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ParameterError(
                f"the environment variable {self.api_key_env} must hold the key of {self.base_url}: set it"
            )
        return key
