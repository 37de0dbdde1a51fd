"""Images and masks in two folders, under the same names: ``images/train/a.jpg`` and ``masks/train/a.png``."""

from __future__ import annotations

from pathlib import Path

from pipekit.builtin.exporters.common import ImagesParams, Names, place
from pipekit.contract import Dataset
from pipekit.errors import UserError
from pipekit.files import read_bytes


def write(artifact: Dataset, out_dir: Path, params: ImagesParams) -> None:
    """Masks are copied as they are. An image without a mask is an error."""
    names = Names()
    stems: set[str] = set()
    for sample in artifact:
        if not sample.targets.mask:
            raise UserError(f"{sample.id!r} has no mask", "The exporter 'folders' writes images without their masks.")
        name = names.of(sample, sample.split)
        while (stem := name.rpartition(".")[0]).lower() in stems:
            name = names.of(sample, sample.split)
        stems.add(stem.lower())
        place(sample, out_dir / "images" / name, params.images)
        mask = out_dir / "masks" / f"{stem}.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        mask.write_bytes(read_bytes(sample.targets.mask))
