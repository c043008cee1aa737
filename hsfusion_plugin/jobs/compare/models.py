"""The installed models of a comparison: one backend for all of them, and for each the method or the reason why there is
none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ....models.scene.methods.names import UNSUPERVISED
from ...backend.local.session import backend_kind, open_backend
from ...backend.settings import Settings
from ...errors import Cancelled, HSFusionError
from ..fuse.log import say_backend
from ..methods.band_fit import BandFit
from ..methods.choice import check_model, local_card, model_method, remote_card
from ..methods.method import Method
from ..methods.trained import Trained
from ..pair.pair import Pair
from ..run.progress import Progress

if TYPE_CHECKING:
    from .job import ComparisonRequest


@dataclass
class Models:
    """Methods and reasons by the model's name; about: name -> sha256 and where it ran, for the record."""

    methods: dict[str, Method] = field(default_factory=dict)
    reasons: dict[str, HSFusionError] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def method(self, name: str) -> Method:
        """The model as a method; raises what stands in its way."""
        if name in self.reasons:
            raise self.reasons[name]
        return self.methods[name]


@contextmanager
def open_models(names: Sequence[str], request: ComparisonRequest, pair: Pair, progress: Progress) -> Iterator[Models]:
    """The models with their backend running for the time of the `with` block; without one every model has its reason.
    Raises Cancelled.
    """
    models = Models()
    with ExitStack() as stack:
        if names:
            _open(names, request, pair, progress, models, stack)
        yield models


def _open(
    names: Sequence[str], request: ComparisonRequest, pair: Pair, progress: Progress, models: Models, stack: ExitStack
) -> None:
    settings = Settings.read()
    trained = [name for name in names if name in UNSUPERVISED]
    names = [name for name in names if name not in trained]
    kind = backend_kind(settings, request.backend)
    cards: dict[str, tuple[dict[str, Any], str, BandFit | None]] = {}

    def check(name: str, card: dict[str, Any], sha256: str) -> None:
        bands, warnings = check_model(name, card, pair, request)
        for warning in warnings:
            progress.warn(warning)
        cards[name] = card, sha256, bands

    if kind == "local":
        for name in names:
            _noting(models, name, lambda name=name: check(name, *local_card(name, None, settings.model_places)))
        if not (cards or trained):  # nothing that a backend would be needed for
            return
    progress.phase("Starting the backend")
    try:
        client = stack.enter_context(open_backend(settings, kind, progress))
        listed = client.models(progress.cancelled)
        say_backend(kind, client.server(progress.cancelled), client.endpoint, progress)
    except Cancelled:
        raise
    except HSFusionError as error:
        models.reasons.update({name: error for name in (*names, *trained) if name not in models.reasons})
        return
    if kind == "remote":
        for name in names:
            _noting(models, name, lambda name=name: check(name, *remote_card(name, listed, settings.model_places)))
    for name in trained:
        models.methods[name] = Trained(name, client, request.minutes, progress)
    for name, (card, sha256, bands) in cards.items():
        if kind == "remote":
            client.pin(name, sha256)
        models.methods[name] = model_method(name, card, bands, client, request, progress)
        models.about[name] = {"sha256": sha256, "backend": kind, "endpoint": client.endpoint}


def _noting(models: Models, name: str, work: Any) -> None:
    """Do it; an error becomes the model's reason."""
    try:
        work()
    except Cancelled:
        raise
    except HSFusionError as error:
        models.reasons[name] = error
