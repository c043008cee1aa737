"""Quality of every method on simulated pairs, all blind: what `scripts/benchmark.py` prints and writes."""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Sampling
from hsfusion.models.runners.subspace import SubspaceRunner
from hsfusion.models.runners.weights import load_state, read_card
from hsfusion.models.scene.block import Block, whole_block, widened
from hsfusion.models.scene.methods.classical import fit_full_band
from hsfusion.models.scene.methods.names import CLOSED_FORMS, FULL_BAND
from hsfusion.models.scene.sensors.defects.find import find_defects
from hsfusion.models.scene.sensors.light.cells import CellSums, Components
from hsfusion.models.scene.sensors.light.find import find_light
from hsfusion.models.scene.sensors.placing import Wanted, field_windows, place
from hsfusion.models.scene.subspace.subspace import band_noise
from hsfusion.models.trials import (
    CASES,
    DAMAGED,
    DISPLACED,
    LIT,
    Case,
    Fitted,
    Pair,
    Runner,
    Scene,
    expected_error,
    guarded,
    scores,
    simulate,
)
from hsfusion.scripts.data.scenes import find_scene, read_scene

YARDSTICK, UNGATED, FILTERED = "glp-hs*", "glp-hs* ungated", "average, MSI filtered"
MISJUDGED = 1.25  # factor on the PSF's width
STRENGTHS = (
    0.5,
    0.8,
    1.1,
    1.5,
)  # of the denoising filter, in units of the noise; the best one is taken, chosen with the truth at hand


@dataclass(frozen=True)
class Job:
    """One scene and case, with what to try on it."""

    folder: Path
    scene: str
    case: Case
    model: Path
    samples: int
    thorough: bool
    crop: int = 0

    def read(self) -> Scene:
        """The scene, or its middle."""
        scene = read_scene(find_scene(self.folder, self.scene))
        height, width = scene.cube.shape[1:]
        if not 0 < self.crop < min(height, width):
            return scene
        top, left = (height - self.crop) // 2, (width - self.crop) // 2
        return replace(scene, cube=scene.cube[:, top : top + self.crop, left : left + self.crop])


def blind_sampling(block: Block, ratio: float) -> Sampling:
    """PSF, shift and displacement as hsfusion:fuse estimates them."""
    return place([block], Sampling(ratio), Wanted(), lambda s: field_windows([widened(block, s.margin)], s)).sampling


def without_defects(block: Block) -> Block:
    """A block that is a whole scene as hsfusion:fuse reads it with DEFECTS auto."""
    shape = block.y.shape[1:]
    found = find_defects(lambda: iter([(block.y, 0, 0)]), block.y.reshape(len(block.y), -1), shape)
    repaired = found.repair(block.y, *map(range, shape))
    return replace(block, y=repaired.values, y_mask=block.y_mask * repaired.mask)


def under_one_light(block: Block, sampling: Sampling) -> Block:
    """A block that is a whole scene as hsfusion:fuse reads it with LIGHT auto."""
    shape = block.y.shape[1:]
    spectra = block.y.reshape(len(block.y), -1).T.astype(np.float64)
    sums = CellSums(Components.of(spectra), shape, 1, block.scene_shape)
    sums.add(block, sampling)
    light = find_light(sums.cells(sampling), (sampling.shift_y, sampling.shift_x)).light
    return block if light is None else light.block(block)


def run_job(job: Job) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One row per method, and how far the model's UNCERTAINTY can be trusted."""
    torch.set_num_threads(1)
    scene, card = job.read(), read_card(job.model)
    runner = SubspaceRunner(card, load_state(job.model))
    pair = simulate(scene, job.case)
    fused, trust = run_case(pair, runner, card, job)
    peak = float(pair.truth.max())
    noise = band_noise(pair.truth.reshape(len(pair.truth), -1).T)
    ceiling = 10 * np.log10(peak**2 / np.mean(noise**2))
    where = {"scene": job.scene, "case": job.case.name}

    def judged(cube: np.ndarray) -> np.ndarray:
        return cube[(slice(None), *pair.judged)]

    rows = [
        {**where, "method": method, **scores(judged(pair.truth), judged(cube)), "ceiling": ceiling}
        for method, cube in fused.items()
    ]
    return rows, {**where, **trust}


def run_case(
    pair: Pair, runner: Runner, card: dict[str, Any], job: Job
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Every method's cube by name."""
    block, components, name = whole_block(pair.hsi, pair.msi), int(card["components"]), card["name"]
    known = pair.wavelengths
    told = Fitted.to(block if pair.still is None else whole_block(pair.still, pair.msi), pair.sampling, known)
    fused = {YARDSTICK: told.fuse()["glp-hs"], UNGATED: ungated(told)}
    if job.case.defect:
        block = without_defects(block)
    if job.case.light:  # which is found before the HSI's place is: the grids of these pairs are right
        block = under_one_light(block, Sampling(pair.sampling.ratio))
    sampling = blind_sampling(block, pair.sampling.ratio)
    block = widened(block, sampling.margin)
    plain, fitted = Fitted.to(block, sampling, known), Fitted.to(block, sampling, known, components)
    fused.update(plain.fuse())
    fused[FILTERED] = plain.expand(plain.closed_forms(denoise=True).average)
    if job.thorough:
        for method in FULL_BAND:
            fused[method] = _or_nothing(method, block, plain)
        if job.case.snr_db:
            fused["average, denoised"] = denoised(plain, pair.truth)
    reply = fitted.infer(runner)
    fused[name] = fitted.expand(reply["x"][0])
    trust = trustworthiness(np.abs(fused[name] - pair.truth), expected_error(fitted, reply))
    if job.samples:
        fused[f"{job.samples} samples"] = fitted.fuse(runner, samples=job.samples, steps=5)["network"]
    if job.thorough and pair.still is None:
        fused[f"{name}, told PSF"] = Fitted.to(block, pair.sampling, known, components).fuse(runner)["network"]
        fused.update(misjudged(block, pair, runner, components, name))
    choice = guarded(fitted, runner)
    fused["guarded"] = fused[name] if choice == "network" else fitted.fuse(denoise=True)[choice]
    return {method: cube for method, cube in fused.items() if cube is not None}, trust


def ungated(told: Fitted) -> np.ndarray:
    """GLP-HS as published: the part outside the subspace is passed on whole, its noise too."""
    scene = replace(told.scene, gate=np.ones_like(told.scene.gate))
    return replace(told, scene=scene).fuse()["glp-hs"]


def _or_nothing(method: str, block: Block, plain: Fitted) -> np.ndarray | None:
    try:
        found = fit_full_band(method, [block], plain.scene, lambda: block)
        return found.window(block, block.place.fine)
    except HSFusionError as error:
        print(f"{method}: {error}", file=sys.stderr)
        return None


def denoised(plain: Fitted, truth: np.ndarray) -> np.ndarray:
    """The baseline for what is gained in noise: the average of LOC and MAP after non-local means (Buades et al. 2005)
    on each coefficient.

    The filter knows each coefficient's noise and gets its best strength by looking at the truth, so this flatters it.
    """
    from skimage.restoration import denoise_nl_means

    model = plain.scene.coefficients
    forms_average = plain.closed_forms().average
    noise = np.sqrt((model.regression**2) @ (plain.scene.msi_noise / plain.scene.z_scale) ** 2 + model.y_std**2)
    best: tuple[float, np.ndarray] | None = None
    for strength in STRENGTHS:
        x = np.stack(
            [
                denoise_nl_means(one, patch_size=5, patch_distance=6, h=strength * std, sigma=std, fast_mode=True)
                for one, std in zip(forms_average, noise)
            ]
        )
        cube = plain.expand(x.astype(np.float32))
        error = float(np.mean((cube - truth) ** 2))
        if best is None or error < best[0]:
            best = error, cube
    return best[1]  # type: ignore[index]


def misjudged(block: Block, pair: Pair, runner: Runner, components: int, name: str) -> dict[str, np.ndarray]:
    """The model told a PSF that is a quarter too wide, with data consistency and without."""
    true = pair.sampling
    wrong = replace(true, fwhm_y=MISJUDGED * true.fwhm_y, fwhm_x=MISJUDGED * true.fwhm_x)
    fitted = Fitted.to(block, wrong, pair.wavelengths, components)
    fused = fitted.fuse(runner)
    return {
        "average, PSF +25 %": fused["average"],
        f"{name}, PSF +25 %": fused["network"],
        f"{name}, PSF +25 %, no consistency": fitted.fuse(runner, consistency=False)["network"],
    }


def trustworthiness(error: np.ndarray, std: np.ndarray) -> dict[str, float]:
    """coverage: share of all errors within +-2 standard deviations; rank: Spearman's correlation of expected and
    absolute error.
    """
    picks = np.random.default_rng(0).choice(error.size, min(error.size, 200_000), replace=False)
    a, b = error.ravel()[picks], std.ravel()[picks]
    ranks = [np.argsort(np.argsort(v)).astype(np.float64) for v in (a, b)]
    return {"coverage": float((error <= 2.0 * std).mean()), "rank": float(np.corrcoef(*ranks)[0, 1])}


def run_all(jobs: Sequence[Job], workers: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All jobs, a few at a time; one that fails is said on stderr and left out."""
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"  # inherited by the workers: small matrices
    rows: list[dict[str, Any]] = []
    trust: list[dict[str, Any]] = []
    began = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for job, future in [(job, pool.submit(run_job, job)) for job in jobs]:
            try:
                found, trusted = future.result()
            except HSFusionError as error:
                print(f"{job.scene}, {job.case.name}: {error}", file=sys.stderr)
                continue
            rows += found
            trust.append(trusted)
            print(f"{time.monotonic() - began:6.0f} s  {job.scene}, {job.case.name}", file=sys.stderr)
    return rows, trust


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown: gain over the yardstick per case and method, mean and worst scene; over the best closed form; share of
    the gap to the ceiling.
    """
    methods = list(dict.fromkeys(str(r["method"]) for r in rows))
    lines = ["| case | " + " | ".join(methods) + " |", "|---|" + "---|" * len(methods)]
    for case in dict.fromkeys(r["case"] for r in rows):
        values, scenes = _by_scene(rows, case)
        for title, score in (
            ("mean", lambda v: np.mean(v)),
            ("worst", lambda v: np.min(v)),
        ):
            lines.append(
                f"| {case}: {title} gain | "
                + " | ".join(_gain(values, scenes, m, YARDSTICK, score) for m in methods)
                + " |"
            )
        lines.append(
            f"| {case}: mean over {UNGATED} | "
            + " | ".join(_gain(values, scenes, m, UNGATED, np.mean) for m in methods)
            + " |"
        )
        best = {s: max(values[s, m]["psnr"] for m in CLOSED_FORMS) for s in scenes}
        lines.append(
            f"| {case}: mean over the best of {', '.join(CLOSED_FORMS)} per scene | "
            + " | ".join(
                _cell([values[s, m]["psnr"] - best[s] for s in scenes if (s, m) in values], np.mean) for m in methods
            )
            + " |"
        )
        lines.append(
            f"| {case}: share of the gap to the ceiling | "
            + " | ".join(_closed(values, scenes, m) for m in methods)
            + " |"
        )
        lines.append(
            f"| {case}: mean SAM (degrees) | "
            + " | ".join(
                _cell([values[s, m]["sam"] for s in scenes if (s, m) in values], np.mean, "{:.2f}") for m in methods
            )
            + " |"
        )
    return lines


def _by_scene(rows: list[dict[str, Any]], case: str) -> tuple[dict[tuple[str, str], dict[str, Any]], list[str]]:
    here = [r for r in rows if r["case"] == case]
    return {(r["scene"], r["method"]): r for r in here}, list(dict.fromkeys(r["scene"] for r in here))


def _cell(values: list[float], score: Any, form: str = "{:+.2f}") -> str:
    return form.format(float(score(values))) if values else ""


def _gain(values: dict[tuple[str, str], dict[str, Any]], scenes: list[str], method: str, over: str, score: Any) -> str:
    return _cell([values[s, method]["psnr"] - values[s, over]["psnr"] for s in scenes if (s, method) in values], score)


def _closed(values: dict[tuple[str, str], dict[str, Any]], scenes: list[str], method: str) -> str:
    """Mean share, in dB, of what lies between the yardstick and the reference's own noise."""
    shares = []
    for s in scenes:
        if (s, method) in values:
            start, ceiling = values[s, YARDSTICK]["psnr"], values[s, YARDSTICK]["ceiling"]
            if ceiling > start + 0.5:
                shares.append((values[s, method]["psnr"] - start) / (ceiling - start))
    return _cell(shares, np.mean, "{:.0%}")


def every_row(rows: list[dict[str, Any]], key: str) -> list[str]:
    """Markdown: a line per scene and case."""
    methods = list(dict.fromkeys(str(r["method"]) for r in rows))
    lines = ["| case | scene | " + " | ".join(methods) + " | ceiling |", "|---|---|" + "---|" * (len(methods) + 1)]
    for case in dict.fromkeys(r["case"] for r in rows):
        values, scenes = _by_scene(rows, case)
        for scene in scenes:
            cells = [f"{values[scene, m][key]:.2f}" if (scene, m) in values else "" for m in methods]
            lines.append(
                f"| {case} | {scene} | " + " | ".join(cells) + f" | {values[scene, YARDSTICK]['ceiling']:.1f} |"
            )
    return lines


def trust_table(trust: list[dict[str, Any]]) -> list[str]:
    """Markdown: coverage of +-2 standard deviations and rank correlation: mean, lowest and highest scene of a case, and
    case of a scene.
    """
    lines = [
        "| case or scene | within ±2 σ: mean | lowest | highest | rank correlation: mean | lowest |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(t[key] for key in ("case", "scene") for t in [*trust, {"case": "all", "scene": "all"}]):
        here = [t for t in trust if name in (t["case"], t["scene"], "all")]
        c, r = ([t[k] for t in here] for k in ("coverage", "rank"))
        lines.append(f"| {name} | {np.mean(c):.1%} | {min(c):.1%} | {max(c):.1%} | {np.mean(r):.2f} | {min(r):.2f} |")
    return lines


def for_card(rows: list[dict[str, Any]], name: str, command: str) -> dict[str, Any]:
    """What the model card repeats: gain over the yardstick, mean and worst scene per case, of the model and of what the
    guard ships.
    """
    table: dict[str, Any] = {}
    for case in dict.fromkeys(r["case"] for r in rows):
        values, scenes = _by_scene(rows, case)
        for method in (name, "guarded"):
            gains = [values[s, method]["psnr"] - values[s, YARDSTICK]["psnr"] for s in scenes]
            table.setdefault(case, {})[method] = {
                "mean": round(float(np.mean(gains)), 2),
                "worst": round(min(gains), 2),
            }
    scenes = list(dict.fromkeys(r["scene"] for r in rows))
    return {"gain_db_over": "GLP-HS told the true PSF", "scenes": scenes, "gains": table, "command": command}


def write(path: Path, lines: list[str], rows: list[dict[str, Any]]) -> None:
    """The Markdown file, and beside it a CSV with every row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    with open(path.with_suffix(".csv"), "w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, ["scene", "case", "method", "psnr", "sam", "ceiling"])
        table.writeheader()
        table.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def wanted_cases(names: str) -> list[Case]:
    """The cases that a comma-separated list names; all of them where it is empty. HSFusionError names an
    unknown one.
    """
    known = {c.name: c for c in (*CASES, *DISPLACED, *LIT, *DAMAGED)}
    for name in filter(None, names.split(",")):
        if name not in known:
            raise HSFusionError(f"There is no case {name}: the cases are {', '.join(known)}.")
    return [known[n] for n in names.split(",")] if names else [*CASES, *DISPLACED, *LIT, *DAMAGED]
