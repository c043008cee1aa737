"""The local child: start, work, every way to fail, and that it never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hsfusion.hsfusion_plugin.backend.client import client as client_module
from hsfusion.hsfusion_plugin.backend.client.client import Client
from hsfusion.hsfusion_plugin.backend.client.errors import (
    BackendDied,
    BackendOutOfMemory,
    BackendRefused,
    BadReply,
    NoBackend,
)
from hsfusion.hsfusion_plugin.backend.local import child as child_module
from hsfusion.hsfusion_plugin.backend.local.child import LocalBackend, describe_exit
from hsfusion.hsfusion_plugin.backend.local.session import coming_backend
from hsfusion.hsfusion_plugin.backend.settings import Settings
from hsfusion.models.errors import RunCancelled

ROOT = Path(__file__).resolve().parents[2]
FAKE_SERVE = Path(__file__).resolve().with_name("_fake_serve.py")


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not running(pid):
            return True
        time.sleep(0.05)
    return False


def test_a_tile_goes_through_and_the_child_ends(fake_backend, tile):
    with fake_backend as client:
        pid = fake_backend.pid
        assert client.ready()
        assert client.server()["hsfusion"]["device"] == "cpu"
        models = {model["name"]: model for model in client.models()}
        assert models["fake"]["card"]["ratios"] == [2, 8] and len(models["fake"]["sha256"]) == 64
        result = client.infer("fake", tile, {"steps": 2, "array": np.arange(3)}, expect={"x": (1, 3, 4, 5)})
        np.testing.assert_array_equal(result["x"][0], 2 * tile["y"])
        assert "this goes to the log" in fake_backend.log.read_text()
    assert not running(pid)


def test_a_child_starts_before_anybody_waits_for_it(fake_backend, tile):
    fake_backend.launch()
    pid = fake_backend.pid
    assert running(pid)
    with fake_backend as client:
        assert fake_backend.pid == pid
        assert client.infer("fake", tile, {})["x"].shape == (1, 3, 4, 5)
    assert not running(pid)


def test_a_child_that_nobody_asked_for_ends_with_the_block(monkeypatch):
    launched = []
    launch = LocalBackend.launch
    monkeypatch.setattr(LocalBackend, "launch", lambda self: (launch(self), launched.append(self.pid)))
    with coming_backend(Settings(python=sys.executable), "local"):
        assert running(launched[0])
    assert not running(launched[0])
    with pytest.raises(NoBackend), coming_backend(Settings(python="/nowhere/python"), "local"):
        raise AssertionError("there is nothing to wait for")


def test_the_model_that_is_going_to_be_asked_for_is_loaded_while_the_backend_is_waited_for():
    """A name that is no model's harms nothing: who asks for it hears of it."""
    for name, words in (("ddrf", "loaded ddrf"), ("none", "no model called 'none'")):
        child = LocalBackend(Settings(python=sys.executable, device="cpu"), load=name)
        with child as client:
            assert client.ready()
            until = time.monotonic() + 30
            while words not in child.log.read_text(encoding="utf-8") and time.monotonic() < until:
                time.sleep(0.05)
            assert words in child.log.read_text(encoding="utf-8")


def test_each_failure_of_a_tile_is_its_own_sentence_and_the_child_lives_on(fake_backend, tile):
    with fake_backend as client:
        for deed, error, words in (
            ("memory", BackendOutOfMemory, "ran out of memory on cpu"),
            ("refuse", BackendRefused, "This tile is not for this model."),
            ("bug", BackendRefused, "ZeroDivisionError: division by zero"),
            ("nan", BadReply, "not finite"),
        ):
            with pytest.raises(error, match=words):
                client.infer("fake", tile, {"deed": deed})
        with pytest.raises(BackendRefused, match="no model called 'other'.*fake"):
            client.infer("other", tile, {})
        with pytest.raises(BadReply, match="shape"):
            client.infer("fake", tile, {}, expect={"x": (1, 3, 4, 6)})
        assert client.infer("fake", tile, {})["x"].shape == (1, 3, 4, 5)


class Heard:
    """A progress that keeps its warnings."""

    def __init__(self):
        self.warnings = []
        self.warn = self.warnings.append

    def cancelled(self):
        return False

    def debug(self, text):
        pass


def test_a_child_killed_in_the_middle_is_started_again_and_no_tile_is_lost(settings, tile):
    heard, results = Heard(), []
    backend = LocalBackend(settings, heard, script=FAKE_SERVE)
    with backend as client:
        first = backend.pid
        client.models()
        request = {"steps": 20, "seconds": 0.1}
        threads = [
            threading.Thread(target=lambda: results.append(client.infer("fake", tile, request)["x"])) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        os.kill(first, signal.SIGKILL)
        for thread in threads:
            thread.join()
        assert backend.pid != first and not running(first)
        assert len(results) == 2
        for result in results:
            np.testing.assert_array_equal(result[0], 2 * tile["y"])
    (warning,) = heard.warnings
    assert "was killed" in warning and "started again" in warning


def test_a_tile_at_which_the_child_is_always_killed_is_too_large(fake_backend, tile):
    with fake_backend as client:
        with pytest.raises(BackendOutOfMemory, match="killed twice at the same tile.*smaller TILE_SIZE"):
            client.infer("fake", tile, {"deed": "die"})
        assert client.infer("fake", tile, {})["x"].shape == (1, 3, 4, 5), "a smaller one may do"


def test_a_child_that_crashes_again_and_again_is_one_sentence(settings, tile, monkeypatch):
    monkeypatch.setattr(client_module, "RESTARTS", 1)
    heard = Heard()
    with (
        pytest.raises(BackendDied, match=r"crashed \(SIGSEGV\); its log is"),
        LocalBackend(settings, heard, script=FAKE_SERVE) as client,
    ):
        client.infer("fake", tile, {"deed": "crash"})
    assert len(heard.warnings) == client_module.RESTARTS


def test_cancel_ends_the_child_within_two_seconds(fake_backend, tile):
    begun = time.monotonic()
    with pytest.raises(RunCancelled), fake_backend as client:
        pid = fake_backend.pid
        begun = time.monotonic()
        client.infer("fake", tile, {"seconds": 60.0}, cancelled=lambda: time.monotonic() > begun + 0.5)
    assert time.monotonic() - begun < 0.5 + 2.0
    assert not running(pid)


def test_cancel_while_the_child_starts(settings):
    class Cancelled:
        def cancelled(self):
            return True

        def debug(self, text):
            pass

    start = time.monotonic()
    backend = LocalBackend(settings, Cancelled())
    with pytest.raises(RunCancelled), backend:
        pass
    assert time.monotonic() - start < 2.0


def test_the_server_stops_between_steps_when_the_client_leaves(fake_backend, tile, tmp_path):
    note = tmp_path / "note"
    with fake_backend as client:
        start = time.monotonic()
        with pytest.raises(RunCancelled):
            stop = lambda: time.monotonic() > start + 0.4  # noqa: E731
            client.infer("fake", tile, {"steps": 1000, "seconds": 0.1, "note": str(note)}, cancelled=stop)
        for _ in range(3):
            assert client.infer("fake", tile, {})["x"].shape == (1, 3, 4, 5)  # the line is free again
        while not note.exists() and time.monotonic() < start + 5:
            time.sleep(0.05)
        assert note.read_text() == "cancelled between steps"
        assert time.monotonic() - start < 5


def test_ctrl_c_is_the_parents_business(fake_backend, tile):
    with fake_backend as client:
        os.kill(fake_backend.pid, signal.SIGINT)
        time.sleep(0.2)
        assert client.infer("fake", tile, {})["x"].shape == (1, 3, 4, 5)


PARENT = """
import sys, types
package = types.ModuleType("hsfusion"); package.__path__ = [sys.argv[1]]; sys.modules["hsfusion"] = package
import pathlib
import numpy as np
from hsfusion.hsfusion_plugin.backend.local.child import LocalBackend
from hsfusion.hsfusion_plugin.backend.settings import Settings
settings = Settings(python=sys.argv[3], device="cpu", models=(pathlib.Path(sys.argv[4]),))
backend = LocalBackend(settings, script=pathlib.Path(sys.argv[2]))
with backend as client:
    print(backend.pid, flush=True)
    if sys.argv[5] == "busy":
        client.infer("fake", {"y": np.zeros((1, 2, 2), np.float32)}, {"seconds": 600.0})
    else:
        sys.stdin.read()
"""


@pytest.mark.parametrize("state", ["busy", "idle"])
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_no_orphan_when_the_parent_is_killed(fake_backend, settings, model_folder, state, blow):
    arguments = [str(ROOT), str(fake_backend._script), sys.executable, str(model_folder), state]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        pid = int(parent.stdout.readline())
        time.sleep(1.0)
        assert running(pid)
    finally:
        parent.send_signal(blow)
        parent.wait()
        parent.stdin.close()
        parent.stdout.close()
    assert gone_within(pid, 3.0)


def script(folder: Path, text: str, name: str = "python") -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def opens(settings, **changes) -> str:
    """The sentence with which a local backend does not open."""
    with pytest.raises((NoBackend, BackendRefused, BackendDied)) as caught, LocalBackend(replace(settings, **changes)):
        pass
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


def test_what_is_said_without_a_backend(settings, tmp_path, monkeypatch):
    remedies = "run hsfusion:setupbackend once to get a backend, or use hsfusion:fuseclassical, which needs none."
    assert opens(settings, python=str(tmp_path / "none")).endswith(remedies)
    (tmp_path / "text").write_text("not a program")
    assert "not a program that may be run" in opens(settings, python=str(tmp_path / "text"))
    assert "cannot be started" in opens(settings, python=script(tmp_path, "no program at all"))
    assert "exit code 3" in opens(settings, python=script(tmp_path, "#!/bin/sh\necho what? >&2; exit 3\n"))
    assert "(it said: what?)" in opens(settings, python=script(tmp_path, "#!/bin/sh\necho what? >&2; exit 3\n"))
    assert "something else" in opens(settings, python=script(tmp_path, "#!/bin/sh\necho hello\nsleep 5\n"))
    monkeypatch.setattr("hsfusion.hsfusion_plugin.backend.local.interpreter.PLUGIN_FOLDER", tmp_path)
    assert opens(settings, python="").startswith("HSFusion has no backend yet")


def test_an_interpreter_without_torch(settings, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    sentence = opens(settings, python=str(bare))
    assert "has no numpy and no yaml and no torch" in sentence and "hsfusion:setupbackend" in sentence


def test_another_version_and_an_impossible_device(settings, monkeypatch):
    assert "the device 'cuda:99' cannot be used" in opens(settings, device="cuda:99").lower()
    monkeypatch.setattr(child_module, "VERSION", "0.0.0")
    assert "restart QGIS" in opens(settings)


def test_the_token_is_wanted_and_not_on_the_command_line(fake_backend):
    with fake_backend as client:
        with pytest.raises(BackendRefused, match="refused the token"):
            Client(client.endpoint, "wrong").models()
        with pytest.raises(BackendRefused, match="refused the token"):
            Client(client.endpoint).infer("fake", {}, {})
        token = client._transport._auth._token
        seen = (
            Path(f"/proc/{fake_backend.pid}/cmdline").read_bytes()
            + Path(f"/proc/{fake_backend.pid}/environ").read_bytes()
        )
        assert len(token) > 30 and token.encode() not in seen
        assert token not in fake_backend.log.read_text()


def test_exit_codes_in_words():
    assert "memory ran out" in describe_exit(-9)
    assert describe_exit(-11) == "crashed (SIGSEGV)"
    assert describe_exit(0xC0000005) == "crashed (Windows status 0xc0000005)"
    assert describe_exit(1) == "ended with exit code 1"


def test_a_child_that_is_killed_at_start_up_is_started_once_more(settings, tmp_path):
    """The first ends by SIGKILL before it has said a word, as the system ends who takes too much memory."""
    script = tmp_path / "serve.py"
    once = tmp_path / "once"
    script.write_text(
        "import os, runpy, signal, sys\n"
        f"if not os.path.exists({str(once)!r}):\n"
        f"    open({str(once)!r}, 'w').close()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"sys.argv[0] = {str(FAKE_SERVE)!r}\n"
        f"runpy.run_path({str(FAKE_SERVE)!r}, run_name='__main__')\n"
    )
    with LocalBackend(settings, script=script) as client:
        assert client.ready()


def test_a_child_that_is_always_killed_at_start_up_is_given_up_with_the_right_advice(settings, tmp_path):
    script = tmp_path / "serve.py"
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(BackendDied, match="close other programs\\) before it was ready") as caught:
        LocalBackend(settings, script=script).__enter__()
    assert "TILE_SIZE" not in str(caught.value)
