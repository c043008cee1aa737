"""MSI_GSD from parameter to result: what is accepted, what it gains, and that tiles do not show."""

from __future__ import annotations

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.pair.pair import Pair
from hsfusion.hsfusion_plugin.jobs.pair.soft_bands import own_sizes
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.hsfusion_plugin.rasters.reading.raster import Raster
from hsfusion.models.errors import HSFusionError
from hsfusion.models.observation import Degradation, Sampling
from hsfusion.tests.qgis import pairs

SIZES = "10,10,20,20"


class Listener(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)

    def info(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The synthetic pair, two of whose MSI bands were taken with pixels of 20 m and repeated to 10 m."""
    folder = tmp_path_factory.mktemp("sizes")
    made = pairs.make_pair(folder)
    msi = pairs.read(made.msi)
    low = Degradation.whole(Sampling(2, 1.0, 1.0), pairs.FINE)(msi[2:])
    msi[2:] = low.repeat(2, axis=1).repeat(2, axis=2)
    return str(made.hsi), str(pairs.write(folder / "mixed.tif", msi, pairs.PIXEL, wavelengths=pairs.MSI_WAVELENGTHS))


def fused(pair, path, method="average", progress=None, **settings):
    request = FusionRequest(hsi=pair[0], msi=pair[1], output=str(path), method=method, **settings)
    classical.run(request, progress or Progress())
    return pairs.read(path)


def rmse(values) -> float:
    return float(np.sqrt(((values - pairs.scene())[:, 8:-8, 8:-8] ** 2).mean()))


def test_it_helps(pair, tmp_path):
    said = Listener()
    untold = rmse(fused(pair, tmp_path / "untold.tif", progress=said))
    assert any("band(s) 3, 4 look softer" in s and "MSI_GSD" in s for s in said.said)
    said = Listener()
    told = rmse(fused(pair, tmp_path / "told.tif", msi_gsd=SIZES, progress=said))
    assert told < 0.85 * untold
    assert any("MSI band(s) 3, 4" in s and "from band(s) 1, 2" in s for s in said.said)
    assert not any("look softer" in s for s in said.said)


def test_a_part_equals_the_same_part_of_the_whole(pair, tmp_path):
    whole = fused(pair, tmp_path / "whole.tif", msi_gsd=SIZES)
    x0, y0 = pairs.CORNER
    part = fused(pair, tmp_path / "part.tif", msi_gsd=SIZES, extent=(x0 + 400, y0 - 900, x0 + 800, y0 - 300))
    np.testing.assert_allclose(part, whole[:, 30:90, 40:80], atol=0.02)


def test_windows_of_the_msi_agree(pair):
    opened = Pair.open(FusionRequest(hsi=pair[0], msi=pair[1], output="", msi_gsd=SIZES), Progress())
    whole, _ = opened.read_msi(range(112), range(128))
    part, _ = opened.read_msi(range(33, 60), range(0, 50))
    np.testing.assert_allclose(part, whole[:, 33:60, :50], atol=1e-2)


def test_through_qgis_process(qgis_process, pair, tmp_path):
    out = tmp_path / "fused.tif"
    qgis_process("hsfusion:fuseclassical", HSI=pair[0], MSI=pair[1], METHOD="glp-hs", MSI_GSD=SIZES, OUTPUT=out)
    assert '"MSI_GSD": "10,10,20,20"' in out.with_suffix(".json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10,10,x,20", "one pixel size per band"),
        ("10,20", "2 numbers and the MSI 4 bands"),
        ("20,20,40,40", "all bands coarser .*gdalwarp -tr"),
        ("10,10,2,2", "own pixel size"),
    ],
)
def test_sizes_that_are_refused(pair, text, words):
    with pytest.raises(HSFusionError, match=words):
        own_sizes(text, Raster.open(pair[1], "MSI"))


def test_metres_of_a_raster_in_degrees(tmp_path):
    path = pairs.write(tmp_path / "msi.tif", np.ones((3, 20, 20)), 0.0001, (10.0, 50.0), epsg=4326)
    raster = Raster.open(path, "MSI")
    assert own_sizes("0.0001,0.0001,0.0002", raster) == pytest.approx([1, 1, 2])
    assert own_sizes("9,9,18", raster) == pytest.approx([1, 1, 2], rel=0.02)


@pytest.mark.parametrize("name", ["fuse", "fuseclassical", "adapt", "assess", "compare", "estimatesensor"])
def test_every_algorithm_on_a_pair_hands_the_sensor_set_on(provider, name, pair):
    """A parameter that is declared and dropped would be ignored in silence."""
    from qgis.core import QgsProcessingContext

    algorithm = provider.algorithm(name).create()
    given = {"HSI": pair[0], "MSI": pair[1], "MASK": pair[1], "MSI_GSD": SIZES, "PSF_FWHM": 1.25, "SHIFT_X": 0.5}
    request = algorithm.request(given, QgsProcessingContext())
    assert (request.hsi, request.mask, request.msi_gsd) == (pair[0], pair[1], SIZES)
    assert (request.psf_fwhm, request.shift_x, request.shift_y) == (1.25, 0.5, None)
