"""The user's language: resources/i18n/hsfusion_LANGUAGE.qm is loaded where there is one, made by
scripts/dev/translations.py.
"""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, QTranslator

from .paths import RESOURCES

FOLDER = RESOURCES / "i18n"


def language() -> str:
    """As QGIS has it: `de`, `pt_BR`; what its options say wins over the system."""
    return QgsApplication.locale() or "en"


def install(folder: Path = FOLDER) -> QTranslator | None:
    """Load and install the translation; None where there is none for this language."""
    name = language()
    for part in (name, name.split("_")[0]):
        path = folder / f"hsfusion_{part}.qm"
        translator = QTranslator()
        if path.is_file() and translator.load(str(path)):
            QCoreApplication.installTranslator(translator)
            return translator
    return None


def remove(translator: QTranslator | None) -> None:
    """Undo `install`."""
    if translator is not None:
        QCoreApplication.removeTranslator(translator)
