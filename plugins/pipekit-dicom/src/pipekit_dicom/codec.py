"""Decode DICOM with pydicom: the values of a scan in the window that the file states."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pipekit
from pipekit.images import MAX_PIXELS


@pipekit.depends_on("pydicom")
class Dicom:
    """DICOM files of one image."""

    @staticmethod
    def suffixes() -> tuple[str, ...]:
        """The suffixes, in lower case, by which importers recognise the files."""
        return (".dcm", ".dicom")

    @staticmethod
    def reads(data: bytes) -> bool:
        """Whether a file is of this format, by the four letters after its preamble."""
        return data[128:132] == b"DICM"

    @staticmethod
    def decode(data: bytes) -> NDArray[np.uint8]:
        """The image as a viewer displays it first: ``(H, W, 3) uint8`` RGB, grey values through :func:`shown`.

        Raises:
            ImageError: the file is damaged, or one of those that :func:`refused` names.
        """
        import pydicom

        try:
            scan = pydicom.dcmread(io.BytesIO(data))
            if why := refused(scan):
                raise pipekit.ImageError(why)
            pixels = scan.pixel_array
        except pipekit.ImageError:
            raise
        except Exception as error:
            raise pipekit.ImageError(f"can't decode this DICOM: {' '.join(str(error).split())[:80]}") from error
        if pixels.ndim == 2:
            pixels = shown(pixels, scan)[..., None]
        return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def refused(scan: Any) -> str:
    """Why a file is not decoded, though pydicom may be able to: its image would be another one than a viewer displays."""
    frames, colours = int(scan.get("NumberOfFrames") or 1), str(scan.PhotometricInterpretation)
    if frames > 1:
        return f"a DICOM of {frames:,} frames: write each as a file"
    if scan.Rows * scan.Columns > MAX_PIXELS:
        return f"a DICOM of {scan.Columns:,} x {scan.Rows:,} pixels; at most {MAX_PIXELS:,} are decoded"
    if not colours.startswith("MONOCHROME") and (colours != "RGB" or scan.BitsAllocated != 8):
        return f"a DICOM of {scan.BitsAllocated} bits in {colours}: only grey values and RGB of 8 bits are read"
    tables = [name for name in ("ModalityLUTSequence", "VOILUTSequence") if name in scan]
    return f"a DICOM whose values go through a table ({tables[0]}), which is not applied" if tables else ""


def shown(stored: NDArray[Any], scan: Any) -> NDArray[np.uint8]:
    """``(H, W) uint8`` for stored values: scaled by the file's slope and intercept, then its first window (DICOM PS3.3,
    C.11.2.1.2.1); without a window, the range of the stored bits becomes 0 to 255."""
    slope, intercept = float(scan.get("RescaleSlope") or 1), float(scan.get("RescaleIntercept") or 0)
    centre, width = (np.ravel(scan.get(name) or [])[:1].astype(float) for name in ("WindowCenter", "WindowWidth"))
    if len(centre) and len(width) and width[0] > 1:
        low, span = centre[0] - 0.5 - (width[0] - 1) / 2, width[0] - 1
    else:
        least = -(2 ** (scan.BitsStored - 1)) * scan.PixelRepresentation  # 1: the values have a sign
        low, span = least * slope + intercept, (2**scan.BitsStored - 1) * slope
    share = np.clip((stored * slope + intercept - low) / span, 0, 1)
    return np.rint(255 * (1 - share if scan.PhotometricInterpretation == "MONOCHROME1" else share)).astype(np.uint8)
