"""hsfusion:propagate: an answer computed from every member of an ensemble, with the uncertainty that its
spread shows.
"""
