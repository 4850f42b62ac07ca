"""Certified robustness when an attacker may change discrete and continuous inputs at the same time.

``import hybridcert as hc`` loads next to nothing; each name below brings what it needs when first used:
certificates from numbers NumPy and SciPy, classifiers pandas and scikit-learn, `hybridcert.verify` neither.
The names are listed once, in ``__init__.pyi``.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
