"""UNSOUND: the naive product of two unimodal certificates. For comparison only; it certifies nothing.

It claims (d, ε) when the discrete certificate holds at (d, 0) and the continuous one at (0, ε), each on its
own, at the same threshold. Proposition 4.1 of the paper: such claims can be false. The continuous certificate
starts from the clean score; once d discrete changes are made, the score it starts from may be as low as the
discrete bound. ``examples/proposition_4_1.py`` builds a classifier for which both unimodal certificates hold,
and an attack within (d, ε) that pushes its smoothed score below the threshold.

The joint certificate (`hybridcert.radius`) is what replaces it.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from hybridcert.baselines.certified import Baseline
from hybridcert.certificate.directed import Bools, Floats
from hybridcert.certificate.frontier import Spectra, radius
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.errors import ParameterError

if TYPE_CHECKING:
    from hybridcert.certification import Budget, CertificationRun

UNSOUND = "UNSOUND – not a certificate"
"""The mark that every display of these claims carries, in words."""

BASELINE = Baseline(
    name=f"naive product of unimodal certificates ({UNSOUND})",
    source="Proposition 4.1 of the paper, which refutes it",
    sound=False,
    certifies="nothing; it claims (d, ε) where (d, 0) and (0, ε) are certified",
    needs=(),
    calls="N",
)
"""UNSOUND."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class NaiveClaims:
    """UNSOUND: what the naive product claims about many inputs at one discrete budget. Guarantee: none.

    Attributes
    ----------
    claimed : bool array, shape (n,)
        Whether each unimodal certificate holds: the discrete one at (d, 0), the continuous one at (0, 0).
    radius : float array, shape (n,)
        The ε up to which (d, ε) is claimed, in the units of σ: the radius of the continuous certificate
        alone, whatever d is. 0 where nothing is claimed.
    sound : False
    guarantee : "none"
    """

    claimed: Bools
    radius: Floats
    baseline: ClassVar[Baseline] = BASELINE
    sound: ClassVar[bool] = False
    guarantee: ClassVar[str] = "none"

    @staticmethod
    def product(*, discrete: npt.ArrayLike, continuous: npt.ArrayLike, radius: npt.ArrayLike) -> NaiveClaims:
        """UNSOUND: combine two unimodal certificates as if they added up. Guarantee: none.

        Parameters
        ----------
        discrete : bool array, shape (n,)
            Whether the discrete certificate holds at (d, 0).
        continuous, radius : arrays, shape (n,)
            Whether the continuous certificate holds at (0, 0), and up to which ε.
        """
        claimed = np.asarray(discrete, dtype=np.bool_) & np.asarray(continuous, dtype=np.bool_)
        reach = np.where(claimed, np.asarray(radius, dtype=np.float64), 0.0)
        for values in (claimed, reach):
            values.setflags(write=False)
        return NaiveClaims(claimed, reach)

    def claims(self, eps: float) -> Bools:
        """Whether (d, ``eps``) is claimed, shape (n,). UNSOUND: a claim here may be false.

        Raises
        ------
        ParameterError
            For ``eps`` below 0 or NaN.
        """
        if not eps >= 0.0:
            raise ParameterError(f"eps must be >= 0, got {eps!r}")
        return self.claimed & (self.radius >= eps)


def naive_product(
    *,
    p_lower: npt.ArrayLike,
    spectrum: Spectra,
    sigma: float,
    threshold: npt.ArrayLike,
    noise: str = "gaussian",
) -> NaiveClaims:
    """UNSOUND: claim (d, ε) where both unimodal certificates hold, each on its own. Guarantee: none.

    Proposition 4.1 of the paper shows that the claims can be false; ``examples/proposition_4_1.py`` runs a
    counterexample. Use `hybridcert.radius` for a certificate.

    Parameters
    ----------
    p_lower : float array, shape (n,) or scalar, in [0, 1)
        Lower confidence bounds on the clean smoothed score.
    spectrum : LikelihoodSpectrum or sequence of them
        The discrete part at budget d; a sequence means the worst case over its members.
    sigma : float > 0
        Scale of the continuous noise: standard deviation (Gaussian) or b (Laplace).
    threshold : float or array in (0, 1)
    noise : "gaussian" or "laplace"

    Raises
    ------
    ParameterError
        For values outside these ranges.

    Examples
    --------
    >>> import hybridcert as hc
    >>> from hybridcert.baselines.naive_product import naive_product
    >>> law = {"p_lower": 0.985, "spectrum": hc.UniformReplacement(0.25).spectrum([2]), "sigma": 1.0}
    >>> bool(naive_product(**law, threshold=0.5).claims(2.0)[0])  # claimed, and false
    True
    >>> float(hc.radius(**law, threshold=0.5).radius[0]) >= 2.0  # the joint certificate refuses
    False
    """
    discrete = radius(p_lower=p_lower, spectrum=spectrum, sigma=sigma, threshold=threshold, noise=noise)
    unchanged = LikelihoodSpectrum.identity()
    continuous = radius(p_lower=p_lower, spectrum=unchanged, sigma=sigma, threshold=threshold, noise=noise)
    return NaiveClaims.product(
        discrete=discrete.certified, continuous=continuous.certified, radius=continuous.radius
    )


def naive_product_of_run(run: CertificationRun, d: Budget) -> NaiveClaims:
    """UNSOUND: what the naive product claims at budget ``d``, from the counts of a run. Guarantee: none.

    It takes the run's certificate at (``d``, 0) and its radius at d = 0. Those two hold, each on its own;
    their combination need not.

    Raises
    ------
    ParameterError
        When the run did not certify that budget.
    """
    alone: Any = run.points[0].radii
    return NaiveClaims.product(
        discrete=run.point(d).radii.certified, continuous=alone.certified, radius=alone.radius
    )
