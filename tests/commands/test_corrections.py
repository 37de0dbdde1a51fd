"""``pipekit corrections`` and its verbs, and what import and split make of the file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import pipekit as package
from pipekit.errors import UserError
from pipekit.files import hash_file
from pipekit.testing.checks import write_tiny_dataset

FILE = Path("corrections.csv")


@pytest.fixture
def photos() -> Path:
    """Two images of each of three classes, and one without a class."""
    folder = Path("photos")
    write_tiny_dataset(folder, 2)
    first = next(folder.rglob("discs_0.png"))
    (folder / "loose.png").write_bytes(first.read_bytes() + b" ")
    return folder


def import_of(folder: Path, **params: Any) -> Any:
    from pipekit.commands.working import new_pipeline

    pipeline = new_pipeline()
    name = pipeline.dataset(folder, **params)
    return pipeline.run().stages[0] if name not in pipeline.given else None


def labels(dataset: Any) -> dict[str, str | None]:
    return {sample.id: sample.label for sample in dataset}


def test_a_folder_is_imported_with_its_corrections_and_without_after_undo(pipekit: Any, photos: Path) -> None:
    before = labels(import_of(photos).artifact)
    discs = [name for name in before if name.startswith("discs/")]
    other = next(label for label in before.values() if label not in ("discs", None))
    assert pipekit("corrections", "add", photos, discs[0], "--label", other, "--why", "=1+1", "--who", "reviewer").code == 0
    assert pipekit("corrections", "add", photos, "loose.png", "--label", "discs").code == 0
    assert pipekit("corrections", "add", photos, discs[1], "--remove").code == 0
    rows = list(csv.reader(FILE.read_text().splitlines()))
    assert rows[0] == ["id", "sha256", "old", "new", "why", "who"]
    assert rows[1] == [discs[0], hash_file(photos / discs[0]), "discs", other, "'=1+1", "reviewer"], "a formula is met"
    assert [row[0] for row in rows[1:]] == sorted(row[0] for row in rows[1:])
    stage = import_of(photos, corrections=str(FILE))
    expected: dict[str, Any] = {**before, discs[0]: other, "loose.png": "discs"}
    del expected[discs[1]]
    assert labels(stage.artifact) == expected
    assert stage.facts["corrected"] == "2 labels, 1 removed"
    assert stage.warnings == ()
    assert import_of(photos, corrections=str(FILE)).cached
    assert pipekit("corrections", "undo", *discs).code == 0
    assert labels(import_of(photos, corrections=str(FILE)).artifact) == {**before, "loose.png": "discs"}
    assert "no correction of" in pipekit("corrections", "undo", "discs/9.png").err


def test_a_file_in_front_of_the_command_is_used(pipekit: Any, photos: Path) -> None:
    name = next(name for name, label in labels(import_of(photos).artifact).items() if label == "discs")
    assert pipekit("corrections", "--file", "own.csv", "add", photos, name, "--remove").code == 0
    assert (Path("own.csv").exists(), FILE.exists()) == (True, False)
    assert pipekit("corrections", "--file", "none.csv", "undo", name, "--file", "own.csv").code == 0


def test_a_stale_correction_is_counted_said_and_not_applied(pipekit: Any, photos: Path) -> None:
    before = labels(import_of(photos).artifact)
    one, two, three, *_ = sorted(name for name in before if name != "loose.png")
    other = {name: next(label for label in before.values() if label not in (before[name], None)) for name in before}
    package.correct(photos, [one, two, three], "new class")
    package.correct(photos, ["loose.png"], "discs")
    text = FILE.read_text()
    (photos / one).write_bytes((photos / one).read_bytes() + b" ")  # another file under the name
    text = text.replace(f",{before[two]},new class", f",{other[two]},new class").replace(three, "gone.png")
    FILE.write_text(text.replace(",,discs", ",new class,discs"))  # every old label is another
    stage = import_of(photos, corrections=str(FILE))
    assert labels(stage.artifact) == before
    stale = len(text.splitlines()) - 1
    assert stage.facts["corrected"].endswith(f"{stale} stale")
    (said,) = stage.warnings
    assert said.startswith(f"{stale} corrections of corrections.csv are stale and not applied: ")
    assert "its sha256 differs" in said
    checked = pipekit("corrections", "check", photos, "--json")
    assert checked.code == 1
    reasons = {row["id"]: row["reason"] for row in json.loads(checked.out)}
    assert "its sha256 differs" in reasons[one]
    assert reasons["gone.png"] == "no image has this id"
    assert reasons["loose.png"] == "its label is '' now, not 'new class'"


def test_removal_by_either_file_wins_and_a_misspelled_class_is_said(photos: Path) -> None:
    before = labels(import_of(photos).artifact)
    one, two, *_ = sorted(before)
    package.correct(photos, [one, two], "dicss")
    Path("bad.csv").write_text(f"id\n{one}\n")
    stage = import_of(photos, corrections=str(FILE), exclude="bad.csv")
    assert one not in labels(stage.artifact)
    assert stage.facts["corrected"] == "1 label, 1 excluded as well"
    assert "gives the class 'dicss', which no other image has" in stage.warnings[0]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["a.png,{0},cat,dog", "a.png,{0},cat,remove"],
            "says two things of a.png: cat to dog in line 2, cat, remove in line 3",
        ),
        (["a.png,,cat,dog"], "line 2: an empty cell is no sha256"),
        (["a.png,{0},cat,"], "line 2: the column 'new' is empty"),
        (["a.png,{0},cat,cat"], "old and new are both 'cat'"),
        ([",{0},cat,dog"], "line 2: no id"),
        (["a.png,{0},cat,dog,why,who,more"], "line 2: more cells than columns"),
    ],
)
def test_what_can_not_be_applied_as_it_is(photos: Path, lines: list[str], said: str) -> None:
    FILE.write_text("id,sha256,old,new\n" + "\n".join(lines).format("0" * 64) + "\n")
    with pytest.raises(UserError) as caught:
        import_of(photos, corrections=str(FILE))
    assert said in caught.value.message
    assert caught.value.hint


def test_a_file_that_is_not_there_yet_is_named_with_what_writes_it(photos: Path) -> None:
    with pytest.raises(UserError, match=r"there is no corrections file corrections\.csv") as caught:
        package.corrections(file=FILE)
    assert "pipekit corrections add" in caught.value.hint


def test_a_table_of_other_columns_is_refused_and_repeated_lines_are_not(photos: Path) -> None:
    FILE.write_text("id,sha256,old\n")
    with pytest.raises(UserError, match="no column 'new'"):
        package.corrections(file=FILE)
    FILE.write_text("id,sha256,old,new,note\n")
    with pytest.raises(UserError, match="has the column 'note'"):
        package.corrections(file=FILE)
    FILE.write_text("\ufeffid,sha256,old,new\n" + f"a.png,{'0' * 64},cat,dog\n" * 2, encoding="utf-8")
    assert len(package.corrections(file=FILE).corrections) == 1


def test_images_without_a_class_in_their_names_are_taken(photos: Path) -> None:
    folder = Path("named")
    folder.mkdir()
    for number, file in enumerate(sorted(photos.glob("*/*.png"))):
        (folder / f"{file.parent.name}.{number}.png").write_bytes(file.read_bytes())
    (folder / "unknown.png").write_bytes((photos / "loose.png").read_bytes())
    package.correct(folder, ["unknown.png"], "discs", format="names")
    assert package.corrections(folder, format="names").headline == "1 label"
    stage = import_of(folder, format="names", corrections=str(FILE), max_failed=0.5)
    assert labels(stage.artifact)["unknown.png"] == "discs"
    assert not list(stage.artifact.failed())


@pytest.mark.parametrize("through", ["import", "split"])
def test_split_keeps_its_file_and_takes_the_labels(photos: Path, through: str) -> None:
    write_tiny_dataset(photos, 8)
    (photos / "loose.png").unlink()
    first = package.split(photos)
    places = {sample.id: sample.split for sample in first.dataset}
    train = [name for name, place in places.items() if place == "train"]
    package.correct(photos, [train[0]], "discs" if not train[0].startswith("discs") else "rings")
    package.correct(photos, [train[1]], remove=True)
    if through == "import":
        second = package.split(photos, corrections=str(FILE))
    else:
        colours = package.split("runs/plain:data", corrections=str(FILE)) if plain_run(photos) else None
        assert colours is not None
        second = colours
    found = {sample.id: sample for sample in second.dataset}
    assert train[1] not in found
    assert found[train[0]].label in ("discs", "rings")
    assert found[train[0]].label != train[0].split("/")[0]
    assert {name: sample.split for name, sample in found.items()} == {k: v for k, v in places.items() if k != train[1]}
    stage = second.outcome.stages[0 if through == "import" else -1]
    assert stage.facts["corrected"] == "1 label, 1 removed"
    assert package.split(photos).counts == first.counts, "without the file everything is as before"


def plain_run(photos: Path) -> bool:
    from pipekit.engine.run import run_plan
    from pipekit.pipeline.plan import load_plan

    run_plan(
        load_plan(
            table={"name": "plain", "stages": {"data": {"use": "import.folders", "path": str(photos)}}}, base_dir=Path.cwd()
        )
    )
    return True


def test_suspects_are_decided_and_the_models_compared_on_the_same_labels(pipekit: Any, colours: Any) -> None:
    colours.run({"pictures": 0, "explain": 0}, name="before")
    listed = pipekit("corrections", "from", "runs/before")
    assert listed.code == 0, listed.err
    rows = list(csv.DictReader(Path("suspects.csv").read_text().splitlines()))
    assert {(row["old"], row["suggested"], row["new"]) for row in rows} == {("red", "blue", ""), ("green", "blue", "")}
    assert "labelled red, suggested blue" in Path("suspects.html").read_text()
    decided = Path("suspects.csv").read_text().replace(",red,,", ",red,blue,").replace(",green,,", ",green,green,")
    Path("suspects.csv").write_text(decided)
    assert pipekit("corrections", "accept", "suspects.csv", "--who", "reviewer").code == 0
    (line,) = package.corrections().corrections
    assert (line.old, line.new, line.who) == ("red", "blue", "reviewer")
    Path("suspects.csv").unlink()
    Path("suspects.html").unlink()
    again = package.suggest_corrections("runs/before")
    assert (len(again.rows), again.decided) == (1, 1)
    # The old model again, on the corrected test images; then the paired test.
    how: dict[str, Any] = {"plugins": ["by_colour.py"], "pictures": 0}
    after = package.evaluate("model", "images", corrections="corrections.csv", name="after", explain=0, **how)
    assert after.metrics["accuracy"]["value"] == pytest.approx(23 / 24)
    same = package.compare(["runs/before", "runs/after"], plugins=how["plugins"], pictures=0)
    (pair,) = same.data["pairs"]
    assert (pair["num_images"], pair["num_only_first"]) == (23, 1), "an image with another label is another question"


SUSPECT = """
import pipekit


def odd(rows, ctx, params: pipekit.Params):
    first = next(row for row in rows if row["label"] == "discs")
    how = {"id": first["id"], "label": "discs", "suggested": "squares", "p_label": 0.1, "p_suggested": 0.9}
    yield pipekit.Finding("odd", "warning", "a label looks wrong", (first["id"],), {"suspects": [how], "remove": []})


@pipekit.hookimpl
def register_checks(register):
    register("odd", odd, summary="Suspects one label")
"""


def test_the_suspects_of_an_inspection_become_corrections(pipekit: Any, photos: Path) -> None:
    Path("suspect.py").write_text(SUSPECT)
    looked = package.inspect(photos, only=["odd"], out="looked", plugins=["suspect.py"])
    (suspect,) = looked.found["label_errors"]
    assert suspect["sha256"] == hash_file(photos / suspect["id"])
    Path("pipeline.toml").write_text(
        'name = "looked"\nplugins = ["suspect.py"]\n'
        '[stages.data]\nuse = "import.folders"\npath = "photos"\n'
        '[stages.seen]\nuse = "inspect"\ndataset = "data"\nchecks = ["odd"]\n'
    )
    assert pipekit("run", "pipeline.toml").code == 0
    for number, source in enumerate(("looked", "looked/inspect.json", "runs/looked", "runs/looked:seen")):
        listed = pipekit("corrections", "from", source, "-o", f"{number}.csv")
        assert listed.code == 0, listed.err
        (row,) = csv.DictReader(Path(f"{number}.csv").read_text().splitlines())
        assert (row["id"], row["sha256"], row["old"]) == (suspect["id"], suspect["sha256"], "discs")
        assert (row["suggested"], row["why"]) == ("squares", "p(discs) = 0.100, p(squares) = 0.900")
        page = Path(f"{number}.html").read_text()
        assert ("data:image/jpeg" in page) == source.startswith("runs"), "a run knows where its images are"
    decided = Path("0.csv").read_text().replace(",discs,,", ",discs,squares,")
    Path("0.csv").write_text(decided)
    assert pipekit("corrections", "accept", "0.csv").code == 0
    assert labels(import_of(photos, corrections=str(FILE)).artifact)[suspect["id"]] == "squares"
    assert package.suggest_corrections("looked", out="again.csv").decided == 1


def test_a_folder_of_images_is_inspected_for_suspects(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipekit.commands import inspect as module

    asked: dict[str, Any] = {}
    real = module.inspect

    def inspect(source: str, **how: Any) -> Any:
        asked.update(how)
        Path("suspect.py").write_text(SUSPECT)
        return real(source, only=["odd"], plugins=["suspect.py"])

    monkeypatch.setattr(module, "inspect", inspect)
    found = package.suggest_corrections(photos)
    assert asked == {"only": ["suspected_labels"], "features": True}
    assert [row["old"] for row in found.rows] == ["discs"]
    assert "data:image/jpeg" in found.page.read_text()


def test_an_inspection_without_suspects_says_why(pipekit: Any, photos: Path) -> None:
    package.inspect(photos, only=["dark"], out="looked")
    assert "the inspection had no features of the images" in pipekit("corrections", "from", "looked").err
    found = json.loads(Path("looked/inspect.json").read_text())
    row = {"id": "a", "label": "b", "suggested": "c", "p_label": 0.1, "p_suggested": 0.9}
    Path("looked/inspect.json").write_text(json.dumps({**found, "features": {}, "label_errors": [row]}))
    assert "an older pipekit wrote it" in pipekit("corrections", "from", "looked").err
    Path("looked/inspect.json").write_text("[]")
    assert "can't be read as the result of an inspection" in pipekit("corrections", "from", "looked").err
    assert "no report and no inspection in runs/none" in pipekit("corrections", "from", "runs/none").err
