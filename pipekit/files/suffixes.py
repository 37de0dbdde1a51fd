"""Which files are images, by their suffix: those that the installed Pillow decodes."""

from __future__ import annotations

from functools import cache

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
"""Suffixes of images that every Pillow decodes."""

OPTIONAL = {"avif": (".avif",), "jpg_2000": (".jp2", ".j2k", ".jpx")}
"""A feature of Pillow -> the suffixes of images that it decodes only if it was built with it."""


@cache
def image_suffixes() -> tuple[str, ...]:
    """The suffixes (in lower case) by which importers recognise images; those of :data:`OPTIONAL` where Pillow decodes them."""
    from PIL import features

    return (*IMAGE_SUFFIXES, *(suffix for name, suffixes in OPTIONAL.items() if features.check(name) for suffix in suffixes))
