"""Frames of a video, one at a time."""

from __future__ import annotations

import math
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
        return _rate_of(capture)
    finally:
        capture.release()


def _rate_of(capture: cv2.VideoCapture) -> tuple[float, bool]:
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return (rate, True) if 0 < rate < 1e5 else (DEFAULT_RATE_HZ, False)


def frame_numbers(frame_rate_hz: float, rate_hz: float) -> Iterator[int]:
    """The numbers of the first frames at or after 0, 1, 2 ... divided by ``rate_hz`` seconds; 0 takes every frame.

    >>> from itertools import islice
    >>> list(islice(frame_numbers(30, 12), 5))
    [0, 3, 5, 8, 10]
    """
    if rate_hz == 0 or rate_hz >= frame_rate_hz:
        yield from iter(range(1 << 62))
    for tick in range(1 << 62):
        yield math.ceil(round(tick * frame_rate_hz / rate_hz, 6))


def video_frames(path: str | os.PathLike[str], every: int = 1, rate_hz: float = 0.0) -> Iterator[tuple[int, float, Image]]:
    """Frames of a video, one at a time: the number from 0, the time in seconds, the RGB image.

    Args:
        every: every N-th frame.
        rate_hz: frames per second of the video's time (:func:`frame_numbers`); 0 leaves it to ``every``.

    Raises:
        UserError: no frame can be read.
    """
    capture = cv2.VideoCapture(os.fspath(path))
    number = 0
    try:
        rate, _ = _rate_of(capture)
        wanted = frame_numbers(rate, rate_hz) if rate_hz else iter(range(0, 1 << 62, every))
        next_wanted = next(wanted)
        while capture.grab():
            if number == next_wanted:
                next_wanted = next(wanted)
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
