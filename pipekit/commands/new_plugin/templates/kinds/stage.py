"""The stage `${component}`."""

from collections.abc import Iterable
from pathlib import Path

import pipekit
from pipekit import images


class ${Component}Params(pipekit.Params):
    """Parameters of ${component}."""

    min_px: int = pipekit.param(16, "Shorter side that an image must have to be kept", unit="px", ge=1, le=100_000)


@pipekit.sample_stage
def ${component}(
    sample: pipekit.Sample, params: ${Component}Params, ctx: pipekit.SampleContext
) -> Iterable[pipekit.Sample]:
    """Leave out images that are too small.

    Yield the sample itself to pass it through, nothing to leave it out, or new samples. What raises is listed as failed. For a
    stage that needs the whole dataset at once, see `@pipekit.stage`.
    """
    info = images.probe(Path(sample.image).read_bytes())
    if min(info.width_px, info.height_px) >= params.min_px:
        yield sample
