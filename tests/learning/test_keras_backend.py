"""What the import of Keras and TensorFlow leaves behind."""

from __future__ import annotations

import gc
import importlib
import os
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipekit.learning.keras_backend import UNUSED, without, without_collections, without_socket
from pipekit.processes import remove_leftovers


def made() -> list[list[int]]:
    """More objects than make the collector look for garbage."""
    return [[number] for number in range(5000)]


@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_is_looked_for_during_the_import_and_the_setting_is_kept(enabled: bool) -> None:
    collected: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        collected.append(phase)

    before = gc.isenabled()
    gc.callbacks.append(note)
    (gc.enable if enabled else gc.disable)()
    try:
        with without_collections():
            kept = made()
        assert collected == []
        assert gc.isenabled() is enabled
        assert not any(one is kept for one in gc.get_objects(generation=0))
    finally:
        gc.callbacks.remove(note)
        (gc.enable if before else gc.disable)()


def test_what_was_made_can_still_be_collected_unless_a_program_froze_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for frozen, called in ((0, ["freeze", "unfreeze"]), (7, ["freeze"])):
        calls: list[str] = []
        monkeypatch.setattr(gc, "get_freeze_count", lambda frozen=frozen: frozen)
        monkeypatch.setattr(gc, "freeze", lambda calls=calls: calls.append("freeze"))
        monkeypatch.setattr(gc, "unfreeze", lambda calls=calls: calls.append("unfreeze"))
        with without_collections():
            pass
        assert calls == called


def test_the_import_opens_no_socket_and_leaves_connections_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """What TensorFlow imports asks for a socket to find out about IPv6; ``strace`` showed it."""
    name = "urllib3.util.connection"
    pytest.importorskip(name)
    asked: list[int] = []

    class Noted(socket.socket):
        def __init__(self, family: int = -1, *rest: int, **more: int) -> None:
            asked.append(family)
            super().__init__(family, *rest, **more)

    monkeypatch.setattr(socket, "socket", Noted)
    monkeypatch.setattr(socket, "has_ipv6", True)
    monkeypatch.delitem(sys.modules, name)
    importlib.import_module(name)
    assert asked == [socket.AF_INET6], "without the guard there is one"
    monkeypatch.delitem(sys.modules, name)
    with without_socket():
        again = importlib.import_module(name)
    assert len(asked) == 1
    assert socket.has_ipv6
    assert again.HAS_IPV6
    again.HAS_IPV6 = False  # as it finds out on a machine without
    with without_socket():
        assert socket.has_ipv6
    assert not again.HAS_IPV6


def test_a_package_is_hidden_from_the_importing_thread_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("plots_of_a_test", "words_of_a_test", "loaded_of_a_test"):
        (tmp_path / f"{name}.py").write_text("", "utf-8")
    importlib.import_module("loaded_of_a_test")
    with without("plots_of_a_test", "loaded_of_a_test"):
        with pytest.raises(ModuleNotFoundError, match="not needed by Keras"):
            importlib.import_module("plots_of_a_test")
        importlib.import_module("words_of_a_test")
        importlib.import_module("loaded_of_a_test")
        with ThreadPoolExecutor(1) as other:
            assert other.submit(importlib.import_module, "plots_of_a_test").result()
    monkeypatch.delitem(sys.modules, "plots_of_a_test")
    assert importlib.import_module("plots_of_a_test")


def test_keras_is_whole_without_them() -> None:
    """In a process of its own: here they may be loaded."""
    code = f"""
import sys
from pipekit.learning.keras_backend import load_keras
keras = load_keras()
assert not [name for name in {UNUSED!r} if name in sys.modules]
import cv2, matplotlib, sklearn
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
assert model(keras.ops.ones((1, 4))).shape == (1, 2)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


KILLED = """
import os, signal
from pipekit.learning.keras_backend import load_keras
load_keras()
import tensorflow
tensorflow.autograph.to_graph(lambda value: value + 1 if value else value)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_run_removes_code_that_was_generated_by_a_killed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)  # code from a file: without it there is nothing to convert
    kept = tmp_path / "temporary"
    kept.mkdir()
    subprocess.run([sys.executable, script], env={**os.environ, "TMPDIR": str(kept)})
    assert list(kept.rglob("__autograph_generated_file*.py"))
    monkeypatch.setattr(tempfile, "tempdir", str(kept))
    remove_leftovers()
    assert list(kept.iterdir()) == []
