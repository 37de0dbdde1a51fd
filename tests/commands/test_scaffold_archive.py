"""Archives made by somebody else: nothing outside the target, nothing endless."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from pipekit.commands.scaffold import archive
from pipekit.errors import UserError
from pipekit.files import is_archive


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


def make_tar(path: Path, members: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w") as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
        for info in extra:
            out.addfile(info)
    return path


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
def test_files_come_out_as_they_went_in(tmp_path: Path, name: str) -> None:
    members = {"dog/1.jpg": b"one", "cat/2.jpg": b"two"}
    made = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name, members)
    into = tmp_path / "into"
    into.mkdir()
    assert is_archive(made)
    assert archive.unpack(made, into) == []
    assert files_below(into) == members


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_lead_out_are_passed_over(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    bad = ["../outside.jpg", "/outside.jpg", "a/../../outside.jpg", "..\\outside.jpg", "C:/outside.jpg"]
    made = make(tmp_path / ("a.zip" if make is make_zip else "a.tar"), {**dict.fromkeys(bad, b"x"), "good.jpg": b"y"})
    into = tmp_path / "deep" / "into"
    into.mkdir(parents=True)
    refused = archive.unpack(made, into)
    assert [reason for _, reason in refused] == ["the name leads out of the folder"] * 5
    assert files_below(tmp_path / "deep") == {"into/good.jpg": b"y"}


def test_links_are_passed_over(tmp_path: Path) -> None:
    soft, hard, pipe = tarfile.TarInfo("soft.jpg"), tarfile.TarInfo("hard.jpg"), tarfile.TarInfo("pipe")
    soft.type, soft.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "../../x"
    pipe.type = tarfile.FIFOTYPE
    into = tmp_path / "into"
    into.mkdir()
    assert [name for name, _ in archive.unpack(make_tar(tmp_path / "a.tar", {}, soft, hard, pipe), into)] == [
        "soft.jpg",
        "hard.jpg",
        "pipe",
    ]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        info = zipfile.ZipInfo("link.jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(info, "/etc/passwd")
    assert archive.unpack(tmp_path / "a.zip", into) == [("link.jpg", "a link or device")]
    assert files_below(into) == {}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_bomb_is_refused_before_the_disk_is_full(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FREE_BYTES", 1 << 20)
    made = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name, {"a.jpg": bytes(20 << 20)})
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(UserError, match="unpacks to far more"):
        archive.unpack(made, into)
    assert sum(map(len, files_below(into).values())) <= 4 << 20


@pytest.mark.parametrize(("size_bytes", "fine"), [(1000, True), (1001, False)])
def test_unpacking_leaves_256_mib_of_the_disk_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int, fine: bool
) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda place: usage(10**12, 0, 256 * 1024**2 + 1000))
    (tmp_path / "into").mkdir()
    made = make_zip(tmp_path / "a.zip", {"a.jpg": bytes(size_bytes)})
    if fine:
        assert archive.unpack(made, tmp_path / "into") == []
    else:
        with pytest.raises(UserError, match="or than the disk holds"):
            archive.unpack(made, tmp_path / "into")


def test_a_small_archive_may_unpack_to_1_gib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its ratio, if the disk has room."""
    limits: list[int] = []
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda place: usage(10**12, 0, 10**12))
    monkeypatch.setattr(archive, "_write", lambda stream, place, limit, path: limits.append(limit) or 0)
    archive.unpack(make_zip(tmp_path / "a.zip", {"a.jpg": b"small"}), tmp_path)
    assert limits == [1024**3]


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_damaged_archive_is_an_error(tmp_path: Path, name: str) -> None:
    made = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name, {"a.jpg": bytes(range(256)) * 400})
    made.write_bytes(made.read_bytes()[:200])
    (tmp_path / "into").mkdir()
    with pytest.raises(UserError, match="can't unpack"):
        archive.unpack(made, tmp_path / "into")


def test_devices_are_passed_over(tmp_path: Path) -> None:
    disk, screen = tarfile.TarInfo("disk.jpg"), tarfile.TarInfo("screen.jpg")
    disk.type, screen.type = tarfile.BLKTYPE, tarfile.CHRTYPE
    into = tmp_path / "into"
    into.mkdir()
    refused = archive.unpack(make_tar(tmp_path / "a.tar", {"good.jpg": b"y"}, disk, screen), into)
    assert [name for name, _ in refused] == ["disk.jpg", "screen.jpg"]
    assert files_below(into) == {"good.jpg": b"y"}


@pytest.mark.parametrize(("ratio", "fine"), [(90, True), (110, False)])
def test_an_archive_may_grow_a_hundredfold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ratio: int, fine: bool) -> None:
    monkeypatch.setattr(archive, "FREE_BYTES", 1)
    noise = np.random.default_rng(0).bytes(20_000)
    file = make_zip(tmp_path / "a.zip", {"a.jpg": noise})
    size = file.stat().st_size
    zeros = next(n for n in range(size, 1 << 23, 10_000) if n + len(noise) >= ratio * (size + n / 1000))
    make_zip(file, {"a.jpg": noise + bytes(zeros)})
    into = tmp_path / "into"
    into.mkdir()
    if fine:
        assert archive.unpack(file, into) == []
    else:
        with pytest.raises(UserError, match="unpacks to far more"):
            archive.unpack(file, into)


# --- hostile archives ----------------------------------------------------------------------------------------------------


def refused(made: Path, into: Path) -> str:
    into.mkdir(exist_ok=True)
    with pytest.raises(UserError) as caught:
        archive.unpack(made, into)
    assert made.name in caught.value.message
    return caught.value.message


def test_a_member_that_claims_a_huge_size_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    made = make_zip(tmp_path / "a.zip", {"a.jpg": b"x"})
    data = bytearray(made.read_bytes())
    place = data.index(b"PK\1\2") + 24
    data[place : place + 4] = struct.pack("<I", 0xFFFFFFF0)  # the size, in the list of members
    made.write_bytes(data)
    assert "unpacks to far more than its size" in refused(made, tmp_path / "into")
    huge = tarfile.TarInfo("a.jpg")
    huge.size = 2**50
    (tmp_path / "b.tar").write_bytes(huge.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)
    assert "unpacks to far more than its size" in refused(tmp_path / "b.tar", tmp_path / "into")
    assert files_below(tmp_path / "into") == {}


def header(kind: bytes, size: int, name: str = "x") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(text: bytes) -> bytes:
    return text + b"\0" * (-len(text) % 512)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
@pytest.mark.parametrize("size", [2**21, 2**45, -512])
def test_a_header_of_a_tar_that_claims_a_huge_size(tmp_path: Path, kind: bytes, size: int) -> None:
    (tmp_path / "a.tar").write_bytes(header(kind, size) + b"x" * 1024)
    assert f"a header claims {size:,} bytes" in refused(tmp_path / "a.tar", tmp_path / "into")


def test_a_negative_size_among_the_attributes_does_not_go_round_for_ever(tmp_path: Path) -> None:
    text = b"19 size=-0000001024\n"
    text = f"{len(text)} ".encode() + text[3:]
    member = header(tarfile.XHDTYPE, len(text)) + padded(text) + header(tarfile.REGTYPE, 0, "a.jpg")
    (tmp_path / "a.tar").write_bytes(member + b"\0" * 1024)
    assert "claims -1,024 bytes" in refused(tmp_path / "a.tar", tmp_path / "into")


def test_headers_upon_headers_do_not_overflow_the_stack(tmp_path: Path) -> None:
    one = header(tarfile.GNUTYPE_LONGNAME, 4) + padded(b"abc\0")
    (tmp_path / "a.tar").write_bytes(one * 5000 + b"\0" * 1024)
    assert "headers follow each other without a member" in refused(tmp_path / "a.tar", tmp_path / "into")


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    made = make_tar(tmp_path / "a.tar", {".": b"x", "./": b"x", "good.jpg": b"y"})
    assert [name for name, _ in archive.unpack(made, into)] == [".", "./"]
    text = b"16 path=a\0b.jpg\n"
    member = header(tarfile.XHDTYPE, len(text)) + padded(text) + header(tarfile.REGTYPE, 0)
    (tmp_path / "b.tar").write_bytes(member + b"\0" * 1024)
    refused(tmp_path / "b.tar", into)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.tar"])
def test_any_changed_byte_is_a_sentence(tmp_path: Path, name: str) -> None:
    random = np.random.default_rng(3)
    members = {f"{label}/{number}.jpg": random.bytes(300) + b"x" * 900 for label in "ab" for number in range(3)}
    whole = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name, members).read_bytes()
    said = []
    for number, place in enumerate(random.choice(len(whole), min(200, len(whole)), replace=False)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        (tmp_path / name).write_bytes(damaged)
        into = tmp_path / f"into{number}"
        into.mkdir()
        with contextlib.suppress(UserError):
            archive.unpack(tmp_path / name, into)
            continue
        said.append(number)
    assert said  # any other exception has ended the test
