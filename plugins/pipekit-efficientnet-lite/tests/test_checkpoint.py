"""The reader of PyTorch's files: what it reads, and what it refuses."""

import io
import os
import pickle
import struct
from collections import OrderedDict
from typing import ClassVar

import numpy as np
import pytest
from pipekit_efficientnet_lite.checkpoint import MAGIC_NUMBER, PROTOCOL_VERSION, read_checkpoint
from pipekit_efficientnet_lite.network import weights_file

from pipekit import UserError


class Global:
    """Pickled as a name in a module that need not exist here."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Tensor:
    def __init__(self, *arguments):
        self.arguments = arguments


class Storage:
    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = kind, key, count


class Writer(pickle._Pickler):
    """PyTorch's legacy format, as torch.save wrote it: the pure Python pickler, so that names can be written without torch."""

    def persistent_id(self, found):
        if isinstance(found, Storage):
            return ("storage", Global("torch", found.kind), found.key, "cpu", found.count, None)
        return None

    def save_global_name(self, found):
        self.write(pickle.GLOBAL + f"{found.module}\n{found.name}\n".encode())

    def save_tensor(self, found):
        self.save_global_name(Global("torch._utils", "_rebuild_tensor_v2"))
        self.save(found.arguments)
        self.write(pickle.REDUCE)

    dispatch: ClassVar = {**pickle._Pickler.dispatch, Global: save_global_name, Tensor: save_tensor}


def write(path, state, storages):
    """A checkpoint with a state dict and its storages: key -> array."""
    file = io.BytesIO()
    machine = {"protocol_version": PROTOCOL_VERSION, "little_endian": True}
    for part in (MAGIC_NUMBER, PROTOCOL_VERSION, machine, state, list(storages)):
        Writer(file, protocol=2).dump(part)
    for values in storages.values():
        file.write(struct.pack("<q", values.size) + values.tobytes())
    path.write_bytes(file.getvalue())
    return path


VALUES = np.arange(12, dtype="<f4")


def tensor(offset=0, size=(3, 4), stride=(4, 1)):
    return Tensor(Storage("FloatStorage", "0", 12), offset, size, stride, False, OrderedDict())


def test_tensors_with_offsets_and_strides(tmp_path):
    state = OrderedDict(whole=tensor(), turned=tensor(0, (4, 3), (1, 4)), part=tensor(6, (2,), (3,)), one=tensor(5, (), ()))
    found = read_checkpoint(write(tmp_path / "some.pth", state, {"0": VALUES}))
    np.testing.assert_array_equal(found["whole"], VALUES.reshape(3, 4))
    np.testing.assert_array_equal(found["turned"], VALUES.reshape(3, 4).T)
    np.testing.assert_array_equal(found["part"], [6, 9])
    assert found["one"] == 5
    assert found["whole"].flags.writeable


def test_a_file_with_code_in_it_is_refused_and_the_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was-here"),)

    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(UserError, match=r"it names \w+\.mkdir, which does not belong in a file of weights"):
        read_checkpoint(path)
    assert not (tmp_path / "was-here").exists()


@pytest.mark.parametrize("full", ["builtins.eval", "torch.load", "collections.namedtuple", "os.system"])
def test_only_four_names_are_known(tmp_path, full):
    module, name = full.split(".")
    with pytest.raises(UserError, match=f"names {module}.{name}"):
        read_checkpoint(write(tmp_path / "some.pth", OrderedDict(a=Global(module, name)), {}))


@pytest.mark.parametrize("bad", [tensor(1), tensor(-1, (2,), (1,)), tensor(0, (2,), (12,)), tensor(3, (2, 2), (-1, 1))])
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, bad):
    with pytest.raises(UserError, match="reaches beyond its storage"):
        read_checkpoint(write(tmp_path / "some.pth", OrderedDict(bad=bad), {"0": VALUES}))


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_file_cut_off_is_refused(tmp_path, keep):
    whole = write(tmp_path / "whole.pth", OrderedDict(a=tensor()), {"0": VALUES}).read_bytes()
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole[:keep])
    with pytest.raises(UserError, match="can't be read as a PyTorch checkpoint"):
        read_checkpoint(cut)


def test_a_changed_byte_is_seen(tmp_path):
    data = bytearray(weights_file().read_bytes())
    data[-1] ^= 1
    changed = tmp_path / weights_file().name
    changed.write_bytes(data)
    with pytest.raises(UserError, match="SHA-256 does not begin with 57934424"):
        read_checkpoint(changed)
