"""Makes resources/modeler/fuseandassess.model3 anew: estimate -> fuse -> assess, as one model of the graphical modeler.

    /usr/bin/python3 scripts/dev/make_modeler_model.py [OUTPUT.model3]

Needs QGIS's Python, with this checkout linked as `hsfusion` in a folder on PYTHONPATH.
"""

from __future__ import annotations

import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QPointF, QSizeF

TARGET = Path(__file__).resolve().parents[2] / "resources" / "modeler" / "fuseandassess.model3"
NAME = "Estimate, fuse and assess"
GEOMETRY = ("PSF_FWHM", "PSF_FWHM_Y", "SHIFT_X", "SHIFT_Y")
HELP = {
    "ALG_DESC": "Estimates the sensors of a pair, fuses it with what was found, and assesses the result against both rasters, with a report of each "  # noqa: E501
    "step. Use it as it is, or open it in the graphical modeler as the start of a workflow of your own. "
    "MODEL takes a closed form such as average where no backend is set up.",
    "HSI": "The hyperspectral raster: many bands, coarse pixels.",
    "MSI": "The multispectral or panchromatic raster: few bands, fine pixels, the same coordinate reference system.",
    "MODEL": "auto takes the base model; or the name of an installed model, or of a closed form: glp-hs, loc, map, average.",  # noqa: E501
    "SENSOR": "The sensor of the multispectral raster, or estimate.",
    "ALG_CREATOR": "HSFusion",
    "ALG_VERSION": "1",
    "EXAMPLES": "",
}


def build() -> QgsProcessingModelAlgorithm:
    """The model; the provider hsfusion must be registered. Dialogs show the outputs in the order of their
    steps' ids.
    """
    fuse = QgsApplication.processingRegistry().algorithmById("hsfusion:fuse")
    model = QgsProcessingModelAlgorithm(NAME, "HSFusion", "fusion")
    inputs = (
        QgsProcessingParameterRasterLayer("HSI", fuse.parameterDefinition("HSI").description()),
        QgsProcessingParameterRasterLayer("MSI", fuse.parameterDefinition("MSI").description()),
        QgsProcessingParameterString("MODEL", "Model", "auto"),
        QgsProcessingParameterEnum(
            "SENSOR",
            "Multispectral sensor",
            fuse.parameterDefinition("SENSOR").options(),
            False,
            "estimate",
            usesStaticStrings=True,
        ),
    )
    for row, parameter in enumerate(inputs):
        box = QgsProcessingModelParameter(parameter.name())
        place(box, 150, 90 + 110 * row)
        model.addModelParameter(parameter, box)

    estimate = step(model, "sensors", "Estimate the sensors", "hsfusion:estimatesensor", 480, 90)
    given = {name: [source.fromModelParameter(name)] for name in ("HSI", "MSI", "SENSOR")}
    connect(estimate, given)
    output(estimate, "REPORT", "Report on the sensors", 900, 60)
    model.addChildAlgorithm(estimate)

    known = {name: [source.fromChildOutput("sensors", name)] for name in GEOMETRY}
    fusion = step(model, "fuse", "Fuse", "hsfusion:fuse", 560, 260)
    connect(fusion, {**given, **known, "MODEL": [source.fromModelParameter("MODEL")]})
    output(fusion, "OUTPUT", "Fused raster", 900, 210, mandatory=True)
    output(fusion, "REPORT", "Report on the fusion", 900, 290)
    model.addChildAlgorithm(fusion)

    assess = step(model, "quality", "Assess", "hsfusion:assess", 640, 430)
    connect(assess, {**given, **known, "FUSED": [source.fromChildOutput("fuse", "OUTPUT")]})
    output(assess, "REPORT", "Report on the quality", 900, 390)
    output(assess, "TABLE", "Table of all bands", 900, 470)
    model.addChildAlgorithm(assess)
    model.setParameterOrder([parameter.name() for parameter in inputs])
    model.setHelpContent(HELP)
    return model


source = QgsProcessingModelChildParameterSource


def step(
    model: QgsProcessingModelAlgorithm, child_id: str, label: str, algorithm: str, x: float, y: float
) -> QgsProcessingModelChildAlgorithm:
    child = QgsProcessingModelChildAlgorithm(algorithm)
    child.setChildId(child_id)
    child.setDescription(label)
    place(child, x, y)
    return child


def connect(child: QgsProcessingModelChildAlgorithm, sources: dict[str, list[source]]) -> None:
    """These sources; the modeler wants every other parameter that is not optional said, so those get their default."""
    optional = QgsProcessingParameterDefinition.Flag.FlagOptional
    for definition in child.algorithm().parameterDefinitions():
        if definition.name() in sources:
            child.addParameterSources(definition.name(), sources[definition.name()])
        elif not definition.isDestination() and not definition.flags() & optional:
            child.addParameterSources(definition.name(), [source.fromStaticValue(definition.defaultValue())])


def output(
    child: QgsProcessingModelChildAlgorithm, name: str, label: str, x: float, y: float, mandatory: bool = False
) -> None:
    """A final output of the model; all but the raster may be left out."""
    result = QgsProcessingModelOutput(label, label)
    result.setChildId(child.childId())
    result.setChildOutputName(name)
    result.setMandatory(mandatory)
    place(result, x, y)
    child.setModelOutputs({**child.modelOutputs(), label: result})


def place(component: object, x: float, y: float) -> None:
    component.setPosition(QPointF(x, y))
    component.setSize(QSizeF(200, 50))


def main() -> int:
    application = QgsApplication([], False)
    application.initQgis()
    from hsfusion.processing.provider import HSFusionProvider

    provider = HSFusionProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    written = build().toFile(str(target))
    print(target if written else f"{target} could not be written")
    return 0 if written else 1


if __name__ == "__main__":
    sys.exit(main())
