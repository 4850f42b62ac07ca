"""The configuration of a run on pairs of prompt and image: a guard that flags one label, and its threats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hybridcert.experiments.attack.section import AttackSection
from hybridcert.experiments.config_fields import (
    Budget,
    Count,
    Distance,
    Natural,
    Open,
    Positive,
    Rate,
    Section,
)
from hybridcert.experiments.config_guards import GuardSection
from hybridcert.experiments.config_stopping import check_target
from hybridcert.experiments.config_text import TextCertificateSection
from hybridcert.kernels.absorbing import Absorbing
from hybridcert.kernels.deletion import RandomDeletion
from hybridcert.kernels.discrete import DiscreteKernel
from hybridcert.kernels.uniform import UniformReplacement

_KERNELS: Mapping[str, Callable[[float], DiscreteKernel]] = {
    "uniform": UniformReplacement,
    "absorbing": Absorbing,
    "deletion": RandomDeletion,
}

LABELS = ("safe", "unsafe")
"""What a guard answers, and what can be claimed."""

ThreatName = Literal["substitution", "insertion", "deletion", "edit", "indel"]


def _label_name(raw: Any) -> str:
    """Return a label as the readers of data spell it: true as "true", 1 as "1"."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str | int):
        return str(raw)
    raise ValueError(f"must be a string, a whole number or a truth value, got {raw!r}")


def _claimable(label: str | int) -> str | int:
    if label not in LABELS:
        raise ValueError(f"must be one of {', '.join(LABELS)}, got {label!r}")
    return label


LabelName = Annotated[str, BeforeValidator(_label_name)]


class SourceSection(Section):
    """Where pairs are: one of the known layouts, and what its columns are called.

    Columns have the usual names of their layout unless others are given. With format datasets, rows are
    numbered where ``id`` names no column.
    """

    layouts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "jsonl": ("images", "text", "image", "label", "id"),
        "datasets": ("images", "text", "image", "label", "id", "split"),
        "mm-safetybench": ("variant", "scenarios"),
        "nlvr": (),
    }
    format: Literal["jsonl", "datasets", "mm-safetybench", "nlvr"] = "jsonl"
    path: str | None = None
    images: str | None = None
    text: str | None = None
    image: str | None = None
    label: str | None = None
    id: str | None = None
    split: str | None = None
    variant: Literal["SD", "SD_TYPO", "TYPO"] | None = None
    scenarios: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _keys_belong_to_the_layout(self) -> Self:
        for key in dict.fromkeys(key for keys in self.layouts.values() for key in keys):
            owners = [layout for layout, keys in self.layouts.items() if key in keys]
            if getattr(self, key) is not None and self.format not in owners:
                raise ValueError(f"takes {key} with format {' or '.join(owners)}, got format {self.format!r}")
        if self.format == "mm-safetybench" and self.variant is None:
            raise ValueError("needs variant with format mm-safetybench: SD, SD_TYPO or TYPO")
        return self


class PairDataSection(SourceSection):
    """The pairs, and which of them have to be flagged: those whose label is listed under ``flagged``.

    All others count false alarms, and so do those of ``benign``, whatever their labels. No pair is trained
    on. ``rows`` certifies so many, chosen at random with ``split_seed``; with that alone all are taken in
    random order, so that a first part of them is a random sample.
    """

    flagged: Annotated[tuple[LabelName, ...], Field(min_length=1)] = ("unsafe",)
    benign: SourceSection | None = None
    rows: Count | None = None
    split_seed: Natural | None = None

    @model_validator(mode="after")
    def _rows_are_drawn(self) -> Self:
        if self.rows is not None and self.split_seed is None:
            raise ValueError(f"takes rows only with split_seed, which chooses them, got rows {self.rows}")
        return self


class CanvasSection(Section):
    """What images are resized to, and ε is measured on."""

    height: Count
    width: Count
    channels: Literal[1, 3] = 3


class RegionSection(Section):
    """What is in play: slots behind a fixed prompt, or all of a prompt of at most so many symbols."""

    suffix_slots: Count | None = None
    whole_prompt: Count | None = None

    @model_validator(mode="after")
    def _one_region(self) -> Self:
        if (self.suffix_slots is None) == (self.whole_prompt is None):
            got = "neither" if self.suffix_slots is None else "both"
            raise ValueError(f"needs one of suffix_slots and whole_prompt, got {got}")
        return self


class SymbolNoise(Section):
    """Noise on the symbols in play."""

    kernel: Literal["uniform", "absorbing", "deletion"]
    beta: Rate

    def built(self) -> DiscreteKernel:
        """Return the kernel."""
        return _KERNELS[self.kernel](self.beta)


class PixelNoise(Section):
    """Gaussian noise on pixel values in [0, 1]."""

    kernel: Literal["gaussian"] = "gaussian"
    sigma: Positive


class PairNoiseSection(Section):
    """Noise per modality; one without noise has to stay as it is."""

    text: SymbolNoise | None = None
    image: PixelNoise | None = None

    @model_validator(mode="after")
    def _some_noise(self) -> Self:
        if self.text is None and self.image is None:
            raise ValueError("must name text, image or both, got neither")
        return self


class PairThreatSection(Section):
    """How an attacker changes symbols, and how many at most."""

    kind: ThreatName
    max_d: Budget


class PairCertificateSection(TextCertificateSection):
    """What carries the guarantee; none of it has a default. The guard flags ``label``."""

    label: Annotated[str | int, AfterValidator(_claimable)]


class PairReportSection(Section):
    """Grid of ε for tables, further thresholds from the same counts, and whether inputs are shown."""

    eps: tuple[Distance, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    thresholds: tuple[Open, ...] = ()
    inputs: bool = True


class PairsConfig(Section):
    """One certification of a guard that reads a prompt and an image together."""

    data: PairDataSection
    model: GuardSection
    canvas: CanvasSection
    region: RegionSection
    noise: PairNoiseSection
    threat: PairThreatSection | None = None
    certificate: PairCertificateSection
    report: PairReportSection = Field(default_factory=PairReportSection)
    attack: AttackSection | None = None

    @model_validator(mode="after")
    def _noise_and_threat_fit(self) -> Self:
        text, threat, slots = self.noise.text, self.threat, self.region.suffix_slots
        if text is not None:
            self._check_text_noise(text)
        if threat is not None:
            if text is None:
                raise ValueError("threat needs noise.text: without it no symbol may change, so drop threat")
            if text.kernel != "deletion" and threat.kind != "substitution":
                raise ValueError(
                    f"threat.kind must be substitution with noise.text.kernel {text.kernel!r}, got "
                    f"{threat.kind!r}"
                )
            if slots is not None and threat.max_d > slots:
                raise ValueError(
                    f"threat.max_d must be at most region.suffix_slots, {slots}, got {threat.max_d}"
                )
        if str(self.certificate.label) == "safe" and "unsafe" in self.data.flagged:
            raise ValueError(
                "certificate.label is what the guard has to answer about the pairs of data.flagged: got safe "
                "for pairs that are unsafe"
            )
        checkpoint = self.model.checkpoint
        if checkpoint is not None and checkpoint.denoiser is not None and self.noise.image is None:
            raise ValueError("model.checkpoint.denoiser needs noise.image: it expects noise of that sigma")
        check_target(
            self.certificate.stopping,
            max_d=0 if threat is None else threat.max_d,
            shifts=self.noise.image is not None,
        )
        return self

    def _check_text_noise(self, text: SymbolNoise) -> None:
        if text.kernel == "deletion" and self.region.suffix_slots is not None:
            raise ValueError("noise.text.kernel deletion needs region.whole_prompt, got region.suffix_slots")
        if text.kernel == "absorbing" and not self.model.has_mask:
            raise ValueError("noise.text.kernel absorbing needs a symbol to mask with: set mask under model")
        if text.kernel != "deletion" and self.model.is_open:
            raise ValueError(
                f"noise.text.kernel {text.kernel} needs a list of symbols to draw from: set "
                "model.endpoint.words, or use kernel deletion"
            )

    def resolved(self) -> dict[str, Any]:
        """Plain values, defaults included, that load back to an equal certification.

        The section ``attack`` is no part of it: a run is the same however it is attacked later.
        """
        return self.model_dump(mode="json", exclude={"attack"})


def is_pairs(raw: Mapping[str, Any]) -> bool:
    """Return whether a mapping is meant to be a configuration of pairs."""
    model = raw.get("model")
    guard = isinstance(model, Mapping) and ("checkpoint" in model or "endpoint" in model)
    return guard or "canvas" in raw or "region" in raw
