"""scripts/benchmark.py --protocol: its variants are configurations, its tables and verdicts say what was measured."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from hsfusion.models.errors import HSFusionError
from hsfusion.models.training.full_band.loop import build_full_band
from hsfusion.models.training.subspace.config import load_config

pytest.importorskip("rasterio")
pytest.importorskip("tensorboard")


@pytest.fixture(scope="module")
def scripts():
    """The modules behind the command."""
    from hsfusion.scripts.benchmarking import claims, reproduction

    return SimpleNamespace(protocol=reproduction, claims=claims)


def result(*psnr: float) -> dict:
    """What a variant reached in 1, 2, 5, ... steps."""
    steps = ("1", "2", "5", "10", "20", "50")[: len(psnr)]
    numbers = {"parameters": 1e6, "macs": 2e9, "training_seconds": 60, "steps": 100, "default_steps": 1, "says": "it"}
    return {
        "psnr": dict(zip(steps, psnr)),
        "sam": dict.fromkeys(steps, 2.0),
        "seconds": dict.fromkeys(steps, 3.0),
        **numbers,
    }


def test_every_variant_is_a_configuration_with_the_same_scenes(scripts, tmp_path):
    configs = [load_config(scripts.protocol.write_config(v, tmp_path, 0.1)) for v in scripts.protocol.REPRODUCTION]
    assert len({(c.train, c.test, c.bands, c.msi, c.observation) for c in configs}) == 1
    with torch.device("meta"):
        sizes = {c.name: sum(p.numel() for p in build_full_band(c).parameters()) for c in configs}
    assert sizes["hsr-diff-no-sr-stream"] < sizes["hsr-diff"] and sizes["ddrf-no-style"] < sizes["ddrf"]
    named = {name for _, names in scripts.protocol.TABLES for name in names}
    assert named == {c.name for c in configs}, "each variant is in a table"
    whole = tmp_path / "whole"
    whole.mkdir()
    full = load_config(scripts.protocol.write_config(scripts.protocol.REPRODUCTION[0], whole, 1.0))
    assert configs[0].steps == round(0.1 * full.steps)


def test_a_changed_configuration_starts_again(scripts, tmp_path):
    variant = scripts.protocol.REPRODUCTION[0]
    scripts.protocol.write_config(variant, tmp_path, 0.1)
    kept = [tmp_path / f"{variant.name}.json", tmp_path / f"{variant.name}-one-shot.json"]
    for path in kept:
        path.write_text("{}", encoding="utf-8")
    scripts.protocol.write_config(variant, tmp_path, 0.1)
    assert all(path.exists() for path in kept)
    scripts.protocol.write_config(variant, tmp_path, 0.2)
    assert [path.exists() for path in kept] == [False, True]


def test_verdicts_follow_the_figures(scripts):
    results = {
        "ddpm-fus": result(40.0, 40.0, 40.0, 40.02, 39.9, 39.0),
        "ddpm-fus-l2": result(38.0, 38.5),
        "ddrf": result(41.0, 41.0),
    }
    lines = {line.split("|")[1].strip(): line for line in scripts.claims.verdicts(results, 45.0)[2:]}
    by = {
        key: next(line for text, line in lines.items() if key in text)
        for key in ("one step", "fifty", "here with x0", "SR stream", "closed forms")
    }
    assert "| holds | 1 and 10 steps: 40.00 against 40.02" in by["one step"] and "| holds |" in by["fifty"]
    assert (
        "| not measured |" in by["SR stream"]
        and "| refuted | best network ddrf 41.00, GLP-HS 45.00" in by["closed forms"]
    )
    l1 = next(line for text, line in lines.items() if "l1 is better" in text)
    assert "| holds | 40.02 against 38.50 dB (+1.52" in l1


def test_what_seeds_and_scenes_explain_is_not_decided(scripts):
    """A difference within the spread of seeds, or within two standard errors over scenes, decides nothing."""
    verdict, near, far = scripts.claims.verdict, result(40.3), result(40.0)
    assert verdict(near, "1", far, "1")[0] == "not decided"
    near["psnr"]["1"] = 41.0
    assert verdict(near, "1", far, "1")[0] == "holds" and verdict(far, "1", near, "1")[0] == "refuted"
    near["scenes"], far["scenes"] = {"1": [47.0, 35.0, 41.0]}, {"1": [40.0, 40.0, 40.0]}
    assert verdict(near, "1", far, "1")[0] == "not decided"


def test_tables_keep_the_text_before_them(scripts, tmp_path):
    output = tmp_path / "reproduction.md"
    output.write_text("# Title\n\nWords.\n\n<!-- tables -->\nSTALE\n", encoding="utf-8")
    pair = SimpleNamespace(name="scene")
    trial = SimpleNamespace(pair=pair, rivals={"interpolation": 1, "glp-hs": 2}, score=lambda cube: (30.0 + cube, 2.0))
    variants = scripts.protocol.REPRODUCTION[:2]
    results = {variants[0].name: result(33.0, 33.5, 33.0, 33.0, 33.0, 33.0), variants[1].name: result(32.0)}
    scripts.protocol.write_tables(output, list(variants), results, [trial], "reproduction", 0.5)
    text = output.read_text()
    assert text.startswith("# Title\n\nWords.\n\n<!-- tables -->") and "STALE" not in text
    assert "| glp-hs | 32.00 | 2.00 |" in text and "| 33.00 | 33.50 | 33.00 |" in text and "--share 0.5" in text
    rows = output.with_suffix(".csv").read_text().splitlines()
    assert len(rows) == 8 and rows[1].startswith("ddpm-fus,1,33,2,3,")


def test_an_unknown_protocol_or_variant_is_one_sentence(scripts, tmp_path):
    with pytest.raises(HSFusionError, match="no protocol speed: choose one of reproduction"):
        scripts.protocol.run_protocol("speed", tmp_path, tmp_path, 1.0, [], None)
    with pytest.raises(HSFusionError, match="none of these variants: unet"):
        scripts.protocol.run_protocol("reproduction", tmp_path, tmp_path, 1.0, ["unet"], None)
