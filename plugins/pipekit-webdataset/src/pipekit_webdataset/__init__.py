"""A pipekit plugin: the importer ``webdataset``, for datasets in WebDataset tar shards."""

from __future__ import annotations

from typing import Any

import pipekit

PIPEKIT_API = 1


@pipekit.hookimpl
def register_importers(register: Any) -> None:
    register("webdataset", "pipekit_webdataset.importer", summary="WebDataset tar shards, read without unpacking")
