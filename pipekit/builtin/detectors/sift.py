"""SIFT: extrema of the difference of Gaussians, with histograms of gradients.

D. G. Lowe, "Distinctive image features from scale-invariant keypoints", International Journal of Computer Vision 60(2), 2004.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit.builtin.detectors.common import DetectorParams, Gray, detect_within, from_keypoints
from pipekit.contract import depends_on, param
from pipekit.keypoints.detection import Features, gray_only


class SiftParams(DetectorParams):
    max_megapixels: float = param(
        4.0,
        "Larger images are reduced to this size for detection; points stay in pixels of the full image. SIFT takes about "
        "250 bytes of memory per pixel",
        unit="MP",
        gt=0,
    )
    octave_layers: int = param(3, "Number of layers per octave", ge=1, le=10)
    contrast_threshold: float = param(0.04, "Larger values drop more weak features", ge=0, le=1)
    edge_threshold: float = param(10.0, "Larger values keep more features on edges", ge=1)
    sigma_px: float = param(1.6, "Gaussian blur of the first layer", unit="px", ge=0.5, le=10)


@gray_only
@depends_on("opencv-python-headless")
def sift(image: NDArray[np.uint8], params: SiftParams) -> Features:
    """Blobs with a scale, an angle and a descriptor of 128 numbers in 0..255 (Euclidean distance)."""

    def detect(gray: Gray) -> Features:
        detector = cv2.SIFT.create(
            params.max_points,
            params.octave_layers,
            params.contrast_threshold,
            params.edge_threshold,
            params.sigma_px,
            cv2.CV_8U,
        )
        keypoints, descriptors = detector.detectAndCompute(gray, None)
        return from_keypoints(keypoints, descriptors)

    return detect_within(image, params, detect, smallest_px=4)
