"""The child's ties to its parent: a greeting on stdout, a secret on stdin, and an end when the parent ends."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any


class Parent:
    """The process that started this one. The real stdout is kept for the greeting; whatever else prints goes to stderr,
    the log.
    """

    def __init__(self) -> None:
        self._pid = os.getppid()
        sys.stdout.flush()
        self._greeting = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        sys.stdout.reconfigure(line_buffering=True)

    def secret(self) -> str:
        """The bearer token: the first line on stdin. Secrets are not for the command line, which every user of a
        machine can read.
        """
        return sys.stdin.readline().strip()

    def watch(self) -> None:
        """End this process as soon as the parent is gone, however it went: its end of stdin closes, or another process
        adopts us.
        """
        threading.Thread(target=self._end_with_stdin, name="parent-stdin", daemon=True).start()
        if os.name == "posix":
            threading.Thread(target=self._end_with_pid, name="parent-pid", daemon=True).start()

    def greet(self, **facts: Any) -> None:
        """Say one line of JSON; a parent that is gone already does not matter, `watch` sees to that."""
        with contextlib.suppress(OSError, ValueError):
            self._greeting.write(json.dumps(facts) + "\n")
            self._greeting.close()

    def fail(self, code: str, error: str) -> dict[str, str]:
        """Greet with what is wrong."""
        failure = {"code": code, "error": error}
        self.greet(**failure)
        return failure

    def _end_with_stdin(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while sys.stdin.buffer.raw.read(4096):
                pass
        os._exit(0)

    def _end_with_pid(self) -> None:
        while os.getppid() == self._pid:
            time.sleep(0.5)
        os._exit(0)
