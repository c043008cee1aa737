"""Faults of a detector or a file: fill that no header names, dead and hot columns and lines, spikes, saturation,
stripes, smile.
"""
