"""Windows that processes fuse apart from each other: the plugin's pixels, kept until the output is whole.
scripts/dev/test-interop runs them on Ray.
"""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.errors import HSFusionError
from hsfusion.hsfusion_plugin.jobs.fuse import with_closed_form as classical
from hsfusion.hsfusion_plugin.jobs.fuse.mosaic import Windows, Worker, join, prepare, record_of
from hsfusion.hsfusion_plugin.jobs.pair.pair import Pair
from hsfusion.hsfusion_plugin.jobs.request import FusionRequest
from hsfusion.hsfusion_plugin.jobs.run.progress import Progress
from hsfusion.tests.qgis.pairs import make_pair, read


@pytest.fixture(scope="module")
def wanted(tmp_path_factory) -> FusionRequest:
    """A mosaic in four windows."""
    folder = tmp_path_factory.mktemp("pair")
    made = make_pair(folder)
    return FusionRequest(
        hsi=str(made.hsi), msi=str(made.msi), output=str(folder / "mosaic.tif"), method="loc", tile_size=64
    )


@pytest.fixture
def pair(wanted):
    """Its rasters, closed before QGIS ends."""
    opened = Pair.open(wanted, Progress())
    yield opened
    for raster in (opened.hsi, opened.msi):
        raster.close()
    gc.collect()


@pytest.fixture(scope="module")
def mosaic(wanted):
    """The plan, fitted once."""
    return prepare(wanted, Pair.open(wanted, Progress()), Progress())


def no_model(_mosaic):
    raise AssertionError("a closed form needs none")


def test_windows_join_to_what_the_plugin_makes(wanted, mosaic, pair, tmp_path):
    worker, windows = Worker(mosaic, no_model), Windows(wanted)
    windows.open(Progress())
    assert len(worker.tiles) == 4
    for number in (2, 0, 3, 1):
        worker.fuse(number)
    found = join(mosaic, pair, worker.tiles, [1, 2, 3, 0], record_of(mosaic, pair))
    same = replace(wanted, output=str(tmp_path / "plugin.tif"), tile_size=0)
    outputs = classical.run(same, Progress())
    expected = read(same.output)
    np.testing.assert_allclose(read(wanted.output), expected, atol=1e-5 * float(np.nanmax(expected)))
    assert found.msi_db == pytest.approx(outputs["MSI_CONSISTENCY"], abs=1e-3)
    assert np.isfinite(found.hsi_db)


def test_finished_windows_are_kept_for_the_same_run_only(wanted, mosaic):
    windows = Windows(wanted)
    windows.remove()
    windows.open(Progress())
    worker = Worker(mosaic, no_model)
    worker.fuse(1)
    Windows(wanted).open(Progress())
    assert windows.finished(4) == [1]
    Windows(replace(wanted, data_type="Int16")).open(Progress())
    assert windows.finished(4) == [1], "how values are stored changes no window"
    Windows(wanted, "a" * 64).open(Progress())
    assert windows.finished(4) == [], "another model's windows are not mixed with these"
    worker.fuse(1)
    Windows(replace(wanted, psf_fwhm=1.3)).open(Progress())
    assert windows.finished(4) == []


def test_a_damaged_window_is_said_and_made_anew(wanted, mosaic, pair):
    windows = Windows(wanted)
    windows.open(Progress())
    windows.path(0).parent.mkdir(parents=True, exist_ok=True)
    windows.path(0).write_bytes(b"half a fi")
    with pytest.raises(HSFusionError, match="run again"):
        join(mosaic, pair, Worker(mosaic, no_model).tiles, [0], record_of(mosaic, pair))
    assert windows.finished(4) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [({"method": "hysure"}, "does not work in windows"), ({"uncertainty": "u.tif"}, "UNCERTAINTY is not made")],
)
def test_refusals(wanted, pair, change, words):
    with pytest.raises(HSFusionError, match=words):
        prepare(replace(wanted, **change), pair, Progress())
