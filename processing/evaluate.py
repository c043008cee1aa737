"""`hsfusion:evaluate`: how good a fused raster is, against a reference."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingOutputNumber

from ..hsfusion_plugin.jobs.run.progress import Progress
from .base import Algorithm
from .loaded_layers import stem
from .parameters import advanced, file_output, number, raster, raster_output, report_output
from .strings import mark, tr

# In models/metrics, which is not imported before the algorithm runs: loading the provider needs no numpy.
NUMBERS = {
    "PSNR": mark("PSNR, global (dB)"),
    "PSNR_BAND_MEAN": mark("PSNR, band mean with a common peak (dB)"),
    "PSNR_BAND_PEAK": mark("PSNR, band mean with each band's own peak (dB)"),
    "RMSE": mark("RMSE (raster units)"),
    "SAM": mark("SAM (degrees)"),
    "ERGAS": mark("ERGAS"),
    "SSIM": mark("SSIM"),
    "Q2N": mark("Q2n"),
    "CC": mark("CC"),
}


class Evaluate(Algorithm):
    GROUP = "evaluation"

    def name(self) -> str:
        return "evaluate"

    def displayName(self) -> str:
        return tr("Evaluate against a reference")

    def shortDescription(self) -> str:
        return tr("PSNR, RMSE, SAM, ERGAS, SSIM, Q2n and CC of a fused raster, with maps, table and report.")

    def tags(self) -> list[str]:
        return [*super().tags(), *NUMBERS, *tr("quality,accuracy,metric").split(",")]

    def initAlgorithm(self, config: dict[str, Any] | None = None) -> None:
        self.addParameters(
            raster("REFERENCE", tr("Reference")),
            raster("FUSED", tr("Fused image, on the reference's grid")),
            number("RATIO", tr("Ratio of HSI to MSI pixel size (for ERGAS)"), 4.0, minValue=1.0, maxValue=1000.0),
            advanced(number("PEAK", tr("Peak for PSNR and SSIM (0 = maximum of the reference)"), 0.0, minValue=0.0)),
            raster_output("SAM_MAP", tr("Map of the spectral angle"), optional=True),
            raster_output("ERROR_MAP", tr("Map of the error (RMSE over bands)"), optional=True),
            report_output(expected=True),
            file_output("TABLE", tr("Table of all bands"), tr("CSV files (*.csv);;JSON files (*.json)")),
        )
        for name, label in NUMBERS.items():
            self.addOutput(QgsProcessingOutputNumber(name, tr(label)))

    def request(self, parameters: dict[str, Any], context: QgsProcessingContext) -> Any:
        from ..hsfusion_plugin.jobs.evaluate.job import EvaluationRequest

        return EvaluationRequest(
            reference=self.source(parameters, "REFERENCE", context),
            fused=self.source(parameters, "FUSED", context),
            ratio=self.parameterAsDouble(parameters, "RATIO", context),
            peak=self.parameterAsDouble(parameters, "PEAK", context),
            sam_map=self.output_raster(parameters, "SAM_MAP", context),
            error_map=self.output_raster(parameters, "ERROR_MAP", context),
            report=self.output_file(parameters, "REPORT", context),
            table=self.output_file(parameters, "TABLE", context),
        )

    def layer_names(self, request: Any, results: dict[str, Any]) -> dict[str, str]:
        names = {"SAM_MAP": tr("{} spectral angle (degrees)"), "ERROR_MAP": tr("{} RMSE over bands")}
        return {output: name.format(stem(request.fused)) for output, name in names.items()}

    def job(self, request: Any, progress: Progress) -> dict[str, Any]:
        from ..hsfusion_plugin.jobs.evaluate.job import evaluate_rasters

        scores = evaluate_rasters(request, progress)
        results: dict[str, Any] = scores.numbers()
        files = {
            "SAM_MAP": request.sam_map,
            "ERROR_MAP": request.error_map,
            "REPORT": request.report,
            "TABLE": request.table,
        }
        results.update({name: path for name, path in files.items() if path})
        for name, label in NUMBERS.items():
            progress.info(f"{tr(label)}: {results[name]:.6g}")
        return results
