"""Decode DICOM with pydicom: the values of a scan in the window that the file states."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pipekit
from pipekit.images import MAX_PIXELS

__pipekit_libraries__ = ("pydicom",)


def suffixes() -> tuple[str, ...]:
    """The suffixes, in lower case, by which importers recognise the files."""
    return (".dcm", ".dicom")


def reads(data: bytes) -> bool:
    """Whether a file is of this format, by the four letters after its preamble."""
    return data[128:132] == b"DICM"


def decode(data: bytes) -> NDArray[np.uint8]:
    """The image as a viewer displays it first: ``(H, W, 3) uint8`` RGB, or ``(H, W)``: grey values in the file's window.

    They are scaled by its slope and intercept, then by its first window (DICOM PS3.3, C.11.2.1.2.1); without a window, the
    range of the stored bits becomes 0 to 255. An ImageError names what is not decoded, though pydicom may be able to.
    """
    import pydicom

    scan: Any = pydicom.dcmread(io.BytesIO(data))
    frames, colours = int(scan.get("NumberOfFrames") or 1), str(scan.PhotometricInterpretation)
    if frames > 1:
        raise pipekit.ImageError(f"a DICOM of {frames:,} frames: write each as a file")
    if scan.Rows * scan.Columns > MAX_PIXELS:
        raise pipekit.ImageError(f"a DICOM of {scan.Columns:,} x {scan.Rows:,} pixels; at most {MAX_PIXELS:,} are decoded")
    if not colours.startswith("MONOCHROME") and (colours != "RGB" or scan.BitsAllocated != 8):
        form = f"{scan.BitsAllocated} bits in {colours}"
        raise pipekit.ImageError(f"a DICOM of {form}: only grey values and RGB of 8 bits are read")
    if table := next((name for name in ("ModalityLUTSequence", "VOILUTSequence") if name in scan), ""):
        raise pipekit.ImageError(f"a DICOM whose values go through a table ({table}), which is not applied")
    if colours == "RGB":
        return np.asarray(scan.pixel_array)
    slope, intercept = float(scan.get("RescaleSlope") or 1), float(scan.get("RescaleIntercept") or 0)
    centre, width = (np.ravel(scan.get(name) or [])[:1].astype(float) for name in ("WindowCenter", "WindowWidth"))
    least = -(2 ** (scan.BitsStored - 1)) * scan.PixelRepresentation  # 1: the values have a sign
    low, span = least * slope + intercept, (2**scan.BitsStored - 1) * slope
    if len(centre) and len(width) and width[0] > 1:
        low, span = centre[0] - 0.5 - (width[0] - 1) / 2, width[0] - 1
    share = np.clip((scan.pixel_array * slope + intercept - low) / span, 0, 1)
    return np.rint(255 * (1 - share if colours == "MONOCHROME1" else share)).astype(np.uint8)
