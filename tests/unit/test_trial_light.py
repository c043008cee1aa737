"""Trials under another light: as strong as they say, and judged where no cloud is."""

from __future__ import annotations

import numpy as np

from hsfusion.models.trials import LIT, Scene, simulate


def test_lights_are_what_they_say_and_judged_where_the_sky_is_clear() -> None:
    cube = 1000 + 50 * np.random.default_rng(0).random((20, 48, 56)).astype(np.float32)
    scene = Scene(cube, np.linspace(450, 900, 20))
    for case in LIT:
        changed = simulate(scene, case)
        plain = simulate(scene, type(case)(case.name, snr_db=case.snr_db))
        ratio = changed.msi / plain.msi
        assert (changed.hsi == plain.hsi).all() and ratio.std() > 0.02
        if case.light == "cloud":
            assert (ratio[(slice(None), *changed.judged)] == 1).all()
            assert 0.1 < (ratio[0] != 1).mean() < 0.3
