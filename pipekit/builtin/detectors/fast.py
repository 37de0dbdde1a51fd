"""FAST: corners by a ring of brighter or darker pixels.

E. Rosten and T. Drummond, "Machine learning for high-speed corner detection", ECCV 2006.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.detectors.common import DetectorParams, Gray, detect_within, from_keypoints
from pipekit.contract import depends_on, param
from pipekit.keypoints.detection import Features, gray_only

_RINGS = {
    "9_16": cv2.FAST_FEATURE_DETECTOR_TYPE_9_16,
    "7_12": cv2.FAST_FEATURE_DETECTOR_TYPE_7_12,
    "5_8": cv2.FAST_FEATURE_DETECTOR_TYPE_5_8,
}


class FastParams(DetectorParams):
    threshold: int = param(10, "Smallest difference of the ring to the centre", unit="grey levels", ge=1, le=254)
    nonmax_suppression: bool = param(True, "Non-maximum suppression: keep only the strongest of neighbouring corners")
    ring: Literal["9_16", "7_12", "5_8"] = param("9_16", "Number of consecutive pixels that must agree, and size of the ring")


@gray_only
@depends_on("opencv-python-headless")
def fast(image: NDArray[np.uint8], params: FastParams) -> Features:
    """Corners where a run of pixels on a ring is brighter or darker than the centre; the response is the difference."""

    def detect(gray: Gray) -> Features:
        detector = cv2.FastFeatureDetector.create(params.threshold, params.nonmax_suppression, _RINGS[params.ring])
        return from_keypoints(detector.detect(gray), angles=False)

    return detect_within(image, params, detect, smallest_px=7)
