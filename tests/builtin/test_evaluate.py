"""The stage ``evaluate``, run by the engine on a model that needs no training."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipekit.engine.run import run_plan
from pipekit.errors import PipekitError
from pipekit.pipeline.plan import load_plan


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text("utf-8"))


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_figures_are_those_of_the_predictions(colour_project: Any) -> None:
    folder = colour_project.report()
    metrics, rows = metrics_of(folder), rows_of(folder)
    assert len(rows) == metrics["num_images"] == 24
    assert metrics["accuracy"]["value"] == np.mean([row["true"] == row["predicted"] for row in rows]) == 22 / 24
    assert metrics["confusion_matrix"] == [[8, 0, 0], [1, 7, 0], [1, 0, 7]]
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    for row in rows:
        probabilities = {name: float(row[f"p:{name}"]) for name in ("blue", "green", "red")}
        assert sum(probabilities.values()) == pytest.approx(1, abs=2e-6)
        assert max(probabilities, key=lambda name: probabilities[name]) == row["predicted"]
        assert float(row["confidence"]) == max(probabilities.values())


def test_the_headline_and_the_facts(colour_project: Any) -> None:
    outcome = colour_project.run()
    assert outcome.headline == "test accuracy 0.917 (95 % interval 0.730 to 0.990), 24 images"
    facts = outcome.stages[-1].facts
    assert (facts["accuracy"], facts["images"], facts["baseline"]) == ("0.917", "24", "0.333")


def test_a_simpler_model_on_the_same_images_is_the_baseline(colour_project: Any) -> None:
    colour_project.model("swapped", classes=["red", "green", "blue"], template="by_colour")
    table = {
        "name": "trial",
        "plugins": ["./by_colour.py"],
        "stages": {
            "data": {"use": "import.folders", "path": "images"},
            "simple": {"use": "made_model", "folder": "swapped"},
            "simple_report": {"use": "evaluate", "dataset": "data"},
            "train": {"use": "made_model", "folder": "model"},
            "report": {"use": "evaluate", "dataset": "data", "baseline": "simple_report"},
        },
    }
    outcome = run_plan(load_plan(table=table, base_dir=colour_project.path))
    simple, folder = outcome.artifact("simple_report").path, outcome.artifact("report").path
    found = metrics_of(folder)["baseline_model"]
    assert metrics_of(simple)["baseline_model"] is None
    assert metrics_of(outcome.run_dir) == metrics_of(folder), "the later report is at the top of the run"
    assert metrics_of(outcome.run_dir / "simple_report") == metrics_of(simple)
    assert (found["name"], found["num_images"]) == ("by_colour", 24)
    assert found["accuracy_first"] == metrics_of(simple)["accuracy"]["value"]
    correct = {row["id"]: row["correct"] == "1" for row in rows_of(folder)}
    theirs = {row["id"]: row["correct"] == "1" for row in rows_of(simple)}
    assert found["gained"] == sum(correct[name] and not theirs[name] for name in correct)
    assert found["lost"] == sum(theirs[name] and not correct[name] for name in correct)
    page = (folder / "report.html").read_text("utf-8")
    assert "The model is clearly better than that (" in page
    assert "baseline: by_colour" in page
    assert outcome.stages[-1].facts["by_colour"] == f"{found['accuracy_first']:.3f}"
    table["stages"]["report"] |= {"split": "val"}  # type: ignore[index]
    with pytest.raises(PipekitError, match="no image in common"):
        run_plan(load_plan(table=table, base_dir=colour_project.path))


def test_the_digest_hangs_on_neither_place_nor_batch_size_nor_workers(colour_project: Any, tmp_path: Path) -> None:
    first = colour_project.run().stages[-1].artifact.digest
    moved = type(colour_project)(tmp_path / "elsewhere")
    shutil.copytree(colour_project.path, moved.path, ignore=shutil.ignore_patterns("runs", ".pipekit"))
    assert moved.run({"batch_size": 5}).stages[-1].artifact.digest == first
    assert moved.run({"bins": 7}).stages[-1].artifact.digest != first


def test_mislabelled_images_are_suspected_and_the_rule_and_the_abstention_are_measured(colour_project: Any) -> None:
    costs, temperature = [[0, 1, 1], [30, 0, 1], [1, 1, 0]], {"temperature": 2.0, "num_val_images": 18}
    rule = {"rule": "expected_cost", "costs": costs, "temperature": 2.0, "val": {"chosen": 0.5, "default": 1.0}}
    colour_project.model(calibration=temperature, decision=rule)
    folder = colour_project.report()
    metrics, page = metrics_of(folder), (folder / "report.html").read_text("utf-8")
    suspected = {row["id"]: row["suggested"] for row in metrics["label_errors"]}
    found = metrics["decision"]
    assert metrics["temperature"]["temperature"] == 2.0
    assert found["cost"]["default"]["value"] == (30 + 1) / 24, "one green and one red image are taken for blue"
    chosen = sum(np.array(found["confusion_matrix"]).ravel() * np.array(costs).ravel()) / 24
    assert found["cost"]["chosen"]["value"] == pytest.approx(chosen)
    assert metrics["abstention"]["rows"][0]["accuracy"]["value"] == 22 / 24
    assert {"Decision rule", "Abstention"} <= set(re.findall(r"<h2[^>]*>([^<]*)</h2>", page))
    assert suspected == {"test/green/green_1.png": "blue", "test/red/red_0.png": "blue"}


def test_a_copy_in_train_is_found_and_scored_without(colour_project: Any) -> None:
    images = colour_project.path / "images"
    shutil.copy(images / "test" / "red" / "red_0.png", images / "train" / "blue" / "again.png")
    found = metrics_of(colour_project.report())["near_copies"]
    assert found["pairs"] == [{"id": "test/red/red_0.png", "train_id": "train/blue/again.png"}]
    assert found["accuracy_without"]["value"] == 22 / 23


def test_a_copy_of_the_same_original_in_train_counts_like_a_near_duplicate(colour_project: Any) -> None:
    images = colour_project.path / "images"
    (images / "train" / "red" / "red_1.png").rename(images / "train" / "red" / "red_0.aug1.png")
    found = metrics_of(colour_project.report())["near_copies"]
    assert found["pairs"] == [{"id": "test/red/red_0.png", "train_id": "train/red/red_0.aug1.png"}]
    assert found["accuracy_without"]["value"] == 22 / 23


def test_the_report_counts_copies_and_label_conflicts_with_one_number_each(colour_project: Any) -> None:
    images = colour_project.path / "images"
    shutil.copy(images / "test" / "red" / "red_0.png", images / "train" / "blue" / "again.png")
    shutil.copy(images / "test" / "red" / "red_0.png", images / "train" / "green" / "again.png")
    folder = colour_project.report()
    page, conflicts = (folder / "report.html").read_text("utf-8"), metrics_of(folder)["label_conflicts"]
    assert "1 of 24 test images has a copy in train" in page
    assert "1 of 24 test images is in the dataset again under another label" in page
    assert (conflicts["count"], conflicts["num_pairs"]) == (1, 2)
    others = [{row["id"], row["other_id"]} for row in conflicts["pairs"]]
    assert others == [{"test/red/red_0.png", f"train/{label}/again.png"} for label in ("blue", "green")]


def test_a_report_without_groups_says_what_its_interval_takes_for_granted(colour_project: Any) -> None:
    page = (colour_project.report() / "report.html").read_text("utf-8")
    assert "If these images are independent" in page
    assert "0 of 24 test images have a copy in train" in page
    assert "generalises" not in page


def test_groups_widen_the_interval_and_reach_the_predictions(colour_project: Any) -> None:
    plain = metrics_of(colour_project.report())
    folder = colour_project.report({"group_pattern": "(?:red|green|blue)_([0-9])"})
    found = metrics_of(folder)
    assert (plain["num_groups"], found["num_groups"]) == (None, 8)
    assert found["accuracy"]["value"] == plain["accuracy"]["value"]
    assert found["accuracy"]["low"] < plain["accuracy"]["low"]
    groups = {row["id"]: row["group"] for row in rows_of(folder)}
    assert groups["test/red/red_3.png"] == groups["test/blue/blue_3.png"] != groups["test/red/red_4.png"]
    assert "They come in 8 groups" in (folder / "report.html").read_text("utf-8")


def test_without_copies_there_are_none(colour_project: Any) -> None:
    assert metrics_of(colour_project.report())["near_copies"]["count"] == 0


def test_files_that_the_import_passed_over_are_named_in_the_report(colour_project: Any) -> None:
    (colour_project.path / "images" / "test" / "red" / "IMG_1.heic").write_bytes(b"not opened here")
    page = (colour_project.report() / "report.html").read_text("utf-8")
    assert "The import passed over 1 file that is not an image pipekit reads: 1 .heic (e.g. test/red/IMG_1.heic)" in page


def test_unreadable_images_are_listed_with_their_reason(colour_project: Any) -> None:
    (colour_project.path / "images" / "test" / "red" / "red_7.png").write_bytes(b"no picture")
    folder = colour_project.report(max_failed=0.2)
    assert metrics_of(folder)["num_images"] == 23
    page = (folder / "report.html").read_text("utf-8")
    assert "1 image of the dataset could not be used" in page
    assert '<th scope="row">test/red/red_7.png</th>' in page


def test_too_many_unreadable_images_are_fatal(colour_project: Any) -> None:
    (colour_project.path / "images" / "test" / "red" / "red_7.png").write_bytes(b"no picture")
    with pytest.raises(PipekitError, match="max_failed"):
        colour_project.run(max_failed=0.01)


def test_labels_that_the_model_does_not_know_are_refused(colour_project: Any) -> None:
    colour_project.model(classes=["blue", "green"])
    with pytest.raises(PipekitError, match=r"does not know: 'red' \(8 images\); its classes are blue, green"):
        colour_project.run()


def test_an_empty_split_is_refused_in_words(colour_project: Any) -> None:
    with pytest.raises(PipekitError, match="the split 'later' has no images"):
        colour_project.run({"split": "later"})


def test_two_classes_get_a_threshold_slider(colour_project: Any) -> None:
    assert "data-threshold hidden" not in (colour_project.report() / "report.html").read_text("utf-8")
    colour_project.model(classes=["blue", "green"])
    for split in ("train", "val", "test"):
        shutil.rmtree(colour_project.path / "images" / split / "red")
    page = (colour_project.report() / "report.html").read_text("utf-8")
    counts = json.loads(page.split('<script type="application/json">')[1].split("</script>")[0])
    assert (sum(counts["positive"]), sum(counts["negative"])) == (8, 8)
    assert sum(counts["positive"][500:]) == 7


def test_every_figure_is_kept_as_svg_and_png(colour_project: Any) -> None:
    figures = colour_project.report() / "figures"
    names = {path.stem for path in figures.iterdir()}
    assert names >= {"confusion_matrix", "reliability", "roc", "precision_recall"}
    for name in names:
        assert b"<svg" in (figures / f"{name}.svg").read_bytes()[:1000]
        assert (figures / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_training_curves_are_shown_where_there_is_a_history(colour_project: Any) -> None:
    names = ("loss", "val_loss", "accuracy", "val_accuracy")
    history = [dict(zip(names, values, strict=True)) for values in ((1.0, 0.9, 0.5, 0.4), (0.5, 0.7, 0.9, 0.6))]
    colour_project.model(history=history)
    page = (colour_project.report() / "report.html").read_text("utf-8")
    assert "Epoch 2 of 2 was kept (val loss 0.7000)" in page
    assert "a gap of 30.0 points. That is overfitting." in page


def test_a_plugin_section_is_shown_and_a_failing_one_is_told_of(colour_project: Any) -> None:
    plugin = colour_project.path / "by_colour.py"
    plugin.write_text(
        plugin.read_text("utf-8")
        + """

def fine(ctx: pipekit.Context, evaluation) -> pipekit.Section:
    return pipekit.Section("From a plugin", f"{len(evaluation)} images, *as told*")


def failing(ctx: pipekit.Context, evaluation) -> pipekit.Section:
    raise ValueError("no luck")


def wrong(ctx: pipekit.Context, evaluation):
    return "a text"


@pipekit.hookimpl
def register_report_sections(register):
    register("fine", fine)
    register("failing", failing)
    register("wrong", wrong)
""",
        "utf-8",
    )
    outcome = colour_project.run({"sections": ["fine", "failing", "wrong"]})
    page = (outcome.stages[-1].artifact.path / "report.html").read_text("utf-8")
    assert "24 images, <em>as told</em>" in page
    told = "\n".join(outcome.stages[-1].warnings)
    assert "the report section 'failing' failed and is omitted: ValueError: no luck (plugin 'by_colour')" in told
    assert "'wrong' failed and is omitted: it returned a value of type str, expected a pipekit.Section or None" in told


def test_the_section_in_the_documents_works(colour_project: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    (colour_project.path / "night.py").write_text(example, "utf-8")
    folder = colour_project.report({"sections": ["night"]}, plugins=["./by_colour.py", "./night.py"])
    assert "At night" in (folder / "report.html").read_text("utf-8")


def test_the_parquet_file_says_what_the_csv_file_says(colour_project: Any) -> None:
    from pyarrow import parquet

    folder = colour_project.report()
    table = parquet.read_table(folder / "predictions.parquet").to_pylist()
    rows = rows_of(folder)
    assert [list(row) for row in table] == [list(row) for row in rows]
    for typed, plain in zip(table, rows, strict=True):
        assert (typed["id"], typed["predicted"], int(typed["correct"])) == (
            plain["id"],
            plain["predicted"],
            int(plain["correct"]),
        )
        assert typed["p:red"] == pytest.approx(float(plain["p:red"]), abs=1e-9)


def test_the_report_holds_the_pipeline_file_and_a_sheet_of_the_recipe(colour_project: Any) -> None:
    colour_project.model(training={"ops": [{"op": "hflip", "p": 1.0}, {"op": "rotate", "limit_deg": 20.0}]})
    file = colour_project.path / "pipeline.toml"
    file.write_text(
        """# a <b>remark</b>
name = "trial"
plugins = ["./by_colour.py"]
[stages.data]
use = "import.folders"
path = "images"
[stages.train]
use = "made_model"
folder = "model"
[stages.report]
use = "evaluate"
dataset = "data"
""",
        "utf-8",
    )
    outcome = run_plan(load_plan(file))
    page = (outcome.stages[-1].artifact.path / "report.html").read_text("utf-8")
    assert "# a &lt;b&gt;remark&lt;/b&gt;" in page
    assert "<b>remark" not in page
    assert "their augmented versions, by hflip, rotate" in page
    assert [words for words in outcome.stages[-1].warnings if "augmented" in words] == []
    colour_project.model(training={"augment": [{"op": "gone.op"}]})
    assert any("has no sheet of augmented images" in words for words in run_plan(load_plan(file)).stages[-1].warnings)


def test_a_narrow_interval_is_told_with_a_decimal() -> None:
    from pipekit.builtin.report.phrasing import is_fine, percent

    narrow, wide = {"low": 0.666, "high": 0.684}, {"low": 0.6, "high": 0.75}
    assert [percent(0.675, is_fine(found)) for found in (narrow, wide)] == ["67.5 %", "68 %"]
    assert [percent(value) for value in (0.0, 0.001, 0.996, 1.0)] == ["0 %", "0.1 %", "99.6 %", "100 %"]


def test_many_images_make_no_larger_page(colour_project: Any) -> None:
    """Of ten thousand images only the most telling are kept; the page stays a few megabytes."""
    from dataclasses import replace

    from pipekit.builtin.report.pictures import PicturesParams, section
    from pipekit.page import render
    from pipekit.testing.checks.examples import make_tiny_evaluation, write_tiny_dataset

    small = make_tiny_evaluation(write_tiny_dataset(colour_project.path / "tiny"))
    times = 10_000 // len(small) + 1
    many = replace(
        small,
        samples=small.samples * times,
        y_true=np.tile(small.y_true, times),
        probabilities=np.tile(small.probabilities, (times, 1)),
    )
    assert len(many) > 10_000
    found = section(None, many, PicturesParams())  # type: ignore[arg-type]
    assert len(found.pictures) == PicturesParams().most == 240
    assert len(render("Page", [("pictures", found)])) < 8_000_000


def fill_folds(project: Any, each: int = 8, folds: int = 3) -> Path:
    """All images in folds; the model has predictions for them that are wrong for the first red image alone."""
    from pipekit.contract import Sample
    from pipekit.files import hash_file
    from pipekit.learning.cross_validation import HeldOut

    shutil.rmtree(project.path / "images" / "train")
    shutil.rmtree(project.path / "images" / "val")
    files = sorted((project.path / "images" / "test").rglob("*.png"))
    lines, found = ["image,label,split"], []
    names = ["blue", "green", "red"]
    for number, file in enumerate(files):
        label, name = file.parent.name, file.relative_to(project.path / "images").as_posix()
        lines.append(f"{name},{label},train")
        row = np.full(3, 0.05, np.float32)
        row[0 if number == 2 * each else names.index(label)] = 0.9
        found.append((Sample(name, str(file), hash_file(file), label, extra={"fold": number % folds + 1}), row))
    (project.path / "images" / "labels.csv").write_text("\n".join(lines) + "\n")
    rows = [{"fold": fold + 1, "template": "by_colour", "learned_from": 8, "kept_epoch": 3, "val": 8} for fold in range(folds)]
    model = project.model(cross_validation={"folds": rows})
    HeldOut.of(found).write(model)
    return model


def test_predictions_out_of_fold_measure_every_image(colour_project: Any) -> None:
    fill_folds(colour_project)
    table = {
        "name": "trial",
        "plugins": ["./by_colour.py"],
        "stages": {
            "data": {"use": "import.csv", "path": "images/labels.csv"},
            "split": {"use": "split", "dataset": "data", "folds": 3, "fold": 0, "fractions": {"train": 1.0}, "remember": False},
            "train": {"use": "made_model", "folder": "model"},
            "report": {"use": "evaluate", "dataset": "split", "split": "out-of-fold"},
        },
    }
    outcome = run_plan(load_plan(table=table, base_dir=colour_project.path))
    assert outcome.headline == "out-of-fold accuracy 0.958 (95 % interval 0.789 to 0.999), 24 images in 3 folds"
    folder = outcome.artifact("report").path
    metrics, rows = metrics_of(folder), rows_of(folder)
    assert [row["id"] for row in rows if row["correct"] == "0"] == ["test/red/red_0.png"], "not those of the model itself"
    assert {row["fold"] for row in rows} == {"1", "2", "3"}
    assert metrics["folds"]["number"] == 3
    assert sum(row["num_images"] for row in metrics["folds"]["rows"]) == 24
    assert sum(row["accuracy"]["value"] == 1 for row in metrics["folds"]["rows"]) == 2
    assert metrics["temperature"] is None
    page = (folder / "report.html").read_text("utf-8")
    assert "Cross-validation" in page
    assert "What does the interval at the top mean?" in page
    assert 'id="explain"' not in page, "the kept model made none of these predictions"
    assert outcome.stages[-1].facts["folds"] == "3"


def test_a_model_without_predictions_out_of_fold_is_an_error(colour_project: Any) -> None:
    with pytest.raises(PipekitError, match="no predictions out of fold"):
        colour_project.run({"split": "out-of-fold"})


def test_a_copy_in_another_fold_counts_as_one_in_train() -> None:
    from pipekit.builtin.evaluate.near_copies import Clusters, across_folds

    none = Clusters([], [], [], np.empty((0, 2), np.int64))
    ids, correct = ["a", "b", "c", "d"], np.array([True, False, True, True])
    found = across_folds(ids, none, np.array([1, 1, 2, 3]), [0, 0, 0, 3], correct)
    assert found["pairs"] == [{"id": "a", "train_id": "c"}, {"id": "b", "train_id": "c"}, {"id": "c", "train_id": "a"}]
    assert (found["count"], found["accuracy_without"]["value"]) == (3, 1.0)
    assert across_folds(ids, none, np.array([1, 1, 1, 3]), [0, 0, 0, 3], correct)["count"] == 0
    alike = Clusters(["b", "c", "d"], [], [0, 1, 0], np.array([[0, 2]]))
    found = across_folds(ids, alike, np.array([1, 1, 2, 3]), [0, 1, 2, 3], correct)
    assert found["pairs"] == [{"id": "b", "train_id": "d"}, {"id": "d", "train_id": "b"}]
