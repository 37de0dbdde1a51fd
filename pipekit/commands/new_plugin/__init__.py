"""Create a complete plugin distribution from templates: it installs, is discovered and passes its own tests unchanged."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from pipekit.errors import UserError, did_you_mean
from pipekit.registry.registry import KINDS

TEMPLATES = Path(__file__).parent / "templates"

ALIASES = {"section": "report_section"}

WORDS: Mapping[str, tuple[str, str]] = {
    "stage": ("a stage", "Leave out images that are too small"),
    "op": ("an augmentation op", "Make the image brighter or darker"),
    "recipe": ("a recipe", "Small rotations, flips and brightness changes"),
    "model": ("a model template", "A small convolutional network"),
    "loss": ("a loss for training", "Cross-entropy that counts images the model is sure of less"),
    "metric": ("a metric of training", "Mean confidence of the predicted class"),
    "optimizer": ("an optimizer", "Gradient descent whose steps have the sign of the gradient alone"),
    "schedule": ("a learning rate schedule", "Cosine waves, each from the peak to a floor"),
    "sampler": ("a sampler of training", "Show images of rare classes more often"),
    "callback": ("a callback of training", "Stop as soon as a metric reaches a value"),
    "importer": ("a dataset format to read", "A labels.txt with a path and a label in every line"),
    "exporter": ("a dataset format to write", "A labels.txt with a path and a label in every line"),
    "detector": ("a feature detector", "The pixels with the strongest brightness gradient"),
    "embedder": ("an embedder", "Mean colours of an 8 x 8 grid"),
    "projection": ("a projection of features", "The two features that differ most"),
    "splitter": ("a splitter", "Train on the oldest images, and test on the newest"),
    "check": ("a dataset check", "Images that are too small"),
    "report_section": ("a report section", "The predictions with the lowest confidence"),
    "compare_metric": ("a metric of comparisons", "Minus the cost of mistakes"),
    "search": ("a search for `[matrix]`", "Change one value of the best combination so far"),
    "codec": ("an image format to decode", "Raw pixels behind eight bytes"),
    "executor": ("an executor", "A thread pool"),
    "command": ("a command", "Count the files of a folder by their suffix"),
    "page": ("a page of the studio", "The edges of an image"),
}
"""Kind -> what it is, and the summary of the template's component."""

PIPELINE = """```toml
[stages.data]
use = "import.folders"
path = "images"

{}
```"""

TRAIN = PIPELINE.format('[stages.split]\nuse = "split"\n\n[stages.train]\nuse = "train"\n{}')

USAGE: Mapping[str, str] = {
    "stage": PIPELINE.format('[stages.{component}]\nuse = "{component}"'),
    "op": PIPELINE.format('[stages.augment]\nuse = "augment"\nops = [{{ op = "{component}" }}]'),
    "recipe": PIPELINE.format('[stages.augment]\nuse = "augment"\nops = "{component}"'),
    "model": PIPELINE.format('[stages.train]\nuse = "train"\nmodel = {{ template = "{component}" }}'),
    "loss": TRAIN.format('loss = {{ use = "{component}" }}'),
    "metric": TRAIN.format('metrics = ["accuracy", "{component}"]'),
    "optimizer": TRAIN.format('optimizer = {{ use = "{component}" }}'),
    "schedule": TRAIN.format('schedule = "{component}"'),
    "sampler": TRAIN.format('sampler = {{ use = "{component}" }}'),
    "callback": TRAIN.format('callbacks = [{{ use = "{component}" }}]'),
    "importer": '```toml\n[stages.data]\nuse = "import.{component}"\npath = "images"\n```',
    "exporter": PIPELINE.format('[stages.out]\nuse = "export.{component}"'),
    "detector": PIPELINE.format('[stages.features]\nuse = "features"\ndetector = "{component}"'),
    "embedder": PIPELINE.format('[stages.embed]\nuse = "embed"\nembedder = "{component}"'),
    "projection": PIPELINE.format(
        '[stages.embed]\nuse = "embed"\n\n[stages.inspect]\nuse = "inspect"\ndataset = "data"\nprojection = "{component}"'
    ),
    "splitter": PIPELINE.format('[stages.split]\nuse = "split"\nmode = "{component}"\ngroup_column = "date"'),
    "check": PIPELINE.format('[stages.inspect]\nuse = "inspect"\nchecks = ["corrupt", "{component}"]'),
    "report_section": PIPELINE.format(
        '[stages.train]\nuse = "train"\n\n[stages.report]\nuse = "evaluate"\nsections = ["{component}"]'
    ),
    "compare_metric": PIPELINE.format(
        '[stages.split]\nuse = "split"\n\n[stages.plain]\nuse = "train"\n\n[stages.first]\nuse = "evaluate"\n\n'
        '[stages.augmented]\nuse = "train"\nops = "light"\n\n[stages.second]\nuse = "evaluate"\n\n'
        '[stages.compare]\nuse = "compare"\nreports = ["first", "second"]\nmetrics = ["{component}"]'
    ),
    "search": PIPELINE.format(
        '[stages.split]\nuse = "split"\n\n[stages.train]\nuse = "train"\n\n[matrix]\nsearch = "{component}"\n'
        'values = {{ "train.model.dropout" = {{ low = 0, high = 0.6 }} }}'
    ),
    "codec": "Installed, it is used for its files wherever images are read: `pipekit inspect` of a folder with `.rgb8` files.",
    "executor": 'Name it in the pipeline file, `executor = "{component}"`, or with `pipekit run --executor {component}`.',
    "command": "```bash\npipekit {component} images --at-least 2\n```",
    "page": "`pipekit studio images` has it in its menu, as soon as the plugin is installed.",
}


@dataclass(frozen=True)
class PluginScaffold:
    """A created plugin: its folder, its files (relative) and its names."""

    folder: Path
    kind: str
    package: str
    component: str
    files: tuple[str, ...]


def kinds() -> list[str]:
    """The kinds that have a template."""
    return [kind for kind in KINDS if (TEMPLATES / "kinds" / f"{kind}.py").exists()]


def new_plugin(folder: str | Path, kind: str = "op", name: str = "") -> PluginScaffold:
    """Write a plugin distribution into a new folder.

    Args:
        folder: the new folder; it must not exist, or be empty.
        kind: the kind of its one component.
        name: the distribution's name; default: the folder's name.

    Raises:
        UserError: the name is invalid, the kind does not exist, or the folder is not empty.

    Example:
        >>> import pipekit
        >>> made = pipekit.new_plugin("my-sharpen", "op")  # doctest: +SKIP
        >>> made.package  # doctest: +SKIP
        'my_sharpen'
    """
    folder = Path(folder)
    name = name or folder.name
    kind = ALIASES.get(kind, kind)
    if kind not in kinds():
        known = [*kinds(), *ALIASES]
        raise UserError(f"no kind of component called {kind!r}", did_you_mean(kind, known) or f"There are: {', '.join(known)}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_.][A-Za-z0-9]+)*", name):
        raise UserError(
            f"{name!r} is not a valid name of a distribution",
            "Use letters, digits and hyphens, and begin with a letter: my-plugin",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty; nothing was written", "Choose another name, or remove it.")
    package = re.sub(r"[-.]", "_", name).lower()
    component = package.removeprefix("pipekit_")
    if keyword.iskeyword(component) or keyword.iskeyword(package):
        raise UserError(f"{component!r} is a Python keyword and can't name a function", "Choose another name.")
    values = _values(name, package, component, kind)
    written = []
    for target, source in _files(kind, package, component).items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template((TEMPLATES / source).read_text("utf-8")).substitute(values), encoding="utf-8")
        written.append(target)
    return PluginScaffold(folder, kind, package, component, tuple(written))


def _values(name: str, package: str, component: str, kind: str) -> dict[str, str]:
    words, summary = WORDS[kind]
    return {
        "name": name,
        "package": package,
        "component": component,
        "Component": "".join(word.title() for word in component.split("_")),
        "kind": kind,
        "hook": KINDS[kind],
        # An importer is a whole module, with sniff() and read().
        "attribute": {"importer": "", "codec": "", "exporter": ":write"}.get(kind, f":{component}"),
        "words": words,
        "summary": summary,
        "usage": USAGE[kind].format(component=component),
    }


def _files(kind: str, package: str, component: str) -> dict[str, str]:
    """Path of each file -> its template."""
    return {
        "pyproject.toml": "common/pyproject.toml",
        "README.md": "common/README.md",
        ".gitignore": "common/gitignore",
        ".github/workflows/tests.yml": "common/tests.yml",
        f"src/{package}/__init__.py": "common/init.py",
        f"src/{package}/{component}.py": f"kinds/{kind}.py",
        f"tests/test_{component}.py": f"kinds/test_{kind}.py",
    }
