"""Worker processes: when they may be started, which process they are forked from, and how they end."""

from __future__ import annotations

import contextlib
import errno
import glob
import importlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipekit.errors import UserError
from pipekit.owners import OWNED, owned_prefix, remove_abandoned

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

LONGEST_SOCKET = 107
"""Maximum length of a socket's path, in bytes."""
LONGEST_FOLDER = 70
"""Maximum length of the path of the temporary folder, in bytes: ``multiprocessing`` adds 32 for a socket."""

PRELOADED = ("pipekit.engine.worker", "pipekit.images.codec", "pipekit.images.near_duplicates")
"""Modules that each worker process has from its start, if it can be forked; stages add more, see :func:`preload`. None of
them starts a thread except OpenBLAS, which is built to be forked."""

STARTED_THREADS = frozenset({"tensorflow", "torch", "jax", "onnxruntime"})
"""Libraries whose threads do not survive a fork."""

_asked_for: dict[str, None] = {}
_foreign: set[str] = set()


def preload(modules: Iterable[str]) -> None:
    """Let worker processes start with these modules too. It has no effect once the process that they are forked from runs."""
    _asked_for.update(dict.fromkeys(modules))


def meet(plugin: str) -> None:
    """Note that code of a plugin is about to be loaded: what it opens or starts may not survive a fork."""
    _foreign.add(plugin)


def remove_leftovers() -> None:
    """Remove the temporary folders and the semaphores of killed processes, which could not remove them."""
    for folder, beginning in ((Path(tempfile.gettempdir()), ""), (Path("/dev/shm"), "sem.")):
        with contextlib.suppress(OSError):
            remove_abandoned(folder, f"{beginning}{glob.escape(OWNED)}*@*")


def _name_after_owner() -> None:
    """Let :mod:`multiprocessing` name its semaphores and its folder after this process, so that they are recognised as its
    own after it was killed. The module has no public setting for these names."""
    from multiprocessing import process, util

    config = getattr(process.current_process(), "_config", {})
    if sys.platform != "linux" or str(config.get("semprefix", "")).startswith(f"/{OWNED}"):
        return
    config["semprefix"] = f"/{owned_prefix().rstrip('-')}"
    if not config.get("tempdir") and len(os.fsencode(tempfile.gettempdir())) + len(owned_prefix()) + 27 <= LONGEST_SOCKET:
        config["tempdir"] = made = tempfile.mkdtemp(prefix=owned_prefix())
        util.Finalize(None, shutil.rmtree, args=(made, True), exitpriority=-100)


def is_command() -> bool:
    """Whether this process is pipekit's command."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return (spec.name if spec else Path(getattr(main, "__file__", "") or "").stem) in ("pipekit", "pipekit.__main__")


def allowed() -> bool:
    """Whether worker processes may be started: in pipekit's command, since new processes import the script that started them,
    and on a system that has what process pools need (some containers have no semaphores)."""
    import multiprocessing

    if not is_command():
        return False
    try:
        _name_after_owner()
        multiprocessing.get_context("spawn").Lock()
    except (ImportError, OSError, NotImplementedError):
        return False
    return True


class NotStartedError(UserError):
    """Worker processes can't be started; ``is_full`` says that there is no shared memory left for them."""

    def __init__(self, error: Exception) -> None:
        self.is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.ENOMEM)
        reason = "the process that they are forked from ended"
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            reason = error.strerror or str(error)
        if self.is_full:
            reason = "/dev/shm, where they keep their locks, is full"
        hint = 'Run without them: executor = "threads" (--set executor=threads).'
        if self.is_full:
            hint = f"Remove leftovers of other programs there (ls /dev/shm; in a container: docker run --shm-size=1g). {hint}"
        super().__init__(f"worker processes can't be started: {reason}", hint)


class _Pool(ProcessPoolExecutor):
    """Starts all processes with the first task, so that task fails if they can't start.

    Otherwise each task might start one more. One that is started while the pool ends because another process died would be
    waited for and never ended: the run would hang. Only for forked processes Python does so by itself.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._safe_to_dynamically_spawn_children = False

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        try:
            return super().submit(*args, **kwargs)
        except (EOFError, OSError) as error:
            for process in (self._processes or {}).values():  # nothing else would end them
                process.terminate()
            raise NotStartedError(error) from error


def pool(workers: int, begin: Callable[..., None] | None = None, *values: Any) -> ProcessPoolExecutor:
    """A pool of fresh processes, which end with this one; each calls ``begin(*values)`` first.

    Raises:
        NotStartedError: there is no space for what they share. ``submit`` raises it if the processes can't be started.
    """
    try:
        return _Pool(workers, _context(), _begin, (dict(os.environ), begin, values))
    except OSError as error:
        raise NotStartedError(error) from error


def start_early() -> None:
    """Start the process that workers are forked from: it loads what they need while this one continues."""
    if can_be_copied():
        _context()


def _context() -> BaseContext:
    """The context that starts processes: they are never forked from this one, whose threads may hold locks.

    On Linux they are forked from a process that has loaded the libraries and done nothing else: that takes a fiftieth of a
    second for each, instead of half a second, and they share its memory.
    """
    import multiprocessing

    if can_be_copied():
        from multiprocessing import forkserver

        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*PRELOADED, *_asked_for])  # has no effect if it runs already
        with contextlib.suppress(OSError):  # the temporary folder may not take sockets
            _name_after_owner()
            with _forked() if _may_be_forked() else contextlib.nullcontext():
                forkserver.ensure_running()
            return context
    return multiprocessing.get_context("spawn")


def _may_be_forked() -> bool:
    """Whether the process that workers are forked from may itself be forked from this one: from the command, before it loads
    code of plugins, and while it has no thread that could hold a lock. The threads of OpenBLAS are built to be forked: NumPy
    and OpenCV each have one of it for each further core.
    """
    import threading

    if _foreign or threading.active_count() > 1 or not STARTED_THREADS.isdisjoint(sys.modules) or not is_command():
        return False
    num_libraries = len({"numpy", "cv2"} & sys.modules.keys())
    try:
        return len(list(Path("/proc/self/task").iterdir())) <= 1 + num_libraries * ((os.cpu_count() or 1) - 1)
    except OSError:
        return False


@contextlib.contextmanager
def _forked() -> Iterator[None]:
    """Let :mod:`multiprocessing` fork the process that it would start as a fresh interpreter.

    The fork has the modules that this process has loaded, which saves the third of a second of processor time that loading
    them again takes. It is started with the same code, its files except those that it is given are closed, and its signals
    are set to their defaults, so that nothing but the modules differs. The module has no public setting for this.
    """
    from multiprocessing import resource_tracker, util

    def fork(path: bytes, args: Sequence[Any], passfds: Iterable[int]) -> int:
        with warnings.catch_warnings():  # Python 3.12 warns where a process has any other thread, such as OpenBLAS'
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            _serve(str(args[-1]), passfds)
        return pid

    for module in PRELOADED:
        importlib.import_module(module)
    resource_tracker.ensure_running()  # starts an interpreter in the same way
    start = util.spawnv_passfds
    util.spawnv_passfds = fork
    try:
        yield
    finally:
        util.spawnv_passfds = start


def _serve(code: str, files: Iterable[int]) -> NoReturn:
    """Run what a fresh interpreter would, in a fork."""
    import gc
    import signal
    import threading
    from multiprocessing import forkserver

    try:
        kept = {0, 1, 2, *files}
        for number in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 (names are numbers)
            if number not in kept:
                with contextlib.suppress(OSError):  # of the listing itself
                    os.close(number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        forkserver._forkserver._lock = threading.Lock()  # type: ignore[attr-defined]  # held while this process was forked
        gc.freeze()  # the collector would copy the pages that are shared
        exec(code, {})
    except BaseException:  # SystemExit is its regular end
        pass
    finally:
        os._exit(0)


def can_be_copied() -> bool:
    """Whether workers are forked from a process that waits for that: on Linux, if the path of a socket in the folder for
    temporary files is not too long."""
    try:
        return sys.platform == "linux" and len(os.fsencode(tempfile.gettempdir())) <= LONGEST_FOLDER
    except OSError:
        return False


def _begin(environ: dict[str, str], begin: Callable[..., None] | None, values: tuple[Any, ...]) -> None:
    """Set up a new process: take the environment, which may have changed since the process that it was forked from began;
    exit at once on Ctrl-C (the parent informs the user) and when the parent is gone."""
    import signal
    import threading

    os.environ.clear()
    os.environ.update(environ)
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if begin is not None:
        begin(*values)


def _leave_with_parent() -> None:
    import multiprocessing
    from multiprocessing.connection import wait as wait_for

    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
