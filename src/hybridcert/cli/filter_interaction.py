"""`hybridcert filter-interaction`: keep the pairs that are unsafe only together."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybridcert.cli import options
from hybridcert.cli.console import print_json, results
from hybridcert.cli.interrupts import Interrupted, held
from hybridcert.cli.kept import kept_in
from hybridcert.cli.rules import read_value
from hybridcert.errors import ModelError, ParameterError

if TYPE_CHECKING:
    from hybridcert.adapters.canvas import Canvas
    from hybridcert.adapters.image_text import Region
    from hybridcert.datasets.image_text import ImageTextPairs
    from hybridcert.experiments.interaction_result import InteractionResult
    from hybridcert.experiments.interaction_run import Filtering
    from hybridcert.sampling.classifier import Classifier

EXAMPLE = (
    "Example: hybridcert filter-interaction memes.jsonl --model guard/ --canvas 64x64 --sigma 0.25 "
    "--slots 8 --beta 0.25 --samples 1000 --alpha 0.01 --threshold 0.01 --seed 0 --out runs/interaction"
)

_DATA, _NOISE, _CHECK = "Data", "Noise", "Check: noise alone must not trigger"


class Layout(enum.StrEnum):
    """How data lie on disk."""

    JSONL = "jsonl"
    DATASETS = "datasets"
    MM_SAFETYBENCH = "mm-safetybench"
    NLVR = "nlvr"


def _option(name: str, metavar: str, text: str, panel: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel)


def command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="JSON Lines file, or a folder; see --layout.")],
    model: Annotated[
        Path,
        typer.Option(
            "--model",
            metavar="DIR",
            help="Folder of a Hugging Face vision-language checkpoint, a hub name, or tiny-guard.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to write; it must not exist or be empty.")
    ],
    canvas: Annotated[
        str,
        typer.Option("--canvas", metavar="WxH", help="Pixels of the images that noise is added to: 64x64."),
    ],
    samples: Annotated[str, _option("--samples", "N", "Noisy copies of each half, >= 1.", _CHECK)],
    alpha: Annotated[
        str, _option("--alpha", "A", "A pair on which noise triggers stays with this probability.", _CHECK)
    ],
    threshold: Annotated[
        str, _option("--threshold", "T", "Noise triggers where so large a share is not safe.", _CHECK)
    ],
    seed: Annotated[
        int, typer.Option("--seed", metavar="S", min=0, help="Of the noise.", rich_help_panel=_CHECK)
    ],
    sigma: Annotated[str, _option("--sigma", "S", "Gaussian noise on pixels in [0, 1], > 0.", _NOISE)],
    beta: Annotated[
        str,
        _option("--beta", "B", "Corruption rate of symbols: replaced in slots, else deleted.", _NOISE),
    ],
    slots: Annotated[
        str | None, _option("--slots", "N", "Noise writes to N slots behind the prompt.", _NOISE)
    ] = None,
    max_length: Annotated[
        str | None,
        _option("--max-length", "L", "Noise deletes from the whole prompt of at most L symbols.", _NOISE),
    ] = None,
    layout: Annotated[
        Layout, typer.Option("--layout", help="How the data lie on disk.", rich_help_panel=_DATA)
    ] = Layout.JSONL,
    images: Annotated[
        Path | None,
        _option("--images", "DIR", "jsonl, datasets: what image paths are relative to.", _DATA),
    ] = None,
    split: Annotated[str | None, _option("--split", "NAME", "datasets: split to take.", _DATA)] = None,
    variant: Annotated[
        str | None, _option("--variant", "V", "mm-safetybench: SD, SD_TYPO or TYPO.", _DATA)
    ] = None,
    scenarios: Annotated[
        str | None,
        _option("--scenarios", "a,b", "mm-safetybench: scenarios to take. Default: all.", _DATA),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue in --out with the answers that it has.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Keep image-text pairs that are unsafe only because of what text and image say together.

    Without noise, text without image (mid grey) and image without text have to be safe, and both together
    unsafe. With noise, the share of answers other than safe has to be below --threshold for each half and
    for neither, by an upper Clopper-Pearson bound at level --alpha. The kept pairs are in --out/kept, as JSON
    Lines with their images; why each example stays or falls out is in --out/examples.csv.
    """
    given = {"samples": samples, "alpha": alpha, "threshold": threshold, "sigma": sigma, "beta": beta}
    values = {key: read_value(key, raw) for key, raw in given.items()}
    with held():
        from hybridcert.adapters.image_text import SUFFIX, TEXT, SuffixSlots, WholePrompt
        from hybridcert.experiments.interaction_run import Filtering
        from hybridcert.experiments.run_directory import check_resumable, check_vacant
        from hybridcert.kernels.deletion import RandomDeletion
        from hybridcert.kernels.gaussian import GaussianNoise
        from hybridcert.kernels.uniform import UniformReplacement
        from hybridcert.smoothing import SmoothedClassifier
    (check_resumable if resume else check_vacant)(out)
    if (slots is None) == (max_length is None):
        raise ParameterError("give exactly one of --slots and --max-length, each an integer >= 1")
    size = _canvas(canvas)
    noise: dict[str, Any] = {"image": GaussianNoise(values["sigma"])}
    region: Region
    if slots is not None:
        region, noise[SUFFIX] = SuffixSlots(_whole("--slots", slots)), UniformReplacement(values["beta"])
    else:
        region, noise[TEXT] = WholePrompt(_whole("--max-length", max_length)), RandomDeletion(values["beta"])
    pairs = _read(data, layout, images=images, split=split, variant=variant, scenarios=scenarios)
    smoothed = SmoothedClassifier(_classifier(model, size, region), noise=noise)
    asked = Filtering(
        smoothed,
        pairs,
        canvas=size,
        samples=values["samples"],
        alpha=values["alpha"],
        threshold=values["threshold"],
        seed=seed,
    )
    print_interaction(filtered(asked, out, resume=resume), out, as_json=as_json)


def filtered(asked: Filtering, out: Path, *, resume: bool) -> InteractionResult:
    """Filter with a line of progress; say what is kept, and how to continue, where it ends early.

    Raises
    ------
    Interrupted
        After Ctrl-C.
    ModelError
        For a classifier that broke down.
    """
    with held():
        from hybridcert.cli.progress import ProgressLine
        from hybridcert.experiments.interaction_run import run_filter
    try:
        with ProgressLine() as progress:
            return run_filter(asked, out, resume=resume, progress=progress)
    except KeyboardInterrupt:
        raise Interrupted(kept_in(out)) from None
    except ModelError as error:
        raise ModelError(f"{error}; {kept_in(out)}") from error


def print_interaction(found: InteractionResult, out: Path, *, as_json: bool) -> None:
    """Print how many pairs fell out at each step, and where the others lie."""
    steps = found.steps()
    if as_json:
        print_json(
            {
                "directory": str(out),
                "examples": len(found.frame),
                "kept": len(found.kept),
                "steps": steps.to_dict("records"),
            }
        )
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("dropped", justify="right")
    table.add_column("left", justify="right")
    table.add_row("given", "", str(len(found.frame)))
    for step in steps.itertuples():
        table.add_row(str(step.step), str(step.dropped), str(step.left))
    console = results()
    console.print(table)
    console.print(f"kept pairs: {out / 'kept'}; reasons: {out / 'examples.csv'}", markup=False)


def _classifier(path: Path, canvas: Canvas, region: Region) -> Classifier:
    """Return the classifier in a checkpoint folder, as a run on pairs builds it."""
    with held():
        from hybridcert.experiments.config_guards import CheckpointSection
        from hybridcert.experiments.guards import checkpoint_classifier
    return checkpoint_classifier(CheckpointSection(path=str(path)), region=region, canvas=canvas)


def _read(
    data: Path,
    layout: Layout,
    *,
    images: Path | None,
    split: str | None,
    variant: str | None,
    scenarios: str | None,
) -> ImageTextPairs:
    """Read the data; refuse options that belong to another layout."""
    belong = {
        "--images": (images, (Layout.JSONL, Layout.DATASETS)),
        "--split": (split, (Layout.DATASETS,)),
        "--variant": (variant, (Layout.MM_SAFETYBENCH,)),
        "--scenarios": (scenarios, (Layout.MM_SAFETYBENCH,)),
    }
    for name, (value, layouts) in belong.items():
        if value is not None and layout not in layouts:
            raise ParameterError(f"{name} belongs to --layout {' or '.join(layouts)}, got --layout {layout}")
    match layout:
        case Layout.JSONL:
            from hybridcert.datasets.jsonl_pairs import read_jsonl_pairs

            return read_jsonl_pairs(data, images=images)
        case Layout.DATASETS:
            from hybridcert.datasets.hf_pairs import read_hf_pairs

            return read_hf_pairs(data, split=split, images=images)
        case Layout.NLVR:
            from hybridcert.datasets.nlvr import read_nlvr

            return read_nlvr(data)
    from hybridcert.datasets.mm_safetybench import check_variant, read_mm_safetybench

    named = None if scenarios is None else scenarios.split(",")
    return read_mm_safetybench(data, variant=check_variant(variant), scenarios=named)


def _canvas(raw: str) -> Canvas:
    from hybridcert.adapters.canvas import Canvas

    sides = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})", raw.strip(), re.ASCII)
    if sides is None:
        raise ParameterError(f"--canvas must be WIDTHxHEIGHT such as 64x64, got {raw!r}")
    return Canvas(height=int(sides[2]), width=int(sides[1]))


def _whole(name: str, raw: str | None) -> int:
    if raw is None or not re.fullmatch(r"[1-9]\d{0,8}", raw.strip(), re.ASCII):
        raise ParameterError(f"{name} must be an integer >= 1, got {raw!r}")
    return int(raw)
