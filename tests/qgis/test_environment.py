"""The ground that the other tests stand on."""

from __future__ import annotations

from pathlib import Path


def test_processing_is_qgis_own(root):
    """Our folder `processing` must not hide QGIS's (it does as soon as the root lies on sys.path)."""
    from qgis import processing as framework

    assert not Path(framework.__file__).resolve().is_relative_to(root)


def test_plugin_is_imported_from_this_checkout(root):
    import hsfusion

    assert Path(next(iter(hsfusion.__path__))).resolve() == root


def test_qgis_process_finds_its_own_algorithms(qgis_process):
    result = qgis_process("native:createconstantrasterlayer", check=False)
    assert result.code == 1 and "EXTENT" in result.error
