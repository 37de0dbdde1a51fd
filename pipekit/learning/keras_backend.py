"""The only place that imports TensorFlow and Keras: once, on first use, without TensorFlow's start-up messages."""

from __future__ import annotations

import atexit
import gc
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from pipekit.errors import UserError
from pipekit.owners import owned_prefix

_CHATTER = re.compile(
    rb"^(?:[IWE]\d{4} [\d:. ]+\S+\.cc:\d+\] .*"
    rb"|fully_quantize: .*|INFO: Created TensorFlow Lite .* delegate for .*"
    rb"|WARNING: All log messages before absl.*|To enable the following instructions: .*)$"
)
_IMPORT = threading.RLock()
_NEEDED = ("tensorflow", "keras")


def require_keras() -> None:
    """Raise UserError, with the command that installs it, if TensorFlow or Keras is not installed; imports neither."""
    missing = [name for name in _NEEDED if name not in sys.modules and find_spec(name) is None]
    if missing:
        raise UserError(
            f"this needs {' and '.join(missing)}, not installed here: training and Keras models run on TensorFlow",
            "pip install tensorflow. Without it, pipekit inspects, augments and embeds images, and predicts with a model on "
            "frozen features or one that was exported to ONNX.",
        )


def is_loaded() -> bool:
    """Whether :func:`load_keras` returns at once."""
    return "keras" in sys.modules and "tensorflow" in sys.modules


def load_keras() -> ModuleType:
    """Import ``keras`` with the TensorFlow backend.

    At import, TensorFlow prints a dozen lines on standard error (oneDNN, CUDA, CPU features) whatever
    ``TF_CPP_MIN_LOG_LEVEL`` says. They are dropped; everything else passes through. Set that variable to 0 to see them.

    Raises:
        UserError: TensorFlow or Keras is not installed.
    """
    with _IMPORT:
        if not is_loaded():
            require_keras()
            os.environ["KERAS_BACKEND"] = "tensorflow"
            with without_chatter(), without_socket(), without_collections(), without(*UNUSED):
                import tensorflow

                # Listing devices for the first time prints more, on machines with a CUDA build and no GPU.
                tensorflow.config.list_physical_devices("GPU")
                tensorflow.get_logger().setLevel("ERROR")  # "triggered tf.function retracing": by design, at a last batch
                import_module("keras")
                _own_generated_code()
        import keras
    return sys.modules[keras.__name__]


def _own_generated_code() -> None:
    """Let TensorFlow put the Python that it generates into a folder of this process: it lies in the folder for temporary files,
    where a killed process would leave it. The next run removes the folder."""
    with suppress(ImportError, AttributeError):  # no public setting says where
        import_module("tensorflow.python.autograph.pyct.loader").tempfile = _OwnFolder()  # type: ignore[attr-defined]


class _OwnFolder:
    """The module ``tempfile`` for files of this process, which end with it."""

    def __init__(self) -> None:
        self._folder = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(tempfile, name)

    def NamedTemporaryFile(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 (tempfile's name)
        if not os.path.isdir(self._folder):  # noqa: PTH112
            self._folder = tempfile.mkdtemp(prefix=owned_prefix())
            atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        return tempfile.NamedTemporaryFile(*args, **{"dir": self._folder, **kwargs})


@contextmanager
def without_collections() -> Iterator[None]:
    """Pause Python's garbage collector while a million objects are made that stay; it would take a sixth of the import.

    Afterwards they belong to the oldest generation: a collection of young objects does not visit them.
    """
    enabled, frozen = gc.isenabled(), gc.get_freeze_count()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if not frozen:  # what a program froze stays frozen
            gc.unfreeze()
        if enabled:
            gc.enable()


UNUSED = ("IPython", "cv2", "matplotlib", "sklearn")
"""What Keras imports where it is installed, for its own plots and wrappers: a third of the time of its import."""


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Let imports of this thread not find these packages, unless they are loaded already; other threads find them.

    Keras then has no plots (`keras.visualization`) and no wrappers for scikit-learn (`keras.wrappers`). A program that wants
    them imports Keras itself, before pipekit does.
    """
    hider = _Hider(names)
    sys.meta_path.insert(0, hider)
    try:
        yield
    finally:
        sys.meta_path.remove(hider)


class _Hider:
    """A finder that hides packages from one thread."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names, self._thread = names, threading.get_ident()

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is not needed by Keras here", name=name)


@contextmanager
def without_socket() -> Iterator[None]:
    """Import without a socket: TensorFlow imports urllib3, which binds one to find out whether the machine has IPv6.

    Nothing was ever sent through it. Later connections ask the system for addresses of both kinds, as Python does.
    """
    name, possible = "urllib3.util.connection", socket.has_ipv6
    if name in sys.modules:
        yield
        return
    socket.has_ipv6 = False
    try:
        yield
    finally:
        socket.has_ipv6 = possible
        if asked := sys.modules.get(name):
            asked.HAS_IPV6 = possible  # type: ignore[attr-defined]


@contextmanager
def without_chatter() -> Iterator[None]:
    """Redirect standard error through a pipe that drops TensorFlow's start-up lines."""
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        yield
        return
    try:
        real = os.dup(2)
    except OSError:  # a process without standard error
        yield
        return
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    thread = threading.Thread(target=_filter, args=(reading, real), name="quiet-import", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(real, 2)  # closes the pipe's last writer: the thread sees its end
        thread.join()
        os.close(reading)
        os.close(real)


def _filter(reading: int, real: int) -> None:
    """Copy ``reading`` to ``real`` without start-up lines; an unfinished line that can't be one passes at once."""
    held = b""
    while chunk := os.read(reading, 65536):
        *lines, held = (held + chunk).split(b"\n")
        for line in lines:
            if not _CHATTER.match(line):
                os.write(real, line + b"\n")
        if held and not held.startswith(
            (b"I0", b"W0", b"E0", b"I1", b"W1", b"E1", b"WARNING", b"INFO", b"fully_quantize", b"To enable")
        ):
            os.write(real, held)
            held = b""
    if held and not _CHATTER.match(held):
        os.write(real, held)
