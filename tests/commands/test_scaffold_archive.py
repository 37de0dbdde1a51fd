"""Archives made by somebody else: nothing outside the target, nothing endless."""

from __future__ import annotations

import io
import stat
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
