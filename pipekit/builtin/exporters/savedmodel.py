"""A model as a SavedModel in a version folder, the layout of TensorFlow Serving.

The same model gives the same bytes, in any process. TensorFlow numbers functions by what the process has traced before, and
adds ``fingerprint.pb`` with a random id; here functions are numbered from 0, and the fingerprint, which is optional, is out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipekit.builtin.exporters.comparison import Comparison, within
from pipekit.builtin.exporters.models import (
    FROM_FILES,
    FloatParams,
    Pictures,
    Trained,
    compare,
    held_out,
    labels_text,
    open_trained,
    save,
    score_usage,
    translated,
    write_beside,
)
from pipekit.contract import Dataset, Model, Report
from pipekit.learning.exported import side_by_side
from pipekit.params import param
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER

TASKS = (CLASSES, MULTILABEL, NUMBER)

USAGE = """Serve it with TensorFlow Serving, with this folder as the model's base path (it holds the version folder `1/`):

    tensorflow_model_server --rest_api_port=8501 --model_name=classifier --model_base_path=THIS_FOLDER

or open it in Python:

    served = tf.saved_model.load("1").signatures["serving_default"]
    served(image=pixels)["{output}"]     # pixels: float32 (N, {height}, {width}, {channels}), 0 to 255

{predicted}The signature `serving_bytes` takes the bytes of JPEG and PNG
files of any size, and decodes and resizes them itself:

    served = tf.saved_model.load("1").signatures["serving_bytes"]
    served(image_bytes=tf.constant([open("photo.jpg", "rb").read()]))["{output}"]"""

PREDICTED = {
    CLASSES: '`served(...)["label"]` is the name of the most probable class. ',
    MULTILABEL: '`served(...)["predicted"]` says which labels are above their thresholds, in the order of `labels.txt`. ',
    NUMBER: '`served(...)["low"]` and `["high"]` are the bounds of the interval around the number, if it has one. ',
}


class SavedModelParams(FloatParams):
    file_tolerance: float = param(
        0.02,
        "Largest allowed difference of a probability, and a fifth of that of the score for unknown images, where the exported "
        "model decodes and resizes files itself",
        gt=0,
        le=1,
    )


def write(
    artifact: Model, out_dir: Path, params: SavedModelParams, dataset: Dataset | None = None, report: Report | None = None
) -> Mapping[str, Any]:
    """``1/``: a SavedModel that maps ``image`` to ``probabilities`` and ``label``; checked against the original.

    With several labels, ``predicted`` has those above their thresholds; a number has ``value``, ``low`` and ``high``.

    Its second signature, ``serving_bytes``, maps the bytes of JPEG and PNG files (``image_bytes``) to the same; the check
    gives it the files, and the original what pipekit reads of them.
    """
    trained = open_trained(artifact, params)
    import tensorflow as tf

    folder = out_dir / "1"
    try:
        save(trained, folder, files=True)
    except Exception as error:
        raise translated(error, "a SavedModel") from error
    _make_reproducible(folder)
    (folder / "assets.extra").mkdir(exist_ok=True)
    (folder / "assets.extra" / "labels.txt").write_text(labels_text(trained.classes), "utf-8")
    signatures = tf.saved_model.load(str(folder)).signatures
    served = signatures["serving_default"]

    def exported(pixels: Any) -> Any:
        return side_by_side(served(image=tf.constant(pixels.astype(np.float32))), trained.outputs)

    pictures = held_out(trained, dataset, params)
    found = within(compare(trained, exported, pictures), params.tolerance)
    from_files = _compare_files(trained, signatures[FROM_FILES], pictures, params.file_tolerance)
    height, width, channels = trained.shape_hwc
    usage = USAGE.format(
        height=height, width=width, channels=channels, output=trained.main, predicted=PREDICTED[trained.task]
    ) + score_usage(trained, '`served(...)["unknown_score"]`')
    return write_beside(trained, out_dir, found, usage, report, from_files)


def _compare_files(trained: Trained, served: Any, pictures: Pictures, tolerance: float) -> Comparison | None:
    """What the exported model makes of the JPEG and PNG files among the images; None if there is none.

    Raises:
        StageError: a probability differs by more than the tolerance.
    """
    import tensorflow as tf

    from pipekit import images

    def data_of(place: int) -> bytes:
        source = pictures.sources[place]
        return source if isinstance(source, bytes) else images.read_bytes(source)

    places = [place for place in range(len(pictures.sources)) if data_of(place).startswith(SIGNATURES)]
    if not places:
        return None
    rows = iter(places)

    def exported(_: Any) -> Any:
        return side_by_side(served(image_bytes=tf.constant([data_of(next(rows))])), trained.outputs)

    labels = tuple(pictures.labels[place] for place in places) if pictures.labels else ()
    words = f"the files of {len(places)} image{'s' if len(places) != 1 else ''}"
    found = compare(trained, exported, Pictures(pictures.pixels[places], words, labels))
    # The score is a distance between features, and 1 is its limit: a level of a small image's pixels moves it further.
    return within(found, tolerance, name="file_tolerance", of_score=5 * tolerance)


SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG")
"""How the files begin that TensorFlow decodes as pipekit does."""

_NUMBERED = re.compile(r"(?P<stem>.+)_(?P<number>\d+)")
_GRADIENT = re.compile(r"(?P<stem>PartitionedCall|CustomGradient)-(?P<number>\d+)")
_QUOTED = re.compile(r'(?<!string_val: )"([^"\\\n]+)"')
"""Texts except those in tensors: the names of classes stay as they are."""
_PLACEHOLDER = re.compile(r"_\d+(?=___redundant_placeholder\d+$)")
"""An argument of a loop's condition that is not used bears the number of the condition."""
_CAPTURED = re.compile(r'(?P<attribute>key: "_user_specified_name"\s+value \{\s+s: )"\d+"')
"""An input that nobody has named bears the number of a tensor of the process."""


def _make_reproducible(folder: Path) -> None:
    """Number the functions of a SavedModel from 0, sort them, and remove the fingerprint."""
    from google.protobuf import text_format  # type: ignore[import-untyped]
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    file = folder / "saved_model.pb"
    written = SavedModel.FromString(file.read_bytes())
    text = text_format.MessageToString(written)
    functions = [function.signature.name for graph in written.meta_graphs for function in graph.graph_def.library.function]
    names = _renumbered(functions, _NUMBERED, "_") | _renumbered(_QUOTED.findall(text), _GRADIENT, "-")
    text = _QUOTED.sub(
        lambda found: f'"{_PLACEHOLDER.sub("_0", names.get(found[1], found[1]))}"',
        _CAPTURED.sub(r'\g<attribute>"captured"', text),
    )
    renamed = text_format.Parse(text, SavedModel())
    for graph in renamed.meta_graphs:
        graph.graph_def.library.function.sort(key=lambda function: function.signature.name)
    file.write_bytes(renamed.SerializeToString(deterministic=True))
    (folder / "fingerprint.pb").unlink(missing_ok=True)


def _renumbered(names: list[str], pattern: re.Pattern[str], mark: str) -> dict[str, str]:
    """New names for those that end in a number of the process; the order of the numbers is kept.

    >>> _renumbered(["save_718", "serve_63", "table"], _NUMBERED, "_")
    {'serve_63': 'serve_0', 'save_718': 'save_1'}
    """
    found = [match for name in dict.fromkeys(names) if (match := pattern.fullmatch(name))]
    found.sort(key=lambda match: (int(match["number"]), match["stem"]))
    return {match[0]: f"{match['stem']}{mark}{place}" for place, match in enumerate(found)}
