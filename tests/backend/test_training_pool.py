"""What training sees: chunks are pure functions of their number, in this process or another, and steps see the same
window of them again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from hsfusion.models.errors import HSFusionError
from hsfusion.models.networks.inputs import LIMIT, TARGET_LIMIT, condition_channels, scalar_count
from hsfusion.models.training.subspace.config import Sensors, TrainingConfig
from hsfusion.models.training.subspace.pool import PatchPool
from hsfusion.models.training.subspace.simulation import LEAST_VIEW, draw_chunk, draw_view, random_response, random_view

CONFIG = TrainingConfig(
    "tiny", ("a", "b"), components=3, width=8, depth=1, patch=16, batch=4, steps=20, draws_per_chunk=3, patches_per_draw=2, reuse=2.0,  # noqa: E501
    window=3, sensors=Sensors(ratios=(2, 2.5, 3), msi_bands=(1, 3)),
)  # fmt: skip


@pytest.fixture(scope="module")
def scenes(make_scene) -> list[np.ndarray]:
    """Two small scenes of different band counts, one with fewer bands than the network has components."""
    return [make_scene(10, 44, 40, seed=1), make_scene(3, 36, 48, seed=2)]


def same(a, b) -> bool:
    """Whether two lists of patches are equal to the bit."""
    return len(a) == len(b) and all(np.array_equal(v, w) for p, q in zip(a, b) for v, w in zip(arrays(p), arrays(q)))


def arrays(patch) -> list[np.ndarray]:
    """All arrays of a patch, those of its physics too."""
    return [*(v for n, v in vars(patch).items() if n != "physics"), *vars(patch.physics).values()]


def test_a_chunk_is_a_function_of_its_number(scenes):
    once, again, other = (draw_chunk(scenes, CONFIG, n) for n in (5, 5, 6))
    assert same(once, again) and not same(once, other)


def test_patches_have_the_promised_shapes_and_limits(scenes):
    patches = draw_chunk(scenes, CONFIG, 0)
    assert len(patches) > 1
    for patch in patches:
        assert patch.conditions.shape == (condition_channels(3), 16, 16) and patch.target.shape == (3, 16, 16)
        assert patch.scalars.shape == (scalar_count(3),) and patch.error_share.shape == (3,)
        assert np.abs(patch.conditions).max() <= LIMIT and np.abs(patch.target).max() <= TARGET_LIMIT
        assert all(np.isfinite(array).all() for array in arrays(patch))


def test_a_scene_smaller_than_a_view_is_continued_by_its_mirror_image(make_scene):
    scene = make_scene(4, 50, 60, seed=3)
    view = random_view(np.random.default_rng(0), scene)
    assert view.shape == (4, LEAST_VIEW, LEAST_VIEW)
    known = {tuple(spectrum) for spectrum in scene.reshape(4, -1).T}
    assert {tuple(spectrum) for spectrum in view.reshape(4, -1).T} == known


def test_gains_change_every_band_by_a_smooth_factor(make_scene):
    scene = make_scene(40, 96, 96, seed=4)
    plain, gained = (
        draw_view(np.random.default_rng(0), [scene], np.ones(1), TrainingConfig("tiny", ("a",), gains_share=share))
        for share in (0.0, 1.0)
    )
    ratio = gained / plain
    np.testing.assert_allclose(ratio, ratio[:, :1, :1] * np.ones_like(ratio), rtol=1e-5)
    gains = ratio[:, 0, 0]
    assert np.log(gains).std() > 0.1 and np.abs(np.diff(np.log(gains))).max() < np.log(gains).std()


def test_another_process_draws_the_same(scenes):
    pools = [PatchPool(scenes, CONFIG, workers) for workers in (0, 1)]
    try:
        for pool in pools:
            pool.advance(0)
        here, there = (pool.sample(np.random.default_rng(0), 20) for pool in pools)
        for a, b in zip(here, there):  # another count of threads may round another way
            np.testing.assert_allclose(a.target, b.target, atol=0.02)
            np.testing.assert_allclose(a.scalars, b.scalars, atol=1e-3)
    finally:
        for pool in pools:
            pool.close()


def test_a_step_sees_the_same_chunks_whether_reached_or_resumed(scenes):
    reached, resumed = PatchPool(scenes, CONFIG, 0), PatchPool(scenes, CONFIG, 0)
    try:
        for step in range(13):
            reached.advance(step)
        resumed.advance(12)
        numbers = [[number for number, _ in pool._chunks] for pool in (reached, resumed)]
        assert numbers[0] == numbers[1] == list(reached.chunk_range(12))
        rngs = [np.random.default_rng(3) for _ in range(2)]
        assert same(reached.sample(rngs[0], 8), resumed.sample(rngs[1], 8))
    finally:
        reached.close()
        resumed.close()


def test_the_window_moves_on():
    pool = PatchPool([], CONFIG, 0)
    assert pool.steps_per_chunk == 3
    assert [pool.chunk_range(step) for step in (0, 2, 3, 9)] == [range(0, 2), range(0, 2), range(0, 3), range(2, 5)]
    pool.close()


def test_scenes_too_small_for_the_patch_are_an_error_not_a_wait(make_scene):
    with pytest.raises(HSFusionError, match="too small"):
        draw_chunk([make_scene(6, 9, 9)], CONFIG, 0)
    with pytest.raises(HSFusionError, match="too small"):
        draw_chunk([make_scene(6, 28, 200)], TrainingConfig("t", ("a",), patch=64, draws_per_chunk=2), 0)


def test_random_sensors_are_sensors():
    rng = np.random.default_rng(0)
    for bands in (1, 2, 7):
        for visible_only in (False, True):
            response = random_response(rng, 30, bands, visible_only)
            assert response.shape == (bands, 30) and (response >= 0).all()
            np.testing.assert_allclose(response.sum(axis=1), 1.0)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks at /proc")
def test_a_killed_run_leaves_no_process_behind(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import numpy as np, time\n"
        "from hsfusion.models.training.subspace.config import TrainingConfig\n"
        "from hsfusion.models.training.subspace.pool import PatchPool\n"
        "if __name__ == '__main__':\n"
        "    pool = PatchPool([np.random.default_rng(0).random((6, 60, 60), np.float32)],\n"
        "        TrainingConfig('t', ('a',), components=3, patch=16, draws_per_chunk=2), 1)\n"
        "    pool.advance(0)\n"
        "    print(*pool._executor._processes, flush=True)\n"
        "    time.sleep(600)\n",
        encoding="utf-8",
    )
    run = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    worker = int(run.stdout.readline())
    assert os.path.exists(f"/proc/{worker}")
    run.send_signal(signal.SIGKILL)
    run.wait()
    for _ in range(100):
        if not os.path.exists(f"/proc/{worker}"):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the drawing process outlives a killed training run")
