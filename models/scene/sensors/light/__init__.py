"""The light of the MSI against that of the HSI: gain and offset over the scene, seams of mosaics, tone curves, clouds
in one image.
"""
