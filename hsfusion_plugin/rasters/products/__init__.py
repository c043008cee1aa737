"""Products as agencies and makers deliver them, one module a family, each of the same shape.

A family's module has `FAMILY` (its name), `recognise(source) -> bool`, which looks at content and opens no more than it
needs, and `open_product(source, wanted) -> Product`, which describes the product and reads it in windows. A module that
is put into this folder is found by reading/registry.py. Modules with `LAST = True` take what no other one knows.
docs/developing/add-a-product.md shows how to add one.
"""
