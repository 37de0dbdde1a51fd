"""``pipekit docs``: pages about what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipekit as package
from pipekit import images
from pipekit.commands import docs_pictures
from pipekit.commands.docs import TITLES
from pipekit.contract import Sample
from pipekit.errors import UserError
from pipekit.registry.registry import KINDS, load_registry
from pipekit.testing.check_examples import run_example
from pipekit.testing.checks.examples import pictures

PLUGIN = '''
"""An op, and one that can't be drawn."""

import pipekit


class FadeParams(pipekit.Params):
    share: float = pipekit.param(0.5, "How much | of it", ge=0, le=1)


class NeedyParams(pipekit.Params):
    share: float = pipekit.param(..., "Required")


def fade(image, params: FadeParams, rng):
    """Fade to black."""
    return (image * (1 - params.share)).astype(image.dtype)


def wrong(image, params: pipekit.Params, rng):
    """Fails."""
    raise ZeroDivisionError("by nothing")


def needy(image, params: NeedyParams, rng):
    """Never drawn."""
    return image


@pipekit.hookimpl
def register_ops(register):
    register("fade", fade)
    register("needy", needy)
    register("wrong", wrong)
    register("gone", "no_such_module_of_a_test:gone", summary="Its library is missing")
'''


SHOWN = ("op", "recipe", "detector")
"""The kinds whose pictures need no dataset and no TensorFlow."""

CHECKS = '''
"""A check with an example, one without, and one that finds nothing in its example."""

import pipekit
from pipekit import images


def plant(folder, image):
    for label in ("one", "two"):
        (folder / "images" / label).mkdir(parents=True)
        images.write(folder / "images" / label / "whole.png", image)
    images.write(folder / "images" / "two" / "upper.png", image[: len(image) // 2])


def flat(rows, ctx, params: pipekit.Params):
    """Wider than two to one."""
    found = [row["id"] for row in rows if row["width_px"] > 2 * row["height_px"]]
    yield pipekit.Finding("flat", "info", "about all of them")
    yield pipekit.Finding("flat", "warning", "wide [images]", tuple(found))


def quiet(rows, ctx, params: pipekit.Params):
    """Says nothing."""
    return []


def bare(rows, ctx, params: pipekit.Params):
    """Has no example."""
    return []


flat.example = quiet.example = plant


@pipekit.hookimpl
def register_checks(register):
    register("flat", flat)
    register("quiet", quiet)
    register("bare", bare)
'''


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    images.write(path, pictures()["a scene of 48 x 64"])
    return path


def test_every_kind_has_a_title() -> None:
    assert set(TITLES) == set(KINDS)


def test_the_command_writes_what_the_verb_writes(pipekit, image: Path, tmp_path: Path) -> None:
    (tmp_path / "my_fade.py").write_text(PLUGIN, "utf-8")
    chosen = [word for kind in SHOWN for word in ("--kind", kind)]
    result = pipekit("docs", "--out", "pages", "--image", image, "--plugin", "my_fade.py", *chosen)
    assert result.code == 0
    made = package.docs(out="again", image=image, kinds=SHOWN, plugins=["my_fade.py"])
    files = {path.relative_to("pages"): path.read_bytes() for path in Path("pages").rglob("*") if path.is_file()}
    assert files == {path.relative_to("again"): path.read_bytes() for path in Path("again").rglob("*") if path.is_file()}

    text = Path("pages/op.md").read_text("utf-8")
    assert "## fade\n\nFade to black.\n\n![fade: an image and variants of it](pictures/op-fade.jpg)\n" in text
    assert "| `share` | float, 0 to 1 | `0.5` | How much \\| of it |" in text
    assert "op needy" in made.undrawn
    assert list(made.broken) == ["op gone"]
    assert "op gone can't be loaded" in result.err
    assert "## gone\n\nCan't be loaded: op 'gone'" in text
    assert "by nothing" in made.undrawn["op wrong"]
    assert "no picture of op needy: ops[0].share: is required" in result.err
    drawn = sorted(path.name for path in Path("pages/pictures").iterdir())
    assert len(drawn) == made.num_pictures
    shown = {name.partition("-")[0] for name in drawn}
    assert shown == set(SHOWN)
    original, faded = (images.read("pages/pictures/op-fade.jpg")[:150, left : left + 200] for left in (10, 260))
    assert faded.mean() < 0.8 * original.mean()
    assert "[Ops](op.md)" in Path("pages/index.md").read_text("utf-8")
    assert "| my_fade |" in Path("pages/index.md").read_text("utf-8")


def test_without_an_image_there_are_no_pictures(pipekit) -> None:
    result = pipekit("docs")
    assert (result.code, result.err) == (0, "")
    assert "with --image also pictures" in result.out
    assert not Path("pipekit-docs/pictures").exists()
    assert "![" not in Path("pipekit-docs/op.md").read_text("utf-8")


def test_what_it_refuses(image: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", "utf-8")
    with pytest.raises(UserError, match="not empty; nothing was written"):
        package.docs(out=tmp_path / "full")
    with pytest.raises(UserError, match="no such image"):
        package.docs(out=tmp_path / "new", image=tmp_path / "nowhere.jpg")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".cache") == ["full", "scene.png"]


def test_the_example_of_a_plugins_check_is_drawn(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_checks.py").write_text(CHECKS, "utf-8")
    registry = load_registry((str(tmp_path / "my_checks.py"),), installed=False)
    drawer = docs_pictures.Pictures(registry, image)
    draw = drawer.into(tmp_path / "pictures", "pictures")
    text = draw(registry.get("check", "flat"))
    assert text.startswith("![flat: images of its example; a frame marks those that it names](pictures/check-flat.jpg)\n\n")
    assert text.endswith("*Warning: wide \\[images\\].*")
    sheet = images.read(tmp_path / "pictures" / "check-flat.jpg").astype(int)
    framed = (abs(sheet - docs_pictures.FOUND).sum(axis=2) < 60).any(axis=0)
    assert framed[: sheet.shape[1] // 3].any(), "the named image is the first and has a frame"
    assert not framed[sheet.shape[1] // 3 :].any()
    assert draw(registry.get("check", "bare")) == "*No picture: the check has no example.*"
    assert "finds nothing in its example" in draw(registry.get("check", "quiet"))
    assert drawer.undrawn == {}
    assert drawer.count == 1


SECTIONS = '''
"""Sections: one with a figure, one with a table alone, one that says nothing, and one that fails."""

from pipekit import Figure, Section, Table, hookimpl

DOT = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle r="4"/></svg>'


def plotted(ctx, evaluation):
    """A dot."""
    return Section("Dot", figures=(Figure("dot", DOT, "a dot"),))


def counted(ctx, evaluation):
    """A count."""
    return Section("Count", tables=(Table(("of | what", "share"), (("all", 1 / 3),)),))


def silent(ctx, evaluation):
    """Says nothing."""
    return None


def failing(ctx, evaluation):
    """Needs what is not there."""
    return evaluation.metrics["moon"]


@hookimpl
def register_report_sections(register):
    for section in (plotted, counted, silent, failing):
        register(section.__name__, section)
'''


def test_sections_show_their_example_and_the_rest_is_counted(pipekit, image: Path, tmp_path: Path) -> None:
    (tmp_path / "my_sections.py").write_text(SECTIONS, "utf-8")
    words = ("docs", "--image", image, "--kind", "report_section", "--plugin", "my_sections.py")
    result = pipekit(*words)
    text = Path("pipekit-docs/report_section.md").read_text("utf-8")
    assert "![plotted: a dot, of an example with three classes](pictures/report_section-plotted.svg)" in text
    assert b"<circle" in Path("pipekit-docs/pictures/report_section-plotted.svg").read_bytes()
    assert "| of \\| what | share |\n|---|---|\n| all | 0.333 |" in text
    assert "nothing to say about predictions without a model" in text.partition("## silent")[2].partition("## ")[0]
    assert "no picture of report_section failing: " in result.err
    assert "moon" in result.err
    assert "confusion" not in result.err, "the built-in ones need all metrics: no warning"
    without = text.count("*No picture: ") - 1
    assert f"of 1 kind, 3 pictures. Without a picture: {without} report sections; the pages say why" in result.out
    assert without > 10


def test_every_builtin_check_has_an_example() -> None:
    registry = load_registry(installed=False)
    assert [check.name for check in registry.components("check") if not hasattr(check.load(), "example")] == []


def test_other_images_are_shown_in_turn() -> None:
    samples = [
        Sample(split + label + number, "", label=label, split=split) for split in "ab" for label in "xy" for number in "01"
    ]
    assert [sample.id for sample in docs_pictures.in_turn(samples)] == ["ax0", "ay0", "bx0", "by0", "ax1", "ay1", "bx1", "by1"]


def test_a_kind_that_does_not_exist() -> None:
    with pytest.raises(UserError, match="no kind called 'ops'") as caught:
        package.docs(kinds=["ops"])
    assert "op" in caught.value.hint


@pytest.mark.parametrize("name", ["alike_classes", "foreign", "suspected_labels"])
def test_checks_by_features_find_something_in_their_examples(name: str, tmp_path: Path) -> None:
    registry = load_registry(installed=False)
    cat = images.read(Path(__file__).parents[2] / "sample_data" / "photos" / "cat.jpg")
    found = run_example(registry, registry.get("check", name), cat, tmp_path)
    assert found is not None
    assert [finding["check"] for finding in found.findings] == [name]
