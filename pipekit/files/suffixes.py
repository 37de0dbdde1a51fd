"""Which files are images, by their suffix: asked of the codecs, those of the installed Pillow and those of plugins."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"),
)
"""Suffixes of images that Pillow decodes. One that was built without a decoder says so of each file."""

OPTIONAL = {"_avif": (".avif",)}
"""A module that not every Pillow has -> the suffixes of images that it decodes."""

_loaders: list[Callable[[], Any]] = []


def use_codecs(loaders: Iterable[Callable[[], Any]]) -> None:
    """Set the codecs of this process; each is loaded on first use. Loading a registry does this."""
    _loaders[:] = loaders
    image_suffixes.cache_clear()


def codec_for(data: bytes) -> Any:
    """The plugin's codec that reads a file of this content, or None.

    Raises:
        PluginError: a codec can't be loaded.
    """
    for load in _loaders:
        codec = load()
        if hasattr(codec, "decode") and codec.reads(data):
            return codec
    return None


@cache
def image_suffixes() -> tuple[str, ...]:
    """The suffixes (in lower case) by which importers recognise images.

    Raises:
        PluginError: a codec can't be loaded.
    """
    of_codecs = [suffix.lower() for load in _loaders for suffix in load().suffixes()]
    return tuple(dict.fromkeys([*suffixes_of_pillow(), *of_codecs]))


def suffixes_of_pillow() -> tuple[str, ...]:
    """The suffixes of images that the installed Pillow decodes. Pillow is not imported, which would take long."""
    spec = importlib.util.find_spec("PIL")
    folders = (spec.submodule_search_locations if spec else None) or ()
    modules = {path.name.partition(".")[0] for folder in folders for path in Path(folder).iterdir()}
    return (*IMAGE_SUFFIXES, *(suffix for name, suffixes in OPTIONAL.items() if name in modules for suffix in suffixes))
