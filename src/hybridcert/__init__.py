"""Certified robustness when an attacker may change discrete and continuous inputs at the same time.

``import hybridcert as hc`` loads NumPy and SciPy only; the classes that need pandas and scikit-learn are
loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from hybridcert.certificate.confidence import clopper_pearson_lower as clopper_pearson_lower
from hybridcert.certificate.confidence import clopper_pearson_upper as clopper_pearson_upper
from hybridcert.certificate.deployment import copies_for as copies_for
from hybridcert.certificate.deployment import miss_probability as miss_probability
from hybridcert.certificate.deployment import threshold_for as threshold_for
from hybridcert.certificate.frontier import Radii as Radii
from hybridcert.certificate.frontier import Radius as Radius
from hybridcert.certificate.frontier import adversarial_value as adversarial_value
from hybridcert.certificate.frontier import radius as radius
from hybridcert.certificate.spectrum import LikelihoodSpectrum as LikelihoodSpectrum
from hybridcert.certificate.tradeoff import DualBound as DualBound
from hybridcert.certificate.tradeoff import Tradeoff as Tradeoff
from hybridcert.certificate.tradeoff import combined_shift as combined_shift
from hybridcert.errors import ConfigError as ConfigError
from hybridcert.errors import DataError as DataError
from hybridcert.errors import HybridCertError as HybridCertError
from hybridcert.errors import ModelError as ModelError
from hybridcert.errors import ParameterError as ParameterError
from hybridcert.kernels.absorbing import Absorbing as Absorbing
from hybridcert.kernels.deletion import RandomDeletion as RandomDeletion
from hybridcert.kernels.gaussian import GaussianNoise as GaussianNoise
from hybridcert.kernels.uniform import UniformReplacement as UniformReplacement
from hybridcert.threats import Edit as Edit
from hybridcert.threats import Fields as Fields
from hybridcert.threats import Insertion as Insertion
from hybridcert.threats import Substitution as Substitution

if TYPE_CHECKING:
    from hybridcert.adapters.dataframe import DataFrameClassifier as DataFrameClassifier
    from hybridcert.certification import CertificationRun as CertificationRun
    from hybridcert.smoothing import SmoothedClassifier as SmoothedClassifier

__version__ = "0.1.0"

_LAZY = {
    "CertificationRun": "hybridcert.certification",
    "DataFrameClassifier": "hybridcert.adapters.dataframe",
    "SmoothedClassifier": "hybridcert.smoothing",
}


def __getattr__(name: str) -> object:
    """Load the classes that need more than NumPy and SciPy."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'hybridcert' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List public names, the lazily loaded ones included."""
    return sorted({name for name in globals() if not name.startswith("_")} | set(_LAZY))
