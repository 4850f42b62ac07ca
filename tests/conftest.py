"""Fixtures and settings that every test file shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", parent=settings.get_profile("default"), derandomize=False, max_examples=5000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared golden data: ../shared beside the checkout, or HYBRIDCERT_SHARED."""
    folder = Path(os.environ.get("HYBRIDCERT_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set HYBRIDCERT_SHARED to the folder that holds golden/")
    return folder
