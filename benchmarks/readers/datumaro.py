"""Compare pipekit's importers with datumaro on datasets of other tools: images, splits, classes, boxes.

Rerun, in pipekit's environment, with that of datumaro beside it:

    python benchmarks/readers/datumaro.py coco FOLDER --python /path/to/its/bin/python
    python benchmarks/readers/datumaro.py voc FOLDER --as voc_detection --python ...
    python benchmarks/readers/datumaro.py coco FOLDER --set '{"crowds": true}' --python ...

Both read the folder, each in a separate process, and the differences are listed. datumaro's own test files contain
folders of every format: https://github.com/openvinotoolkit/datumaro (tests/assets).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

THEIRS = """
import json, sys
from datumaro import AnnotationType, Dataset

found = Dataset.import_from(sys.argv[1], sys.argv[2])
names = [label.name for label in found.categories().get(AnnotationType.label, [])]
rows = {}
for item in found:
    boxes = [
        [round(float(v), 2) for v in (a.x, a.y, a.x + a.w, a.y + a.h)] + [names[a.label] if a.label is not None else ""]
        for a in item.annotations
        if a.type == AnnotationType.bbox
    ]
    labels = [names[a.label] for a in item.annotations if a.type == AnnotationType.label]
    rows[item.media.path if getattr(item.media, "path", "") else item.id] = {
        "split": item.subset, "boxes": sorted(boxes), "labels": sorted(labels)
    }
json.dump(rows, open(sys.argv[3], "w"))
"""

SPLITS = {"default": ""}
"""datumaro's name for images without a split."""


def ours(importer: str, path: Path, values: dict[str, Any], out_dir: Path) -> dict[str, dict[str, Any]]:
    """Path of the image -> split, boxes, classes."""
    import inspect

    from pipekit.contract import Sample
    from pipekit.registry.registry import load_registry

    component = load_registry().get("importer", importer)
    read, params = component.load().read, component.params_type()(**values)
    more = (out_dir,) if "out_dir" in inspect.signature(read).parameters else ()
    rows = {}
    for row in read(path, params, *more):
        if not isinstance(row, Sample):
            print(f"  listed: {row.id}: {row.reason}")
            continue
        boxes = [[round(v, 2) for v in (b.x_min, b.y_min, b.x_max, b.y_max)] + [b.label] for b in row.targets.boxes]
        labels = [row.label] if row.label is not None else []
        rows[str(Path(row.image).resolve())] = {"split": row.split, "boxes": sorted(boxes), "labels": labels}
    return rows


def theirs(python: str, kind: str, path: Path, out: Path) -> dict[str, dict[str, Any]]:
    done = subprocess.run([python, "-c", THEIRS, str(path), kind, str(out)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{path}: datumaro can't read it as {kind!r}: {done.stderr.strip().splitlines()[-1]}")
    rows: dict[str, dict[str, Any]] = json.loads(out.read_text("utf-8"))
    return {str(Path(name).resolve()): {**row, "split": SPLITS.get(row["split"], row["split"])} for name, row in rows.items()}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("importer", help="pipekit's importer")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--as", dest="kind", default="", help="datumaro's name of the format, where it has another one")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has datumaro")
    parser.add_argument("--set", dest="values", default="{}", help="parameters of the importer, as JSON: '{\"crowds\": true}'")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        mine = ours(given.importer, given.folder, json.loads(given.values), Path(scratch))
        other = theirs(given.python, given.kind or given.importer, given.folder.resolve(), Path(scratch) / "theirs.json")
    if given.importer == "voc":  # whose corners count from 1; datumaro leaves them so
        for row in other.values():
            row["boxes"] = [[left - 1, top - 1, *rest] for left, top, *rest in row["boxes"]]
    different = 0
    for name in sorted({*mine, *other}):
        a, b = mine.get(name), other.get(name)
        if a != b:
            different += 1
            print(f"  {name}\n    pipekit:  {a}\n    datumaro: {b}")
    boxes = sum(len(row["boxes"]) for row in mine.values())
    print(f"{given.folder}: {len(mine)} images and {boxes} boxes; datumaro reads {len(other)} images; {different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
