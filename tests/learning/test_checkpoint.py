"""The reader of PyTorch's files: what it reads, and what it refuses."""

import io
import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from typing import ClassVar

import numpy as np
import pytest

from pipekit import UserError
from pipekit.learning.checkpoint import MAGIC_NUMBER, PROTOCOL_VERSION, read_checkpoint
from pipekit.learning.efficientnet_lite import LITE0


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


@pytest.mark.parametrize("bad", [tensor(1), tensor(-1, (2,), (1,)), tensor(0, (2,), (12,)), tensor(3, (2, 2), (4, 8))])
def test_a_tensor_beyond_its_storage_is_refused(tmp_path, bad):
    with pytest.raises(UserError, match="reaches beyond its storage"):
        read_checkpoint(write(tmp_path / "some.pth", OrderedDict(bad=bad), {"0": VALUES}))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (tensor(0, (10**6, 10**6), (0, 0)), r"repeats the same values 1,000,000,000,000 times over \(a stride of 0\)"),
        (tensor(0, (3, 4), (4, -1)), r"has a negative stride \(4, -1\)"),
        (tensor(0, (2,), (2**62,)), "reaches beyond its storage of 12 values"),
        (tensor(0, (0, 4), (4, 1)), "reaches beyond its storage"),
        (tensor(12, (), ()), "reaches beyond its storage"),
        (tensor(0, (6, 6), (1, 1)), "claims 36 values, and its storage holds 12"),
        (tensor(0, (2, 2), (1,)), "damaged, at REDUCE|has 2 sizes and 1 strides"),
        (tensor(0, (1,) * 40, (1,) * 40), "has 40 sizes"),
        (tensor(0.5, (1,), (1,)), "damaged, at REDUCE"),
        (tensor(0, (2**70,), (1,)), "damaged, at REDUCE"),
    ],
)
def test_a_tensor_that_claims_what_the_file_does_not_hold_is_refused(tmp_path, bad, reason):
    with pytest.raises(UserError, match=rf"some\.pth can't be read as a PyTorch checkpoint: .*({reason})"):
        read_checkpoint(write(tmp_path / "some.pth", OrderedDict(bad=bad), {"0": VALUES}))


def test_many_tensors_on_one_storage_do_not_multiply_it(tmp_path):
    state = OrderedDict((f"t{number}", tensor(0, (1000,), (1,))) for number in range(400))
    with pytest.raises(UserError, match=r"claim 1,600,000 bytes together, and the file holds [\d,]+"):
        read_checkpoint(write(tmp_path / "some.pth", state, {"0": np.zeros(1000, "<f4")}))


@pytest.mark.parametrize("count", [-1, 13, 2**31, 2**61, 2**63 - 1])
def test_a_storage_that_claims_more_than_the_file_holds_is_refused(tmp_path, count):
    path = write(tmp_path / "some.pth", OrderedDict(a=tensor()), {"0": VALUES})
    whole = path.read_bytes()
    path.write_bytes(whole[:-56] + struct.pack("<q", count) + whole[-48:])
    with pytest.raises(UserError, match=r"in the middle of a storage, which claims -?[\d,]+ bytes where 48 are left"):
        read_checkpoint(path)


PREFIX = pickle.dumps(MAGIC_NUMBER, 2) + pickle.dumps(PROTOCOL_VERSION, 2) + pickle.dumps({"little_endian": True}, 2)


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (b"\x80\x02}r\xff\xff\xff\xff.", "something other|ends|damaged"),  # a memo index that would reserve 64 GiB
        (b"\x80\x02}N" + b"\x85" * 1_000_000 + b"Ns.", "more than 1,000,000 operations"),
        (b"\x80\x02}N" + b"\x85" * 900_000 + b"Ns.", "a key that is not a text"),  # its hash overflows the stack of C
        (
            b"\x80\x02}" + b"N\x85" + b"q\x00h\x00\x86" * 60 + b"Ns.",
            "a key that is not a text",
        ),  # a hash that takes 2**60 steps
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "damaged or cut off"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.", "damaged or cut off|BINBYTES8"),
        (b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"abc.", "damaged or cut off|BYTEARRAY8"),
        (b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.", "FRAME"),
        (b"\x8b\xff\xff\xff\x7f.", "damaged or cut off|LONG4"),
        (b"I" + b"9" * 100_000 + b"\n.", "damaged"),
        (b"h\x07.", "damaged, at BINGET"),
        (b"\x85.", "damaged, at TUPLE1"),
        (b"u.", "damaged, at SETITEMS"),
        (b".", "damaged, at STOP"),
        (b"\x80\x02]q\x00h\x00a.", "something other than a table of tensors"),  # a list that holds itself
    ],
)
def test_a_hostile_pickle_is_refused_before_it_takes_memory(tmp_path, hostile, reason):
    path = tmp_path / "some.pth"
    path.write_bytes(PREFIX + hostile)
    with pytest.raises(UserError, match=rf"some\.pth can't be read as a PyTorch checkpoint: .*({reason})"):
        read_checkpoint(path)


def test_storages_that_do_not_fit_the_tensors_are_refused(tmp_path):
    other = Tensor(Storage("FloatStorage", "1", 12), 0, (12,), (1,), False, OrderedDict())
    with pytest.raises(UserError, match="is in the storage '1', which is not in the file"):
        read_checkpoint(write(tmp_path / "some.pth", OrderedDict(a=tensor(), b=other), {"0": VALUES}))
    with pytest.raises(UserError, match="no tensor of a known type uses its storage '7'"):
        read_checkpoint(write(tmp_path / "some.pth", OrderedDict(a=tensor()), {"0": VALUES, "7": VALUES}))


def test_attributes_of_the_table_are_passed_over(tmp_path):
    state = OrderedDict(a=tensor())
    state._metadata = OrderedDict({"": {"version": 1}})
    assert list(read_checkpoint(write(tmp_path / "some.pth", state, {"0": VALUES}))) == ["a"]


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_file_cut_off_is_refused(tmp_path, keep):
    whole = write(tmp_path / "whole.pth", OrderedDict(a=tensor()), {"0": VALUES}).read_bytes()
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole[:keep])
    with pytest.raises(UserError, match="can't be read as a PyTorch checkpoint"):
        read_checkpoint(cut)


def test_a_changed_byte_is_seen(tmp_path):
    data = bytearray(LITE0.weights_file().read_bytes())
    data[-1] ^= 1
    changed = tmp_path / LITE0.weights_file().name
    changed.write_bytes(data)
    with pytest.raises(UserError, match="SHA-256 does not begin with 57934424"):
        read_checkpoint(changed)
    named_otherwise = tmp_path / "weights.pth"
    named_otherwise.write_bytes(data)
    with pytest.raises(UserError, match="SHA-256 does not begin with 57934424"):
        LITE0.tensors(named_otherwise)


def test_a_small_file_takes_little_memory(tmp_path):
    """A tensor of 16 GiB by a stride of 0, of a storage of 12 values."""
    path = write(tmp_path / "some.pth", OrderedDict(bad=tensor(0, (2**32,), (0,))), {"0": VALUES})
    assert path.stat().st_size < 500
    tracemalloc.start()
    with pytest.raises(UserError, match="a stride of 0"):
        read_checkpoint(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
