"""Results that show themselves, and the progress in a notebook, in a stand-in for a Jupyter kernel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pipekit as package
from pipekit import images
from pipekit.commands import progress, shown
from pipekit.commands.augment import Augmented
from pipekit.commands.check_augmentation import AugmentationCheck
from pipekit.commands.compare import Comparison
from pipekit.commands.evaluate import Evaluated
from pipekit.commands.explain import Explanation
from pipekit.commands.inspect import Inspected
from pipekit.commands.progress import NotebookProgress
from pipekit.commands.run import Forecasts
from pipekit.commands.similar import Similar
from pipekit.commands.split import Split
from pipekit.commands.working import Made
from pipekit.contract import Artifact, Sample
from pipekit.engine.forecast import Forecast
from pipekit.engine.matrix import Combination, MatrixOutcome
from pipekit.engine.outcome import Outcome, StageOutcome
from tests.commands.in_memory import held

BAD = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One result of each kind, with a hostile name in it."""
    folder = tmp_path_factory.mktemp("result")
    images.write(folder / "a.png", np.full((30, 40, 3), 90, np.uint8))
    artifact = Artifact(folder, "d", {"facts": {"images": BAD}, "headline": BAD})
    stage = StageOutcome("split", "split", "k", False, 1.5, artifact, {}, {}, {}, (f"{BAD} in {folder}/x.jpg",))
    outcome = Outcome("pets", "finished", folder, (stage,), 2.0, f"accuracy of {BAD}")
    row = Combination(1, {"stages.train.model": BAD}, "pets-1", 0.5, "fine")
    data: Any = held([Sample("a.aug1.png", str(folder / "a.png"), label=BAD, split="train", extra={"augmented": {}})]).artifact
    summary = [{"check": "leakage", "severity": "error", "findings": 1, "images": 2, "message": f"{BAD} twice"}]
    metrics = {
        "accuracy": {"value": 0.9, "low": 0.8, "high": 0.95},
        "macro_f1": 0.88,
        "classes": [BAD, "cat"],
        "confusion_matrix": [[9, 1], [0, 10]],
    }
    nearest = {"query": BAD, "rank": 1, "id": "b", "label": BAD, "similarity": 0.9}
    record = {"name": "pets", "started": "2026-01-02T03:04:05", "status": "finished", "seconds": 1.0, "headline": BAD}
    stages = [{"name": BAD, "cached": True, "seconds": 0.1, "facts": {"images": "3"}}]
    return folder, {
        "outcome": shown.shown(outcome),
        "matrix": shown.shown_matrix(MatrixOutcome("train.val_accuracy", (row,), row, folder)),
        "runs": shown.Runs([record]),
        "record": shown.RunRecord(record | {"stages": stages}),
        "forecast": Forecasts((Forecast("split", "split", "run", BAD),), 4),
        "inspected": Inspected({"num_images": 3, "counts": {"": {BAD: 3}}, "summary": summary}, folder, (), (), outcome),
        "split": Split({"train": {BAD: 3}}, data, Path("split.csv"), None, outcome),
        "augmented": Augmented(folder, "folders", data, outcome, (BAD,)),
        "evaluated": Evaluated(f"accuracy of {BAD}", metrics, folder, (), outcome),
        "comparison": Comparison(("a", BAD), (f"{BAD} is better",), {"pairs": [{"name": BAD, "p": 0.03}]}, ""),
        "explanation": Explanation(folder, "", (BAD,)),
        "similar": Similar((nearest,), folder, folder / "a.png", outcome),
        "check": AugmentationCheck(({"op": BAD, "accuracy": "0.9", "verdict": "fine"},), folder / "a.html", outcome),
        "made": Made(folder, folder / "a.png", (), artifact, outcome),
    }


KINDS = "outcome matrix runs record forecast inspected split augmented evaluated comparison explanation similar check made"


@pytest.mark.parametrize("kind", KINDS.split())
def test_a_result_shows_itself(kind: str, results: tuple[Path, dict[str, Any]]) -> None:
    folder, of_kind = results
    html = of_kind[kind]._repr_html_()
    assert "<img src=x" not in html
    assert "&lt;img src=x" in html
    assert str(folder) not in html
    assert len(html) < 20_000
    assert ("data:image/jpeg" in html) == (kind in ("augmented", "explanation", "similar", "made"))


@pytest.mark.parametrize("kind", KINDS.split())
def test_its_text_is_short_and_names_no_folder_of_this_machine(kind: str, results: tuple[Path, dict[str, Any]]) -> None:
    """Jupyter stores it in the file beside the HTML."""
    folder, of_kind = results
    said: list[str] = []
    assert "_repr_pretty_" in type(of_kind[kind]).__dict__, "IPython takes a class' own repr before one that is inherited"
    of_kind[kind]._repr_pretty_(SimpleNamespace(text=said.append), False)
    assert str(folder) not in said[0]
    assert len(said[0]) < 300
    assert str(folder.parent) in repr(of_kind["outcome"]), "print has all of it"


def test_an_explanation_shows_its_maps_before_its_filters(tmp_path: Path) -> None:
    for number, name in enumerate(("01_grad_cam.jpg", "filters.png")):
        images.write(tmp_path / name, np.full((30, 40, 3), 90 * number, np.uint8))
    html = Explanation(tmp_path, "")._repr_html_()
    assert 0 < html.index("01_grad_cam") < html.index("filters")


def test_a_run_that_nobody_named_has_the_name_of_its_stage() -> None:
    record = {"started": "2026-01-02T03:04:05", "status": "finished", "seconds": 1.0, "headline": ""}
    found = shown.Runs([record | {"name": "adhoc", "stages": [{"use": "import.folders"}, {"use": "inspect"}]}])
    assert ">inspect</td>" in found._repr_html_()
    assert "adhoc" not in found._repr_html_()
    assert "<b>1 run</b>" in found._repr_html_()


def test_every_kind_is_tried(results: tuple[Path, dict[str, Any]]) -> None:
    assert list(results[1]) == KINDS.split()


def test_figures_have_their_intervals(results: tuple[Path, dict[str, Any]]) -> None:
    html = results[1]["evaluated"]._repr_html_()
    assert "0.800 to 0.950" in html
    assert "macro F1" in html
    assert "true \\ predicted" in html


def test_an_outcome_that_shows_itself_is_an_outcome(results: tuple[Path, dict[str, Any]]) -> None:
    outcome = results[1]["outcome"]
    assert isinstance(outcome, Outcome)
    assert outcome.artifact("split").meta["headline"] == BAD


# --- progress ---------------------------------------------------------------------------------------------------------------


class Screen:
    """Keeps what is displayed, and replaced."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, html: str) -> Callable[[str], None]:
        self.shown.append(html)
        return self.shown.append


def test_progress_is_one_display_that_is_brought_up_to_date() -> None:
    screen, now = Screen(), [0.0]
    listener = NotebookProgress(screen, lambda: now[0])
    listener("run_started", name="pets", file="", stages=["data", "train"])
    listener("stage_cached", stage="data", use="import.folders", facts={})
    listener("stage_started", stage="train", use="train")
    assert "data</td>" in screen.shown[-1]
    assert "from the cache" in screen.shown[-1]
    for done in range(1, 100):
        now[0] += 0.01
        listener("progress", stage="train", label="decoding", done=done, total=100, unit="images")
    assert len(screen.shown) == 3 + 3, "four times a second"
    assert "decoding 75 of 100 images" in screen.shown[-1]
    assert '<progress value="75" max="100">' in screen.shown[-1]
    now[0] += 1
    listener("epoch", stage="train", epoch=3, epochs=10, loss=0.5)
    assert "epoch 3 of 10" in screen.shown[-1]
    listener("warning", stage="train", message=f"{BAD} is odd")
    assert "&lt;img" in screen.shown[-1]
    listener("unknown_event", stage="train")
    listener("stage_finished", stage="train", use="train", seconds=2.5, cached=False, facts={})
    assert "done, 2.5 s" in screen.shown[-1]
    listener("run_finished", status="finished", run_dir="/home/me/runs/pets", seconds=3.0, headline="accuracy 0.9")
    assert "pets: 2 stages, 1 from the cache" in screen.shown[-1]
    assert "accuracy 0.9" in screen.shown[-1]
    assert "<progress" not in screen.shown[-1]


def test_a_stage_that_fails_is_marked() -> None:
    screen = Screen()
    listener = NotebookProgress(screen)
    listener("run_started", name="pets", stages=["train"])
    listener("stage_failed", stage="train", use="train")
    assert "failed" in screen.shown[-1]


def test_a_front_end_that_fails_ends_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(html: str) -> Callable[[str], None]:
        raise RuntimeError("no comm")

    listener = NotebookProgress(broken)
    listener("run_started", name="pets", stages=[])
    listener("run_finished", headline="")
    assert capsys.readouterr().err.count("progress can't be shown: no comm\n") == 1


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in for IPython in a Jupyter kernel; what it displays."""
    displayed: list[str] = []
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.HTML = str  # type: ignore[attr-defined]

    def show(html: str, display_id: bool) -> Any:
        displayed.append(html)
        return SimpleNamespace(update=displayed.append)

    display.display = show  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return displayed


def test_a_verb_in_a_kernel_shows_its_progress(kernel: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    for name in ("cat", "dog"):
        file = tmp_path / "pets" / name / "1.png"
        file.parent.mkdir(parents=True)
        images.write(file, np.zeros((8, 8, 3), np.uint8))
    assert len(package.dataset("pets", workers=1)) == 2
    assert "1 stage, " in kernel[-1]
    heard: list[str] = []
    count = len(kernel)
    package.dataset("pets", workers=1, listener=lambda event, **values: heard.append(event))
    assert heard[-1] == "run_finished"
    assert len(kernel) == count, "a listener takes its place"


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])
def test_elsewhere_nothing_is_shown(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipekit.engine.run import silent

    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert progress.listener_or_progress(None) is silent
    monkeypatch.delitem(sys.modules, "IPython")
    assert progress.listener_or_progress(None) is silent


def test_python_code_loads_neither_tensorflow_nor_ipython() -> None:
    code = (
        "import sys, numpy, pipekit; image = numpy.zeros((4, 4, 3), 'uint8');"
        "pipekit.Recipe('hflip').preview(image)._repr_html_();"
        "pipekit.load, pipekit.dataset, pipekit.feed, pipekit.near_duplicates, pipekit.run, pipekit.train;"
        "import pipekit.commands.shown, pipekit.commands.progress; pipekit.commands.progress.listener_or_progress(None);"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"'tensorflow'", "'keras'", "'IPython'", "'pandas'", "'polars'"} & set(done.stdout.strip("[]\n").split(", "))
