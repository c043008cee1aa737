"""What scripts and models rely on: ids, parameters, outputs, help (DESIGN section 5)."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

SENSOR_SET = [
    "SENSOR",
    "SRF_FILE",
    "MSI_GSD",
    "PSF_FWHM",
    "PSF_FWHM_Y",
    "SHIFT_X",
    "SHIFT_Y",
    "REGISTRATION",
    "LIGHT",
    "DEFECTS",
]
RASTER_SET = ["OPTIONS", "DATA_TYPE"]
USED = ["USED_METHOD", "HSI_CONSISTENCY", "MSI_CONSISTENCY", "PSF_FWHM_USED", "SHIFT_X_USED", "SHIFT_Y_USED"]
INTERFACE = {
    "fuse": (
        ["HSI", "MSI", "MASK", "MODEL", "MODEL_FILE", *SENSOR_SET, "CONSISTENCY", "GUARD", "STEPS", "SAMPLES", "SEED"]
        + [
            "INTERPOLATE_BANDS",
            "SAMPLER",
            "MINUTES",
            "BACKEND",
            "TILE_SIZE",
            "EXTENT",
            *RASTER_SET,
            "OUTPUT",
            "UNCERTAINTY",
            "QUALITY",
            "ENSEMBLE",
            "REPORT",
        ],
        ["OUTPUT", "UNCERTAINTY", "QUALITY", "ENSEMBLE", "REPORT", *USED, "GUARD_GAIN"],
    ),
    "fuseclassical": (
        ["HSI", "MSI", "MASK", "METHOD", "DENOISE", *SENSOR_SET, "EXTENT", *RASTER_SET, "OUTPUT", "QUALITY", "REPORT"],
        ["OUTPUT", "QUALITY", "REPORT", *USED],
    ),
    "adapt": (
        ["HSI", "MSI", "MASK", "MODEL", "MODEL_FILE", *SENSOR_SET, "MINUTES", "BACKEND", "OUTPUT_MODEL", "REPORT"],
        ["OUTPUT_MODEL", "REPORT", "VALIDATION_GAIN"],
    ),
    "simulate": (
        ["REFERENCE", "RATIO", "PSF", "PSF_FWHM", "SENSOR", "SRF_FILE", "SNR_HSI", "SNR_MSI", "SHIFT_X", "SHIFT_Y"]
        + ["SEED", "OUTPUT_HSI", "OUTPUT_MSI"],
        ["OUTPUT_HSI", "OUTPUT_MSI"],
    ),
    "evaluate": (
        ["REFERENCE", "FUSED", "RATIO", "PEAK", "SAM_MAP", "ERROR_MAP", "REPORT", "TABLE"],
        ["PSNR", "PSNR_BAND_MEAN", "PSNR_BAND_PEAK", "RMSE", "SAM", "ERGAS", "SSIM", "Q2N", "CC"]
        + ["SAM_MAP", "ERROR_MAP", "REPORT", "TABLE"],
    ),
    "assess": (
        ["FUSED", "HSI", "MSI", "MASK", *SENSOR_SET, "INCONSISTENCY", "REPORT", "TABLE"],
        ["HSI_CONSISTENCY", "MSI_CONSISTENCY", "D_LAMBDA", "D_S", "HQNR", "INCONSISTENCY", "REPORT", "TABLE"],
    ),
    "propagate": (
        ["HSI", "MSI", "ENSEMBLE", "MASK", "MODEL", "MODEL_FILE", "BACKEND", *SENSOR_SET, "SAMPLER", "SAMPLES", "SEED"]
        + ["WHAT", "FORMULA", "SPECTRA", "TRAINING", "POLYGONS", "THRESHOLD", "CLASS", "ALGORITHM"]
        + ["ALGORITHM_PARAMETERS", "QUANTILES", "OUTPUT_MEAN", "OUTPUT_STD", "OUTPUT_QUANTILES", "TABLE", "REPORT"],
        ["OUTPUT_MEAN", "OUTPUT_STD", "OUTPUT_QUANTILES", "TABLE", "REPORT"],
    ),
    "compare": (
        [
            "HSI",
            "MSI",
            "PRESET",
            "METHODS",
            "CRITERION",
            "MASK",
            *SENSOR_SET,
            "SEED",
            "MINUTES",
            "BACKEND",
            "REPORT",
            "TABLE",
        ],
        ["BEST", "REPORT", "TABLE"],
    ),
    "estimatesensor": (
        ["HSI", "MSI", "MASK", *SENSOR_SET, "SRF", "REPORT"],
        ["PSF_FWHM", "PSF_FWHM_Y", "SHIFT_X", "SHIFT_Y", "ROTATION", "SCALE", "LOCAL_RMS", "UNEXPLAINED", "SRF"]
        + ["REPORT"],
    ),
    "register": (
        ["HSI", "MSI", "MASK", *SENSOR_SET, "OUTPUT", "GCPS", "REPORT"],
        ["OUTPUT", "GCPS", "REPORT", "SHIFT_X", "SHIFT_Y", "ROTATION", "SCALE", "LOCAL_RMS"],
    ),
    "fusefolder": (
        ["PAIRS", "MODEL", "MODEL_FILE", *SENSOR_SET, "CONSISTENCY", "GUARD", "STEPS", "SAMPLES", "SAMPLER", "SEED"]
        + [
            "INTERPOLATE_BANDS",
            "SAMPLER",
            "MINUTES",
            "BACKEND",
            "TILE_SIZE",
            *RASTER_SET,
            "UNCERTAINTY",
            "QUALITY",
            "REPORT",
            "OUTPUT_FOLDER",
        ]
        + ["TABLE"],
        ["OUTPUT_FOLDER", "TABLE", "DONE", "SKIPPED", "FAILED"],
    ),
    "openproduct": (
        ["PRODUCT", "BANDS", "MASK_CLASSES", "RESOLUTION", "PAN", "SWATH", "OUTPUT", "MASK"],
        ["OUTPUT", "MASK", "SENSOR", "TIME"],
    ),
    "setupbackend": (
        ["FOLDER", "INTERPRETER", "BASE_PYTHON", "BUILD", "INDEX_URL", "WHEELS", "REPAIR"],
        ["PYTHON", "DEVICE", "LOG"],
    ),
    "getmodel": (["MODEL", "MANIFEST", "SOURCE", "FOLDER"], ["MODEL_FILE", "LIST"]),
    "diagnostics": (["TRIAL", "REPORT"], ["REPORT", "TEXT", "PROBLEMS", "TILE_SECONDS"]),
}
ENUMS = {
    ("fuse", "BACKEND"): ["auto", "local", "remote"],
    ("fuse", "DATA_TYPE"): ["Float32", "Int16"],
    ("fuseclassical", "METHOD"): [
        *["glp-hs", "loc", "map", "average", "gsa", "sfim-hs", "sylvester", "cstf", "nssr", "cnmf", "hysure"]
    ],
    ("setupbackend", "BUILD"): ["auto", "cpu", "cuda"],
    ("simulate", "PSF"): ["gaussian", "block-mean"],
}


def test_the_algorithms_of_the_design_and_no_others(provider):
    assert {algorithm.name() for algorithm in provider.algorithms()} == {*INTERFACE, "fuseandassess"}


@pytest.mark.parametrize("name", INTERFACE)
def test_interface(provider, name):
    algorithm = provider.algorithm(name)
    parameters, outputs = INTERFACE[name]
    assert {p.name() for p in algorithm.parameterDefinitions()} == set(parameters)
    assert {o.name() for o in algorithm.outputDefinitions()} == set(outputs)


@pytest.mark.parametrize(("name", "parameter"), ENUMS)
def test_enums_are_static_strings(provider, name, parameter):
    definition = provider.algorithm(name).parameterDefinition(parameter)
    assert definition.usesStaticStrings()
    assert definition.options() == ENUMS[name, parameter]


def test_sensor_names(provider):
    assert provider.algorithm("fuse").parameterDefinition("SENSOR").options()[:2] == ["estimate", "Sentinel-2A"]
    assert "estimate" not in provider.algorithm("simulate").parameterDefinition("SENSOR").options()


@pytest.mark.parametrize("name", INTERFACE)
def test_help_tags_and_icon(provider, name):
    algorithm = provider.algorithm(name)
    text = algorithm.shortHelpString()
    assert "<" not in text and "**" not in text, "plain text in a terminal"
    for key in [*INTERFACE[name][0], *INTERFACE[name][1]]:
        assert key in text, f"the help of {name} says nothing about {key}"
    for definition in algorithm.parameterDefinitions():
        assert definition.help() or definition.isDestination(), f"{definition.name()} has no tooltip"
        assert definition.description() != definition.name()
    assert {"hyperspectral", "pansharpening", "image fusion", "super resolution", "EnMAP"} <= set(algorithm.tags())
    assert algorithm.shortDescription().endswith(".")
    assert not algorithm.icon().isNull()
    assert Path(algorithm.helpUrl().removeprefix("file://")).is_file()


@pytest.mark.parametrize("name", INTERFACE)
def test_few_parameters_at_first_sight(provider, name):
    from qgis.core import QgsProcessingParameterDefinition

    advanced = QgsProcessingParameterDefinition.Flag.FlagAdvanced
    shown = [p.name() for p in provider.algorithm(name).parameterDefinitions() if not p.flags() & advanced]
    assert len(shown) <= 8, shown


def test_what_is_empty_is_estimated(provider):
    for name in ("PSF_FWHM", "PSF_FWHM_Y", "SHIFT_X", "SHIFT_Y"):
        assert provider.algorithm("fuse").parameterDefinition(name).defaultValue() is None


def test_a_model_and_a_model_file_are_one_too_many(provider, sample, tmp_path):
    from qgis.core import QgsProcessingContext

    model = tmp_path / "own.safetensors"
    model.write_bytes(b"x")
    parameters = {
        "HSI": str(sample),
        "MSI": str(sample),
        "OUTPUT": str(tmp_path / "fused.tif"),
        "MODEL_FILE": str(model),
    }
    algorithm = provider.algorithm("fuse")
    assert algorithm.checkParameterValues(parameters, QgsProcessingContext())[0]
    fine, message = algorithm.checkParameterValues({**parameters, "MODEL": "glp-hs"}, QgsProcessingContext())
    assert not fine and "MODEL_FILE is given too" in message


def test_what_a_dialog_leaves_empty_is_left_out(provider, sample, tmp_path):
    """Widgets of files, numbers and extents hand a null QVariant over."""
    from qgis.core import NULL, QgsProcessingContext, QgsProcessingFeedback

    for name, parameters in [
        ("fuse", {"HSI": str(sample), "MSI": str(sample), "OUTPUT": str(tmp_path / "fused.tif")}),
        ("fuseclassical", {"HSI": str(sample), "MSI": str(sample), "OUTPUT": str(tmp_path / "fused.tif")}),
        ("setupbackend", {}),
        ("getmodel", {}),
        ("diagnostics", {}),
    ]:
        algorithm = provider.algorithm(name)
        empty = {p.name(): NULL for p in algorithm.parameterDefinitions() if p.defaultValue() in (None, "")}
        assert algorithm.checkParameterValues({**empty, **parameters}, QgsProcessingContext()) == (True, "")
        assert algorithm.create().prepare({**empty, **parameters}, QgsProcessingContext(), QgsProcessingFeedback())


def test_qgis_processing_is_qgis_own(qgis_app, root):
    from qgis import processing

    assert root not in Path(processing.__file__).resolve().parents


def test_plugin_without_interface():
    """As qgis_process loads it: no interface, no initGui."""
    script = (
        "from qgis.core import QgsApplication\n"
        "import hsfusion\n"
        "app = QgsApplication([], False)\n"
        "plugin = hsfusion.classFactory(None)\n"
        "plugin.initProcessing()\n"
        "registry = QgsApplication.processingRegistry()\n"
        "assert registry.algorithmById('hsfusion:fuse') is not None\n"
        "plugin.unload()\n"
        "assert registry.providerById('hsfusion') is None\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_loading_is_quick_and_light():
    """No torch, no requests, not even numpy; what QGIS itself has loaded (from 3.40, numpy) does not count."""
    script = (
        "import sys, time, qgis.core, qgis.PyQt.QtGui\n"
        "loaded = set(sys.modules)\n"
        "began = time.process_time()\n"
        "import hsfusion.hsfusion_plugin.plugin, hsfusion.processing.provider as p\n"
        "[a().initAlgorithm() for a in p.ALGORITHMS]\n"
        "print(time.process_time() - began)\n"
        "print(*[m for m in ('numpy', 'osgeo', 'requests', 'yaml', 'jinja2', 'plotly', 'torch') if m in "
        "set(sys.modules) - loaded])\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    seconds, heavy = shown.split("\n")[:2]
    assert float(seconds) < 0.3
    assert heavy == ""


@pytest.mark.parametrize("name", INTERFACE)
def test_help_on_the_desktop(provider, name):
    from qgis.PyQt.QtGui import QTextDocument

    from hsfusion.processing.strings import help_text, rich_text

    algorithm = provider.algorithm(name)
    described = [*algorithm.parameterDefinitions(), *algorithm.outputDefinitions()]
    shown = rich_text(help_text(name), {d.name(): d.description() for d in described})
    document = QTextDocument()
    document.setHtml(shown)
    text = document.toPlainText()
    assert "**" not in text and "`" not in text and "# " not in text
    for definition in described:
        assert f"({definition.name()})" in text


def test_metadata_for_the_plugin_site(root):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(root / "metadata.txt", encoding="utf-8")
    general = dict(parser["general"])
    for key in [
        "name",
        "description",
        "version",
        "qgisminimumversion",
        "author",
        "about",
        "license",
        "icon",
    ]:
        assert general[key].strip(), key
    assert (general["qgisminimumversion"], general["qgismaximumversion"]) == ("3.22", "3.99")
    assert general["hasprocessingprovider"] == "yes" and general["category"] == "Raster"
    assert "supportsqt6" not in general, "deprecated by the site"
    assert "<" not in general["about"] + general["description"]
    assert (root / general["icon"]).is_file()
