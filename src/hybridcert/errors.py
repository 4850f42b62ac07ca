"""Everything hybridcert raises on purpose.

::

    HybridCertError
    ├── ParameterError   a number or option outside its range (also a ValueError)
    ├── DataError        a broken cell, column or file (also a ValueError)
    │   └── RunMismatchError  a run store that belongs to another run
    ├── ConfigError      a configuration that cannot be read or means nothing (also a ValueError)
    ├── ModelError       a classifier that broke its contract
    ├── StoreError       a run store that cannot be read or written, or that is damaged
    └── CertificateError a certificate that its verification does not confirm

The command line ends with exit code 2 on each of them.

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


class RunMismatchError(DataError):
    """A run store was begun with another identity than the run that wants to resume it."""


class ConfigError(HybridCertError, ValueError):
    """A configuration cannot be read or means nothing."""


class ModelError(HybridCertError):
    """A classifier broke its contract (labels, shapes, or two paths that disagree)."""


class StoreError(HybridCertError):
    """A run store cannot be read or written: full disk, missing rights, another writer, damage."""


class CertificateError(HybridCertError):
    """A certificate is not confirmed by its verification."""
