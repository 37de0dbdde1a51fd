"""The train stage: what it learns, keeps, writes and survives."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipekit import images
from pipekit.builtin.train import TrainParams, keras_names, train
from pipekit.builtin.train.range_test import choose_rate
from pipekit.cli import main
from pipekit.contract import Dataset, Failure, Model, Sample
from pipekit.engine.context import check_share
from pipekit.engine.run import run_plan
from pipekit.errors import PipekitError, StageError, UserError
from pipekit.learning.predictor import load_predictor
from pipekit.pipeline.plan import load_plan
from pipekit.registry.registry import load_registry
from pipekit.rng import Rng, rng_for
from pipekit.testing import check_component
from tests.builtin.test_train_parts import ALL, PARTS

REGISTRY = load_registry(installed=False)
TINY = {"template": "simple_cnn", "filters": [4], "dense": []}
DENSE = {"template": "mlp", "units": [8]}
"""Where the kind of model does not matter: half the time of a convolution to trace."""
COLOURS = {"blue": (40, 60, 200), "green": (50, 190, 60), "red": (210, 50, 40)}


class Killed(BaseException):
    """Stands for a kill: nothing that catches Exception or KeyboardInterrupt sees it, so nothing is saved on the way out."""


@dataclass
class Bench:
    """A context that writes into a folder; ``kill_at`` = (epoch, batch) dies there."""

    folder: Path
    seed: int = 7
    workers: int = 2
    kill_at: tuple[int, int] | None = None
    stage: str = "train"
    max_failed: float = 0.05
    warnings: list[str] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.rmtree(self.out_dir, ignore_errors=True)
        self.out_dir.mkdir(parents=True)
        self.work_dir.mkdir(parents=True, exist_ok=True)

    @property
    def out_dir(self) -> Path:
        return self.folder / "out"

    @property
    def work_dir(self) -> Path:
        return self.folder / "work"

    @property
    def pipeline_file(self) -> Path | None:
        return None

    @property
    def project_dir(self) -> Path:
        return self.folder

    def rng(self, *parts: str | int) -> Rng:
        return rng_for(self.seed, self.stage, *parts)

    def track(self, items: Iterable[Any], total: int | None = None, label: str = "", unit: str = "") -> Iterator[Any]:
        for number, item in enumerate(items):
            if self.kill_at is not None and label.startswith(f"epoch {self.kill_at[0]}/") and number == self.kill_at[1]:
                raise Killed
            yield item

    def event(self, name: str, **values: Any) -> None:
        self.events.append((name, values))

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def artifact(self, kind: type[Model], *, digest: str | None = None, **meta: Any) -> Model:
        assert digest is not None
        return kind(self.out_dir, digest, meta)

    def tolerate(self, failures: Sequence[Failure], num_attempted: int) -> None:
        check_share(
            SimpleNamespace(file="pipeline.toml"),
            SimpleNamespace(name="train", max_failed=self.max_failed),
            num_attempted=num_attempted,
            num_failed=len(failures),
            examples=failures,
        )  # type: ignore[arg-type]

    def component(self, kind: str, name: str) -> Any:
        return REGISTRY.get(kind, name)


def write_images(folder: Path, counts: dict[str, int], side: int = 12) -> Dataset:
    """Noisy squares of one colour: ``counts`` of each split for each class, with an odd number of images in all."""
    rng = np.random.default_rng(0)
    samples = []
    for split, count in counts.items():
        for label, colour in COLOURS.items():
            for number in range(count):
                pixels = np.clip(np.array(colour) + rng.normal(0, 25, (side, side, 3)), 0, 255).astype(np.uint8)
                path = folder / f"{split}-{label}-{number:02d}.png"
                images.write(path, pixels)
                samples.append(Sample(path.stem, str(path), label=label, split=split))
    return as_dataset(folder, samples)


def as_dataset(folder: Path, samples: list[Sample]) -> Dataset:
    samples = sorted(samples, key=lambda sample: sample.id)
    counts: dict[str, dict[str, int]] = {}
    for sample in samples:
        if sample.label is not None:
            of_split = counts.setdefault(sample.split, {})
            of_split[sample.label] = of_split.get(sample.label, 0) + 1
    classes = sorted({sample.label for sample in samples if sample.label is not None})
    meta = {"num_samples": len(samples), "num_failed": 0, "classes": classes, "counts": counts}
    return Dataset(folder, "", meta, lambda _: iter(samples), lambda _: iter(()))


@pytest.fixture
def curves() -> None:
    """For a test that looks at the curves."""


@pytest.fixture(autouse=True)
def no_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes a third of so short a run; only tests that ask for ``curves`` have them drawn."""
    if "curves" not in request.fixturenames:
        monkeypatch.setattr("pipekit.builtin.train.record.draw", lambda *_: None)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_images(tmp_path_factory.mktemp("colours"), {"train": 9, "val": 3, "test": 3})


def params(**values: Any) -> TrainParams:
    given = {"model": DENSE, "epochs": 3, "batch_size": 4, "learning_rate": 0.02, **values}
    checked: TrainParams = REGISTRY.check_params(TrainParams, given)
    return checked


def weights_of(model: Model) -> str:
    return str(json.loads((model.path / "model.json").read_text())["weights_sha256"])


def history_of(model: Model) -> list[dict[str, str]]:
    with (model.path / "history.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


FLIPPED: dict[str, Any] = {"ops": ["hflip", {"op": "rotate", "limit_deg": 20}]}


@pytest.mark.usefixtures("curves")
def test_it_learns_and_what_it_saves_predicts_from_raw_pixels(colours: Dataset, tmp_path: Path) -> None:
    ctx = Bench(tmp_path)
    model = train(ctx, colours, params(epochs=6, model={"template": "mlp", "units": [16]}, learning_rate=0.005, **FLIPPED))
    files = {path.name for path in model.path.iterdir()}
    assert files == {"model.keras", "model.json", "trained_on.bin", "history.csv", "curves.png", "curves.svg"}
    predictor = load_predictor(model.path, ctx.component)
    assert predictor.classes == ("blue", "green", "red")
    assert predictor.input_shape_hwc == (12, 12, 3)
    tests = list(colours.split("test"))
    found = [predictor.classes[int(np.argmax(row))] for _, row in predictor.stream(tests, lambda sample: sample.image)]
    assert found == [sample.label for sample in tests]
    assert [event["epoch"] for name, event in ctx.events if name == "epoch"] == [1, 2, 3, 4, 5, 6]
    begun = [event for name, event in ctx.events if name == "epoch_started"]
    assert [(event["epoch"], event["epochs"], event["step"], event["at_most"]) for event in begun] == [
        (number, 6, 0, False) for number in range(1, 7)
    ]
    assert [len(event["last_epochs_s"]) for event in begun] == [0, 1, 2, 3, 3, 3]
    assert {event["steps"] for event in begun} == {-(-sum(colours.counts["train"].values()) // 4)}
    info = json.loads((model.path / "model.json").read_text())
    assert info["kept_epoch"] == 1 + int(np.argmin([row["val_loss"] for row in info["history"]]))
    assert model.meta["headline"].startswith("validation accuracy 1.000 in epoch ")
    assert (info["calibration"]["temperature"], info["calibration"]["num_val_images"]) == (None, info["images"]["val"])
    assert "no mistake" in info["calibration"]["reason"]
    assert any("validation images" in words for words in model.meta["words"])
    assert ctx.warnings == []


def test_the_same_seed_gives_the_same_weights_whatever_the_workers_and_the_cache(colours: Dataset, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {**FLIPPED, "model": {**TINY, "dropout": 0.3}, "mixup": 0.2, "epochs": 2}
    one = train(Bench(tmp_path / "1", workers=1), colours, params(**chosen, cache="off"))
    two = train(Bench(tmp_path / "2", workers=4), colours, params(**chosen, cache="disk"))
    assert one.digest == two.digest
    assert weights_of(one) == weights_of(two)
    assert (one.path / "model.keras").read_bytes() == (two.path / "model.keras").read_bytes()
    assert history_of(one) == history_of(two)
    other = train(Bench(tmp_path / "3", seed=8), colours, params(**chosen))
    assert weights_of(other) != weights_of(one)


def test_parts_of_plugins_train_and_the_model_needs_no_plugin(colours: Dataset, tmp_path: Path) -> None:
    (tmp_path / "acme.py").write_text(PARTS, encoding="utf-8")
    registry = load_registry((str(tmp_path / "acme.py"),), installed=False)
    given = registry.check_params(TrainParams, {"model": DENSE, "epochs": 5, "batch_size": 4, "keep": "last", **ALL})
    model = train(Bench(tmp_path), colours, given)
    rows = history_of(model)
    assert len(rows) == 2, "the callback has stopped it"
    assert {"sure", "val_sure", "val_loss"} <= set(rows[0])
    assert 1 / 3 <= float(rows[1]["val_sure"]) <= 1
    for kind, names in {"loss": ["focal"], "metric": ["sure"], "optimizer": ["plain"]}.items():
        for name in names:
            check_component(kind, name, registry=registry)
    from pipekit.learning.keras_backend import load_keras

    assert not load_keras().saving.load_model(model.path / "model.keras").compiled, "Keras knows no part of the plugin"


SAMPLER = '''
"""A sampler."""
import numpy as np
import pipekit

class OnlyParams(pipekit.Params):
    number: int = pipekit.param(2, "The class", ge=0, le=9)

def only(targets, epoch, params: OnlyParams, rng):
    """Images of one class alone, with repetitions."""
    return rng.choice(np.flatnonzero(targets == params.number), len(targets))

@pipekit.hookimpl
def register_samplers(register):
    register("only", only)
'''


def test_the_sampler_of_a_plugin_decides_what_a_training_shows_and_a_killed_one_goes_on_with_it(
    colours: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "acme.py").write_text(SAMPLER, encoding="utf-8")
    registry = load_registry((str(tmp_path / "acme.py"),), installed=False)
    values = {"model": DENSE, "epochs": 4, "batch_size": 4, "keep": "last", "checkpoint_s": 0, "learning_rate": 0.02}
    for number in (0, 2):
        given = registry.check_params(TrainParams, {**values, "sampler": {"use": "only", "number": number}})
        model = train(Bench(tmp_path / f"{number}"), colours, given)
        predictor = load_predictor(model.path, Bench(tmp_path).component)
        said = predictor.stream(colours, lambda sample: sample.image)
        assert {int(np.argmax(probabilities)) for _, probabilities in said} == {number}
    with pytest.raises(Killed):
        train(Bench(tmp_path / "killed", kill_at=(2, 1)), colours, given)
    assert train(Bench(tmp_path / "killed"), colours, given).digest == model.digest


INTERRUPTED: dict[str, Any] = {**FLIPPED, "model": {**TINY, "dropout": 0.3}, "metrics": ["accuracy", "f1"], "checkpoint_s": 0}


@pytest.fixture(scope="module")
def whole(colours: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A run that nothing interrupts."""
    return train(Bench(tmp_path_factory.mktemp("whole")), colours, params(**INTERRUPTED))


@pytest.mark.parametrize("kill_at", [(1, 3), (2, 0), (3, 5)])
def test_a_killed_run_goes_on_to_the_same_history_and_weights(
    kill_at: tuple[int, int], whole: Model, colours: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(Bench(tmp_path, kill_at=kill_at), colours, params(**INTERRUPTED))
    ctx = Bench(tmp_path)
    again = train(ctx, colours, params(**INTERRUPTED))
    resumed = next(values for name, values in ctx.events if name == "resumed")
    assert (resumed["epoch"] + 1, resumed["step"]) == kill_at  # nothing is done twice
    assert history_of(again) == history_of(whole)
    assert again.digest == whole.digest


@pytest.mark.parametrize("step", [1, 3])
def test_a_run_that_is_killed_before_its_smaller_last_batch_rounds_as_if_nothing_had_happened(
    step: int, colours: Dataset, tmp_path: Path
) -> None:
    """TensorFlow compiles a step for the first size of a batch that it meets, and for any size at the second one."""
    asked = params(model="simple_cnn", epochs=2, batch_size=8, checkpoint_s=0, ops=[], learning_rate=0.001)
    whole = train(Bench(tmp_path / "whole"), colours, asked)  # 27 images: 8, 8, 8 and 3
    with pytest.raises(Killed):
        train(Bench(tmp_path / "killed", kill_at=(1, step)), colours, asked)
    assert train(Bench(tmp_path / "killed"), colours, asked).digest == whole.digest


@pytest.mark.parametrize(("file", "damage"), [("state.npz", "emptied"), ("state.npz", "flipped"), ("best-*.npz", "deleted")])
def test_a_damaged_checkpoint_is_said_and_training_starts_anew(
    file: str, damage: str, whole: Model, colours: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(Bench(tmp_path, kill_at=(2, 0)), colours, params(**INTERRUPTED))
    (path,) = tmp_path.rglob(file)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(byte ^ 1 for byte in data[middle : middle + 400])  # more than a header between arrays
    path.write_bytes(b"" if damage == "emptied" else bytes(data))
    if damage == "deleted":
        path.unlink()
    ctx = Bench(tmp_path)
    assert train(ctx, colours, params(**INTERRUPTED)).digest == whole.digest
    assert any("the checkpoint is damaged" in warning for warning in ctx.warnings)


def test_a_checkpoint_is_on_the_disk_before_it_replaces_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipekit.builtin.train import loop

    synced: list[bool] = []
    monkeypatch.setattr(loop.os, "fsync", lambda handle: synced.append((tmp_path / "a.npz").exists()))
    loop._write_npz(tmp_path / "a.npz", v0=np.zeros(3))
    assert synced == [False]


def test_kill_9_loses_at_most_the_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real kill of a real run; --resume completes it as if nothing had happened."""
    dataset = write_images(tmp_path, {"train": 4, "val": 2})
    assert len(dataset) == 18
    script = textwrap.dedent(
        """
        import os, signal
        from pathlib import Path
        from pipekit.engine.run import run_plan
        from pipekit.pipeline.plan import load_plan

        def listen(event, **values):
            if event == "epoch" and values["epoch"] == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        run_plan(load_plan(Path("pipeline.toml")), listen)
        """
    )
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pipeline.toml").write_text(
            'name = "p"\nworkers = 2\n[stages.data]\nuse = "import.folders"\npath = "images"\n'
            '[stages.train]\nuse = "train"\nepochs = 5\nmodel = { template = "mlp", units = [8] }\n'
        )
        for sample in dataset:
            path = tmp_path / name / "images" / sample.split / str(sample.label) / f"{sample.id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.image, path)

    killed = subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "killed", capture_output=True, check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "killed" / "runs" / "p" / "model.json").exists()
    monkeypatch.chdir(tmp_path / "killed")
    assert main(["run", "--resume", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [3, 4, 5]
    assert run_plan(load_plan(tmp_path / "whole" / "pipeline.toml")).status == "finished"
    found = [json.loads((tmp_path / name / "runs" / "p" / "model.json").read_text()) for name in ("killed", "whole")]
    assert found[0]["history"] == found[1]["history"]
    assert len(found[0]["history"]) == 5
    assert found[0]["weights_sha256"] == found[1]["weights_sha256"]


UNFREEZING = {"template": "pretrained", "backbone": "MobileNet", "weights": "random", "frozen_epochs": 1, "fine_tune": 5}


@pytest.mark.parametrize(
    "values",
    [
        {"label_mode": "sparse", "metrics": ["accuracy", "precision", "recall", "f1"]},
        {"label_mode": "categorical", "metrics": ["accuracy", "auc", "f1"], "label_smoothing": 0.1},
        {"loss": "categorical_focal_crossentropy", "cutmix": 1.0, "mixup": 0.2, "mosaic": 0.5},
        {"optimizer": "sgd", "momentum": 0.5, "clip_norm": 1.0, "schedule": "plateau", "decay_epochs": 1},
        {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "step", "decay_epochs": 1, "warmup_epochs": 0.5},
        {"precision": "mixed_bfloat16", "class_weights": "balanced", "channels": 1, **FLIPPED},
        {"model": {"template": "hog_svm", "cell_px": [3]}},
        {"model": {"template": "row_lstm", "units": 8}},
        {"model": {"template": "autoencoder", "filters": [4], "code": 3}, "metrics": ["mse"]},
        {"model": UNFREEZING, "input_hw": [32, 32]},
        {"detail": 2.0, "ops": [{"op": "rotate", "limit_deg": 5}], "keep": "last", "tensorboard": True, "epochs": 2},
    ],
    ids=lambda values: " ".join(str(v) for v in values)[:40],
)
def test_every_way_to_train_ends_with_a_model(values: dict[str, Any], colours: Dataset, tmp_path: Path) -> None:
    ctx = Bench(tmp_path)
    model = train(ctx, colours, params(**{"epochs": 2, **values}))
    info = json.loads((model.path / "model.json").read_text())
    row = info["history"][-1]
    wanted = {"loss", "val_loss", *values.get("metrics", ())} | {f"val_{name}" for name in values.get("metrics", ())}
    assert wanted <= set(row)
    assert all(np.isfinite(value) for value in row.values() if isinstance(value, float))
    assert (info["task"] == "reconstruction") == (info["template"] == "autoencoder")
    assert (model.path / "tensorboard").exists() == bool(values.get("tensorboard"))


@pytest.mark.usefixtures("curves")
def test_two_classes_with_the_second_as_positive(colours: Dataset, tmp_path: Path) -> None:
    two = as_dataset(tmp_path, [sample for sample in colours if sample.label != "green"])
    model = train(
        Bench(tmp_path), two, params(label_mode="binary", metrics=["accuracy", "precision", "recall", "auc"], epochs=6)
    )
    row = json.loads((model.path / "model.json").read_text())["history"][-1]
    assert row["val_precision"] == row["val_recall"] == 1.0
    assert row["val_auc"] == pytest.approx(1.0)
    with pytest.raises(UserError, match="'binary' needs two classes, the data has 3"):
        train(Bench(tmp_path / "3"), colours, params(label_mode="binary"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"learning_rate": 1e30, "optimizer": "sgd"}, r"(?s)the loss became (nan|inf) in epoch 1.*Try the usual 0.01 of sgd"),
        ({"model": {"template": "simple_cnn", "filters": [4, 4, 4, 4]}}, "needs at least 16 x 16 pixels, got 12 x 12"),
        ({"model": {"template": "alexnet"}, "input_hw": [60, 60]}, "at least 67 x 67 pixels, and was designed for 227 x 227"),
        ({"model": {"template": "autoencoder"}, "label_mode": "sparse"}, "label_mode 'input' is for models"),
        ({"label_mode": "input"}, "label_mode 'input' is for models"),
        ({"loss": "hinged"}, "Keras has no loss called 'hinged'"),
        ({"metrics": ["acuracy"]}, "Keras has no metric called 'acuracy'"),
        ({"monitor": "val_auc"}, "there is no column 'val_auc'"),
        ({"devices": "mirrored"}, "needs at least two devices"),
        ({"devices": "multi_worker"}, "TF_CONFIG"),
    ],
)
def test_what_cant_go_on_is_said(values: dict[str, Any], words: str, colours: Dataset, tmp_path: Path) -> None:
    with pytest.raises(PipekitError, match=words) as caught:
        train(Bench(tmp_path), colours, params(**values))
    assert caught.value.hint


def test_too_little_memory_is_a_sentence(colours: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("pipekit.builtin.train.loop.Loop._epoch", full)
    with pytest.raises(StageError, match="out of memory with batches of 4 images of 12 x 12") as caught:
        train(Bench(tmp_path), colours, params())
    assert "batch_size = 2" in caught.value.hint


def test_images_that_cant_be_read_are_listed_and_left_out(tmp_path: Path) -> None:
    dataset = write_images(tmp_path, {"train": 4, "val": 2})
    (tmp_path / "train-red-00.png").write_bytes((tmp_path / "train-red-00.png").read_bytes()[:60])
    (tmp_path / "val-blue-01.png").write_bytes(b"")
    with pytest.raises(Killed):  # the batches that come after the restart do not hold the damaged image
        train(Bench(tmp_path / "run", kill_at=(3, 2), max_failed=0.2), dataset, params(checkpoint_s=0))
    ctx = Bench(tmp_path / "run", max_failed=0.2)
    model = train(ctx, dataset, params(checkpoint_s=0))
    with (model.path / "left_out.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["train-red-00", "val-blue-01"]
    (warning,) = ctx.warnings
    assert warning.startswith("2 images can't be read")
    assert "train-red-00" in warning
    assert model.meta["facts"]["images left out"] == "2"
    with pytest.raises(StageError, match=r"samples can't be used .* max_failed allows 5.0%:\n    train-red-00") as caught:
        train(Bench(tmp_path / "strict"), dataset, params())
    assert "--set stages.train.max_failed=" in caught.value.hint


@pytest.mark.usefixtures("curves")
def test_without_val_the_training_loss_decides(tmp_path: Path) -> None:
    dataset = write_images(tmp_path, {"train": 4, "test": 2})
    ctx = Bench(tmp_path / "run")
    model = train(ctx, dataset, params())
    info = json.loads((model.path / "model.json").read_text())
    assert info["monitor"] == "loss"
    assert info["kept_epoch"] == 1 + int(np.argmin([row["loss"] for row in info["history"]]))
    assert "no split 'val'" in ctx.warnings[0]
    assert (model.path / "curves.png").stat().st_size > 1000


def test_it_stops_when_nothing_gets_better(colours: Dataset, tmp_path: Path) -> None:
    still: dict[str, Any] = {"learning_rate": 1e-12}
    model = train(Bench(tmp_path), colours, params(epochs=9, patience=2, monitor="val_accuracy", **still))
    info = json.loads((model.path / "model.json").read_text())
    assert len(info["history"]) == 3
    assert info["kept_epoch"] == 1
    assert info["stopped_early"]
    assert any("Stopped after epoch 3" in words for words in info["words"])


def test_a_learning_rate_is_found_and_leaves_no_trace(colours: Dataset, tmp_path: Path) -> None:
    plain: dict[str, Any] = {"model": {"template": "mlp", "units": [8]}, "learning_rate": None, **FLIPPED}
    found = train(Bench(tmp_path / "found"), colours, params(**plain, find_learning_rate=True))
    info = json.loads((found.path / "model.json").read_text())
    rate = info["found_learning_rate"]
    assert 1e-6 < rate <= 0.1
    assert info["history"][-1]["loss"] < info["history"][0]["loss"]
    # the same rate given by hand: the search itself changed neither weights, optimizer nor order
    given = train(Bench(tmp_path / "given"), colours, params(**{**plain, "learning_rate": rate}))
    assert weights_of(given) == weights_of(found)
    with pytest.raises(UserError, match="omit learning_rate"):
        params(find_learning_rate=True)


def test_the_rate_that_is_chosen() -> None:
    rates = np.geomspace(1e-6, 1, 100)
    # flat, then falling, fastest at 1e-3, lowest at 1e-1, then rising
    losses = 2 - np.tanh(3 * (np.log10(rates) + 3)) + np.maximum(0, np.log10(rates) + 1) ** 2 * 9
    assert choose_rate(list(zip(rates, losses, strict=True))) == pytest.approx(1e-3, rel=0.1)
    # the noise of single batches, before it is averaged out, is not a fall
    for seed in range(20):
        noisy = losses + rng_for(seed).normal(0, 1, 100) / (1 + np.arange(100))
        assert 2e-4 < choose_rate(list(zip(rates, noisy, strict=True))) < 5e-3
    # lowest so soon after the steepest place that a tenth of it is less
    losses = np.abs(np.log10(rates) + 3)
    assert choose_rate(list(zip(rates, losses, strict=True))) <= 1e-4 * 1.1


def test_the_split_test_is_never_opened(tmp_path: Path) -> None:
    dataset = write_images(tmp_path, {"train": 3, "val": 2, "test": 2})
    for sample in dataset.split("test"):
        Path(sample.image).unlink()
    assert train(Bench(tmp_path / "run"), dataset, params(epochs=1)).digest


def test_two_devices_learn_what_one_learns(tmp_path: Path) -> None:
    """Two logical processors stand for two GPUs; they must be set before TensorFlow starts, hence the process."""
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path

        sys.path.insert(0, sys.argv[1])
        import test_train as helpers
        from pipekit.learning.keras_backend import load_keras

        load_keras()
        import tensorflow as tf

        (processor,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
        folder = Path(sys.argv[2])
        dataset = helpers.write_images(folder, {"train": 8, "val": 3})
        for devices in ("one", "mirrored"):
            chosen = helpers.params(model={"template": "mlp", "units": [8]}, devices=devices)
            helpers.train(helpers.Bench(folder / devices), dataset, chosen)
        """
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (
        json.loads((tmp_path / devices / "out" / "model.json").read_text())["history"] for devices in ("one", "mirrored")
    )
    assert len(one) == len(two) == 3
    for name in ("loss", "val_loss", "val_accuracy"):
        np.testing.assert_allclose([row[name] for row in one], [row[name] for row in two], rtol=1e-3)


def test_the_table_of_names_is_what_keras_says() -> None:
    if keras_names.table():
        found = keras_names.read_keras()
        assert {kind: found[kind] for kind in keras_names.table()} == keras_names.table()
