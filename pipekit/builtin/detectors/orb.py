"""ORB: oriented FAST corners with rotated binary descriptors.

E. Rublee, V. Rabaud, K. Konolige and G. Bradski, "ORB: an efficient alternative to SIFT or SURF", ICCV 2011.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.detectors.common import DetectorParams, Gray, detect_within, from_keypoints
from pipekit.contract import depends_on, param
from pipekit.keypoints.detection import Features, gray_only


class OrbParams(DetectorParams):
    scale_factor: float = param(1.2, "Factor between two levels of the pyramid", gt=1, le=4)
    num_levels: int = param(8, "Number of levels of the pyramid", ge=1, le=32)
    fast_threshold: int = param(20, "Threshold of the FAST corners", unit="grey levels", ge=1, le=254)
    patch_size_px: int = param(
        31, "Side of the patch for the descriptor; also the margin without points", unit="px", ge=5, le=127
    )
    score: Literal["harris", "fast"] = param("harris", "Response that ranks the corners")


@gray_only
@depends_on("opencv-python-headless")
def orb(image: NDArray[np.uint8], params: OrbParams) -> Features:
    """FAST corners on a pyramid, with an angle and a descriptor of 256 bits (32 bytes, Hamming distance)."""

    def detect(gray: Gray) -> Features:
        detector = cv2.ORB.create(
            nfeatures=params.max_points,
            scaleFactor=params.scale_factor,
            nlevels=params.num_levels,
            edgeThreshold=params.patch_size_px,
            patchSize=params.patch_size_px,
            scoreType=cv2.ORB_HARRIS_SCORE if params.score == "harris" else cv2.ORB_FAST_SCORE,
            fastThreshold=params.fast_threshold,
        )
        keypoints, descriptors = detector.detectAndCompute(gray, None)
        return from_keypoints(keypoints, descriptors, norm="hamming")

    return detect_within(image, params, detect, smallest_px=7)
