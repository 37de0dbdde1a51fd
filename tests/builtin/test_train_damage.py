"""Damage to what a training keeps for a restart: checkpoints, and decoded images on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.train import loop
from pipekit.builtin.train.cache import Decoded, Place


def load(file: str) -> images.Image:
    return np.full((4, 5, 3), int(file), np.uint8)


def test_a_bit_that_changes_anywhere_in_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    """In the directory of a zip file, which has no checksum, it made arrays disappear or look encrypted."""
    file = tmp_path / "state.npz"
    loop._write_npz(file, state=np.array("{}"), v0=np.arange(3.0))
    found = loop._read_npz(file)
    assert found is not None
    assert found.keys() == {"state", "v0"}
    data = file.read_bytes()
    for at in range(len(data)):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(ValueError, match="checksum"):
            loop._read_npz(file)
    for size in (0, 10, len(data) - 1):
        file.write_bytes(data[:size])
        with pytest.raises(ValueError, match="checksum"):
            loop._read_npz(file)


@pytest.mark.parametrize("file", ["pixels.u8", "index.npy"])
def test_what_is_damaged_in_a_cache_on_disk_is_decoded_again(tmp_path: Path, file: str) -> None:
    first = Decoded(["1", "2", "3"], ["1", "2", "3"], load, Place("disk"), tmp_path, 60)
    expected = [np.array(first.image(number)) for number in range(3)]
    first.flush()
    whole = (tmp_path / file).read_bytes()
    for at in range(len(whole)):
        (tmp_path / file).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        again = Decoded(["1", "2", "3"], ["1", "2", "3"], load, Place("disk"), tmp_path, 60)
        assert all(np.array_equal(again.image(number), expected[number]) for number in range(3))
        (tmp_path / file).write_bytes(whole)
