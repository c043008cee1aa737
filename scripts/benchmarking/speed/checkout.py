"""Another commit of this repository, checked out beside it for as long as it is measured."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsfusion.models.errors import HSFusionError


@contextmanager
def checkout(repository: Path, commit: str) -> Iterator[Path]:
    """A git worktree of the commit in a new temporary folder; both are removed at the end, whatever happens.

    HSFusionError where the commit is unknown or git fails. Nothing outside the new folder is removed.
    """
    name = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    with tempfile.TemporaryDirectory(prefix="hsfusion-compare-") as folder:
        place = Path(folder) / "checkout"
        try:
            _git(repository, "worktree", "add", "--quiet", "--detach", str(place), name)
            yield place
        finally:
            if place.exists():
                _git(repository, "worktree", "remove", "--force", str(place))


def _git(repository: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(repository), *words], check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise HSFusionError("git is not installed: a comparison checks out the other commit with it.") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip() or "there is no such commit"
        raise HSFusionError(f"git {words[0]} fails in {repository}: {said}.") from error
    return done.stdout.strip()
