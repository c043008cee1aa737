"""Reports: one file that opens offline, in which nothing of the input is taken for HTML."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from hsfusion.hsfusion_plugin import reports
from hsfusion.hsfusion_plugin.reports import figures, page, pictures, png
from hsfusion.models.errors import HSFusionError
from hsfusion.models.metrics import CONVENTIONS, evaluate

ORIGIN = reports.Origin(
    settings={"HSI": "a <b> & c.tif", "STEPS": 0, "PSF_FWHM": None, "GUARD": True},
    command=reports.repeat_command("fuse", {"HSI": "a b.tif", "MASK": None, "EXTENT": (1, 2, 3, 4), "SEED": 0}),
    versions={"HSFusion": "0.1.0"},
    details={"model": {"sha256": "00ff", "gain": np.array([1.0, np.nan])}},
)


def scene(bands: int = 6, rows: int = 40, cols: int = 30) -> np.ndarray:
    return 1000 + 200 * np.random.default_rng(0).random((bands, rows, cols))


def fusion_report(**changes) -> reports.FusionReport:
    x = scene()
    x[:, :4, :4] = np.nan
    values = {
        "title": "Fusion of <one> & another",
        "summary": "A test.",
        "origin": ORIGIN,
        "estimates": [reports.Quantity("PSF width", 1.0312, "HSI pixels", "estimated")],
        "numbers": [reports.Quantity("Consistency with the HSI", 41.236, "dB")],
        "pictures": [
            reports.Picture("HSI, interpolated", x[:3], "hsi"),
            reports.Picture("MSI", x[3:4], "msi"),
            reports.Picture("Fused", x[:3], "hsi"),
        ],
        "spectra": [
            reports.PixelSpectra("column 3, row 9", {"interpolated": x[:, 9, 3], "fused": x[:, 9, 4]}, 0.1, 0.2)
        ],
        "maps": [reports.Map("Spread", x[0] - 1000, "raster units")],
        "wavelengths_nm": np.array([900.0, 450, 550, 650, 800, np.nan]),
        "msi_bands": [("B2", 440, 460), ("<B3>", 540, 580)],
        "guard": "Checked at reduced resolution.",
        "timings": {"Tiles": 12.34},
        "warnings": ["Band <3> is noisy."],
    }
    return reports.FusionReport(**{**values, **changes})


class Page(HTMLParser):
    """Collects what a page would load, and whether every element is closed."""

    VOID = {"meta", "img", "br", "link", "input", "hr"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs if name in ("src", "href") and not value.startswith("data:")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


@pytest.fixture
def fusion_page(tmp_path) -> str:
    reports.write_fusion_report(tmp_path / "r.html", fusion_report())
    return (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_fusion_report_stands_alone_and_is_light(fusion_page):
    parsed = Page(fusion_page)
    assert parsed.open == [] and parsed.loads == []
    assert len(fusion_page) < 4_000_000
    for text in ("41.24 dB", "1.031 HSI pixels", "12.3 s", "Checked at reduced resolution", "PSF_FWHM", "Full record"):
        assert text in parsed.text, text


def test_nothing_of_the_input_becomes_html(fusion_page):
    assert "a <b> & c.tif" in Page(fusion_page).text
    for raw in ("<one>", "<b> &", "<B3>", "Band <3>"):
        assert raw not in fusion_page.replace("<b>Spread", "")
    assert "Band &lt;3&gt; is noisy." in fusion_page


def test_charts_travel_inside_and_are_strict_json(fusion_page):
    data = json.loads(re.search(r'id="figures">(.*?)</script>', fusion_page, re.DOTALL).group(1))
    (chart,) = data.values()
    assert [line["name"] for line in chart["data"]] == ["interpolated", "fused"]
    assert chart["data"][0]["x"][:2] == [450, 550]  # in order of wavelength; the band without one is left out
    assert len(chart["layout"]["shapes"]) == 2
    packed = re.search(r'id="plotly">(.*?)</script>', fusion_page, re.DOTALL).group(1).strip()
    assert b"Plotly" in gzip.decompress(base64.b64decode(packed))[:100_000]


def test_without_plotly_the_report_is_still_written(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "plotly_library", lambda: "")
    reports.write_fusion_report(tmp_path / "r.html", fusion_report())
    assert "web browser" in (tmp_path / "r.html").read_text()


def test_a_bare_fusion_report(tmp_path):
    reports.write_fusion_report(tmp_path / "r.html", reports.FusionReport("T", "S", reports.Origin({})))
    assert len((tmp_path / "r.html").read_text()) < 20_000  # no chart, so no library either


def test_an_evaluation_report_says_every_convention(tmp_path):
    x = scene()
    y = x + np.random.default_rng(1).normal(0, 5, x.shape)
    y[5] = np.nan
    report = reports.EvaluationReport("Evaluation", "S", ORIGIN, evaluate(x, y, 4), unit="reflectance")
    reports.write_evaluation_report(tmp_path / "r.html", report)
    parsed = Page((tmp_path / "r.html").read_text())
    assert parsed.open == [] and parsed.loads == []
    for convention in CONVENTIONS.values():
        assert convention.title in parsed.text and convention.text in parsed.text
    assert "Compared: 5 of 6 bands" in " ".join(parsed.text.split())
    assert f"{report.scores.PSNR:.2f} dB" in parsed.text


def test_a_report_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(HSFusionError, match="REPORT"):
        reports.write_fusion_report(tmp_path / "no" / "r.html", fusion_report())


def test_the_command_repeats_the_run_in_a_shell():
    assert ORIGIN.command == "qgis_process run hsfusion:fuse -- 'HSI=a b.tif' EXTENT=1,2,3,4 SEED=0"


def test_versions_name_what_took_part():
    versions = reports.software_versions()
    assert {"HSFusion", "QGIS", "GDAL", "Python", "numpy"} <= set(versions) and all(versions.values())


def decode(data: bytes) -> tuple[int, int, int, np.ndarray]:
    """(width, height, colour type, lines) of a PNG as encode_* writes it, checking every checksum."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, chunks = 8, {}
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        assert zlib.crc32(name + body) == int.from_bytes(data[place + 8 + size : place + 12 + size], "big")
        chunks[name] = body
        place += 12 + size
    width, height = (int.from_bytes(chunks[b"IHDR"][i : i + 4], "big") for i in (0, 4))
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    return width, height, chunks[b"IHDR"][9], lines[:, 1:]


def test_png_comes_back_as_it_went_in():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4)).astype(np.uint8)
    width, height, kind, lines = decode(png.encode_rgba(pixels))
    assert (width, height, kind) == (7, 5, 6)
    assert (lines.reshape(5, 7, 4) == pixels).all()
    width, height, kind, lines = decode(png.encode_palette(pixels[..., 0], pictures.palette()))
    assert (width, height, kind) == (7, 5, 3) and (lines == pixels[..., 0]).all()


def test_gdal_reads_the_png():
    from osgeo import gdal

    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4)).astype(np.uint8)
    gdal.FileFromMemBuffer("/vsimem/test-reports.png", png.encode_rgba(pixels))
    dataset = gdal.Open("/vsimem/test-reports.png")
    layer = np.frombuffer(dataset.GetRasterBand(2).ReadRaster(), np.uint8).reshape(5, 7)
    dataset = None
    gdal.Unlink("/vsimem/test-reports.png")
    assert (layer == pixels[..., 1]).all()


def pixels_of(drawing) -> np.ndarray:
    width, height, kind, lines = decode(base64.b64decode(drawing.source.split(",")[1]))
    return lines.reshape(height, width, -1)


def test_pictures_of_one_group_share_the_stretch_of_the_first():
    ramp = np.linspace(0, 100, 400).reshape(1, 20, 20).repeat(3, axis=0)
    first, second, alone = pictures.draw_pictures(
        [reports.Picture("a", ramp, "s"), reports.Picture("b", ramp / 2, "s"), reports.Picture("c", ramp / 2, "t")]
    )
    assert pixels_of(first)[..., 0].max() == 255
    assert 120 < pixels_of(second)[..., 0].max() < 130
    assert (pixels_of(alone) == pixels_of(first)).all()


def test_nodata_is_transparent_in_pictures_and_maps():
    values = np.ones((3, 6, 6)) * np.arange(6)
    values[1, 2, 3] = np.nan
    drawing = pictures.draw_pictures([reports.Picture("a", values)])[0]
    assert pixels_of(drawing)[2, 3, 3] == 0 and (pixels_of(drawing)[..., 3] == 0).sum() == 1
    chart = pictures.draw_map(reports.Map("m", values[1], "°"))
    assert pixels_of(chart)[2, 3, 0] == 255 and (pixels_of(chart) == 255).sum() == 1


def test_a_map_says_what_lies_beyond_its_bar():
    values = np.arange(1000.0).reshape(25, 40)
    drawing = pictures.draw_map(reports.Map("m", values, "°", high=899))
    assert (drawing.low, drawing.high) == (0, 899)
    assert drawing.note == "10 % lie above, up to 999."
    flat = pictures.draw_map(reports.Map("m", np.zeros((4, 4)), "°"))
    assert flat.high > flat.low
    empty = pictures.draw_map(reports.Map("m", np.full((4, 4), np.nan), "°"))
    assert (pixels_of(empty) == 255).all()


def test_large_images_shrink_by_whole_blocks():
    values = np.zeros((3, 1100, 700))
    values[:, :300] = np.nan
    small = pictures.shrink(values)
    assert small.shape == (3, 367, 234)
    assert np.isnan(small[:, :100]).all() and (small[:, 100:] == 0).all()


def test_pixels_for_spectra_go_from_dark_to_bright():
    values = np.arange(400.0).reshape(20, 20)
    values[0, :15] = np.nan
    chosen = reports.pick_pixels(values)
    assert [values[place] for place in chosen] == sorted(values[place] for place in chosen)
    assert len(set(chosen)) == 4
    assert reports.pick_pixels(np.full((3, 3), np.nan)) == []


def test_lines_break_where_bands_are_missing():
    wavelengths = np.concatenate([np.arange(400, 900, 10.0), np.arange(1500, 1800, 10.0)])
    figure = figures.band_figure({"a": np.ones(80)}, "y", wavelengths)
    assert figure["data"][0]["x"][50] is None and len(figure["data"][0]["x"]) == 81


def test_band_names_are_short_enough_to_stand_over_a_chart():
    names = ["Sentinel-2A 2 (492.70 nm)", "Sentinel-2A 8A (864.70 nm)"]
    assert figures.short_names(names) == ["2", "8A"]
    assert figures.short_names(["B02", "B03"]) == ["B02", "B03"]
    assert figures.short_names(["Pan (650 nm)"]) == ["Pan"] and figures.short_names(["same", "same"]) == [
        "same",
        "same",
    ]


def test_many_lines_have_each_their_look():
    figure = figures.band_figure({str(n): np.ones(20) for n in range(12)}, "y")
    looks = {(line["line"]["color"], line["line"]["dash"]) for line in figure["data"]}
    assert len(looks) == 12


def comparison_report(**changes) -> reports.ComparisonReport:
    x = scene()
    values = {
        "title": "Methods <compared>",
        "summary": "S",
        "found": "loc is best.",
        "how": "Compared: 12 pixels.",
        "origin": ORIGIN,
        "columns": [reports.Column("PSNR", "dB", "higher", "the definition")],
        "methods": [
            reports.ComparedMethod("loc", ["31.20"], best=True),
            reports.ComparedMethod("<net>", reason="No backend & no weights."),
        ],
        "rmse": {"loc": x[:, 0, 0]},
        "noise": x[:, 0, 1],
        "pictures": [
            (reports.Picture("HSI", x[:3]), None),
            (reports.Picture("loc", x[:3]), reports.Map("RMSE over bands", x[0], "raster units")),
        ],
        "spectra": [reports.PixelSpectra("column 3, row 9", {"HSI": x[:, 9, 3], "loc": x[:, 9, 4]}, 0.1, 0.2)],
        "estimates": [reports.Quantity("PSF width", 1.0312, "HSI pixels", "estimated")],
    }
    return reports.ComparisonReport(**{**values, **changes})


def test_a_comparison_report_ranks_and_gives_reasons(tmp_path):
    reports.write_comparison_report(tmp_path / "r.html", comparison_report())
    text = (tmp_path / "r.html").read_text()
    parsed = Page(text)
    assert parsed.open == [] and parsed.loads == []
    for words in ("loc is best.", "31.20", "<net>", "No backend & no weights.", "the definition", "RMSE over bands"):
        assert words in parsed.text
    assert 'class="best"' in text and "noise of the HSI" in text and text.count("data:image/png") == 3


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (41.2364, "dB", "41.24"),
        (3.14159, "°", "3.142"),
        (-0.00012345, "", "−0.0001234"),
        (float("nan"), "", "not defined"),
        (float("inf"), "dB", "∞"),
        (np.float32(2.5), "", "2.5"),
        (True, "", "yes"),
        (7, "dB", "7"),
        ([1.0, 2.0], "", "1, 2"),
        ("auto", "", "auto"),
        (None, "", ""),
    ],
)
def test_numbers_as_a_person_writes_them(value, unit, text):
    assert page.number(value, unit) == text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium to draw the page")
def test_a_browser_draws_every_chart(tmp_path):
    reports.write_fusion_report(tmp_path / "r.html", fusion_report())
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--virtual-time-budget=20000",
    ]
    command = ["chromium", *flags, f"--user-data-dir={tmp_path}/profile", "--dump-dom", f"file://{tmp_path}/r.html"]
    try:
        dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout
    except subprocess.TimeoutExpired:
        pytest.skip("chromium does not answer here")
    if "data-charts" not in dom and "<svg" not in dom and "Fusion of" not in dom:
        pytest.skip("chromium cannot run here")
    assert 'data-charts="drawn"' in dom and "main-svg" in dom
    assert 'class="missing"' not in dom
