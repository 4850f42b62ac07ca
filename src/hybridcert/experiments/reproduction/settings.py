"""The settings of a reproduction: which guard, which pairs, which noise; by name, or from a file."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field, model_validator

from hybridcert.errors import ConfigError
from hybridcert.experiments.config_fields import (
    Count,
    Distance,
    Natural,
    Open,
    Positive,
    Rate,
    Samples,
    Section,
)
from hybridcert.experiments.config_files import read_mapping
from hybridcert.experiments.config_guards import GuardSection
from hybridcert.experiments.config_pairs import CanvasSection, PairDataSection
from hybridcert.experiments.config_paths import locate, without_places

FOLDER = Path(__file__).parent / "settings"
"""Where the settings that ship are."""

DEFAULT = "digits"
TABLE = "adult"
"""The settings of the census table, which is a configuration of `certify`."""


class DigitsSection(Section):
    """The digits and captions that ship, held out from the training of the tiny guard."""

    seed: Natural = 0


class InteractionSection(Section):
    """How pairs are filtered that are unsafe only together; see `filter_interaction`."""

    samples: Samples
    alpha: Open
    threshold: Open


class RegionsSection(Section):
    """Slots behind the prompt for suffixes; the longest prompt, and most changes, for ℓ₀ attacks."""

    suffix_slots: Count
    whole_prompt: Count
    whole_prompt_max_d: Count


class GridSection(Section):
    """Noise: the values that single runs have, and those that sweeps go through."""

    beta: Rate
    betas: Annotated[tuple[Rate, ...], Field(min_length=1)]
    sigma: Positive
    sigmas: Annotated[tuple[Positive, ...], Field(min_length=1)]
    accuracy_betas: Annotated[tuple[Rate, ...], Field(min_length=1)]
    accuracy_sigmas: Annotated[tuple[Positive, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _sweeps_ascend(self) -> Self:
        for name in ("betas", "sigmas", "accuracy_betas", "accuracy_sigmas"):
            values = list(getattr(self, name))
            if values != sorted(set(values)):
                raise ValueError(f"needs {name} ascending, got {values}")
        return self

    @model_validator(mode="after")
    def _single_values_are_in_the_sweeps(self) -> Self:
        for name in ("beta", "sigma"):
            value, values = getattr(self, name), getattr(self, f"{name}s")
            if value not in values:
                raise ValueError(f"needs {name} among {name}s, {list(values)}, got {value}")
        return self


class ClaimSection(Section):
    """What carries the guarantee. The first threshold is the paper's; the same counts serve all of them."""

    samples: Samples
    alpha: Open
    thresholds: Annotated[tuple[Open, ...], Field(min_length=1)]
    seed: Natural


class CostSection(Section):
    """Pairs and copies of the measurement of cost."""

    pairs: Count
    samples: Samples


class AccuracySection(Section):
    """Copies of each pair for smoothed accuracy, which is an estimate."""

    samples: Samples


class SubsamplingSection(Section):
    """Subsampling of words and patches: shares kept, and sides of square patches in pixels."""

    keep: Annotated[tuple[Rate, ...], Field(min_length=1)]
    patch: Count
    fine_patch: Count
    samples: Samples

    @model_validator(mode="after")
    def _something_is_left_out(self) -> Self:
        if min(self.keep) >= 1.0:
            raise ValueError(f"needs a share below 1 among keep, got {list(self.keep)}")
        return self


class AttackSection(Section):
    """The attack on certified pairs."""

    inputs: Count
    iterations: Count
    copies: Count
    candidates: Count
    samples: Samples


class PairsSetting(Section):
    """A guard, pairs, and everything that the tables and figures about them are measured with."""

    digits: DigitsSection | None = None
    data: PairDataSection | None = None
    model: GuardSection
    canvas: CanvasSection
    regions: RegionsSection
    noise: GridSection
    claim: ClaimSection
    interaction: InteractionSection
    pairs: Count
    eps: Annotated[tuple[Distance, ...], Field(min_length=1)]
    accuracy: AccuracySection
    cost: CostSection
    subsampling: SubsamplingSection
    attack: AttackSection
    executor: Literal["serial", "processes"] = "serial"

    @model_validator(mode="after")
    def _one_source_of_pairs(self) -> Self:
        if (self.digits is None) == (self.data is None):
            got = "neither" if self.digits is None else "both"
            raise ValueError(f"needs one of digits and data, got {got}")
        for patch in (self.subsampling.patch, self.subsampling.fine_patch):
            if self.canvas.height % patch or self.canvas.width % patch:
                raise ValueError(
                    f"needs patches that divide the canvas, {self.canvas.height} × {self.canvas.width}, got "
                    f"a side of {patch}"
                )
        return self

    def identity(self) -> dict[str, Any]:
        """Return what counts depend on: no paths, no executor."""
        return without_places(self.model_dump(mode="json", exclude={"executor"}))


def names() -> list[str]:
    """Return the names of the settings that ship, for pairs."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != TABLE)


def find(name: str) -> Path:
    """Return the file of a setting: one that ships, by name, or any other, by path.

    Raises
    ------
    ConfigError
        For a name that is none of them and no file.
    """
    shipped = FOLDER / f"{name}.yaml"
    if Path(name).name == name and shipped.is_file():
        return shipped
    if Path(name).is_file():
        return Path(name)
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names())}, or give a file"
    raise ConfigError(f"--setting must be a name or a file that exists, got {name!r}: {hint}")


def read_setting(name: str, *, data: Path | None = None) -> PairsSetting:
    """Read the setting of pairs with a name, or in a file.

    Parameters
    ----------
    data : Path, optional
        Where the pairs are, instead of ``data.path``.

    Raises
    ------
    ConfigError
        For a file that is no setting, naming the key; for ``data`` where the pairs are made, not read.
    """
    source = find(name)
    raw = read_mapping(source)
    if raw.keys() & {"threat", "certificate"}:
        raise ConfigError(
            f"{source}: --setting names settings of pairs, got a configuration of certify; known are "
            f"{', '.join(names())}"
        )
    locate(raw, source.parent)
    if data is not None:
        if not isinstance(raw.get("data"), dict):
            raise ConfigError(
                f"--data: the setting {source.stem!r} makes its own pairs, got {data}; choose another with "
                "--setting"
            )
        raw["data"]["path"] = str(data.resolve())
    elif isinstance(raw.get("data"), dict) and raw["data"].get("path") is None:
        raise ConfigError(f"no pairs given: pass --data PATH, the folder of {source.stem}")
    try:
        return PairsSetting.model_validate(raw)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{source}: {_line(error)}") from error


def _line(error: pydantic.ValidationError) -> str:
    """Return what is wrong with the first of the keys, in one line."""
    detail = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")[0]
    name = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key {name!r}"
        case "missing":
            return f"{name} is required"
        case "value_error":
            return f"{name} {detail['ctx']['error']}".strip()
        case _:
            return f"{name} must be {detail['msg'].removeprefix('Input should be ')}, got {detail['input']!r}"
