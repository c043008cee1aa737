"""The methods that are trained on the pair itself: a job of the backend, whose network the tiles then use."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....models.scene.block import Block
from ....models.scene.methods.spectral_mlp import Examples, PixelNetwork, put_back
from ....models.scene.model import COMPONENTS, SceneModel
from ....models.scene.window import Window
from ....models.wire.scene_training import SceneTraining, SceneTrainingRequest
from ...backend.client.adaptation import AdaptationJob
from ...backend.client.client import Client
from ..run.progress import Progress
from .closed_form import IN_FLIGHT
from .method import Answer

ASK_EVERY_S = 0.3


@dataclass(frozen=True)
class Trained:
    """`name` of UNSUPERVISED, behind the client that trains it; network: what was found, None before `fitted`."""

    name: str
    client: Client
    minutes: float
    progress: Progress
    network: PixelNetwork | None = None
    halo: int = 0
    multiple: int = 1
    workers: int = IN_FLIGHT
    remote: bool = False
    band_std: np.ndarray | None = None
    components: int = COMPONENTS
    filters: bool = False
    in_coefficients: bool = False
    weighs: bool = False

    def fitted(self, blocks: Sequence[Block], scene: SceneModel) -> Trained:
        """Trained on the blocks, and without its client. HSFusionError, Cancelled."""
        examples = Examples.of(list(blocks), scene)
        request = SceneTrainingRequest(SceneTraining(self.name, self.minutes), examples.low, examples.spectra)
        with AdaptationJob(self.client) as job:
            job.start(request, self.progress.cancelled)
            while (facts := job.facts(self.progress.cancelled)).state != "done":
                self.progress.advance(min(1.0, facts.seconds / (60 * self.minutes)))
                time.sleep(ASK_EVERY_S)
            network = PixelNetwork.of_file(job.model(self.progress.cancelled), examples)
        self.progress.info(
            f"{self.name}: trained on {len(examples.low)} HSI pixels in {facts.step} steps, "
            f"{facts.validation_gain:+.2f} dB against a linear law on pixels held out."
        )
        return replace(self, network=network)

    def fuse(self, block: Block, scene: SceneModel, core: Window) -> Answer:
        """Spectra of the core."""
        if self.network is None:
            raise RuntimeError("a method that is trained on its scene was asked before it was fitted")
        return Answer(spectra=put_back(self.network, block, scene, core))
