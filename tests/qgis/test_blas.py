"""numpy's linear algebra: with one thread while the backend has the cores, as before afterwards."""

from __future__ import annotations

import pytest

from hsfusion.hsfusion_plugin.jobs.diagnose import blas


def test_one_thread_inside_and_as_many_as_before_afterwards():
    if blas.blas_name() != "OpenBLAS":
        pytest.skip("another library")
    counters = [getter for _, getter in blas._openblas()]
    assert counters
    for setter, _ in blas._openblas():
        setter(2)
    with pytest.raises(ZeroDivisionError), blas.one_thread():
        assert [count() for count in counters] == [1] * len(counters)
        raise ZeroDivisionError
    assert [count() for count in counters] == [2] * len(counters)


def test_another_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(blas, "_loaded", lambda: {"/nowhere/libopenblas.so", blas.__file__})
    with blas.one_thread():
        assert blas._openblas() == []
