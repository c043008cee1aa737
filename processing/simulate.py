"""hsfusion:simulate: a pair with a known answer, after Wald's protocol."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext

from ..hsfusion_plugin.jobs.request import SimulationRequest
from ..hsfusion_plugin.jobs.run.progress import Progress
from .base import Algorithm
from .loaded_layers import stem
from .parameters import advanced, choice, file, integer, number, raster, raster_output, sensor_names
from .strings import tr

PSFS = ("gaussian", "block-mean")
DEFAULT_SENSOR = "Sentinel-2A"


class Simulate(Algorithm):
    GROUP = "evaluation"

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameters(
            raster("REFERENCE", tr("Reference (hyperspectral raster at fine pixels)")),
            number("RATIO", tr("Ratio (HSI pixel / MSI pixel)"), 4.0, minValue=1.0, maxValue=64.0),
            choice("SENSOR", tr("Multispectral sensor"), sensor_names(), DEFAULT_SENSOR),
            number(
                "SNR_HSI", tr("SNR of the hyperspectral raster (dB; 0 = no noise)"), 35.0, minValue=0.0, maxValue=120.0
            ),
            number(
                "SNR_MSI", tr("SNR of the multispectral raster (dB; 0 = no noise)"), 40.0, minValue=0.0, maxValue=120.0
            ),
            advanced(choice("PSF", tr("Point spread function"), PSFS, PSFS[0])),
            advanced(number("PSF_FWHM", tr("Width of the PSF (FWHM, HSI pixels)"), 1.0, minValue=0.1, maxValue=10.0)),
            advanced(file("SRF_FILE", tr("Spectral response functions (instead of SENSOR)"), tr("CSV files (*.csv)"))),
            advanced(number("SHIFT_X", tr("HSI's shift to the east (MSI pixels)"), 0.0, minValue=-64.0, maxValue=64.0)),
            advanced(
                number("SHIFT_Y", tr("HSI's shift to the south (MSI pixels)"), 0.0, minValue=-64.0, maxValue=64.0)
            ),
            advanced(integer("SEED", tr("Seed of the noise"), 0, minValue=0, maxValue=2**31 - 1)),
            raster_output("OUTPUT_HSI", tr("Simulated hyperspectral raster")),
            raster_output("OUTPUT_MSI", tr("Simulated multispectral raster")),
        )

    def name(self) -> str:
        return "simulate"

    def displayName(self) -> str:
        return tr("Simulate a pair from a reference")

    def shortDescription(self) -> str:
        return tr(
            "Makes the hyperspectral and the multispectral raster that two sensors would see of a fine reference."
        )

    def tags(self) -> list[str]:
        words = tr("simulation,Wald's protocol,degradation,point spread function,PSF,spectral response,SRF,noise")
        return [*super().tags(), *words.split(",")]

    def refusal(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str | None:
        ratio = self.parameterAsDouble(parameters, "RATIO", context)
        if not ratio > 1:
            return tr("RATIO is {:g}; it must be larger than 1: the hyperspectral pixel is the coarser one.").format(
                ratio
            )
        if self.parameterAsEnumString(parameters, "PSF", context) == "block-mean" and ratio != round(ratio):
            return tr("PSF block-mean needs a whole RATIO, not {:g}: choose the gaussian PSF.").format(ratio)
        return None

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> SimulationRequest:
        return SimulationRequest(
            reference=self.source(parameters, "REFERENCE", context) or "",
            output_hsi=self.output_raster(parameters, "OUTPUT_HSI", context) or "",
            output_msi=self.output_raster(parameters, "OUTPUT_MSI", context) or "",
            ratio=self.parameterAsDouble(parameters, "RATIO", context),
            psf=self.parameterAsEnumString(parameters, "PSF", context),
            psf_fwhm=self.parameterAsDouble(parameters, "PSF_FWHM", context),
            sensor=self.parameterAsEnumString(parameters, "SENSOR", context),
            srf_file=self.optional_text(parameters, "SRF_FILE", context),
            snr_hsi=self.parameterAsDouble(parameters, "SNR_HSI", context),
            snr_msi=self.parameterAsDouble(parameters, "SNR_MSI", context),
            shift_x=self.parameterAsDouble(parameters, "SHIFT_X", context),
            shift_y=self.parameterAsDouble(parameters, "SHIFT_Y", context),
            seed=self.parameterAsInt(parameters, "SEED", context),
        )

    def layer_names(self, request: SimulationRequest, results: dict[str, Any]) -> dict[str, str]:
        name = stem(request.reference)
        return {
            "OUTPUT_HSI": tr("{} HSI (simulated, ratio {:g})").format(name, request.ratio),
            "OUTPUT_MSI": tr("{} MSI (simulated, {})").format(name, request.sensor),
        }

    def job(self, request: SimulationRequest, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.simulate import job as simulate

        return simulate.run(request, progress)
