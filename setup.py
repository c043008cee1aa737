"""Lists the package's rooms; everything else is in pyproject.toml.

The repository root is the package `hsfusion` (and the QGIS plugin folder), which setuptools cannot discover by itself.
"""

from setuptools import find_packages, setup

rooms = find_packages(include=["processing*", "hsfusion_plugin*", "models*"])
setup(packages=["hsfusion", *(f"hsfusion.{room}" for room in rooms)])
