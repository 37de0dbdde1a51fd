"""Write ``model.keras`` so that equal models are equal files: Keras puts the time into two places of its archive."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The first time that a ZIP archive can state."""
METADATA = "metadata.json"


def save_keras(model: Any, path: Path) -> None:
    """Save a ``keras.Model`` as the ``.keras`` file ``path``, without the date and the times of its parts.

    Keras reads the file as its own: of its metadata it needs the version alone.

    Example:
        >>> save_keras(model, Path("model.keras"))  # doctest: +SKIP
    """
    made = path.with_name(f"made-{path.name}")
    model.save(made)
    try:
        with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
            for part in old.infolist():
                entry = zipfile.ZipInfo(part.filename, LONG_AGO)
                entry.external_attr = 0o644 << 16
                with old.open(part) as source, new.open(entry, "w", force_zip64=part.file_size >= 1 << 31) as target:
                    if part.filename == METADATA:
                        target.write(_without_date(source.read()))
                    else:
                        shutil.copyfileobj(source, target, 1 << 20)
    finally:
        made.unlink()


def _without_date(text: bytes) -> bytes:
    found = json.loads(text)
    found.pop("date_saved", None)
    return json.dumps(found, sort_keys=True).encode()
