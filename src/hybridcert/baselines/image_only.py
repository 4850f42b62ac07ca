"""The continuous part alone: randomized smoothing with Gaussian (or Laplace) noise, at d = 0.

The certificate of Cohen et al. 2019, written for any threshold: radius = σ (Φ⁻¹(p) − Φ⁻¹(τ)). It is the joint
certificate with the spectrum of "nothing changed", from the same solver, rounded down. It says nothing about
an input in which a single symbol changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy.typing as npt

from hybridcert.baselines.certified import Baseline, Need, check_budgets
from hybridcert.baselines.draws import Draws, check_continuous
from hybridcert.certificate.directed import Bools
from hybridcert.certificate.frontier import Radii, radius
from hybridcert.certificate.spectrum import LikelihoodSpectrum
from hybridcert.certification import CertificationRun
from hybridcert.sampling.classifier import Classifier
from hybridcert.sampling.noise import Kernel

BASELINE = Baseline(
    name="image-only smoothing",
    source="Cohen et al. 2019",
    sound=True,
    certifies="d = 0, every ε up to the radius",
    needs=(Need.DISCRETE_UNCHANGED,),
    calls="N",
)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ImageOnly:
    """Certificates of the continuous part.

    With probability at least 1 − alpha for each input: at every input with the same discrete part, within the
    radius, the smoothed score of the label is above the threshold.

    Attributes
    ----------
    run : CertificationRun
    """

    run: CertificationRun
    baseline: ClassVar[Baseline] = BASELINE

    @property
    def radii(self) -> Radii:
        """Certified radii in the units of the noise, rounded down."""
        radii = self.run.point(0).radii
        assert isinstance(radii, Radii)
        return radii

    def claims(self, *, d: int, eps: float) -> Bools:
        """Whether (d, ``eps``) is certified, shape (m,); nothing is from d = 1 on."""
        check_budgets(d, eps)
        return self.radii.certified & (self.radii.radius >= eps) & (d == 0)


def image_only_radii(
    *, p_lower: npt.ArrayLike, sigma: float, threshold: npt.ArrayLike, noise: str = "gaussian"
) -> Radii:
    """Return σ (Φ⁻¹(p) − Φ⁻¹(τ)), rounded down, or what replaces it for Laplace noise.

    Guarantee: if the clean score is at least ``p_lower``, it is above ``threshold`` wherever the continuous
    part moved by at most the radius and the discrete part not at all.

    Parameters
    ----------
    p_lower : float array, shape (n,) or scalar, in [0, 1)
    sigma : float > 0
    threshold : float or array in (0, 1)
    noise : {"gaussian", "laplace"}

    Raises
    ------
    ParameterError
        For values outside these ranges.

    References
    ----------
    Cohen et al. 2019, Theorem 1 (τ = ½); Teng et al. 2019 for Laplace noise.

    Examples
    --------
    >>> from hybridcert.baselines.image_only import image_only_radii
    >>> float(image_only_radii(p_lower=0.99, sigma=0.5, threshold=0.5).radius[0])  # 0.5 · Φ⁻¹(0.99)
    1.16317393702...
    """
    return radius(
        p_lower=p_lower,
        spectrum=LikelihoodSpectrum.identity(),
        sigma=sigma,
        threshold=threshold,
        noise=noise,
    )


def image_only(
    classifier: Classifier,
    X: Any,
    *,
    noise: Mapping[str, Kernel],
    label: Any,
    threshold: float,
    draws: Draws,
) -> ImageOnly:
    """Certify every input against shifts of its continuous part alone.

    Parameters
    ----------
    classifier : Classifier
    X : inputs as the classifier takes them
    noise : mapping of continuous modality to kernel
        For instance ``{"image": GaussianNoise(0.25)}``.
    label : one of the classifier's classes
    threshold : float in (0, 1)
    draws : Draws

    Raises
    ------
    ParameterError, DataError, ModelError
        See `SmoothedClassifier.certify`; ParameterError for noise on a discrete modality.
    """
    check_continuous(noise)
    run = draws.certified(classifier, X, noise=noise, threat=None, label=label, threshold=threshold)
    return ImageOnly(run)
