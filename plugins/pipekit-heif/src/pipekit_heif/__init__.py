"""A pipekit plugin: the codec ``heif``, for the photographs of phones in HEIC and HEIF."""

from __future__ import annotations

from typing import Any

import pipekit

PIPEKIT_API = 1


@pipekit.hookimpl
def register_codecs(register: Any) -> None:
    register("heif", "pipekit_heif.codec:Heif", summary="HEIC and HEIF, as phones take photographs")
