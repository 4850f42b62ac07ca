"""The independent verifier of issued certificates.

It shares nothing with the solver: a document is checked from its text alone, against the page "The issued
certificate" and nothing else, in exact rationals and ball arithmetic. It needs python-flint and the standard
library, and works where NumPy and SciPy are missing::

    from hybridcert.verify import verify_text

    verdict = verify_text(line)
    verdict.ok, verdict.reasons
"""

from hybridcert.verify.explain import explain as explain
from hybridcert.verify.paths import Checked as Checked
from hybridcert.verify.paths import verify_paths as verify_paths
from hybridcert.verify.verdict import Summary as Summary
from hybridcert.verify.verdict import Verdict as Verdict
from hybridcert.verify.verdict import verify_document as verify_document
from hybridcert.verify.verdict import verify_text as verify_text
