import numpy as np

from pipekit import images
from pipekit.testing import check_codec

IMAGE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
DATA = b"RGB8" + np.array([6, 4], "<u2").tobytes() + IMAGE.tobytes()


def test_it_keeps_the_promises_of_a_codec():
    check_codec("${component}", data=DATA)


def test_images_are_read_and_damaged_ones_listed(pipekit_project):
    for name, data in (("a", DATA), ("b", DATA[:-1]), ("c", DATA)):
        path = pipekit_project.path / "images" / "raw" / f"{name}.rgb8"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    data = {"use": "import.folders", "path": "images", "max_failed": 0.5}
    found = pipekit_project.run({"data": data}).artifact("data")
    assert {sample.id for sample in found if sample.label == "raw"} == {"raw/a.rgb8", "raw/c.rgb8"}
    assert [failure.id for failure in found.failed()] == ["raw/b.rgb8"]
    assert (images.read(pipekit_project.path / "images/raw/a.rgb8") == IMAGE).all()
