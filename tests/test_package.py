"""What is installed: the wheel holds the package, whole, and nothing else."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from datetime import date
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import yaml

import pipekit

ROOT = Path(__file__).resolve().parent.parent


def load_script(name: str) -> Any:
    """A script of ``docs/``, which is in no package."""
    place = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def sources(*folders: str) -> set[str]:
    """The files of a checkout that git would keep."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == sources("pipekit")


def test_the_sdist_holds_what_tests_and_documents_need_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    project = {
        ".gitignore",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "CITATION.cff",
        "LICENSE",
        "Makefile",
        "PKG-INFO",
        "README.md",
        "constraints.txt",
        "pyproject.toml",
    }
    assert held == project | sources("benchmarks", "docs", "pipekit", "plugins", "sample_data", "tests")


@pytest.mark.parametrize("plugin", sorted(ROOT.glob("plugins/*/")), ids=lambda folder: folder.name)
def test_an_example_is_a_distribution_with_its_modules_and_its_licence(plugin: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=plugin, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]
    root = plugin.relative_to(ROOT).as_posix()
    modules = {
        name
        for name in sources(root)
        if name.endswith(".py") and not name.startswith((f"{root}/tests", f"{root}/example", f"{root}/benchmarks"))
    }
    assert held == {name.removeprefix(f"{root}/").removeprefix("src/") for name in modules}


def test_the_metadata_names_the_distribution_and_its_doors(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    metadata = message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert metadata["Name"] == "pipekit-vision"
    assert metadata["Version"] == pipekit.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    doors = wheel.read(f"{info}/entry_points.txt").decode()
    for door in ("pipekit = pipekit.cli:main", "builtin = pipekit.builtin", "pipekit = pipekit.testing"):
        assert door in doors
    assert f"{info}/licenses/LICENSE" in wheel.namelist()


def long_description(files: str) -> str:
    found = load_script("long_description").for_index((ROOT / "README.md").read_text("utf-8"), files)
    assert isinstance(found, str)
    return found


def test_an_index_shows_no_broken_picture_and_no_broken_link(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    assert message_from_bytes(wheel.read(name))["Description-Content-Type"] == "text/markdown"
    text = long_description("")
    assert text.strip() in wheel.read(name).decode()
    assert not re.search(r"\]\((?!https://|#)|<picture|<img", text)
    assert "*[Picture: The top of a report" in text
    assert "```toml" in text
    assert len(text) > 0.8 * len((ROOT / "README.md").read_text("utf-8"))


def test_with_the_address_of_a_release_its_pictures_and_links_lead_there() -> None:
    text = long_description("https://example.org/raw/v1.2.0/")
    places = re.findall(r"\]\(https://example\.org/raw/v1\.2\.0/([^)#]+)", text)
    assert len(places) > 25
    assert [place for place in places if not (ROOT / place).exists()] == []
    assert sum(place.endswith((".jpg", ".svg")) for place in places) == 8
    assert not re.search(r"\]\((?!https://|#)|<picture|<img", text)
    with pytest.raises(ValueError, match="begins with https://"):
        long_description("http://example.org")


def test_code_keeps_its_brackets() -> None:
    script = load_script("long_description")
    block = "```python\nitems[0](a.md)\n```\n"
    assert (
        script.for_index(f"{block}[see `a|b`](b.md#c), [site](https://x.org)", "") == f"{block}see `a|b`, [site](https://x.org)"
    )


def test_the_version_is_written_in_one_place() -> None:
    """In ``pipekit/__init__.py``: the build, the documentation and ``--version`` read it there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]
    for name in ("CITATION.cff", "docs/conf.py", "README.md", "Makefile"):
        assert pipekit.__version__ not in (ROOT / name).read_text("utf-8"), name


def test_the_changelog_begins_with_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## (\S+),", text, re.MULTILINE)[1] == pipekit.__version__  # type: ignore[index]


def test_the_citation_agrees_with_the_project() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format requires
    assert citation["license"] == project["license"]
    assert citation["keywords"] == project["keywords"]
    assert citation["abstract"] == project["description"]
    assert [author["name"] for author in citation["authors"]] == ["The pipekit authors"]


def test_the_hosted_checks_are_those_of_the_repository() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    commands = {step.get("run") for job in workflow["jobs"].values() for step in job["steps"]}
    assert {"bash .ci/run", "make test-fast"} <= commands


CODE = 'a = 1\n__version__ = "0.1.0"\n'
CHANGES = "# Changelog\n\n## 0.2.0, not yet released\n\nMore.\n\n## 0.1.0, 2026-01-02\n\nFirst.\n"


def test_one_command_raises_the_version_and_closes_the_changelog_and_another_begins_the_next(tmp_path: Path) -> None:
    script = load_script("release")
    today = date(2026, 3, 4)
    code, changes = script.raised(CODE, CHANGES, "0.3.0", today, False)
    assert code == CODE.replace("0.1.0", "0.3.0")
    assert changes == CHANGES.replace("0.2.0, not yet released", "0.3.0, 2026-03-04")
    code, changes = script.raised(code, changes, "0.4.0rc1", today, True)
    assert code == CODE.replace("0.1.0", "0.4.0rc1")
    assert changes.startswith("# Changelog\n\n## 0.4.0rc1, not yet released\n\n## 0.3.0, 2026-03-04\n\nMore.")
    for name in (script.CODE, script.CHANGES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    script.main(["99.0.0"], tmp_path)
    assert '__version__ = "99.0.0"' in (tmp_path / script.CODE).read_text("utf-8")
    assert re.search(r"^## (\S+),", (tmp_path / script.CHANGES).read_text("utf-8"), re.MULTILINE)[1] == "99.0.0"  # type: ignore[index]


@pytest.mark.parametrize(
    ("wanted", "changes", "is_open", "said"),
    [
        ("next", CHANGES, False, "no version"),
        ("v0.3.0", CHANGES, False, "write 'v0.3.0' as 0.3.0"),
        ("0.1.0", CHANGES, False, "no later version than 0.1.0"),
        ("0.3.0", CHANGES.replace("More.", ""), False, "is empty"),
        ("0.3.0", CHANGES.replace("not yet released", "2026-02-03"), False, "nothing to release"),
        ("0.3.0", CHANGES, True, "`make release` closes it"),
        ("0.3.0", "# Changelog\n", False, "has no section"),
    ],
)
def test_what_can_t_be_released_is_refused(wanted: str, changes: str, is_open: bool, said: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(said)):
        load_script("release").raised(CODE, changes, wanted, date(2026, 3, 4), is_open)
