"""``pipekit docs``: pages about what is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipekit as package
from pipekit import images
from pipekit.commands.docs import DRAWN, TITLES
from pipekit.errors import UserError
from pipekit.registry.registry import KINDS
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


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    images.write(path, pictures()["a scene of 48 x 64"])
    return path


def test_every_kind_has_a_title() -> None:
    assert set(TITLES) == set(KINDS)


def test_the_command_writes_what_the_verb_writes(pipekit, image: Path, tmp_path: Path) -> None:
    (tmp_path / "my_fade.py").write_text(PLUGIN, "utf-8")
    result = pipekit("docs", "--out", "pages", "--image", image, "--plugin", "my_fade.py")
    assert result.code == 0
    made = package.docs(out="again", image=image, plugins=["my_fade.py"])
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
    assert shown == set(DRAWN)
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
