"""The local backend: a child process in an interpreter of its own, for the time of one run."""

from __future__ import annotations

import json
import queue
import secrets
import signal
import subprocess  # nosec B404: a fixed list of arguments, never a shell
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ....models.errors import RunCancelled
from ....models.version import VERSION
from ..client.client import Client
from ..client.errors import BackendDied, BackendError, BackendRefused, NoBackend
from ..client.transport import Transport
from ..settings import PLUGIN_FOLDER, Settings
from .interpreter import child_environment, find_python
from .logs import new_log, tail

SCRIPT = PLUGIN_FOLDER / "scripts" / "serve.py"
START_S = 300.0  # importing torch from a cold network disk takes minutes
_POLL_S = 0.1


class LocalBackend:
    """Starts the child on entering, hands out a client for it, and ends it on leaving, however one leaves; one that
    dies is started again.

    The child listens on a random loopback port and wants a random token, which it gets through its stdin; it ends by
    itself when that pipe closes, so also when QGIS is killed. `models` are further folders or files for this run,
    `load` the model that will be asked for.
    """

    def __init__(
        self,
        settings: Settings,
        progress: Any = None,
        models: Iterable[Path] = (),
        script: Path = SCRIPT,
        load: str = "",
    ) -> None:
        self._settings = settings
        self._progress = progress
        self._models = [*models, *settings.own_places]
        self._script = script
        self._load = load
        self._process: subprocess.Popen[bytes] | None = None
        self._python, self._token = Path(), ""
        self._greetings: queue.Queue[bytes] = queue.Queue()
        self.log = Path()

    def launch(self) -> None:
        """Start the child without waiting until it is ready; NoBackend where there is none to start."""
        try:
            self._launch()
        except BaseException as error:
            self._tell(error)
            self.close()
            raise

    def __enter__(self) -> Client:
        try:
            transport = self._start()
            return Client(
                transport.endpoint,
                transport.token,
                self.check,
                replies=self._settings.replies,
                restart=self._restart,
            )
        except BaseException as error:
            self._tell(error)
            self.close()
            raise

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        self._tell(error)
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process else None

    def check(self) -> None:
        """BackendDied if the child is no longer running."""
        code = self._process.poll() if self._process else None
        if code is not None:
            raise BackendDied(f"The backend {describe_exit(code)}; its log is {self.log}.", memory=code == -9)

    def close(self) -> None:
        """End the child at once; it has nothing to lose."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        if process.stdin:
            try:
                process.stdin.close()
            except OSError:  # the token had not been read
                return

    def _restart(self, error: BackendDied) -> Transport:
        """The way to a new child in place of the one that died."""
        self._tell(error)
        if self._progress is not None:
            self._progress.warn(f"{error} It is started again, and the tiles that were under way are sent again.")
        self.close()
        try:
            return self._start()
        except BackendError:
            self.close()
            raise

    def _launch(self) -> None:
        self._python = python = find_python(self._settings)
        self.log = new_log()
        self._token = secrets.token_urlsafe(32)
        command = [str(python), "-I", "-X", "utf8", str(self._script), "--child", "--device", self._settings.device]
        for place in self._models:
            command += ["--models", str(place)]
        if self._load:
            command += ["--load", self._load]
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(  # nosec B603
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=child_environment(),
                    cwd=str(self.log.parent),
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            raise NoBackend(f"The backend's interpreter {python} cannot be started ({error.strerror})") from error
        self._debug(f"Backend: {' '.join(command)} (process {self._process.pid}, log {self.log})")
        self._greetings = self._listen()
        try:
            self._process.stdin.write(self._token.encode("ascii") + b"\n")
            self._process.stdin.flush()
        except OSError:  # it has ended already; the exit code tells more
            pass

    def _start(self) -> Transport:
        if self._process is None:
            self._launch()
        try:
            greeting = self._greeting(self._python, self._greetings)
        except KilledAtStart as error:
            self._tell(error)
            if self._progress is not None:
                self._progress.warn(f"{error} It is started once more.")
            self.close()
            self._launch()
            greeting = self._greeting(self._python, self._greetings)
        if greeting.get("version") != VERSION:
            raise BackendRefused(
                f"The backend is HSFusion {greeting.get('version')}, the plugin is {VERSION}: restart QGIS, so that "
                "both are the same."
            )
        return Transport(f"http://127.0.0.1:{greeting['port']}", self._token)

    def _listen(self) -> queue.Queue[bytes]:
        lines: queue.Queue[bytes] = queue.Queue()
        stdout = self._process.stdout

        def read() -> None:
            with stdout:
                lines.put(stdout.readline(65536))

        threading.Thread(target=read, name="hsfusion-greeting", daemon=True).start()
        return lines

    def _greeting(self, python: Path, lines: queue.Queue[bytes]) -> dict[str, Any]:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self._progress is not None and self._progress.cancelled():
                raise RunCancelled("The run was cancelled.")
            try:
                line = lines.get(timeout=_POLL_S)
                break
            except queue.Empty:
                continue
        else:
            raise BackendDied(f"The backend did not start within {START_S:.0f} seconds: look at its log {self.log}.")
        try:
            greeting = json.loads(line)
            if "error" not in greeting:
                return {**greeting, "port": int(greeting["port"])}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise NoBackend(self._silent(python, line)) from None
        if greeting.get("code") == "missing-package":
            raise NoBackend(greeting["error"])
        if greeting.get("code") == "refused":
            raise BackendRefused(greeting["error"])
        raise NoBackend(f"The backend cannot start ({greeting['error']}; its log is {self.log})")

    def _silent(self, python: Path, line: bytes) -> str:
        if line:
            return f"The interpreter {python} answered with something else than HSFusion's backend"
        try:
            code = self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return f"The interpreter {python} runs but says nothing"
        if was_killed(code):
            raise KilledAtStart(
                f"The backend {describe_exit(code, 'close other programs')} before it was ready; its log is "
                f"{self.log}.",
                code == -9,
            )
        last = tail(self.log, 1)
        return f"The backend {describe_exit(code)} before it was ready, run by {python}" + (
            f" (it said: {last[:200]})" if last else ""
        )

    def _tell(self, error: BaseException | None) -> None:
        if isinstance(error, BackendError) and self.log.name:
            self._debug(f"Log of the backend, {self.log}, last lines:\n{tail(self.log)}")

    def _debug(self, text: str) -> None:
        if self._progress is not None:
            self._progress.debug(text)


class KilledAtStart(BackendDied):
    """The child was ended by a signal before it said that it is ready: another try may do."""


def was_killed(code: int) -> bool:
    """Whether a process did not end by itself."""
    return code < 0 or code > 0x40000000


def describe_exit(code: int, advice: str = "choose a smaller TILE_SIZE or close other programs") -> str:
    """What a process's exit code means, as the end of a sentence about it."""
    if code == -9:
        return f"was killed, most likely because memory ran out ({advice})"
    if code < 0:
        try:
            return f"crashed ({signal.Signals(-code).name})"
        except ValueError:
            return f"crashed (signal {-code})"
    if code > 0x40000000:
        return f"crashed (Windows status {code:#x})"
    return f"ended with exit code {code}"
