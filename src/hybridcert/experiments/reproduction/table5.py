"""Table 5: what smoothing itself costs in accuracy, over β and σ, for suffixes and for the whole prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from hybridcert.certificate.directed import format_exact
from hybridcert.experiments.reproduction.bench import Bench
from hybridcert.experiments.reproduction.finding import Curve, Finding, Panel
from hybridcert.experiments.reproduction.paper import reported
from hybridcert.experiments.reproduction.wording import about, setting_sentence, share_down

TITLE = "Table 5: smoothed accuracy over β and σ"

REGIONS = ("full ℓ₀ text", "suffix")


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One region, σ and β (0: no such noise): pairs that most copies flag, and the mean share of copies."""

    region: str
    sigma: float
    beta: float
    flagged: int
    inputs: int
    mean_share: float


def measure(bench: Bench) -> Finding:
    """Count flagged copies of every pair under every noise of the grid."""
    setting, inputs, samples = bench.setting, len(bench), bench.setting.accuracy.samples
    cells = []
    for region in REGIONS:
        place = bench.slots if region == "suffix" else bench.whole
        for sigma in (0.0, *setting.noise.accuracy_sigmas):
            for beta in (0.0, *setting.noise.accuracy_betas):
                hits = bench.hits(place, beta=beta or None, sigma=sigma or None, samples=samples)
                flagged = int((2 * hits > samples).sum())
                cells.append(Cell(region, sigma, beta, flagged, inputs, float(hits.mean()) / samples))
    return Finding(
        title=TITLE,
        table=pd.DataFrame([dataclasses.asdict(cell) for cell in cells]),
        shown=_shown(cells),
        paragraphs=(
            (
                f"{setting_sentence(setting, inputs)} This table is an estimate from {samples} copies of "
                "each pair."
            ),
            *sentences(cells),
        ),
        panels=tuple(_panel(cells, region) for region in REGIONS),
        facts={"samples": samples},
    )


def _panel(cells: Sequence[Cell], region: str) -> Panel:
    own = [cell for cell in cells if cell.region == region]
    return Panel(
        title=region,
        x_label="β",
        y_label="flagged by most copies (% of pairs)",
        kind="lines",
        curves=tuple(
            Curve(
                f"σ = {format_exact(sigma)}",
                tuple(cell.beta for cell in own if cell.sigma == sigma),
                tuple(100.0 * cell.flagged / cell.inputs for cell in own if cell.sigma == sigma),
            )
            for sigma in dict.fromkeys(cell.sigma for cell in own)
        ),
    )


def _shown(cells: Sequence[Cell]) -> list[list[str]]:
    betas = list(dict.fromkeys(cell.beta for cell in cells))
    rows = [["", "σ", *(f"β = {format_exact(beta)}" for beta in betas), "mean shares"]]
    for region in REGIONS:
        for sigma in dict.fromkeys(cell.sigma for cell in cells):
            own = [cell for cell in cells if (cell.region, cell.sigma) == (region, sigma)]
            shares = ", ".join(about(cell.mean_share, 2) for cell in own)
            rows.append(
                [region, format_exact(sigma), *(share_down(c.flagged, c.inputs) for c in own), shares]
            )
    paper = reported("table5")
    for key, region in zip(("full", "suffix"), REGIONS, strict=True):
        for sigma, values in paper[key].items():
            known = dict(zip(paper["betas"], values, strict=True))
            texts = [f"{known[beta]:.1f} %" if beta in known else "–" for beta in betas]
            rows.append([f"paper: {region}", format_exact(sigma), *texts, "–"])
    return rows


def sentences(cells: Sequence[Cell]) -> list[str]:
    """Compare how much text noise and image noise cost with the paper's finding."""
    paper = reported("table5")
    said = []
    for key, region in zip(("full", "suffix"), REGIONS, strict=True):
        own = {
            (cell.sigma, cell.beta): 100.0 * cell.flagged / cell.inputs
            for cell in cells
            if cell.region == region
        }
        betas = sorted({beta for _, beta in own})
        most = betas[-1]
        theirs = paper[key][0.0]
        loss, known = own[0.0, 0.0] - own[0.0, most], theirs[0] - theirs[-1]
        said.append(
            f"{region}: without image noise, text noise of β = {format_exact(most)} costs {loss:.0f} points "
            f"of accuracy (paper, β = 0.5: {known:.0f})."
        )
    full = _loss(cells, REGIONS[0])
    suffix = _loss(cells, REGIONS[1])
    order = (
        "Noise on the whole prompt costs more than noise on the slots alone, as in the paper."
        if full > suffix
        else "Noise on the whole prompt costs no more than noise on the slots alone, unlike in the paper."
    )
    image = _image_loss(cells)
    compared = (
        "Image noise costs less than noise on the whole prompt, as in the paper."
        if image < full
        else "Image noise costs at least as much as noise on the whole prompt, unlike in the paper."
    )
    return [
        *said,
        order,
        f"The largest σ alone costs {image:.0f} points. {compared}",
        (
            "The paper does not say from which share of copies on a pair counts as flagged; here it is more "
            "than half. At its τ of 4.6e-5 one flagged copy in 20 000 would do."
        ),
    ]


def _loss(cells: Sequence[Cell], region: str) -> float:
    own = [cell for cell in cells if cell.region == region and cell.sigma == 0.0]
    return 100.0 * (own[0].flagged - own[-1].flagged) / own[0].inputs


def _image_loss(cells: Sequence[Cell]) -> float:
    own = [cell for cell in cells if cell.region == REGIONS[1] and cell.beta == 0.0]
    return 100.0 * (own[0].flagged - own[-1].flagged) / own[0].inputs
