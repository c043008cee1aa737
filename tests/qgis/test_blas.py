"""numpy's linear algebra: with one thread while the backend has the cores, as before afterwards."""

from __future__ import annotations

import pytest

from hsfusion.hsfusion_plugin.jobs.diagnose import blas
from hsfusion.hsfusion_plugin.jobs.run import linear_algebra


def test_one_thread_inside_and_as_many_as_before_afterwards():
    if blas.blas_name() != "OpenBLAS":
        pytest.skip("another library")
    counters = [getter for _, getter in linear_algebra._openblas()]
    assert counters
    for setter, _ in linear_algebra._openblas():
        setter(2)
    with pytest.raises(ZeroDivisionError), linear_algebra.one_thread():
        assert [count() for count in counters] == [1] * len(counters)
        raise ZeroDivisionError
    assert [count() for count in counters] == [2] * len(counters)


def test_another_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(linear_algebra, "_loaded", lambda: {"/nowhere/libopenblas.so", linear_algebra.__file__})
    with linear_algebra.one_thread():
        assert linear_algebra._openblas() == []
