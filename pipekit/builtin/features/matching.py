"""The stage ``match``: match features of two images, and align the second image with the first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipekit import images
from pipekit.builtin.features.draw import draw_matches
from pipekit.builtin.features.stage import find
from pipekit.contract import Call, Context, Files, InputPath, Params, Uses, param, stage
from pipekit.errors import ImageError, UserError
from pipekit.files import PlainTable
from pipekit.images.draw import contact_sheet
from pipekit.images.warping import Image, warp
from pipekit.keypoints.detection import Features
from pipekit.tasks import supports

Float = NDArray[np.float32]


class MatchingParams(Params):
    ratio: float = param(
        0.8, "Ratio test: largest ratio of the nearest descriptor's distance to the second nearest's (Lowe 2004)", gt=0, le=1
    )
    mutual: bool = param(True, "Keep a match only if each feature is the other's nearest")
    ransac_px: float = param(3.0, "Largest reprojection error of an inlier", unit="px", gt=0, le=100)


class MatchParams(MatchingParams):
    first: InputPath = param(..., "An image")
    second: InputPath = param(..., "Another image")
    detector: Annotated[Call, Uses("detector")] = param("sift", "A detector with descriptors: sift, orb")
    preview_px: int = param(720, "Longer side of each drawn image", unit="px", ge=64, le=4096)


@dataclass(frozen=True)
class MatchFiles(Files):
    """``matches.png``, ``matches.csv``, ``match.json`` and, if the images match, ``aligned.png``."""

    kind: ClassVar[str] = "match"
    headline: ClassVar[tuple[str, ...]] = ("matches.png", "aligned.png")


@dataclass(frozen=True, eq=False)
class Matches:
    """Matched features.

    Attributes:
        pairs: ``(M, 2)`` indices into the first and the second features, the best match first.
        ratio: ``(M,)``: the distance divided by that to the second nearest.
        inlier: ``(M,)``: whether the pair agrees with the homography.
        homography: ``(3, 3)``, from the second image's pixels to the first's, or None.
        verified: whether there are more inliers than false matches would give: over 8 + 0.3 times the matches (M. Brown and
            D. G. Lowe, "Automatic panoramic image stitching using invariant features", IJCV 74(1), 2007).
    """

    pairs: NDArray[np.int64]
    ratio: Float
    inlier: NDArray[np.bool_]
    homography: NDArray[np.float64] | None
    verified: bool


def match_features(first: Features, second: Features, params: MatchingParams) -> Matches:
    """Match by the ratio test, the mutual check and RANSAC; deterministic."""
    pairs, ratio = _nearest(first, second, params)
    order = np.lexsort((pairs[:, 0], ratio))
    pairs, ratio = pairs[order], ratio[order]
    none = Matches(pairs, ratio, np.zeros(len(pairs), bool), None, False)
    if len(pairs) < 4:
        return none
    source, target = second.points[pairs[:, 1], :2], first.points[pairs[:, 0], :2]
    homography, mask = cv2.findHomography(source, target, cv2.RANSAC, params.ransac_px, maxIters=5000, confidence=0.999)
    if homography is None or not np.isfinite(homography).all() or abs(np.linalg.det(homography)) < 1e-12:
        return none
    inlier = np.asarray(mask).ravel().astype(bool)
    return Matches(pairs, ratio, inlier, np.asarray(homography, np.float64), bool(inlier.sum() > 8 + 0.3 * len(pairs)))


def _nearest(first: Features, second: Features, params: MatchingParams) -> tuple[NDArray[np.int64], Float]:
    a, b = first.descriptors, second.descriptors
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return np.empty((0, 2), np.int64), np.empty(0, np.float32)
    matcher = cv2.BFMatcher(cv2.NORM_HAMMING if first.norm == "hamming" else cv2.NORM_L2)
    if first.norm == "l2":
        a, b = a.astype(np.float32), b.astype(np.float32)
    rows = [(m.queryIdx, m.trainIdx, m.distance, n.distance) for m, n in matcher.knnMatch(a, b, k=2)]
    table = np.array(rows, np.float64).reshape(-1, 4)
    pairs = table[:, :2].astype(np.int64)
    ratio = np.where(table[:, 3] > 0, table[:, 2] / np.maximum(table[:, 3], 1e-12), 1.0)
    kept = ratio < params.ratio
    if params.mutual:
        back = np.full(len(b), -1, np.int64)
        for m in matcher.match(b, a):
            back[m.queryIdx] = m.trainIdx
        kept &= back[pairs[:, 1]] == pairs[:, 0]
    return pairs[kept], ratio[kept].astype(np.float32)


@supports("classes", "multilabel", "number")
@stage(libraries=("opencv-python-headless",))
def match(ctx: Context, params: MatchParams) -> MatchFiles:
    """Match the features of two images, draw the matches, and align the second image with the first.

    Raises:
        UserError: an image can't be read, or the detector gives no descriptors.
    """
    left, right = _read(params.first), _read(params.second)
    first, second = find(left, params.detector), find(right, params.detector)
    for found in (first, second):
        if len(found) and found.descriptors is None:
            raise UserError(
                f"{params.detector.name} finds points without descriptors, so they can't be matched",
                "Use a detector with descriptors: sift, orb or akaze.",
            )
    result = match_features(first, second, params)
    _write_table(ctx, first, second, result)
    drawn = draw_matches(
        left,
        right,
        first.points[result.pairs[:, 0], :2],
        second.points[result.pairs[:, 1], :2],
        result.inlier,
        params.preview_px,
    )
    count, good = len(result.pairs), int(result.inlier.sum())
    words = _words(result)
    caption = f"{params.detector.name}: {len(first):,} and {len(second):,} features, {count:,} matches, {good:,} inliers (blue)"
    images.write(
        ctx.out_dir / "matches.png", contact_sheet([drawn], [f"{caption}\n{words}"], tile_px=drawn.shape[1], font_px=17)
    )
    if result.homography is not None and result.verified:
        images.write(
            ctx.out_dir / "aligned.png", warp(right, result.homography, (left.shape[0], left.shape[1]), fill_value=255)
        )
    said = {
        "features": [len(first), len(second)],
        "matches": count,
        "inliers": good,
        "verified": result.verified,
        "homography_second_to_first": None if result.homography is None else result.homography.tolist(),
        "notes": [first.note, second.note],
    }
    (ctx.out_dir / "match.json").write_text(json.dumps(said, indent=2) + "\n", "utf-8")
    return ctx.artifact(
        MatchFiles,
        facts={"matches": f"{count:,}", "inliers": f"{good:,}", "fits": "yes" if result.verified else "no"},
        headline=f"{good:,} of {count:,} matches are inliers: {words}",
    )


def _words(result: Matches) -> str:
    if result.verified:
        return "the two images show the same thing; aligned.png is the second one aligned with the first"
    if not len(result.pairs):
        return "no features of the two images match"
    return "too few to say that the two images show the same thing"


def _read(path: InputPath) -> Image:
    try:
        return images.read(path)
    except ImageError as error:
        raise UserError(f"{path}: {error.message}", "`match` takes two image files.") from error


def _write_table(ctx: Context, first: Features, second: Features, result: Matches) -> None:
    with (ctx.out_dir / "matches.csv").open("w", newline="", encoding="utf-8") as out:
        rows = PlainTable(out)
        rows.writerow(["first_x_px", "first_y_px", "second_x_px", "second_y_px", "ratio", "inlier"])
        for (a, b), ratio, inlier in zip(result.pairs, result.ratio, result.inlier, strict=True):
            places: list[Any] = [f"{value:.2f}" for value in (*first.points[a, :2], *second.points[b, :2])]
            rows.writerow([*places, f"{ratio:.4f}", int(inlier)])
