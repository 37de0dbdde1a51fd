"""What is installed: the wheel holds the package, whole, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml

import pipekit

ROOT = Path(__file__).resolve().parent.parent


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
        name for name in sources(root) if name.endswith(".py") and not name.startswith((f"{root}/tests", f"{root}/example"))
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
