"""PNG images by hand, so that a report needs no image library: 8 bit, with colours or with a palette."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode_rgba(pixels: np.ndarray) -> bytes:
    """PNG of (rows, cols, 4) uint8: red, green, blue, opacity."""
    return _png(pixels.reshape(pixels.shape[0], -1), pixels.shape[1], colour_type=6)


def encode_palette(index: np.ndarray, palette: np.ndarray) -> bytes:
    """PNG of palette numbers (rows, cols) uint8; palette (n, 3) uint8, whose last colour is drawn transparent."""
    opacity = b"\xff" * (len(palette) - 1) + b"\x00"
    chunks = _chunk(b"PLTE", palette.astype(np.uint8).tobytes()) + _chunk(b"tRNS", opacity)
    return _png(index, index.shape[1], colour_type=3, before_data=chunks)


def data_uri(png: bytes) -> str:
    """The image as an address that stands inside the page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _png(lines: np.ndarray, width: int, colour_type: int, before_data: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, len(lines), 8, colour_type, 0, 0, 0)
    filtered = np.pad(np.ascontiguousarray(lines, dtype=np.uint8), ((0, 0), (1, 0)))  # filter type 0 before each line
    data = _chunk(b"IDAT", zlib.compress(filtered.tobytes(), 9))
    return _SIGNATURE + _chunk(b"IHDR", header) + before_data + data + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
