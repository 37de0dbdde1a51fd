"""Names that look like groups of images that belong together: patients, videos, bursts of a camera."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipekit.builtin.inspect.rows import columns_in
from pipekit.contract import Context, Finding, Params


class GroupNamesParams(Params):
    """No parameters."""


def group_names(rows: Sequence[Mapping[str, Any]], ctx: Context, params: GroupNamesParams) -> Iterator[Finding]:
    """Most names share their stem with others, and images of one stem have the same class more often than by chance."""
    import numpy as np

    from pipekit.images.name_groups import name_groups

    measured = columns_in(rows)
    good = np.flatnonzero(measured.good).tolist()  # in the order of their ids
    labels = measured.texts["label"]
    found = name_groups(
        [measured.ids[number] for number in good], [str(labels.names[labels.codes[number]] or "") for number in good]
    )
    if found is not None:
        message = f"{found}; split with --group-pattern '{found.pattern}', so that the test images are new to the model"
        values = {"pattern": found.pattern, "stem": found.stem, "groups": found.num_groups, "images": found.num_images}
        yield Finding("group_names", "warning", message, values=values)
