"""The loop over tiles: spectra are made in parts, the same as of the whole tile, and none is kept after it was
written.
"""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.jobs.fuse.consistency import SPECTRA_AT, Gallery
from hsfusion.hsfusion_plugin.jobs.fuse.tiles import fused_tiles
from hsfusion.hsfusion_plugin.jobs.methods.closed_form import IN_FLIGHT, ClosedForm
from hsfusion.hsfusion_plugin.jobs.pair.estimates import estimate
from hsfusion.hsfusion_plugin.jobs.pair.pair import Pair
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.models.scene.tiles.plan import plan_tiles
from hsfusion.models.scene.window import Window
from hsfusion.tests.qgis import pairs


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    made = pairs.make_pair(tmp_path_factory.mktemp("pair"))
    request = FusionRequest(hsi=str(made.hsi), msi=str(made.msi), psf_fwhm=1.1, shift_x=0.0, shift_y=0.0)
    pair = Pair.open(request, Progress())
    return pair, estimate(pair, request, Progress()).scene


def mosaic(pair, scene, part):
    """All parts in one image (L, rows, cols), their number, and the last progress."""
    rows, cols = pair.alignment.output_rows, pair.alignment.output_cols
    tiles = plan_tiles(Window(rows, cols), scene.coefficients, 96)
    image, count, shares = np.full((len(pair.hsi_bands), len(rows), len(cols)), np.nan, np.float32), 0, []
    progress = Progress()
    progress.step = shares.append
    for fused in fused_tiles(pair, scene, ClosedForm("average"), tiles, progress, part=part):
        tile = fused.tile
        image[:, tile.core.rows.start : tile.core.rows.stop, tile.core.cols.start : tile.core.cols.stop] = fused.values
        assert fused.msi.shape[1:] == fused.values.shape[1:] == fused.known.shape
        count += 1
    return image, count, shares


@pytest.mark.parametrize("part", [(32, 32), (32, 64)])
def test_parts_of_a_tile_are_what_the_whole_tile_is(scene, part):
    whole, tiles, _ = mosaic(*scene, None)
    parts, more, shares = mosaic(*scene, part)
    assert more >= 2 * tiles
    assert np.isfinite(whole).all() and np.abs(parts - whole).max() < 1e-5 * np.ptp(whole)
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_no_tile_is_kept_after_it_was_written(scene):
    pair, model = scene
    rows, cols = pair.alignment.output_rows, pair.alignment.output_cols
    gallery, written = Gallery(Window(rows, cols), [0, 1, 2], [0]), []
    tiles = plan_tiles(Window(rows, cols), model.coefficients, 64)
    for fused in fused_tiles(pair, model, ClosedForm("glp-hs"), tiles, Progress()):
        gallery.add(fused, model)
        written.append(weakref.ref(fused.values))
        del fused
    assert len(gallery.spectra) == len(SPECTRA_AT)
    assert [reference() for reference in written] == [None] * len(tiles)


class Counting:
    """A pair that counts how many windows of the HSI were read, and may not run ahead of what is written."""

    def __init__(self, pair) -> None:
        self.pair, self.read, self.written, self.ahead = pair, 0, 0, 0

    def __getattr__(self, name):
        return getattr(self.pair, name)

    def repaired_hsi(self, rows, cols):
        self.read += 1
        self.ahead = max(self.ahead, self.read - self.written)
        return self.pair.repaired_hsi(rows, cols)


@pytest.mark.parametrize("part", [None, (16, 16)])
def test_no_more_tiles_are_on_their_way_than_are_asked_for_together(scene, part):
    pair, model = Counting(scene[0]), scene[1]
    tiles = plan_tiles(Window(pair.alignment.output_rows, pair.alignment.output_cols), model.coefficients, 32)
    for fused in fused_tiles(pair, model, ClosedForm("glp-hs"), tiles, Progress(), part=part):
        ends = {(t.core.rows.stop, t.core.cols.stop) for t in tiles}
        pair.written += (fused.tile.core.rows.stop, fused.tile.core.cols.stop) in ends
    assert pair.read == pair.written == len(tiles) > 2 * IN_FLIGHT
    assert 1 < pair.ahead <= IN_FLIGHT
