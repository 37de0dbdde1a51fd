"""Names that look like groups of images that belong together: patients, videos, bursts of a camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipekit.builtin.inspect import examples
from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Finding, Params
from pipekit.tasks import CLASSES, MULTILABEL, NUMBER, supports

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GroupNamesParams(Params):
    """No parameters."""


@examples.example(examples.group_names)
@supports(CLASSES, MULTILABEL, NUMBER)
def group_names(rows: Sequence[Mapping[str, Any]], ctx: Context, params: GroupNamesParams) -> Iterator[Finding]:
    """Most names share their stem with others, and images of one stem have the same class, or look alike, beyond chance."""
    import numpy as np

    from pipekit.images.name_groups import name_groups
    from pipekit.images.near_duplicates import Miniatures, packed

    measured = columns_in(rows)
    good = np.flatnonzero(measured.good).tolist()  # in the order of their ids

    def distances(pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        prints = [measured.fingerprint(good[place]) for place in pairs.ravel().tolist()]
        pixels = Miniatures(packed(prints))[:].astype(np.float64).reshape(len(pairs), 2, -1)
        return np.asarray(np.abs(pixels[:, 0] - pixels[:, 1]).mean(axis=1), np.float64)

    labels = measured.texts["label"]
    texts = (*labels.names, "")  # code -1, an image without a class, is the last one
    names = [texts[code] for code in labels.codes[good].tolist()]
    found = name_groups([measured.ids[number] for number in good], names, distances)
    if found is not None:
        message = f"{found}; split with {found.option}, so that the test images are new to the model"
        values = {"pattern": found.pattern, "stem": found.stem, "groups": found.num_groups, "images": found.num_images}
        yield Finding("group_names", "warning", message, values=values)
