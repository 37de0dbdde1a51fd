"""A plugin as a whole: it is loaded, its components are tested and its observers called, in this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipekit.contract import Files, RunInfo, StageInfo
from pipekit.errors import StageError, UserError
from pipekit.registry.registering import ADAPTED
from pipekit.testing.checks.core import Verdict, in_short, once, own_promises, required_parameters, run_checks
from pipekit.testing.checks.general import HEAVY
from pipekit.testing.checks.watched import outside, written

if TYPE_CHECKING:
    from pipekit.registry.component import Component
    from pipekit.registry.registry import PluginRecord, Registry

QUICK_S = 1.0
"""Longest time that loading a plugin may take, as `pipekit doctor` has it; on a slow machine more."""

LOADED = "loading it is quick and quiet, and changes nothing else"
WRITES = "it writes no file but in the folder that it is given"
CALLED = "it can be called, and returns nothing"
BRINGS = "it brings a component or an observer"

EVENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("run_started", {"name": "trial", "file": "pipeline.toml", "stages": ["data", "train"]}),
    ("stage_started", {"stage": "train", "use": "train"}),
    ("progress", {"stage": "train", "label": "epoch 1/2", "done": 1, "total": None, "unit": "batches"}),
    ("epoch", {"stage": "train", "epoch": 1, "epochs": 2, "best": 1, "loss": 0.7, "val_loss": 0.8, "learning_rate": 0.001}),
    ("an_event_of_a_later_version", {"stage": "train"}),
    ("stage_finished", {"stage": "train", "use": "train", "seconds": 1.0, "facts": {}, "failed": 0}),
    ("run_finished", {"status": "finished", "run_dir": "runs/trial", "seconds": 1.0, "headline": ""}),
)
"""Events with which an observer of events is called."""

Announce = Callable[[str, str, str], object]
"""Called with a kind, a name and a promise before it is tested."""


@dataclass(frozen=True)
class Trial:
    """How a plugin is tested.

    Attributes:
        path: a folder or file of the format that its importers and codecs read.
        skip: components that are not tested: (kind, name).
        slowness: how much slower this machine is than usual.
        own: folders in which files may be written.
        stdout: a file that holds what is printed to standard output; None if nobody looks.
    """

    path: Path | None = None
    skip: Collection[tuple[str, str]] = ()
    slowness: float = 1.0
    own: tuple[str, ...] = ()
    stdout: Path | None = None
    announce: Announce = lambda kind, name, promise: None


def load_plugin(what: str, trial: Trial) -> tuple[Registry, PluginRecord, list[Verdict]]:
    """Load a plugin among all that are installed.

    Args:
        what: a file or module, or the name of an installed plugin or distribution.

    Returns:
        the registry, its record, and verdicts on the loading.

    Raises:
        UserError: there is no such plugin, or it could not be loaded.
    """
    from pipekit.registry.registry import load_registry

    printed = _size(trial.stdout)
    threads, folder, interrupt = set(threading.enumerate()), Path.cwd(), signal.getsignal(signal.SIGINT)
    loaded, waited_s = set(sys.modules), _waited_s()
    with written() as paths:
        registry = load_registry()
        record = _named(registry, what)
        if record is None:
            registry = load_registry((what,))
            record = registry.plugins[-1]
    if record.status != "ok":
        raise refusal(record)
    faults = []
    limit_s = QUICK_S * min(3.0, max(1.0, trial.slowness))
    heavy = [name for name in HEAVY if name in sys.modules and name not in loaded]
    is_told = bool(heavy and record.components)  # by the promise of each component to load no heavy library
    waited_s = _waited_s() - waited_s
    if record.seconds - waited_s > limit_s and not is_told and _seconds_again(what) > limit_s:
        faults.append(f"loading it takes {record.seconds:.1f} s, at every command; import in the functions that need it")
    if _size(trial.stdout) > printed:
        faults.append("it prints to standard output when it is loaded, where commands print data")
    left = [thread.name for thread in threading.enumerate() if thread not in threads and not thread.daemon]
    if left:
        faults.append(f"loading it starts a thread ({left[0]}) that would keep every command from ending")
    if Path.cwd() != folder:
        faults.append("loading it changes the working folder")
        os.chdir(folder)
    if signal.getsignal(signal.SIGINT) != interrupt:
        faults.append("loading it replaces the handler of Ctrl-C")
    if stray := _stray(paths, trial):
        faults.append(f"loading it writes {stray[0]}")
    return registry, record, [Verdict("plugin", record.name, LOADED, fault) for fault in faults or [""]]


def _waited_s() -> float:
    """The time for which this process has waited for a processor, where Linux tells."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _seconds_again(what: str) -> float:
    """The time that loading the plugin takes in another process: in this one, others may have taken the machine."""
    script = (
        "import sys, time\n"
        "from pipekit.registry.registry import load_registry\n"
        "from pipekit.testing.checks.plugin import _named, _waited_s\n"
        "waited_s = _waited_s()\n"
        "registry = load_registry()\n"
        "record = _named(registry, sys.argv[1]) or load_registry((sys.argv[1],)).plugins[-1]\n"
        "print('\\n', max(0.0, record.seconds - _waited_s() + waited_s), flush=True)\n"
        "import os; os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, what], capture_output=True, text=True, check=False)
    last = done.stdout.strip().rpartition("\n")[2]
    return float(last) if last.replace(".", "", 1).isdigit() else 0.0


def refusal(record: PluginRecord) -> UserError:
    """The error about a plugin that can't be tested."""
    if record.status == "missing":
        return UserError(record.reason, "All plugins: pipekit plugins")
    return UserError(f"plugin {record.name!r} is {record.status}: {record.reason}", "All plugins: pipekit plugins")


def verdicts_on(registry: Registry, record: PluginRecord, trial: Trial) -> Iterator[Verdict]:
    """Test every component of a loaded plugin with default parameters, and call its observers."""
    own, wrong = own_promises(), set()
    for kind, name in record.components:
        if name.endswith(".*") or (kind, name) in trial.skip:
            continue
        if kind == "stage" and name in wrong:
            origin = "importer" if name.startswith("import.") else "exporter"
            yield Verdict(kind, name, "it works as a stage", untried=f"a promise of the {origin} is broken")
            continue
        component = registry.get(kind, f"{record.name}:{name}")
        for verdict in _watched(_on_component(registry, component, trial), kind, name, trial):
            if verdict.problem and verdict.promise in own and kind in ADAPTED:
                wrong.add(ADAPTED[kind][0] + name)
            yield verdict
    for hook in record.observers:
        if ("observer", hook) not in trial.skip:
            yield from _watched(_on_observer(registry, record.name, hook, trial), "observer", hook, trial)
    if not record.components and not record.observers:
        yield Verdict("plugin", record.name, BRINGS, "no hook of it registers or observes anything")


def check_plugin(what: str, path: Path | None = None) -> tuple[PluginRecord, Iterator[Verdict]]:
    """Test a plugin in this process, which it may end.

    Args:
        what: a file or module, or the name of an installed plugin or distribution.
        path: a folder or file of the format that its importers and codecs read.

    Raises:
        UserError: there is no such plugin, or it could not be loaded.
    """
    trial = Trial(path)
    registry, record, found = load_plugin(what, trial)

    def every() -> Iterator[Verdict]:
        yield from found
        yield from verdicts_on(registry, record, trial)

    return record, once(every())


def _on_component(registry: Registry, component: Component, trial: Trial) -> Iterator[Verdict]:
    def announce(promise: str) -> None:
        trial.announce(component.kind, component.name, promise)

    values: dict[str, Any] | None = None
    samples: dict[str, Any] = {}
    if trial.path is not None and component.kind == "importer":
        samples["path"] = trial.path
    if trial.path is not None and component.kind == "codec" and trial.path.is_file():
        samples["data"] = trial.path.read_bytes()
    try:
        if trial.path is not None and component.name.startswith("import.") and required_parameters(component) == ["path"]:
            values = {"path": str(trial.path)}
    except (Exception, SystemExit):
        values = None  # run_checks says why
    return run_checks(registry, component, values, announce, **samples)


def _on_observer(registry: Registry, plugin: str, hook: str, trial: Trial) -> Iterator[Verdict]:
    """Call an observer as a run would."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunInfo("trial", "pipeline.toml", 0, Path(folder), "finished")
        stage = StageInfo("data", "import.folders", "0" * 64, {})
        values = {"run": run, "stage": stage, "artifact": Files(Path(folder), "0" * 64, {}), "error": StageError("a trial")}
        events = EVENTS if hook == "on_event" else (("", {}),)
        for name, call in registry.observers(hook):
            if name == plugin:
                trial.announce("observer", hook, CALLED)
                given = ({**values, "event": event, "values": MappingProxyType(told)} for event, told in events)
                problems = (_problem_of_call(call, one) for one in given)
                yield Verdict("observer", hook, CALLED, next(filter(None, problems), ""))


def _watched(verdicts: Iterator[Verdict], kind: str, name: str, trial: Trial) -> Iterator[Verdict]:
    """The verdicts, and one more if files were written elsewhere."""
    with written() as paths:
        yield from verdicts
    stray = _stray(paths, trial)
    if stray:
        more = f" and {len(stray) - 1} more" if len(stray) > 1 else ""
        yield Verdict(kind, name, WRITES, f"it wrote {stray[0]}{more}")


def _stray(paths: list[str], trial: Trial) -> list[str]:
    """What was written where nobody expects it: libraries may write to folders of devices, caches and settings."""
    if not trial.own:
        return []
    hidden = [os.environ.get(name, "") for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "KERAS_HOME")]
    hidden += ["/dev", "/proc"]
    home = str(Path.home()) + os.sep
    found = outside(paths, *trial.own, *filter(None, hidden))
    return [path for path in found if not path.removeprefix(home).startswith(".")]


def _problem_of_call(call: Callable[..., Any], values: Mapping[str, Any]) -> str:
    try:
        returned = call(**values)
    except (Exception, SystemExit) as error:
        return in_short(error)
    return "" if returned is None else f"it returned a value of type {type(returned).__name__}"


def _named(registry: Registry, what: str) -> PluginRecord | None:
    return next((record for record in registry.plugins if what in (record.name, record.source.partition(" ")[0])), None)


def _size(file: Path | None) -> int:
    if file is None:
        return 0
    sys.stdout.flush()
    return file.stat().st_size
