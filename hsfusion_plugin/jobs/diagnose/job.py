"""hsfusion:diagnostics: what is installed, what works and what does not, on one page of text; it changes nothing."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....models.cards import ModelError, check_weights, find_models
from ....models.version import VERSION
from ...backend.client.client import Client
from ...backend.client.errors import BackendError, NoBackend
from ...backend.environment.commands import without_secrets
from ...backend.environment.pythons import inspect
from ...backend.local.interpreter import find_python
from ...backend.local.session import backend_kind, open_backend
from ...backend.settings import Settings, overridden, saved_values
from ...errors import Cancelled, HSFusionError
from ..run.progress import Progress
from .page import Page, say_software
from .trial import RATIO, SIZE, time_tile


@dataclass(frozen=True)
class DiagnosticsRequest:
    """report: path of the text file or None; trial: start the local backend and time a tile."""

    report: str | None = None
    trial: bool = True


def run(request: DiagnosticsRequest, progress: Progress) -> dict[str, Any]:
    """The outputs by name; raises Cancelled, and HSFusionError only where the report cannot be written."""
    page = Page(progress, [f"HSFusion {VERSION}, diagnostics of {time.strftime('%Y-%m-%d %H:%M')}"])
    seconds = float("nan")
    say_software(page)
    progress.step(0.1)
    settings = _settings(page)
    _models(page, settings)
    progress.step(0.3)
    if _interpreter(page, settings) and request.trial:
        progress.step(0.5)
        seconds = _trial(page, settings)
    progress.step(0.9)
    _endpoint(page, settings)
    page.lines += ["", f"{page.problems} problem(s) found." if page.problems else "No problem was found."]
    text = without_secrets("\n".join(page.lines)) + "\n"
    if request.report:
        try:
            Path(request.report).write_text(text, encoding="utf-8")
        except OSError as error:
            raise HSFusionError(
                f"REPORT {request.report} cannot be written ({error.strerror}): choose another place."
            ) from error
    progress.info(text)
    return {"REPORT": request.report, "TEXT": text, "PROBLEMS": page.problems, "TILE_SECONDS": seconds}


def _settings(page: Page) -> Settings:
    page.heading("Settings")
    kept = saved_values()
    for name in ("backend", "python", "device", "endpoint", "models", "memory", "work", "replies", "authcfg"):
        variable = overridden(name)
        value, origin = (
            (os.environ[variable], f"from {variable}") if variable else (kept.get(name), "from the options of HSFusion")
        )
        shown = "set" if name == "authcfg" and value else value
        page.say(f"{'authentication' if name == 'authcfg' else name}: {f'{shown} ({origin})' if shown else 'not set'}")
    try:
        settings = Settings.read()
    except HSFusionError as error:
        page.problem(error)
        settings = Settings(python=os.environ.get("HSFUSION_PYTHON") or kept.get("python", ""))
    page.say(f"A run with BACKEND auto uses the {backend_kind(settings)} backend.")
    return settings


def _models(page: Page, settings: Settings) -> None:
    page.heading("Models on this computer")
    for place in settings.models:
        if not place.exists():
            page.problem(
                f"The model folder {place} does not exist: mend it in the options of HSFusion or in HSFUSION_MODELS."
            )
    models, broken = find_models(settings.model_places)
    for model in models:
        card = model.card
        ratios = f", ratios {' to '.join(map(str, card['ratios']))}" if "ratios" in card else ""
        page.say(
            f"{model.name}: {card['architecture']}, {card['spectral_mode']}{ratios}, licence "
            f"{card.get('licence', 'not stated')}"
        )
        page.say(
            f"    {model.path}, sha256 {model.sha256[:16]}..., made by HSFusion {card.get('code_version', '(unknown)')}"
        )
        try:
            page.say(
                "    its weights are whole" if check_weights(model.path) else "    it holds no checksum of its weights"
            )
        except ModelError as error:
            page.problem(error)
    for error in broken:
        page.problem(error)
    if not models:
        page.problem(
            "No usable model is installed: put a model file into a model folder (options of HSFusion), or use a remote "
            "backend."
        )


def _interpreter(page: Page, settings: Settings) -> bool:
    page.heading("Local backend")
    try:
        found = inspect(find_python(settings), page.progress.cancelled)
    except Cancelled:
        raise
    except HSFusionError as error:
        told = error.reason if isinstance(error, NoBackend) else str(error)
        if backend_kind(settings) == "remote":
            page.say(f"Not usable, and not needed with the remote backend: {told}")
        else:
            page.problem(f"{told}: run hsfusion:setupbackend to get a local backend.")
        return False
    page.say(f"Interpreter: {found.python}, Python {found.version}")
    page.say("Packages: " + ", ".join(f"{name} {version}" for name, version in found.versions.items()))
    page.say(f"Device that torch finds: {found.device}")
    return True


def _trial(page: Page, settings: Settings) -> float:
    page.progress.phase("Timing one tile")
    began = time.monotonic()
    try:
        with open_backend(settings, "local", page.progress) as client:
            page.say(f"The backend started in {time.monotonic() - began:.1f} s.")
            _server(page, client, page.progress)
            loading, seconds = time_tile(client, settings.model_places, page.progress)
    except Cancelled:
        raise
    except HSFusionError as error:
        page.problem(error)
        return float("nan")
    page.say(f"First small tile, loading the model: {loading:.1f} s")
    page.say(
        f"One tile of {SIZE} x {SIZE} pixels (ratio {RATIO}): {seconds:.2f} s, {SIZE**2 / seconds / 1e6:.3f} "
        "megapixels a second"
    )
    return seconds


def _server(page: Page, client: Client, progress: Progress) -> None:
    server = client.server(progress.cancelled)
    ours = server.get("hsfusion") or {}
    device, reason = ours.get("device", "unknown"), ours.get("device_reason", "no reason given")
    page.say(f"It is {server.get('name')} {server.get('version')}; device in use: {device} ({reason})")
    if ours.get("precision"):
        page.say(f"Networks run in {ours['precision']} ({ours.get('precision_reason')})")


def _endpoint(page: Page, settings: Settings) -> None:
    page.heading("Remote backend")
    if not settings.endpoint:
        page.say("No endpoint is set.")
        return
    began = time.monotonic()
    try:
        client = Client(settings.endpoint, settings.token, patience_s=10.0)
        server_seen = client.ready()
        page.say(
            f"{client.endpoint}: "
            + (f"ready, answered in {1000 * (time.monotonic() - began):.0f} ms" if server_seen else "not ready")
        )
        _server(page, client, page.progress)
        names = [str(model["name"]) for model in client.models(page.progress.cancelled)]
        page.say(f"Its models: {', '.join(names) or 'none'}")
    except Cancelled:
        raise
    except (BackendError, ModelError) as error:
        page.problem(error)
