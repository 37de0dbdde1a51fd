"""A pipekit plugin: the codec ``dicom``, for X-rays and scans as hospitals store them."""

from __future__ import annotations

from typing import Any

import pipekit

PIPEKIT_API = 1


@pipekit.hookimpl
def register_codecs(register: Any) -> None:
    register("dicom", "pipekit_dicom.codec", summary="DICOM, as hospitals store X-rays and scans")
