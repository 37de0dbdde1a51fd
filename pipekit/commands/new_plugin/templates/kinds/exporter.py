"""The exporter `${component}`: a file labels.txt with a path and a label in every line, and the images beside it."""

import shutil
from pathlib import Path

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    separator: str = pipekit.param("\t", "Separator between the path and the label", min_length=1)


def write(artifact: pipekit.Dataset, out_dir: Path, params: ${Component}Params) -> None:
    """Write the dataset into the empty folder `out_dir`. Samples are streamed: memory use does not grow with the dataset."""
    with (out_dir / "labels.txt").open("w", encoding="utf-8") as labels:
        for sample in artifact:
            name = f"{sample.id}{Path(sample.image).suffix}" if not Path(sample.id).suffix else sample.id
            (out_dir / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(sample.image, out_dir / name)
            labels.write(f"{name}{params.separator}{sample.label or ''}\n")
