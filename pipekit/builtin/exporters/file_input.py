"""The bytes of a JPEG or PNG file to a model's input, inside TensorFlow's graph: what ``Predictor.prepare`` does outside of it.

A JPEG is decoded at 1/2, 1/4 or 1/8 where that is still as large as the input, its EXIF orientation is applied, transparent
pixels are composited on white, and the image is resized by the mean of areas (or linearly, where a side does not shrink). Where
the model keeps proportions, it is cropped before, or padded with black after it.
"""

from __future__ import annotations

from typing import Any

from pipekit.images.choices import Fit

HEAD_BYTES = 1 << 16
"""Where EXIF is searched for: its block comes first and has at most 64 kB."""

EXIF = b"Exif\x00\x00"

REDUCED_MIN_PX = 64
"""``pipekit.images`` decodes a JPEG with a shorter side whole."""


def decoded(tf: Any, data: Any, shape_hwc: tuple[int, int, int], fit: Fit = "stretch") -> Any:
    """A file's bytes (a scalar string) as ``(H, W, C) float32`` in 0..255."""
    pixels = tf.cond(tf.io.is_jpeg(data), lambda: _jpeg(tf, data, shape_hwc), lambda: _png(tf, data, shape_hwc[2]))
    return tf.ensure_shape(_fitted(tf, pixels, shape_hwc[:2], fit), shape_hwc)


def _jpeg(tf: Any, data: Any, shape_hwc: tuple[int, int, int]) -> Any:
    height, width, channels = shape_hwc
    orientation = _orientation(tf, data)
    turned = orientation > 4
    wanted = tf.where(turned, [width, height], [height, width])
    size = tf.io.extract_jpeg_shape(data)[:2]
    fits = [tf.reduce_all(size >= wanted * ratio) & (tf.reduce_min(size) >= REDUCED_MIN_PX) for ratio in (8, 4, 2)]
    branches = [
        lambda ratio=ratio: tf.io.decode_jpeg(data, channels=channels, ratio=ratio, dct_method="INTEGER_ACCURATE")
        for ratio in (8, 4, 2, 1)
    ]
    first = tf.argmax(tf.cast(tf.stack([*fits, True]), tf.int32), output_type=tf.int32)
    pixels = tf.switch_case(first, branches)
    pixels = tf.cond(turned, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    pixels = tf.cond(_among(tf, orientation, (2, 3, 6, 7)), lambda: tf.reverse(pixels, [1]), lambda: pixels)
    pixels = tf.cond(_among(tf, orientation, (3, 4, 7, 8)), lambda: tf.reverse(pixels, [0]), lambda: pixels)
    return tf.cast(tf.ensure_shape(pixels, (None, None, channels)), tf.float32)


def _png(tf: Any, data: Any, channels: int) -> Any:
    pixels = tf.cast(tf.io.decode_png(data, channels=4), tf.float32)
    alpha = pixels[..., 3:] / 255
    colours = tf.round(pixels[..., :3] * alpha + 255 * (1 - alpha))
    return colours if channels == 3 else tf.round(tf.reduce_sum(colours * [0.299, 0.587, 0.114], axis=-1, keepdims=True))


def _fitted(tf: Any, pixels: Any, size_hw: tuple[int, int], fit: Fit) -> Any:
    """As ``pipekit.images.fitting.fitted``."""
    has = tf.shape(pixels)[:2]
    if fit == "crop":
        down, across = _largest(tf, size_hw, (has[0], has[1]))
        top, left = (has[0] - down) // 2, (has[1] - across) // 2
        pixels = pixels[top : top + down, left : left + across]
    if fit != "pad":
        return _resized(tf, pixels, size_hw)
    down, across = _largest(tf, (has[0], has[1]), size_hw)
    top, left = (size_hw[0] - down) // 2, (size_hw[1] - across) // 2
    around = [[top, size_hw[0] - down - top], [left, size_hw[1] - across - left], [0, 0]]
    return tf.pad(_resized(tf, pixels, tf.stack([down, across])), around)


def _largest(tf: Any, of_hw: tuple[Any, Any], within_hw: tuple[Any, Any]) -> tuple[Any, Any]:
    """As ``pipekit.images.fitting.largest_hw``."""
    (height, width), (most_h, most_w) = of_hw, within_hw
    return (
        tf.minimum(most_h, tf.maximum(1, (2 * height * most_w + width) // (2 * width))),
        tf.minimum(most_w, tf.maximum(1, (2 * width * most_h + height) // (2 * height))),
    )


def _resized(tf: Any, pixels: Any, size: Any) -> Any:
    shrinks = tf.reduce_all(tf.shape(pixels)[:2] > size)
    found = tf.cond(
        shrinks,
        lambda: tf.image.resize(pixels, size, "area"),
        lambda: tf.image.resize(pixels, size, "bilinear"),
    )
    return tf.clip_by_value(tf.round(found), 0, 255)


def _among(tf: Any, value: Any, values: tuple[int, ...]) -> Any:
    return tf.reduce_any(tf.equal(value, values))


def _orientation(tf: Any, data: Any) -> Any:
    """The EXIF orientation (1 to 8), 1 where there is none: tag 0x0112 of the first directory of the TIFF block."""
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 0, HEAD_BYTES), tf.uint8), tf.int32)
    raw = tf.concat([head, tf.zeros(HEAD_BYTES, tf.int32)], 0)
    last = tf.size(raw) - 1

    def byte(at: Any) -> Any:
        return tf.gather(raw, tf.clip_by_value(at, 0, last))

    starts = tf.range(tf.size(head))
    is_exif = tf.reduce_all(tf.stack([tf.equal(byte(starts + at), value) for at, value in enumerate(EXIF)]), 0)
    tiff = tf.argmax(tf.cast(is_exif, tf.int32), output_type=tf.int32) + len(EXIF)
    little = tf.equal(byte(tiff), ord("I"))

    def number(at: Any, count: int) -> Any:
        """An unsigned number of ``count`` bytes."""
        values = [byte(at + place) for place in range(count)]
        big = sum(value * 256 ** (count - 1 - place) for place, value in enumerate(values))
        return tf.where(little, sum(value * 256**place for place, value in enumerate(values)), big)

    # Where the first directory begins in the block; in a block of 64 kB, the upper two bytes are 0.
    directory = tiff + number(tf.where(little, tiff + 4, tiff + 6), 2)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), HEAD_BYTES // 12))
    is_it = tf.equal(number(entries, 2), 0x0112)
    found = tf.reduce_max(tf.where(is_it, number(entries + 8, 2), 0))
    usable = tf.reduce_any(is_exif) & (found >= 1) & (found <= 8)
    return tf.where(usable, found, 1)
