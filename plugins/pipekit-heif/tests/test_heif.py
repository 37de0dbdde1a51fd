"""Files that libheif wrote: four quarters, red, green, blue and white, of 64 x 48 px."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipekit_heif.codec import Heif

from pipekit import ImageError, images
from pipekit.testing import check_codec

PLAIN = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAAAAAERA"
    "AAEAAQAAAAABoQABAAAAAAAAAMkAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAA"
    "AHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    "5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAA"
    "MAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAANFtZGF0AAAAxSgBrwngITip//It3/8T"
    "HZe5lyeVp79Y//ubr7y4H/4t23R+ja83/wqjvuz7/jgXEwsnuUpjuujfvlp0Ipr+8uljWDohsM8MIX82Xiqa+YR0QgBF47FKU92kcBUgBisBBGDB9M4k"
    "Htg5lMHeaR17FK/PceDgQzthqQAdxbsQHsY4Cffi4rTjjL0xPWSu4R8JVhUzRQ1s5bNAiJjfcZaQ10Q+BJ4g9bdrYCA+L4ZkXYnd+EMTgfc36s7NzlWy"
    "O+gT3tPbgPMQ"
)

TURNED = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAAAAAERA"
    "AAIAAQAAAAAB7AABAAAAAAAAAMkAAgAAAAACtQABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQAC"
    "AABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAA"
    "AAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaA"
    "AAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAA"
    "ABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAPVtZGF0AAAAxSgBrwngITip//It3/8THZe5lyeVp79Y//ub"
    "r7y4H/4t23R+ja83/wqjvuz7/jgXEwsnuUpjuujfvlp0Ipr+8uljWDohsM8MIX82Xiqa+YR0QgBF47FKU92kcBUgBisBBGDB9M4kHtg5lMHeaR17FK/P"
    "ceDgQzthqQAdxbsQHsY4Cffi4rTjjL0xPWSu4R8JVhUzRQ1s5bNAiJjfcZaQ10Q+BJ4g9bdrYCA+L4ZkXYnd+EMTgfc36s7NzlWyO+gT3tPbgPMQAAAA"
    "BkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA"
)
"""With EXIF orientation 6, which libheif writes as a rotation of the image."""

CLEAR = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAmttZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAAAAAERA"
    "AAIAAQAAAAACjwABAAAAAAAAAMkAAgAAAAADWAABAAAAAAAAADoAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAAAC"
    "AABodmMxAAAAAA5waXRtAAAAAAABAAABqmlwcnAAAAGCaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAA"
    "AAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaA"
    "AAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAAHBodmNDAQQI"
    "AAAAn/gAAAAAHvAA/Pz4+AAADwNgAAEAF0ABDAH//wQIAAADAJ/4AAADAAAeugJAYQABACVCAQEECAAAAwCf+AAAAwAAHsCCBBZbq5Ka5sCAAAAMgAAA"
    "AwCEYgABAAZEAcFzwIkAAAAOcGl4aQAAAAABCAAAACdhdXhDAAAAAHVybjptcGVnOmhldmM6MjAxNTphdXhpZDoxAAAAACBpcG1hAAAAAAAAAAIAAQWB"
    "AgMFhAACBYYDB4iEAAAAGmlyZWYAAAAAAAAADmF1eGwAAgABAAEAAAELbWRhdAAAAMUoAa8J4CE4qf/yLd//Ex2XuZcnlae/WP/7m6+8uB/+Ldt0fo2v"
    "N/8Ko77s+/44FxMLJ7lKY7ro375adCKa/vLpY1g6IbDPDCF/Nl4qmvmEdEIAReOxSlPdpHAVIAYrAQRgwfTOJB7YOZTB3mkdexSvz3Hg4EM7YakAHcW7"
    "EB7GOAn34uK044y9MT1kruEfCVYVM0UNbOWzQIiY33GWkNdEPgSeIPW3a2AgPi+GZF2J3fhDE4H3N+rOzc5VsjvoE97T24DzEAAAADYoAa4TwDvNf/7n"
    "pZP6Fzj8GV0wMypGoif1xHpzhTf/3Z96Pn72gobSIvQGupQ66B8gA+nj3tY="
)
"""The red quarter is transparent."""

RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 40), (40, 50, 210), (240, 240, 240)


def corners(image: np.ndarray) -> list[tuple[int, ...]]:
    """The colours near the corners, row by row."""
    return [tuple(int(value) for value in image[y, x]) for y in (5, -6) for x in (5, -6)]


def near(found: list[tuple[int, ...]], wanted: list[tuple[int, ...]]) -> bool:
    return bool(np.abs(np.subtract(found, wanted)).max() <= 3)


@pytest.fixture(autouse=True)
def _codecs(pipekit_registry: Any) -> None:
    """``images.decode`` asks the codecs of all installed plugins."""


def test_it_keeps_the_promises_of_a_codec() -> None:
    check_codec(Heif, data=PLAIN)


def test_the_pixels_are_as_a_viewer_displays_them() -> None:
    assert near(corners(images.decode(PLAIN)), [RED, GREEN, BLUE, WHITE])
    turned = images.decode(TURNED)
    assert turned.shape == (64, 48, 3)
    assert near(corners(turned), [BLUE, RED, WHITE, GREEN])
    assert near(corners(images.decode(CLEAR)), [(255, 255, 255), GREEN, BLUE, WHITE])


@pytest.mark.parametrize("size_bytes", [12, 300, 500])
def test_a_damaged_file_has_a_reason(size_bytes: int) -> None:
    with pytest.raises(ImageError, match="its codec can't decode it"):
        images.decode(PLAIN[:size_bytes])


def test_avif_stays_with_pillow() -> None:
    assert not Heif.reads(b"\0\0\0\x1cftypavif\0\0\0\0mif1avif")
    assert not Heif.reads(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif")
    assert Heif.reads(b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic")


def test_photographs_are_imported_and_nothing_is_passed_over(pipekit_project) -> None:
    folder = Path(pipekit_project.path) / "phone"
    for name, data in (("red/IMG_1.HEIC", PLAIN), ("blue/IMG_2.heic", TURNED)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(data)
    images.write(folder / "blue/3.jpg", np.full((48, 64, 3), 90, np.uint8))
    stages = {"data": {"use": "import.folders", "path": "phone"}, "out": {"use": "augment", "ops": ["hflip"], "copies": 1}}
    made = pipekit_project.run(stages)
    assert [sample.id for sample in made.artifact("data")] == ["blue/3.jpg", "blue/IMG_2.heic", "red/IMG_1.HEIC"]
    assert "passed_over" not in made.artifact("data").meta
    assert made.artifact("out").meta["codecs"] == ["heif"]
