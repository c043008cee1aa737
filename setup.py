"""The package's rooms and its version (from metadata.txt, which QGIS reads); everything else is in pyproject.toml.

The repository root is the package `hsfusion` (and the QGIS plugin folder), which setuptools cannot discover by itself.
"""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

metadata = ConfigParser(interpolation=None)
metadata.read_string(Path(__file__).with_name("metadata.txt").read_text(encoding="utf-8"))
rooms = find_packages(include=["processing*", "hsfusion_plugin*", "models*", "scripts*"])
setup(version=metadata["general"]["version"], packages=["hsfusion", *(f"hsfusion.{room}" for room in rooms)])
