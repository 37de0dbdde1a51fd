"""Formats that pipekit knows and does not read: what shows each of them, and one way to bring it in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pipekit.errors import UserError
from pipekit.files import files_in, folders_in, is_archive

HEAD_CHARS = 1 << 16

FILES_READ = 20
"""Maximum number of files of one folder that are opened."""

LEAST_PIXELS = 64
"""Columns of a table that holds pixels: an image of 8 x 8."""


@dataclass(frozen=True, slots=True)
class Known:
    """A format that no importer reads.

    Attributes:
        way: how to bring it into a format that can be read.
        seen: what shows it in a folder or file, "" if nothing does.
        beside_images: whether it lies beside images that ``folders`` would read as classes, so that the format must be named.
            The others are named if no importer reads the path.
    """

    name: str
    way: str
    seen: Callable[[Path], str]
    beside_images: bool = True


def refuse_known(path: Path, only_beside_images: bool = False) -> None:
    """Raise a UserError that names the format of ``path`` and a way in, if it is one of :data:`KNOWN`.

    Args:
        only_beside_images: only those that an importer of any folder of images would read wrongly.
    """
    for known in KNOWN:
        if (known.beside_images or not only_beside_images) and (what := known.seen(path)):
            raise UserError(f"{path} seems to be {known.name} ({what}), which pipekit does not read", known.way)


# --- what shows a format -------------------------------------------------------------------------------------------------


def _folder(*names: str) -> Callable[[Path], str]:
    """These files or folders lie in it, or in a folder in it."""

    def seen(path: Path) -> str:
        for base in _bases(path):
            if all((base / name).exists() for name in names):
                return f"{', '.join(names)}{f' in {base.name}' if base != path else ''}"
        return ""

    return seen


def _ends(*suffixes: str) -> Callable[[Path], str]:
    """It is a file with this suffix, or such files lie in it, or in a folder in it."""

    def seen(path: Path) -> str:
        if path.is_file():
            return path.name if path.name.lower().endswith(suffixes) else ""
        return next((name for base in _bases(path) for name in islice(files_in(base, suffixes), 1)), "")

    return seen


def _words(suffixes: tuple[str, ...], *words: str) -> Callable[[Path], str]:
    """It is a text file that begins with something that has all these words, or such a file lies in it."""

    def seen(path: Path) -> str:
        return next((file.name for file in _texts(path, suffixes) if all(word in _head(file) for word in words)), "")

    return seen


def _supervisely(path: Path) -> str:
    if not path.is_dir() or '"classes"' not in _head(path / "meta.json"):
        return ""
    there = next((name for name in folders_in(path) if (path / name / "ann").is_dir() and (path / name / "img").is_dir()), "")
    return f"meta.json, {there}/ann" if there else ""


def _pixels(path: Path) -> str:
    """A table with a column for each pixel: ``label,pixel0,pixel1…``, or without a header."""
    for file in _texts(path, (".csv",)):
        cells = [cell.strip().strip('"') for cell in _head(file).partition("\n")[0].split(",")]
        if len(cells) >= LEAST_PIXELS and (sum(map(_is_pixel, cells)) >= LEAST_PIXELS or all(map(str.isdecimal, cells))):
            return f"{file.name}, {len(cells)} columns"
        if "pixels" in map(str.lower, cells):  # FER-2013
            return f"{file.name}, column pixels"
    return ""


def _is_pixel(cell: str) -> bool:
    return cell.lower().startswith("pixel") or bool(re.fullmatch(r"\d+x\d+", cell))


def _labelme_web(path: Path) -> str:
    """``Annotations`` with polygons in XML files, which lie in a folder for each collection."""
    if not path.is_dir():
        return ""
    seen = _words((".xml",), "<annotation>", "<polygon>")
    return next((found for base in (path, path / "Annotations") if base.is_dir() and (found := seen(base))), "")


def _tars(path: Path) -> str:
    """Several tar files in a folder; a single archive has its own message."""
    return "" if is_archive(path) or not path.is_dir() else next(islice(sorted(files_in(path, (".tar",))), 1, None), "")


def _bases(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield path
        yield from (path / name for name in folders_in(path)[:FILES_READ])


def _texts(path: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    if path.is_file():
        yield from [path] * path.name.lower().endswith(suffixes)
        return
    for base in _bases(path):
        yield from (base / name for name in islice(files_in(base, suffixes), FILES_READ))


def _head(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(HEAD_CHARS)
    except OSError:
        return ""


# --- the table -----------------------------------------------------------------------------------------------------------

DATUMARO = "Convert it with datumaro: datum convert -if {} -i FOLDER -f coco -o OUT -- --save-media"

TO_CLASSES = "Write each image into a folder named after its class with {}, and give that folder."

JSON, CSV = (".json",), (".csv",)

KNOWN = (
    Known("Supervisely", "Export the project in Supervisely as COCO.", _supervisely),
    Known("KITTI", DATUMARO.format("kitti"), _folder("image_2", "label_2")),
    Known("Cityscapes", DATUMARO.format("cityscapes"), _folder("leftImg8bit", "gtFine")),
    Known("AVA", DATUMARO.format("ava"), _ends("ava_action_list_v2.1.pbtxt", "ava_action_list_v2.2.pbtxt")),
    Known("MOT Challenge", DATUMARO.format("mot_seq"), _folder("img1", "gt/gt.txt")),
    Known("WIDER FACE", DATUMARO.format("wider_face"), _folder("wider_face_split")),
    Known(
        "DOTA", "Convert it with Ultralytics: ultralytics.data.converter.convert_dota_to_yolo_obb(FOLDER).", _folder("labelTxt")
    ),
    Known(
        "CelebA", "Write a CSV file with the columns image and label from list_attr_celeba.", _folder("list_attr_celeba.txt")
    ),
    Known(
        "Open Images",
        DATUMARO.format("open_images") + ", or load it with FiftyOne and export it as COCO.",
        _words(CSV, "ImageID", "LabelName", "Confidence"),
    ),
    Known("CVAT for video", "Export the task as 'CVAT for images 1.1'.", _words((".xml",), "<annotations", "<track ")),
    Known("VIA 3", "Export the project as COCO.", _words(JSON, '"project"', '"config"', '"attribute"', '"metadata"', '"view"')),
    Known("Label Studio's JSON-MIN", "Export the project as JSON.", _words(JSON, '"annotation_id"', '"annotator"')),
    Known("Datumaro", DATUMARO.format("datumaro"), _words(JSON, '"dm_format_version"')),
    Known("Datumaro", DATUMARO.format("datumaro"), _words(JSON, '"categories"', '"items"', '"labels"')),
    Known("LabelMe's web tool", DATUMARO.format("label_me"), _labelme_web),
    Known(
        "FiftyOne",
        "Load it in FiftyOne and export it: dataset.export(OUT, fo.types.COCODetectionDataset).",
        _folder("samples.json", "metadata.json"),
    ),
    Known("VoTT", "Export it in VoTT as CSV or Pascal VOC.", _words(JSON, '"assetMetadataVersion"')),
    Known("VoTT", "Export it in VoTT as CSV or Pascal VOC.", _words(JSON, '"securityToken"', '"assets"')),
    Known(
        "BDD100K",
        "Convert it with bdd100k's toolkit: python -m bdd100k.label.to_coco.",
        _words(JSON, '"box2d"', '"attributes"'),
    ),
    Known(
        "Labelbox", "Convert the export to COCO with Labelbox's SDK.", _words((".ndjson", ".json"), '"data_row"', '"projects"')
    ),
    Known(
        "SageMaker Ground Truth",
        "Download the images, and write a CSV file with the columns image and label from the manifest.",
        _words((".manifest", ".jsonl"), '"source-ref"'),
    ),
    Known(
        "Google's AutoML",
        "Download the images, and write a CSV file with the columns image and label.",
        _words(CSV, "gs://"),
    ),
    Known(
        "a table of pixels, as of MNIST or FER-2013",
        'Put its pixels into an archive: np.savez("data.npz", x_train=pixels.reshape(-1, 28, 28), y_train=labels).',
        _pixels,
        False,
    ),
    Known("LMDB", TO_CLASSES.format("the package lmdb"), _folder("data.mdb"), False),
    Known("LMDB", TO_CLASSES.format("the package lmdb"), _ends(".mdb", ".lmdb"), False),
    Known(
        "TFRecord without images",
        TO_CLASSES.format("tf.data.TFRecordDataset"),
        _ends(".tfrecord", ".tfrecords", ".tfrec", ".record"),
        False,
    ),
    Known("MXNet's RecordIO", TO_CLASSES.format("mxnet.recordio.MXIndexedRecordIO"), _ends(".rec"), False),
    Known("WebDataset", "Install the plugin that reads it: pip install pipekit-webdataset", _tars, False),
    Known(
        "a MATLAB file, as of SVHN, Stanford Cars, Oxford Flowers or Pascal Context",
        "Load it with scipy.io.loadmat (or h5py) and write a CSV file with the columns image and label.",
        _ends(".mat"),
        False,
    ),
    Known(
        "NumPy arrays",
        'Put images and labels into one archive: np.savez("data.npz", x_train=np.load(…), y_train=np.load(…)).',
        _ends(".npy"),
        False,
    ),
    Known(
        "a pickle, which can run any code",
        'Load it if you trust it, and store its arrays: np.savez("data.npz", x_train=…, y_train=…).',
        _ends(".pkl", ".pickle", ".p"),
        False,
    ),
    Known(
        "PyTorch tensors",
        'Store them as arrays: np.savez("data.npz", x_train=x.numpy(), y_train=y.numpy()).',
        _ends(".pt", ".pth"),
        False,
    ),
)
"""The first one that is seen is named."""
