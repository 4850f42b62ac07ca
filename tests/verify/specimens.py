"""One certificate of every kind: every kernel, threat, norm, claim, method and kind of worst case."""

from __future__ import annotations

from collections.abc import Callable

from issuing import Json, bonferroni, counted, document, hexadecimal
from sequences import beta_mixture, bonferroni_at_looks, counted_at_looks, group_sequential


def _threat(kind: str, max_d: int, modality: str = "text", **caps: int) -> Json:
    return {"modality": modality, "kind": kind, "max_d": max_d, **caps}


def _taken(*parts: list[int]) -> list[Json]:
    return [{"positions": list(parts)}]


def _image(sigma: float = 0.25) -> Json:
    return {
        "modality": "image",
        "kernel": "gaussian",
        "sigma": hexadecimal(sigma),
        "features": 64,
        "unit": "pixels in [0, 1]",
    }


L2 = {"norm": "l2", "unit": "pixels in [0, 1]"}
SCORE = {"kind": "score", "label": "unsafe", "threshold": hexadecimal(0.0001)}


def uniform() -> Json:
    return document(
        discrete=[
            {"modality": "text", "kernel": "uniform", "beta": hexadecimal(0.25), "positions": [[50000, 8]]}
        ],
        continuous=[_image()],
        threats=[_threat("substitution", 8)],
        norm=L2,
        claim=SCORE,
        points=[
            (0, [_taken()]),
            (1, [_taken([0, 0, 1])]),
            (2, [_taken([0, 0, 2])]),
            (4, [_taken([0, 0, 4])]),
        ],
    )


def uniform_all_noise() -> Json:
    return document(
        discrete=[{"modality": "text", "kernel": "uniform", "beta": "1", "positions": [[100, 2]]}],
        threats=[_threat("substitution", 5)],
        estimate=counted(1000, 1000, hexadecimal(0.001)),
        points=[(1, [_taken([0, 0, 1])]), (5, [_taken([0, 0, 2])])],
    )


def fields() -> Json:
    half = hexadecimal(0.5)
    sizes = [9, 16, 42, 7]
    return document(
        discrete=[
            {
                "modality": "columns",
                "kernel": "fields",
                "positions": [[{"size": n, "beta": half}, 1] for n in sizes],
            }
        ],
        continuous=[_image(0.5)],
        threats=[_threat("fields", 4, "columns")],
        norm=L2,
        points=[(1, [_taken([2, 0, 1])]), (2, [_taken([1, 0, 1], [2, 0, 1])])],
    )


def fields_enumerated() -> Json:
    """Many categories with much noise against two with little: neither field dominates the other."""
    kinds = [{"size": 2, "beta": "1/4"}, {"size": 40, "beta": "1/2"}]
    return document(
        discrete=[{"modality": "columns", "kernel": "fields", "positions": [[kind, 2] for kind in kinds]}],
        continuous=[_image(0.5)],
        threats=[_threat("fields", 2, "columns")],
        norm=L2,
        claim={**SCORE, "threshold": "1/16"},
        points=[
            (1, [_taken([0, 0, 1]), _taken([1, 0, 1])]),
            (2, [_taken([0, 0, 2]), _taken([0, 0, 1], [1, 0, 1]), _taken([1, 0, 2])]),
        ],
    )


def randomized_response() -> Json:
    return document(
        discrete=[
            {
                "modality": "text",
                "kernel": "randomized-response",
                "ratio": "3",
                "positions": [[5, 2], [20, 3]],
            }
        ],
        threats=[_threat("substitution", 2)],
        points=[(1, [_taken([0, 0, 1])]), (2, [_taken([0, 0, 2])])],
    )


def absorbing() -> Json:
    return document(
        discrete=[
            {
                "modality": "text",
                "kernel": "absorbing",
                "beta": hexadecimal(0.75),
                "positions": [["symbol", 12]],
            }
        ],
        continuous=[_image()],
        threats=[_threat("substitution", 3)],
        norm=L2,
        claim=SCORE,
        points=[(d, [_taken([0, 0, d])]) for d in (1, 2, 3)],
    )


def flips() -> Json:
    law = {
        "modality": "bits",
        "kernel": "flips",
        "p_plus": hexadecimal(0.125),
        "p_minus": hexadecimal(0.5),
        "positions": [[0, 90], [1, 10]],
    }
    return document(
        discrete=[law],
        threats=[_threat("flips", 2, "bits")],
        points=[
            (1, [_taken([0, 0, 1]), _taken([1, 0, 1])]),
            (2, [_taken([0, 0, 2]), _taken([0, 0, 1], [1, 0, 1]), _taken([1, 0, 2])]),
        ],
    )


def flips_capped() -> Json:
    found = flips()
    return document(
        discrete=found["law"]["discrete"],
        threats=[_threat("flips", 3, "bits", max_additions=1, max_removals=2)],
        points=[(3, [_taken([0, 0, 1], [1, 0, 2])])],
    )


def additions() -> Json:
    return document(
        discrete=flips()["law"]["discrete"],
        threats=[_threat("additions", 2, "bits")],
        points=[(2, [_taken([0, 0, 2])])],
    )


def removals() -> Json:
    return document(
        discrete=flips()["law"]["discrete"],
        threats=[_threat("removals", 20, "bits")],
        claim=SCORE,
        points=[(20, [_taken([1, 0, 10])])],
    )


def synonyms() -> Json:
    return document(
        discrete=[
            {
                "modality": "text",
                "kernel": "synonyms",
                "positions": [[[10, [[10, 8], [12, 9]]], 1], [[5, [[5, 5]]], 1], [[4, []], 3]],
            }
        ],
        continuous=[_image()],
        threats=[_threat("substitution", 2)],
        norm=L2,
        claim=SCORE,
        points=[
            (1, [_taken([0, 0, 1]), _taken([0, 1, 1])]),
            (2, [_taken([0, 0, 1], [1, 0, 1]), _taken([0, 1, 1], [1, 0, 1])]),
        ],
    )


def matrix() -> Json:
    rows = [["3", "1", "1"], ["1", "0x1.8p+1", "1"], ["1", "2", "3"]]
    return document(
        discrete=[
            {
                "modality": "text",
                "kernel": "matrix",
                "rows": rows,
                "substitutions": [[0, 2], [0, 1], [2, 0]],
                "positions": [[0, 2], [1, 5], [2, 1]],
            }
        ],
        threats=[_threat("substitution", 1)],
        points=[(1, [_taken([0, 0, 1]), _taken([0, 1, 1]), _taken([2, 0, 1])])],
    )


def envelope() -> Json:
    kinds = [{"size": n, "beta": hexadecimal(b)} for n, b in ((2, 0.25), (40, 0.5), (7, 0.375))]
    change = [{"envelope": {"base": hexadecimal(1.25), "exponents": [-12, 14], "d": 2}}]
    return document(
        discrete=[{"modality": "columns", "kernel": "fields", "positions": [[kind, 1] for kind in kinds]}],
        continuous=[_image(0.5)],
        threats=[_threat("fields", 2, "columns")],
        norm=L2,
        claim={**SCORE, "threshold": "1/100"},
        points=[(2, [change])],
    )


def deletion(
    kind: str, changes: list[tuple[int, int]], d: int, length: int | None = 30
) -> Callable[[], Json]:
    def specimen() -> Json:
        return document(
            discrete=[
                {"modality": "text", "kernel": "deletion", "beta": hexadecimal(0.75), "length": length}
            ],
            continuous=[_image()],
            threats=[_threat(kind, d)],
            norm=L2,
            claim=SCORE,
            points=[(d, [[{"insertions": a, "deletions": b}] for a, b in changes])],
        )

    return specimen


def laplace() -> Json:
    return document(
        discrete=[
            {"modality": "text", "kernel": "uniform", "beta": hexadecimal(0.5), "positions": [[50, 4]]}
        ],
        continuous=[
            {"modality": "row", "kernel": "laplace", "scale": hexadecimal(0.3), "features": 6, "unit": "std"}
        ],
        threats=[_threat("substitution", 1)],
        norm={"norm": "l1", "unit": "std"},
        points=[(0, [_taken()]), (1, [_taken([0, 0, 1])])],
    )


def mahalanobis() -> Json:
    sigmas = [hexadecimal(s) for s in (0.1, 0.25, 0.5)]
    row = {"modality": "row", "kernel": "gaussian", "sigma": sigmas, "features": 3, "unit": "mixed"}
    return document(
        continuous=[row, _image()],
        norm={"norm": "mahalanobis", "unit": "standard deviations"},
        points=[(0, [[]])],
    )


def two_modalities() -> Json:
    return document(
        discrete=[
            {"modality": "text", "kernel": "uniform", "beta": hexadecimal(0.5), "positions": [[50, 4]]},
            {
                "modality": "calm",
                "kernel": "absorbing",
                "beta": hexadecimal(0.5),
                "positions": [["symbol", 4]],
            },
            {"modality": "log", "kernel": "deletion", "beta": hexadecimal(0.75), "length": None},
        ],
        continuous=[_image()],
        threats=[_threat("substitution", 2), _threat("indel", 2, "log")],
        norm=L2,
        claim=SCORE,
        points=[
            (
                [1, 1],
                [
                    [{"positions": [[0, 0, 1]]}, {"insertions": 1, "deletions": 0}],
                    [{"positions": [[0, 0, 1]]}, {"insertions": 0, "deletions": 1}],
                ],
            ),
            ([0, 1], [[{"positions": []}, {"insertions": 1, "deletions": 1}]]),
        ],
    )


def top_1() -> Json:
    return document(
        discrete=[{"modality": "text", "kernel": "uniform", "beta": hexadecimal(0.5), "positions": [[5, 4]]}],
        continuous=[_image()],
        threats=[_threat("substitution", 1)],
        norm=L2,
        claim={"kind": "top-k", "label": "cat", "k": 1, "classes": 10},
        points=[(0, [_taken()]), (1, [_taken([0, 0, 1])])],
    )


def top_k() -> Json:
    counts = [9000, 500, 300, 100, 100]
    return document(
        continuous=[_image()],
        norm=L2,
        claim={"kind": "top-k", "label": "cat", "k": 2, "classes": 5},
        estimate=bonferroni(counts, 0, 2, 10_000, "1/100"),
        points=[(0, [[]])],
    )


def given() -> Json:
    return document(
        continuous=[_image()],
        norm=L2,
        estimate={"method": "given", "p_lower": "9/10"},
        points=[(0, [[]])],
    )


def not_certified() -> Json:
    return document(
        discrete=[
            {"modality": "text", "kernel": "uniform", "beta": hexadecimal(0.25), "positions": [[50000, 8]]}
        ],
        continuous=[_image()],
        threats=[_threat("substitution", 8)],
        norm=L2,
        points=[(0, [_taken()]), (8, [_taken([0, 0, 8])])],
    )


SHARES = [(100, "1/1000"), (300, "1/500"), (1000, "7/1000")]
BOUNDARIES = [(20, 21), (60, 61), (150, 148), (300, 291), (400, 385), (600, 570)]


def _with(estimate: Json, claim: Json | None = None) -> Json:
    return document(continuous=[_image()], norm=L2, claim=claim, estimate=estimate, points=[(0, [[]])])


def looks() -> Json:
    return _with(counted_at_looks(291, SHARES, 1, "1/100"))


def looks_top_k() -> Json:
    claim = {"kind": "top-k", "label": "cat", "k": 2, "classes": 4}
    return _with(bonferroni_at_looks([210, 60, 20, 10], 2, SHARES, 1, "1/100"), claim)


def group_sequential_crossed() -> Json:
    return _with(group_sequential(BOUNDARIES, [20, 58, 144, 292], 300, 292, "1/100"))


def group_sequential_last() -> Json:
    return _with(group_sequential(BOUNDARIES, [20, 57, 141, 283, 378, 566], 600, 566, "1/100"))


def group_sequential_ended() -> Json:
    """Sampling ended between two looks: what was not drawn is failures."""
    return _with(group_sequential(BOUNDARIES, [20, 58, 146, 290, 384], 580, 556, "1/100"))


def mixture() -> Json:
    return _with(beta_mixture(480, 500, "1/100", ("0x1p-1", "1/2")))


def mixture_top_1() -> Json:
    claim = {"kind": "top-k", "label": "cat", "k": 1, "classes": 10}
    return _with(beta_mixture(480, 500, "1/100", ("5", "1/3"), p_upper=True), claim)


SPECIMENS: dict[str, Callable[[], Json]] = {
    "uniform": uniform,
    "uniform-all-noise": uniform_all_noise,
    "fields": fields,
    "fields-enumerated": fields_enumerated,
    "randomized-response": randomized_response,
    "absorbing": absorbing,
    "flips": flips,
    "flips-capped": flips_capped,
    "additions": additions,
    "removals": removals,
    "synonyms": synonyms,
    "matrix": matrix,
    "envelope": envelope,
    "insertion": deletion("insertion", [(3, 0)], 3),
    "deletion": deletion("deletion", [(0, 2)], 2),
    "deletion-short": deletion("deletion", [(0, 2)], 9, length=2),
    "indel": deletion("indel", [(2, 0), (1, 1), (0, 2)], 2),
    "edit": deletion("edit", [(2, 2)], 2, length=None),
    "sequence-substitution": deletion("substitution", [(2, 2)], 2),
    "laplace": laplace,
    "mahalanobis": mahalanobis,
    "two-modalities": two_modalities,
    "top-1": top_1,
    "top-k": top_k,
    "given": given,
    "not-certified": not_certified,
    "looks": looks,
    "looks-top-k": looks_top_k,
    "group-sequential": group_sequential_crossed,
    "group-sequential-last": group_sequential_last,
    "group-sequential-ended": group_sequential_ended,
    "beta-mixture": mixture,
    "beta-mixture-top-1": mixture_top_1,
}
