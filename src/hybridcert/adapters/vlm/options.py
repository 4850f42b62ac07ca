"""Checks of what a vision–language classifier is given besides its checkpoint and its inputs."""

from __future__ import annotations

import types

from hybridcert.adapters.vlm.image_noise import PORTION
from hybridcert.certificate.ranges import check_count
from hybridcert.errors import ModelError, ParameterError


def check_decision(decision: str, *, least_mass: float, answer_tokens: int) -> None:
    """Raise ParameterError for a way to read answers that is unknown or out of range."""
    if decision not in ("probability", "text"):
        raise ParameterError(f'decision must be "probability" or "text", got {decision!r}')
    if not 0.0 <= least_mass <= 1.0:
        raise ParameterError(f"least_mass must be in [0, 1], got {least_mass!r}")
    check_count("answer_tokens", answer_tokens)


def check_probabilities(decision: str) -> None:
    """Raise ModelError where answers are written, not read off probabilities."""
    if decision != "probability":
        raise ModelError(
            f"a classifier with decision={decision!r} tells no probabilities, so it has no margins: use "
            'decision="probability", or attack it by its answers'
        )


def check_batches(batch_size: int, *, block_copies: int, noise_on: str, threads: int | None) -> None:
    """Raise ParameterError for sizes below 1, and batches into which noise of a device does not go."""
    check_count("batch_size", batch_size)
    check_count("block_copies", block_copies)
    if threads is not None:
        check_count("threads", threads)
    if noise_on not in ("host", "device"):
        raise ParameterError(f'noise_on must be "host" or "device", got {noise_on!r}')
    if noise_on == "device" and batch_size % PORTION and PORTION % batch_size:
        raise ParameterError(
            f"batch_size must be a multiple or a divisor of {PORTION} with noise_on='device', got "
            f"{batch_size}"
        )


def check_front(front: object) -> None:
    """Raise ParameterError for a plain function, whose content no digest covers."""
    if isinstance(front, types.FunctionType):
        raise ParameterError(
            "front must be an object of a class with __call__, by whose content a run is known again, "
            f"not the function {front.__name__}"
        )
