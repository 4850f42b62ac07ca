"""The libraries that a denoiser needs, imported when it is used."""

from __future__ import annotations

import importlib
from typing import Any

from hybridcert.errors import ParameterError


def needed(name: str) -> Any:
    """Return the module of that name; raise ParameterError where the extra is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ParameterError(
            f"a denoiser needs the extra denoise: pip install 'hybridcert[denoise]' ({error})"
        ) from error
