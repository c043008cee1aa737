"""What a raster parameter takes, and what it leaves alone."""

from __future__ import annotations

import shutil


def test_a_raster_given_by_name_is_not_loaded_as_for_the_map(qgis_process, sample, tmp_path):
    """QGIS would compute statistics of its pixels and leave them beside it in an .aux.xml."""
    reference = tmp_path / "reference.tif"
    shutil.copy(sample, reference)
    (tmp_path / "out").mkdir()
    qgis_process(
        "hsfusion:simulate",
        REFERENCE=reference,
        RATIO=4,
        OUTPUT_HSI=tmp_path / "out" / "hsi.tif",
        OUTPUT_MSI=tmp_path / "out" / "msi.tif",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "reference.tif"]


def test_names_and_layers_are_taken_and_nothing_else(provider, sample):
    from qgis.core import QgsProcessingContext, QgsRasterLayer

    fuse = provider.algorithm("fuse")
    hsi, mask = fuse.parameterDefinition("HSI"), fuse.parameterDefinition("MASK")
    context = QgsProcessingContext()
    assert hsi.checkValueIsAcceptable(str(sample), context)
    assert hsi.checkValueIsAcceptable('HDF5:"cube.he5"://HDFEOS/SWATHS/cube', context)
    assert hsi.checkValueIsAcceptable(QgsRasterLayer(str(sample), "a scene"), context)
    assert not hsi.checkValueIsAcceptable(None, context) and mask.checkValueIsAcceptable(None, context)
    assert not hsi.checkValueIsAcceptable("", context) and not hsi.checkValueIsAcceptable(5, context)
    assert not context.temporaryLayerStore().mapLayers()
