"""EnMAP (DLR, EN-PCV-ICD-2009) and DESIS (DLR, products and product format)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .truth import Truth, spectra, write_tiff

GRID, EPSG = (368010.0, 30.0, 0.0, 5806020.0, 0.0, -30.0), 32633
# VNIR and SWIR interleave where they overlap.
CENTRES = np.array([418.24, 550.69, 902.17, 979.13, 911.62, 1002.31, 1399.0, 2445.53])
WIDTHS = np.array([6.98, 6.47, 8.22, 8.91, 10.12, 10.43, 12.0, 7.43])
NAME = "ENMAP01-____{}-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z-"


def enmap_l2a(folder: Path, suffix: str = "") -> Truth:
    """Level 2A: int16, 1e-4, -32768; band 7 was not delivered."""
    rows, cols = 6, 9
    stored = np.rint(spectra(8, rows, cols, -50, 6000)).astype(np.int16)
    stored[:, 0, :2] = -32768
    stored[6] = -32768
    prefix = folder / NAME.format("L2A")
    write_tiff(Path(f"{prefix}SPECTRAL_IMAGE{suffix}.TIF"), stored, GRID, EPSG, -32768)
    layers = {
        "CLASSES": np.ones((rows, cols)),
        **{k: np.zeros((rows, cols)) for k in ("CLOUD", "CLOUDSHADOW", "CIRRUS", "HAZE", "SNOW")},
    }
    layers["CLOUD"][2, 3] = layers["CLOUDSHADOW"][3, 4] = layers["HAZE"][5, 5] = 1
    layers["CIRRUS"][4, 4] = 2
    layers["CLASSES"][0, :2] = 3
    for kind, layer in layers.items():
        write_tiff(Path(f"{prefix}QL_QUALITY_{kind}{suffix}.TIF"), layer.astype(np.uint8), GRID, EPSG)
    listed = ",".join(str(i + 1) for i in range(8) if i != 6)
    Path(f"{prefix}METADATA.XML").write_text(enmap_xml("L2A", np.full(8, 1e-4), np.zeros(8), listed), encoding="utf-8")
    mask = np.ones((rows, cols), bool)
    mask[0, :2] = mask[2, 3] = mask[3, 4] = mask[4, 4] = False
    values = np.where(stored == -32768, np.nan, stored * 1e-4)
    bad = np.arange(8) == 6
    return Truth(
        folder, values, CENTRES, WIDTHS, GRID, EPSG, mask, "EnMAP", "L2A", "EnMAP", "2022-07-24T10:45:26Z", bad
    )


def write_enmap(folder: Path, stored: np.ndarray, nm: np.ndarray, geotransform, epsg: int) -> Path:
    """A level 2A product of any bands; the path of its folder."""
    prefix = folder / NAME.format("L2A")
    write_tiff(Path(f"{prefix}SPECTRAL_IMAGE.TIF"), stored, geotransform, epsg, -32768)
    count = len(nm)
    text = enmap_xml("L2A", np.full(count, 1e-4), np.zeros(count), "", nm, np.full(count, 6.5))
    Path(f"{prefix}METADATA.XML").write_text(text, encoding="utf-8")
    return folder


def add_enmap_layer(folder: Path, kind: str, layer: np.ndarray, geotransform, epsg: int) -> None:
    """A quality layer of that product."""
    write_tiff(folder / f"{NAME.format('L2A')}QL_QUALITY_{kind}.TIF", layer, geotransform, epsg)


def enmap_l1c(folder: Path) -> Truth:
    """Level 1C: radiance with a gain and an offset for every band; fill 0."""
    rows, cols = 5, 4
    stored = np.rint(spectra(8, rows, cols, 1, 9000)).astype(np.int16)
    stored[:, 4, 3] = 0
    gains, offsets = np.linspace(1e-5, 3e-5, 8), np.linspace(-0.01, 0.02, 8)
    prefix = folder / NAME.format("L1C")
    write_tiff(Path(f"{prefix}SPECTRAL_IMAGE.TIF"), stored, GRID, EPSG, 0)
    Path(f"{prefix}METADATA.XML").write_text(enmap_xml("L1C", gains, offsets), encoding="utf-8")
    values = stored * gains[:, None, None] + offsets[:, None, None]
    values[:, 4, 3] = np.nan
    mask = np.ones((rows, cols), bool)
    mask[4, 3] = False
    path = Path(f"{prefix}METADATA.XML")
    return Truth(path, values, CENTRES, WIDTHS, GRID, EPSG, mask, "EnMAP", "L1C", "EnMAP", "2022-07-24T10:45:26Z")


def enmap_xml(
    level: str,
    gains: np.ndarray,
    offsets: np.ndarray,
    listed: str = "1,2,3,4,5,6,7,8",
    centres: np.ndarray = CENTRES,
    widths: np.ndarray = WIDTHS,
) -> str:
    """The parts of METADATA.XML that matter."""
    bands = "\n".join(
        f'<bandID number="{i + 1}"><wavelengthCenterOfBand>{centres[i]}</wavelengthCenterOfBand><FWHMOfBand>{widths[i]}</FWHMOfBand>'  # noqa: E501
        f"<GainOfBand>{gains[i]!r}</GainOfBand><OffsetOfBand>{offsets[i]!r}</OffsetOfBand></bandID>"
        for i in range(len(centres))
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<level_X xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><metadata/>'
        f"<base><level>{level}</level><name>x</name><mission>EnMAP</mission><temporalCoverage><startTime>2022-07-24T10:45:26.123456Z</startTime>"
        "<stopTime>2022-07-24T10:45:30.5Z</stopTime></temporalCoverage></base><specific><numberOfVNIRBands>4</numberOfVNIRBands>"
        f"<vnirProductQuality><expectedChannelsList>{listed}</expectedChannelsList></vnirProductQuality>"
        f"<bandCharacterisation>\n{bands}\n</bandCharacterisation></specific></level_X>"
    )


def desis_l2a(folder: Path) -> Truth:
    """Level 2A: the same in other words, quality in bands of one file."""
    rows, cols = 7, 5
    stored = np.rint(spectra(8, rows, cols, 10, 6000)).astype(np.int16)
    stored[:, :, 0] = -999
    prefix = folder / "DESIS-HSI-L2A-DT0346883072_003-20190829T140142-V0216-"
    write_tiff(Path(f"{prefix}SPECTRAL_IMAGE.tif"), stored, GRID, EPSG, -999)
    quality = np.zeros((10, rows, cols), np.uint8)
    quality[0, 1, 1] = quality[5, 2, 2] = quality[6, 3, 3] = quality[3, 4, 4] = 1
    write_tiff(Path(f"{prefix}QL_QUALITY-2.tif"), quality, GRID, EPSG)
    bands = "".join(
        f"<band><bandNumber>{i + 1}</bandNumber><wavelengthCenterOfBand>{CENTRES[i]}</wavelengthCenterOfBand>"
        f"<wavelengthWidthOfBand>{WIDTHS[i]}</wavelengthWidthOfBand><response>0.1,0.9</response>"
        "<gainOfBand>0.0001</gainOfBand><offsetOfBand>0.0</offsetOfBand></band>\n"
        for i in range(8)
    )
    Path(f"{prefix}METADATA.xml").write_text(
        "<hsi_doc><base><temporalCoverage><startTime>2019-08-29T14:01:42.1Z</startTime></temporalCoverage></base>"
        f"<specific><bandCharacterisation>{bands}</bandCharacterisation></specific><mission>DESIS</mission></hsi_doc>"
    )
    mask = np.ones((rows, cols), bool)
    mask[:, 0] = mask[1, 1] = mask[2, 2] = mask[3, 3] = False
    values = np.where(stored == -999, np.nan, stored * 1e-4)
    return Truth(folder, values, CENTRES, WIDTHS, GRID, EPSG, mask, "DESIS", "L2A", "DESIS", "2019-08-29T14:01:42Z")


def enmap_l1b(folder: Path) -> Truth:
    """Level 1B: an image for each camera as it was seen, rational polynomials that are linear here."""
    rows, cols = 20, 18
    stored = np.rint(spectra(8, rows, cols, 1, 9000)).astype(np.int16)
    gains, offsets = np.linspace(1e-5, 3e-5, 8), np.zeros(8)
    prefix = folder / NAME.format("L1B")
    write_tiff(Path(f"{prefix}SPECTRAL_IMAGE_VNIR.TIF"), stored[:4], None, None, 0)
    write_tiff(Path(f"{prefix}SPECTRAL_IMAGE_SWIR.TIF"), stored[4:], None, None, 0)
    values = {"ROW_OFF": 10, "COL_OFF": 9, "LAT_OFF": 52.5, "LONG_OFF": 13.0, "HEIGHT_OFF": 40}
    values |= {"ROW_SCALE": 10, "COL_SCALE": 9, "LAT_SCALE": 0.003, "LONG_SCALE": 0.004, "HEIGHT_SCALE": 500}
    for name, term in (("ROW_NUM", 3), ("ROW_DEN", 1), ("COL_NUM", 2), ("COL_DEN", 1)):
        for number in range(1, 21):  # terms 2 and 3 are longitude and latitude; rows run south
            values[f"{name}_{number}"] = (-1 if name == "ROW_NUM" else 1) * float(number == term)
    rpc = "".join(f"<{k}>{v}</{k}>" for k, v in values.items())
    text = enmap_xml("L1B", gains, offsets).replace(
        "</specific>",
        "<RPC>" + "".join(f'<bandID number="{i}">{rpc}</bandID>' for i in range(1, 9)) + "</RPC></specific>",
    )
    Path(f"{prefix}METADATA.XML").write_text(text, encoding="utf-8")
    lon, lat = np.meshgrid(13.0 + (np.arange(cols) - 9) / 9 * 0.004, 52.5 - (np.arange(rows) - 10) / 10 * 0.003)
    mask = np.ones((rows, cols), bool)
    return Truth(
        folder, stored * gains[:, None, None], CENTRES, WIDTHS, None, 4326, mask,
        "EnMAP", "L1B", "EnMAP", "2022-07-24T10:45:26Z", places=(lon, lat),
    )  # fmt: skip


MAKERS = (enmap_l2a, enmap_l1c, enmap_l1b, desis_l2a)
