"""Products of a few pixels, laid out as their public specifications say; one module a family, each with makers that
return a `Truth`.

    python -m hsfusion.tests.qgis.miniatures FOLDER

writes all of them below FOLDER, to look at.
"""
