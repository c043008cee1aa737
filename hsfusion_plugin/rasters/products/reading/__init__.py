"""What the readers of products share: files and archives, HDF5, XML, ENVI headers, stacks of bands, lookup tables,
quality classes.
"""
