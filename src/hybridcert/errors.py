"""Everything hybridcert raises on purpose.

::

    HybridCertError
    ├── ParameterError   a number or option outside its range (also a ValueError)
    ├── DataError        a broken cell, column or file (also a ValueError)
    ├── ConfigError      a configuration that cannot be read or means nothing (also a ValueError)
    └── ModelError       a classifier that broke its contract

Every message is one line: what is wrong, the offending value, the allowed range, what to do next.
"Not certified" is a result, never an error.
"""

from __future__ import annotations


class HybridCertError(Exception):
    """Root of the errors raised on purpose."""


class ParameterError(HybridCertError, ValueError):
    """A number or option lies outside its range."""


class DataError(HybridCertError, ValueError):
    """A cell, a column or a file of the data is broken."""


class ConfigError(HybridCertError, ValueError):
    """A configuration cannot be read or means nothing."""


class ModelError(HybridCertError):
    """A classifier broke its contract (labels, shapes, or two paths that disagree)."""


class CertificateError(HybridCertError):
    """A certificate is not confirmed by its verification."""
