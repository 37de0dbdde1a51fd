"""Videos: frames at a stated rate. The class is the folder; a folder train, val or test is the split; a clip is one origin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from pipekit.builtin.importers.files import NO_FOLDER, first_of, split_of
from pipekit.contract import Adjusted, Failure, Params, Rejected, Sample, param
from pipekit.errors import ImageError, UserError
from pipekit.files import image_suffixes, walk
from pipekit.passed_over import VIDEO

READS = VIDEO

GENERALITY = 3
"""Above the importers of images: a folder of videos inside a dataset of images is no dataset by itself."""

MOST_TRIED = 1000
"""Maximum number of files that ``sniff`` counts."""


class VideosParams(Params):
    rate_hz: float = param(1.0, "Frames per second of the video's time; 0 takes every frame", unit="Hz", ge=0, le=1000)
    max_frames: int = param(0, "Maximum number of frames of each video, from its beginning; 0 for no maximum", ge=0)
    label: Literal["folder", "none"] = param("folder", "The class: the folder that a video is in, or none")
    format: Literal["jpg", "png", "webp"] = param("jpg", "File format of the frames")
    quality: int = param(95, "Quality of jpg and webp", ge=1, le=100)


def sniff(path: Path) -> str | Rejected:
    """How many videos there are; a folder that has images too is one of images."""
    if path.is_file():
        return "one video" if _is_video(path.name) else Rejected(f"the file does not end in {' '.join(VIDEO)}")
    if not path.is_dir():
        return NO_FOLDER
    found: list[str] = []
    for _, names in walk(path):
        if any(name.lower().endswith(image_suffixes()) for name in names):
            return Rejected("it has images; of such a folder, import.videos reads the videos alone if you name it")
        found += filter(_is_video, names)
        if len(found) >= MOST_TRIED:
            break
    return f"videos: {first_of(found)}" if found else Rejected(f"no file below it ends in {' '.join(VIDEO)}")


def read(path: Path, params: VideosParams, out_dir: Path) -> Iterator[Sample | Failure | Adjusted]:
    """The frames of each video, written to ``out_dir``, with the columns ``clip``, ``frame`` (from 0) and ``time_s``.

    The first frame at or after 0, 1, 2 ... divided by ``rate_hz`` seconds is taken, where a frame's time is its number divided
    by the frame rate of the file. So the choice depends on the file and the rate alone. A video that can't be read is listed.

    Raises:
        UserError: there is no video.
    """
    count = 0
    for clip, full in _videos_below(path):
        count += 1
        try:
            yield from _frames(clip, full, params, out_dir)
        except (UserError, ImageError) as error:
            yield Failure(clip, error.message.replace(str(full), "it"), str(full))
    if not count:
        raise UserError(f"no video in {path}", f"Videos end in {' '.join(VIDEO)}.")


def _is_video(name: str) -> bool:
    return name.lower().endswith(VIDEO)


def _videos_below(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
        return
    for folder, names in walk(path):
        below = os.path.relpath(folder, path).replace(os.sep, "/")
        for name in filter(_is_video, names):
            yield (name if below == "." else f"{below}/{name}"), Path(folder, name)


def _frames(clip: str, full: Path, params: VideosParams, out_dir: Path) -> Iterator[Sample | Adjusted]:
    from pipekit import images

    *folders, _ = clip.split("/")
    splits = [split_of(folder) for folder in folders]
    classes = [folder for folder, split in zip(folders, splits, strict=True) if not split]
    label = classes[0] if classes and params.label == "folder" else None
    rate_hz, known = images.frame_rate(full)
    if not known:
        yield Adjusted(clip, f"given times by {rate_hz:g} frames per second, since the file states no frame rate")
    for taken, (number, time_s, pixels) in enumerate(images.video_frames(full, rate_hz=params.rate_hz), start=1):
        name = f"{clip}.frame_{number:06d}.{params.format}"
        target = out_dir / PurePosixPath(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(images.encode(pixels, params.format, params.quality))
        extra = {"clip": clip, "frame": number, "time_s": round(time_s, 3)}
        yield Sample(name, str(target), label=label, split=next(filter(None, splits), ""), extra=extra)
        if taken == params.max_frames:
            return
