"""A translation that lies in resources/i18n is what QGIS shows, dialogs and help alike."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def german(qgis_app, monkeypatch):
    from hsfusion.hsfusion_plugin import translation

    monkeypatch.setattr(translation, "language", lambda: "de_AT")
    return translation


@pytest.mark.skipif(not shutil.which("lrelease"), reason="Qt's lrelease compiles a translation")
def test_a_translation_is_shown(german, provider, tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "dev" / "translations.py"), "de", "--folder", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    path = tmp_path / "hsfusion_de.ts"
    text = path.read_text(encoding="utf-8")
    for source, translated in (
        ("Fuse rasters with a diffusion model", "Raster fusionieren"),
        ("Agreement with the hyperspectral raster (dB)", "Übereinstimmung (dB)"),
    ):
        before = f'<source>{source}</source>\n      <translation type="unfinished" />'
        assert before in text
        text = text.replace(before, f"<source>{source}</source>\n      <translation>{translated}</translation>")
    path.write_text(text, encoding="utf-8")
    subprocess.run([*command, "--compile"], check=True, capture_output=True)
    translator = german.install(tmp_path)
    try:
        assert provider.algorithm("fuse").displayName() == "Raster fusionieren"
        assess = provider.algorithm("assess").create()
        outputs = {o.name(): o.description() for o in assess.outputDefinitions()}
        assert outputs["HSI_CONSISTENCY"] == "Übereinstimmung (dB)"
        assert provider.algorithm("evaluate").displayName() == "Evaluate against a reference", "not translated yet"
    finally:
        german.remove(translator)
    assert provider.algorithm("fuse").displayName() == "Fuse rasters with a diffusion model"


def test_without_a_translation_nothing_changes(german, tmp_path):
    assert german.install(tmp_path) is None
    german.remove(None)


def test_help_in_the_users_language(monkeypatch, tmp_path, qgis_app):
    from hsfusion.processing import strings

    (tmp_path / "help" / "de").mkdir(parents=True)
    (tmp_path / "help" / "fuse.md").write_text("# Fuse\n\nEnglish.\n", encoding="utf-8")
    (tmp_path / "help" / "de" / "fuse.md").write_text("# Fuse\n\nDeutsch.\n", encoding="utf-8")
    (tmp_path / "help" / "assess.md").write_text("# Assess\n\nEnglish.\n", encoding="utf-8")
    monkeypatch.setattr(strings, "RESOURCES", tmp_path)
    monkeypatch.setattr(strings, "language", lambda: "de_AT")
    strings.help_text.cache_clear()
    try:
        assert "Deutsch" in strings.help_text("fuse") and "English" in strings.help_text("assess")
    finally:
        strings.help_text.cache_clear()
