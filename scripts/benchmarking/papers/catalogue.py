"""The papers' data sets: which configuration they are, which columns their table has, and the numbers printed there
that are known here."""

from __future__ import annotations

from dataclasses import dataclass, field

from hsfusion.models.errors import HSFusionError

REDUCED = ("PSNR", "SAM", "ERGAS", "SSIM")
PANSHARPENING = ("SAM", "ERGAS", "Q2N")
FULL_RESOLUTION = ("D_LAMBDA", "D_S", "HQNR")


@dataclass(frozen=True)
class DataSet:
    """name: as the command takes it. config: the file in resources/configs. printed: method -> column -> number of
    the paper.

    peak: the value that is white in 8 bit, 0: the brightest of the reference. weights: the configuration whose
    network the paper runs here, where that is another's; where its bands or ratio differ they are interpolated.
    """

    name: str
    config: str
    table: str
    columns: tuple[str, ...] = REDUCED
    printed: dict[str, dict[str, float]] = field(default_factory=dict)
    peak: float = 0.0
    weights: str = ""


def _row(*numbers: float, columns: tuple[str, ...] = REDUCED) -> dict[str, float]:
    return dict(zip(columns, numbers))


PAPERS: dict[str, tuple[DataSet, ...]] = {
    "ddpm-fus": (
        DataSet(
            "cave",
            "ddpm-fus-cave",
            "Table II",
            printed={
                "DDPM-Fus": _row(43.66, 5.69, 0.34),
                "SSRnet": _row(41.73, 8.17, 0.41),
                "HSRnet": _row(41.05),
                "EDBIN": _row(40.68),
                "MHF-net": _row(36.46),
                "PanNet": _row(30.68),
            },
            peak=65535.0,
        ),
        DataSet(
            "chikusei",
            "ddpm-fus-chikusei",
            "Table III",
            printed={"DDPM-Fus": _row(40.25, 1.86, 0.41), "SSRnet": _row(39.66, 1.89, 0.39)},
        ),
        DataSet(
            "pavia-centre",
            "ddpm-fus-pavia-centre",
            "Table III",
            printed={
                "DDPM-Fus": _row(45.39, 3.01, 0.19),
                "EDBIN": _row(45.35, 2.93, 0.18),
                "SSRnet": _row(45.11),
            },
        ),
    ),
    "hsr-diff": (
        DataSet(
            "cave",
            "hsr-diff-cave",
            "Table 1",
            printed={
                "HSR-Diff": _row(44.33, 3.71, 0.179),
                "UAL-DMI": _row(42.74, 3.79, 0.213),
                "CMHF-Net": _row(42.54),
                "Fusformer": _row(41.52),
            },
            peak=65535.0,
        ),
        DataSet(
            "paviau",
            "hsr-diff-paviau",
            "Table 1",
            printed={"HSR-Diff": _row(46.47, 1.45, 1.053), "CMHF-Net": _row(45.77)},
        ),
        DataSet(
            "chikusei",
            "hsr-diff-chikusei",
            "Table 1",
            printed={"HSR-Diff": _row(57.34, 0.43, 0.324), "BRResNet": _row(56.79), "UAL-DMI": _row(56.57)},
        ),
        DataSet("hypsen", "hsr-diff-hypsen", "section 4.6, images alone", FULL_RESOLUTION, weights="hsr-diff-paviau"),
    ),
    "ddrf": (
        DataSet(
            "wv3-reduced",
            "ddrf-wv3-reduced",
            "reduced resolution",
            PANSHARPENING,
            {"DDRF": _row(2.77, 2.05, columns=PANSHARPENING)},
        ),
        DataSet("wv3-full", "ddrf-wv3-full", "full resolution", FULL_RESOLUTION, weights="ddrf-wv3-reduced"),
        DataSet("qb-reduced", "ddrf-qb-reduced", "reduced resolution", PANSHARPENING),
        DataSet("qb-full", "ddrf-qb-full", "full resolution", FULL_RESOLUTION, weights="ddrf-qb-reduced"),
        DataSet("gf2-reduced", "ddrf-gf2-reduced", "reduced resolution", PANSHARPENING),
        DataSet("gf2-full", "ddrf-gf2-full", "full resolution", FULL_RESOLUTION, weights="ddrf-gf2-reduced"),
        DataSet("cave", "ddrf-cave", "CAVE x4", peak=65535.0),
    ),
}


def data_sets(paper: str, wanted: list[str]) -> list[DataSet]:
    """Those of a paper, or the named ones; HSFusionError where there is no such paper or data set."""
    if paper not in PAPERS:
        raise HSFusionError(f"There is no paper {paper}: choose one of {', '.join(PAPERS)}.")
    found = {data.name: data for data in PAPERS[paper]}
    for name in wanted:
        if name not in found:
            raise HSFusionError(f"The paper {paper} has no data set {name}: choose of {', '.join(found)}.")
    return [found[name] for name in wanted or found]
