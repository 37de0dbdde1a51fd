"""Frames of a video, one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import cv2
import numpy as np

from pipekit.errors import UserError
from pipekit.images.warping import Image

DEFAULT_RATE_HZ = 25.0
"""For a file that states no frame rate."""


def frame_rate(path: str | os.PathLike[str]) -> tuple[float, bool]:
    """The frames per second of a video, and whether the file states them."""
    capture = cv2.VideoCapture(os.fspath(path))
    try:
        rate = float(capture.get(cv2.CAP_PROP_FPS))
    finally:
        capture.release()
    return (rate, True) if 0 < rate < 1e5 else (DEFAULT_RATE_HZ, False)


def video_frames(path: str | os.PathLike[str], every: int = 1) -> Iterator[tuple[int, float, Image]]:
    """Every ``every``-th frame of a video, one at a time: its number from 0, its time in seconds, its RGB image.

    Raises:
        UserError: no frame can be read.
    """
    capture = cv2.VideoCapture(os.fspath(path))
    number = 0
    try:
        rate = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_RATE_HZ
        while capture.grab():
            if number % every == 0:
                read, frame = capture.retrieve()
                if not read:
                    break
                yield number, number / rate, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
            number += 1
    finally:
        capture.release()
    if not number:
        raise UserError(
            f"no frame of {path} can be read", "It is empty, damaged, not a video, or in a format that OpenCV can't read."
        )
