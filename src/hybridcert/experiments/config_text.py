"""The configuration of a run on texts: a filter that flags one label, certified against changes of words."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hybridcert.errors import ParameterError
from hybridcert.experiments.attack.section import AttackSection
from hybridcert.experiments.config_fields import Budget, Copies, Count, Natural, Open, Rate, Samples, Section
from hybridcert.experiments.config_stopping import Bound, StoppingSection, check_stopping, check_target
from hybridcert.kernels.deletion import RandomDeletion
from hybridcert.threats import THREATS, DiscreteThreat


def _served(kind: type[DiscreteThreat]) -> bool:
    try:
        RandomDeletion(0.5).candidates(kind(0), 0, None)
    except ParameterError:
        return False
    return True


def _threat_kind(name: str) -> str:
    served = [known for known, kind in THREATS.items() if _served(kind)]
    if name not in served:
        raise ValueError(f"must be one of {', '.join(served)}, got {name!r}")
    return name


class TextDataSection(Section):
    """Where the texts are, and the column of their labels."""

    path: str | None = None
    text: str
    target: str
    deduplicate: bool = True
    test_rows: Count
    split_seed: Natural


class VectorizerSection(Section):
    """What turns strings into features."""

    estimator: str
    params: dict[str, Any] = Field(default_factory=dict)


class TextModelSection(Section):
    """A scikit-learn compatible classifier, what it reads, and how it is trained."""

    estimator: str
    params: dict[str, Any] = Field(default_factory=dict)
    vectorizer: VectorizerSection | None = None
    tokens: Literal["words", "characters"] = "words"
    max_length: Count = 10_000
    noisy_copies: Copies = 1


class DeletionNoise(Section):
    """Random deletion of tokens."""

    kernel: Literal["deletion"] = "deletion"
    beta: Rate


class TextNoiseSection(Section):
    """Noise on the tokens of a text."""

    text: DeletionNoise


class TextThreatSection(Section):
    """How an attacker changes tokens, and how many at most."""

    kind: Annotated[str, AfterValidator(_threat_kind)]
    max_d: Budget


class TextCertificateSection(Section):
    """What carries the guarantee; none of it has a default. The filter flags ``label``."""

    samples: Samples
    alpha: Open
    threshold: Open
    seed: Natural
    label: str | int
    stopping: StoppingSection | None = None
    bound: Bound | None = None
    budget: Count | None = None

    @model_validator(mode="after")
    def _stopping_fits(self) -> Self:
        check_stopping(self.stopping, self.bound, self.budget, score=True)
        return self


class TextReportSection(Section):
    """Further thresholds (the same counts and bounds serve all), and whether the page shows the inputs."""

    thresholds: tuple[Open, ...] = ()
    inputs: bool = True


class TextConfig(Section):
    """One certification of a text filter."""

    data: TextDataSection
    model: TextModelSection
    noise: TextNoiseSection
    threat: TextThreatSection
    certificate: TextCertificateSection
    report: TextReportSection = Field(default_factory=TextReportSection)
    attack: AttackSection | None = None

    @model_validator(mode="after")
    def _target_fits_the_threat(self) -> Self:
        check_target(self.certificate.stopping, max_d=self.threat.max_d, shifts=False)
        return self

    def resolved(self) -> dict[str, Any]:
        """Plain values, defaults included, that load back to an equal certification.

        The section ``attack`` is no part of it: a run is the same however it is attacked later.
        """
        return self.model_dump(mode="json", exclude={"attack"})
