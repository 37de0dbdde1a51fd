"""Images: decode, encode, resize, warp, draw, compare.

The names below come from the modules of this package on first use (PEP 562): ``images.read``, ``images.warp``, ...

>>> import numpy as np
>>> from pipekit import images
>>> image = np.full((48, 64, 3), 200, np.uint8)
>>> data = images.encode(image, "png")
>>> images.probe(data).width_px
64
>>> images.resize(images.decode(data), (12, 16)).shape
(12, 16, 3)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipekit.images.arrays import Image as Image
    from pipekit.images.arrays import Matrix as Matrix
    from pipekit.images.choices import FillMode as FillMode
    from pipekit.images.choices import Fit as Fit
    from pipekit.images.choices import Interpolation as Interpolation
    from pipekit.images.choices import SizeHw as SizeHw
    from pipekit.images.codec import SUFFIXES as SUFFIXES
    from pipekit.images.codec import Format as Format
    from pipekit.images.codec import decode as decode
    from pipekit.images.codec import decode_reduced as decode_reduced
    from pipekit.images.codec import encode as encode
    from pipekit.images.codec import is_image as is_image
    from pipekit.images.codec import probe as probe
    from pipekit.images.codec import read as read
    from pipekit.images.codec import read_bytes as read_bytes
    from pipekit.images.codec import to_gray as to_gray
    from pipekit.images.codec import verify as verify
    from pipekit.images.codec import write as write
    from pipekit.images.codec import write_bytes as write_bytes
    from pipekit.images.draw import contact_sheet as contact_sheet
    from pipekit.images.draw import draw_targets as draw_targets
    from pipekit.images.draw import thumbnail as thumbnail
    from pipekit.images.fitting import fitted as fitted
    from pipekit.images.jpeg import reduced_scale as reduced_scale
    from pipekit.images.masks import read_mask as read_mask
    from pipekit.images.pixels import MAX_PIXELS as MAX_PIXELS
    from pipekit.images.pixels import Decoded as Decoded
    from pipekit.images.pixels import ImageInfo as ImageInfo
    from pipekit.images.video import frame_rate as frame_rate
    from pipekit.images.video import video_frames as video_frames
    from pipekit.images.warping import local_scale as local_scale
    from pipekit.images.warping import resize as resize
    from pipekit.images.warping import warp as warp
    from pipekit.images.warping import warp_mask as warp_mask

_HOME = {
    "MAX_PIXELS": "pixels",
    "SUFFIXES": "codec",
    "Decoded": "pixels",
    "FillMode": "choices",
    "Fit": "choices",
    "Format": "codec",
    "Image": "arrays",
    "ImageInfo": "pixels",
    "Interpolation": "choices",
    "Matrix": "arrays",
    "SizeHw": "choices",
    "contact_sheet": "draw",
    "decode": "codec",
    "decode_reduced": "codec",
    "draw_targets": "draw",
    "encode": "codec",
    "fitted": "fitting",
    "is_image": "codec",
    "local_scale": "warping",
    "probe": "codec",
    "read": "codec",
    "read_bytes": "codec",
    "read_mask": "masks",
    "reduced_scale": "jpeg",
    "resize": "warping",
    "thumbnail": "draw",
    "to_gray": "codec",
    "verify": "codec",
    "frame_rate": "video",
    "video_frames": "video",
    "warp": "warping",
    "warp_mask": "warping",
    "write": "codec",
    "write_bytes": "codec",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pipekit.images' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"pipekit.images.{_HOME[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
