"""Checks of the installation, the machine and the working folder, for ``pipekit doctor``.

The checks are independent: one that fails is a line, and the next one still runs. Libraries that may crash a process or hang
(OpenCV, TensorFlow with its GPU driver) are checked in a separate process, with a time limit.
"""

from __future__ import annotations

import contextlib
import importlib.metadata as metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DISTRIBUTION = "pipekit-vision"
PYTHONS = ((3, 11), (3, 13))
"""First and last Python that is supported."""
OPENCVS = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
"""Distributions that all own the folder ``cv2``."""
LITTLE_DISK_BYTES = 5_000_000_000
NO_DISK_BYTES = 200_000_000
LITTLE_MEMORY_BYTES = 4_000_000_000


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line: ``state`` is ``ok``, ``warning`` or ``broken``; ``fix`` says how to fix it."""

    what: str
    state: str
    text: str
    fix: str = ""


def doctor(folder: Path | None = None, timeout_s: float = 120) -> Iterator[Diagnosis]:
    """Yield every finding as soon as it is known, from the libraries to the terminal.

    Args:
        folder: the project's folder; default: the working folder.
        timeout_s: seconds that TensorFlow, and OpenCV, may take to load.

    Raises:
        Nothing: a check that fails is a finding with the state ``broken``.

    Example:
        >>> import pipekit
        >>> [found.what for found in pipekit.doctor() if found.state == "broken"]  # doctest: +SKIP
        []
    """
    place = folder or Path.cwd()
    looks: list[Callable[[], Iterator[Diagnosis]]] = [
        python,
        libraries,
        lambda: opencv(timeout_s),
        lambda: tensorflow(timeout_s),
        lambda: onnxruntime(timeout_s),
        lambda: embedders(place),
        machine,
        lambda: disk(place),
        remote_files,
        lambda: plugins(place),
        terminal,
    ]
    for look in looks:
        try:
            yield from look()
        except Exception as error:
            name = getattr(look, "__name__", "check")
            yield Diagnosis(name.strip("<>"), "broken", f"could not be checked: {type(error).__name__}: {error}")


def python() -> Iterator[Diagnosis]:
    version = sys.version_info[:2]
    first, last = PYTHONS
    text = f"{platform.python_version()} in {sys.prefix}"
    if first <= version <= last:
        yield Diagnosis("Python", "ok", text)
    else:
        need = f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"
        yield Diagnosis("Python", "broken", f"{text}; pipekit needs {need}", f"Install it under Python {need}.")


# --- libraries -----------------------------------------------------------------------------------------------------------


def libraries() -> Iterator[Diagnosis]:
    """Compare each dependency's version with the requirement in pyproject.toml; one line if all are met."""
    try:
        own = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        fix = f"Install it from its folder: {pip()} install --editable ."
        yield Diagnosis("pipekit", "broken", f"the distribution {DISTRIBUTION} is not installed here", fix)
        return
    yield Diagnosis("pipekit", "ok", own.version)
    good = []
    for requirement in own.requires or ():
        found = check_requirement(requirement)
        if isinstance(found, Diagnosis):
            yield found
        elif found:
            good.append(found)
    yield Diagnosis("libraries", "ok", ", ".join(good))
    yield from clashes()


def check_requirement(text: str) -> Diagnosis | str:
    """``"numpy 2.4.6"`` if it is met, "" if it does not apply here (an extra, another system), else the problem."""
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return ""
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Diagnosis(requirement.name, "broken", "is not installed", f"{pip()} install '{bare(requirement)}'")
    if requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} {version}"
    needed = f"{version} is installed, {requirement.specifier} is needed"
    return Diagnosis(requirement.name, "broken", needed, f"{pip()} install '{bare(requirement)}'")


def bare(requirement: Any) -> str:
    return f"{requirement.name}{requirement.specifier}"


def clashes() -> Iterator[Diagnosis]:
    """Two distributions own one folder: the one installed last wins, and removing one breaks the other."""
    present = [name for name in OPENCVS if _installed(name)]
    if len(present) > 1:
        text = f"{' and '.join(present)} are installed together, and both own the folder cv2"
        fix = f"{pip()} uninstall -y {' '.join(present)} && {pip()} install {OPENCVS[0]}"
        yield Diagnosis("OpenCV", "broken", text, fix)


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def pip() -> str:
    """The pip that belongs to this Python."""
    return f"{sys.executable} -m pip"


# --- libraries that may crash --------------------------------------------------------------------------------------------


def ask(code: str, timeout_s: float) -> tuple[dict[str, Any] | None, str]:
    """Run ``code`` in a fresh Python; it prints one JSON object as its last line.

    Returns:
        The object and "", or None and the error in one line.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "NO_ALBUMENTATIONS_UPDATE": "1", "KERAS_BACKEND": "tensorflow"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, errors="replace", timeout=timeout_s, env=environment
        )
    except subprocess.TimeoutExpired:
        return None, f"it did not load within {timeout_s:g} s"
    if done.returncode < 0:
        return None, f"loading it ended the process with signal {-done.returncode}"
    try:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:] or [f"exit code {done.returncode}"]
        return None, last[0].strip()
    return found, ""


OPENCV_CODE = """
import json, cv2, numpy
image = numpy.zeros((8, 8, 3), numpy.uint8)
done, data = cv2.imencode(".jpg", image)
assert done and cv2.imdecode(data, cv2.IMREAD_COLOR).shape == image.shape
print(json.dumps({"version": cv2.__version__, "file": cv2.__file__}))
"""

TENSORFLOW_CODE = """
import json, tensorflow as tf, keras
gpus = tf.config.list_physical_devices("GPU")
details = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
value = float(tf.reduce_sum(tf.ones((4, 4)) @ tf.ones((4, 4))))
print(json.dumps({"version": tf.__version__, "keras": keras.__version__, "gpus": details, "value": value,
                  "cuda": bool(tf.test.is_built_with_cuda())}))
"""


ONNX_CODE = """
import json, onnxruntime
print(json.dumps({"version": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}))
"""


def opencv(timeout_s: float) -> Iterator[Diagnosis]:
    found, wrong = ask(OPENCV_CODE, timeout_s)
    if found is None:
        yield Diagnosis("OpenCV", "broken", wrong, f"{pip()} install --force-reinstall {OPENCVS[0]}")
    else:
        yield Diagnosis("OpenCV", "ok", f"{found['version']}, reads and writes JPEG")


def tensorflow(timeout_s: float) -> Iterator[Diagnosis]:
    found, wrong = ask(TENSORFLOW_CODE, timeout_s)
    if found is None:
        yield Diagnosis("TensorFlow", "broken", wrong, f"{pip()} install --force-reinstall tensorflow")
        return
    yield Diagnosis("TensorFlow", "ok", f"{found['version']}, Keras {found['keras']}")
    driver = shutil.which("nvidia-smi")
    if found["gpus"]:
        yield Diagnosis("GPU", "ok", ", ".join(found["gpus"]))
    elif driver is not None:
        text = "there is an NVIDIA driver, but TensorFlow sees no GPU; training runs on the processor"
        yield Diagnosis("GPU", "warning", text, f"{pip()} install 'tensorflow[and-cuda]'")
    else:
        yield Diagnosis("GPU", "ok", "none; training runs on the processor")


def onnxruntime(timeout_s: float) -> Iterator[Diagnosis]:
    found, wrong = ask(ONNX_CODE, timeout_s)
    if found is None:
        yield Diagnosis("ONNX Runtime", "broken", wrong, f"{pip()} install --force-reinstall onnxruntime")
    else:
        yield Diagnosis("ONNX Runtime", "ok", f"{found['version']}, runs pretrained networks on the processor")


def embedders(folder: Path) -> Iterator[Diagnosis]:
    """For each embedder: whether its weights are installed and are those that are known, their licence and training data."""
    from pipekit.registry.registry import load_registry

    for component in load_registry(base_dir=folder).components("embedder"):
        yield _embedder(component)


def _embedder(component: Any) -> Diagnosis:
    from pipekit.errors import PipekitError
    from pipekit.files import hash_file
    from pipekit.learning.embedders import facts_of

    what = f"embedder {component.name}"
    try:
        facts = facts_of(component.load())
        if facts.weights is not None and hash_file(facts.weights()) != facts.sha256:
            fix = f"Install the package again that {facts.weights()} belongs to."
            return Diagnosis(what, "broken", f"{facts.weights()} does not have the SHA-256 {facts.sha256}", fix)
    except PipekitError as error:
        return Diagnosis(what, "broken", error.message, error.hint)
    return Diagnosis(what, "ok", f"licence: {facts.licence}; from {facts.source}; trained on {facts.trained_on}")


# --- the machine ---------------------------------------------------------------------------------------------------------


def machine() -> Iterator[Diagnosis]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    total = os.cpu_count() or usable
    cores = f"{usable} cores" if usable == total else f"{usable} of {total} cores usable"
    yield Diagnosis("processor", "ok", f"{cores}, {platform.machine()}, {platform.system()} {platform.release()}")
    if platform.system() != "Linux":
        text = f"pipekit is tested on Linux; what differs on {platform.system()} is in docs/platforms.md"
        yield Diagnosis("system", "warning", text, "On Windows, use WSL 2, which is Linux." if os.name == "nt" else "")
    memory = memory_bytes()
    if memory is None:
        return
    whole, free = memory
    text = f"{whole / 1e9:.1f} GB, {free / 1e9:.1f} GB free"
    if whole < LITTLE_MEMORY_BYTES:
        yield Diagnosis("memory", "warning", text, "Train with small images and batches: image_size_px = 96, batch_size = 16.")
    else:
        yield Diagnosis("memory", "ok", text)


def memory_bytes() -> tuple[int, int] | None:
    """Memory that this process may use, and how much of it is free; a container's limit counts. None if it is unknown."""
    with contextlib.suppress(OSError, ValueError, LookupError):
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        table = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if ":" in line}
        whole, free = table["MemTotal"], table["MemAvailable"]
        with contextlib.suppress(OSError, ValueError):
            limit = int(Path("/sys/fs/cgroup/memory.max").read_text("ascii"))
            used = int(Path("/sys/fs/cgroup/memory.current").read_text("ascii"))
            if limit < whole:
                return limit, min(free, max(0, limit - used))
        return whole, free
    with contextlib.suppress(OSError, ValueError, AttributeError):
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    return None


def disk(folder: Path) -> Iterator[Diagnosis]:
    """Check the disk of the results and the store: free space, write access, hard links."""
    from pipekit.store.store import store_of

    store = store_of(folder)
    for place in dict.fromkeys((existing(store), folder)):
        yield writing(place)
    free = shutil.disk_usage(existing(store)).free
    text = f"{free / 1e9:.1f} GB free for the store, {store}"
    if free < NO_DISK_BYTES:
        yield Diagnosis("disk", "broken", text, "Free some space: pipekit gc. Or choose another disk with PIPEKIT_STORE.")
    elif free < LITTLE_DISK_BYTES:
        yield Diagnosis(
            "disk", "warning", text, "`pipekit gc` frees what no recent run uses; PIPEKIT_STORE chooses another disk."
        )
    else:
        yield Diagnosis("disk", "ok", text)


def remote_files() -> Iterator[Diagnosis]:
    """The local copies of remote files: how large they are, and may become."""
    from pipekit.errors import UserError
    from pipekit.files.remote import LIMIT, kept, limit_bytes
    from pipekit.files.urls import cache_root

    try:
        limit = limit_bytes()
    except UserError as error:
        yield Diagnosis("remote files", "broken", error.message, f"Set {LIMIT}, or unset it: unset {LIMIT}")
        return
    size, sources = kept()
    text = f"{size / 1e9:.2f} of {limit / 1e9:g} GB kept of {sources} source{'s' * (sources != 1)}, in {cache_root()}"
    yield Diagnosis("remote files", "ok", text)


def existing(path: Path) -> Path:
    """The path, or the nearest parent folder that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def writing(folder: Path) -> Diagnosis:
    """Check whether files can be written, renamed and hard-linked in a folder; nothing is left behind."""
    try:
        with tempfile.TemporaryDirectory(prefix=".pipekit-doctor-", dir=folder) as scratch:
            first = Path(scratch) / "a"
            first.write_bytes(b"pipekit")
            first.replace(Path(scratch) / "b")
            try:
                (Path(scratch) / "c").hardlink_to(Path(scratch) / "b")
            except OSError:
                return Diagnosis("folder", "ok", f"{folder} can be written; no hard links here, so results are copies")
    except OSError as error:
        fix = "Work in a folder that you can write to, or choose another place for the store with PIPEKIT_STORE."
        return Diagnosis("folder", "broken", f"{folder} can't be written: {error.strerror}", fix)
    return Diagnosis("folder", "ok", f"{folder} can be written")


# --- plugins and the terminal --------------------------------------------------------------------------------------------


def plugins(folder: Path) -> Iterator[Diagnosis]:
    from pipekit.registry.registry import load_registry

    records = load_registry(base_dir=folder).plugins
    good = [f"{record.name} ({record.source})" for record in records if record.status == "ok"]
    yield Diagnosis("plugins", "ok", ", ".join(good) or "none")
    for record in records:
        if record.is_lost:
            fix = f"Fix or uninstall it; until then, PIPEKIT_DISABLE={record.name} leaves it out."
            yield Diagnosis(f"plugin {record.name}", "broken", record.reason, fix)
        elif record.seconds > 1:
            text = f"takes {record.seconds:.1f} s to load, at every command"
            yield Diagnosis(f"plugin {record.name}", "warning", text, 'Its author should register names as "module:attribute".')


def terminal() -> Iterator[Diagnosis]:
    encoding = (sys.stdout.encoding or "").lower()
    if not sys.stdout.isatty():
        yield Diagnosis("terminal", "ok", "none: the output goes to a file or a pipe")
        return
    if not encoding.startswith("utf"):
        fix = "Set a UTF-8 locale, for example: export LANG=C.UTF-8"
        yield Diagnosis("terminal", "warning", f"its encoding is {encoding or 'unknown'}; pictures and marks are plain", fix)
        return
    yield Diagnosis("terminal", "ok", f"{shutil.get_terminal_size().columns} columns, {pictures()}")


def pictures() -> str:
    """How this terminal can show pictures."""
    if os.environ.get("NO_COLOR"):
        return "no colours (NO_COLOR is set), so no pictures"
    if os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "pictures in 16 million colours"
    if "256" in os.environ.get("TERM", ""):
        return "pictures in 256 colours"
    return "no pictures (TERM names no colours)"
