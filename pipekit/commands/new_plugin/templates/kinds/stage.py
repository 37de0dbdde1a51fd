"""The stage `${component}`."""

from collections.abc import Iterable
from pathlib import Path

import pipekit
from pipekit import images


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    min_px: int = pipekit.param(16, "Minimum length of the shorter side", unit="px", ge=1, le=100_000)


@pipekit.sample_stage
def ${component}(
    sample: pipekit.Sample, params: ${Component}Params, ctx: pipekit.SampleContext
) -> Iterable[pipekit.Sample]:
    """Leave out images that are too small.

    Yield the sample itself to keep it, nothing to drop it, or new samples. A sample that raises is listed as failed. For a
    stage that needs the whole dataset at once, see `@pipekit.stage`.
    """
    info = images.probe(Path(sample.image).read_bytes())
    if min(info.width_px, info.height_px) >= params.min_px:
        yield sample
