"""The importer `${component}`: a file labels.txt with a path and a label in every line."""

from collections.abc import Iterator
from pathlib import Path

import pipekit


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    separator: str = pipekit.param("\t", "Separator between the path and the label", min_length=1)


def sniff(path: Path) -> str | pipekit.Rejected:
    """Why `path` is of this format, or why it is not."""
    return "it has a labels.txt" if (path / "labels.txt").is_file() else pipekit.Rejected("no labels.txt in it")


def read(path: Path, params: ${Component}Params) -> Iterator[pipekit.Sample]:
    """Yield one sample per line. Ids are relative to the folder, so that they stay the same when it moves."""
    for number, line in enumerate((path / "labels.txt").read_text("utf-8").splitlines(), 1):
        name, separator, label = line.partition(params.separator)
        if not separator:
            raise pipekit.UserError(
                f"{path / 'labels.txt'}, line {number}: expected a path, {params.separator!r} and a label, got {line!r}",
                "Is `separator` right?",
            )
        yield pipekit.Sample(name, str(path / name), label=label)
