"""Another program's run, line by line, that ends at once when the user cancels."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess  # nosec B404: a fixed list of arguments, never a shell
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Callable

from ....models.errors import HSFusionError, RunCancelled

_POLL_S = 0.1
_SECRET = re.compile(r"(?<=://)[^/\s@]+@")  # user:password@ of an address


def without_secrets(text: str) -> str:
    """The text with the user names and passwords in its addresses blotted out."""
    return _SECRET.sub("****@", text)


def run_lines(
    command: Iterable[str | Path],
    environment: Mapping[str, str],
    cancelled: Callable[[], bool],
    heard: Callable[[str], None],
    waiting: Callable[[], None] | None = None,
    timeout_s: float | None = None,
) -> int:
    """Run `command` to its end and return its exit code; each line of its output goes to `heard`, secrets blotted out.

    `waiting` is called about ten times a second while nothing is said. Raises RunCancelled, and HSFusionError where the
    program cannot be started or does not end within `timeout_s`; the program and what it started are ended then.
    """
    command = [str(word) for word in command]
    try:
        process = _started(command, environment)
    except OSError as error:
        raise HSFusionError(
            f"The program {command[0]} cannot be started ({error.strerror}): check it, or name another one."
        ) from error
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), name="hsfusion-lines", daemon=True).start()
    end = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        while True:
            if cancelled():
                raise RunCancelled("The run was cancelled.")
            if end is not None and time.monotonic() > end:
                raise HSFusionError(f"{command[0]} did not answer within {timeout_s:.0f} seconds: try again later.")
            try:
                line = lines.get(timeout=_POLL_S)
            except queue.Empty:
                if waiting is not None:
                    waiting()
                continue
            if line is None:
                return process.wait()
            heard(without_secrets(line))
    finally:
        _end(process)


def _started(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    own_group: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        own_group = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(  # nosec B603
        command,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **own_group,
    )


def _read(process: subprocess.Popen[bytes], lines: queue.Queue[str | None]) -> None:
    with process.stdout:
        for line in process.stdout:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                lines.put(text)
    lines.put(None)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and its children; a virtual environment's python.exe on Windows is a parent of the real one."""
    if process.poll() is not None:
        return
    if os.name == "nt":
        taskkill = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "taskkill.exe"
        with contextlib.suppress(OSError):
            subprocess.run([str(taskkill), "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)  # nosec B603
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
