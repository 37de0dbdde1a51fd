"""Ninety-two wrong plugins, and the words that `pipekit plugins check` must say about each. Each in a process of its own::

    python -m tests.faults.wrong_plugins            # all; or those that are named: nan_loss text_loss

``tests/faults/test_wrong_plugins.py`` tests those together that do not end or stop the process.
"""

# ruff: noqa: E501 (a plugin a line)

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

LIMIT_S = 20
"""Time limit of each promise of an endless plugin."""

PATIENCE_S = 300
"""Time limit of the others: on a busy machine TensorFlow alone takes half a minute to load."""


@dataclass(frozen=True)
class Wrong:
    """A wrong plugin.

    Attributes:
        words: what the verdict says.
        alone: whether it ends or stops the process that tests it, its own output is watched, or testing it takes long.
        needs_path: whether its importer is given the tiny dataset.
    """

    name: str
    source: str
    words: str
    alone: bool = False
    needs_path: bool = False


HEAD = '''"""A plugin that is wrong."""

import os
import time
from pathlib import Path

import numpy as np

import pipekit


class Nothing(pipekit.Params):
    """No parameters."""

'''

OP = '''
def wrong(image, params: Nothing, rng):
    """An op."""
{body}


@pipekit.hookimpl
def register_ops(register):
    register("wrong", wrong)
'''


def op(body: str, before: str = "") -> str:
    """A plugin with an op."""
    return HEAD + before + OP.format(body=indent(body, "    "))


def component(kind: str, code: str, register: str = '"wrong", wrong') -> str:
    """A plugin with a component of some kind."""
    return f"{HEAD}\n{code}\n\n\n@pipekit.hookimpl\ndef register_{kind}(register):\n    register({register})\n"


def section(body: str, arguments: str = "ctx, evaluation") -> str:
    return component("report_sections", f'def wrong({arguments}):\n    """A section."""\n{indent(body, "    ")}')


def exporter(body: str) -> str:
    code = f'def wrong(artifact, out_dir, params: Nothing):\n    """An exporter."""\n{indent(body, "    ")}'
    return component("exporters", code)


def importer(read: str, sniff: str = 'return pipekit.Rejected("never")') -> str:
    code = (
        'class wrong:\n    """An importer."""\n\n    @staticmethod\n    def sniff(path):\n'
        f'        files = list(Path(path).rglob("*.png"))\n        if files:\n            return "images"\n{indent(sniff, " " * 8)}\n\n'
        "    @staticmethod\n    def read(path, params: Nothing):\n"
        f'        files = sorted(Path(path).rglob("*.png"))\n{indent(read, " " * 8)}'
    )
    return component("importers", code)


def stage(body: str) -> str:
    code = (
        "@pipekit.stage\ndef wrong(ctx: pipekit.Context, dataset: pipekit.Dataset) -> pipekit.Files:\n"
        f'    """A stage."""\n{indent(body, "    ")}\n    return ctx.artifact(pipekit.Files)'
    )
    return component("stages", code)


def check(body: str) -> str:
    return component("checks", f'def wrong(rows, ctx, params: Nothing):\n    """A check."""\n{indent(body, "    ")}')


def observer(hook: str, arguments: str, body: str) -> str:
    return f"{HEAD}\n@pipekit.hookimpl\ndef {hook}({arguments}):\n    {body}\n"


def of(kind: str, arguments: str, body: str) -> str:
    """A plugin with a function of some kind."""
    return component(
        {"losse": "losses"}.get(kind, f"{kind}s"), f'def wrong({arguments}):\n    """A {kind}."""\n{indent(body, "    ")}'
    )


EMBEDDER = '''
from pipekit.learning.embedders import Facts, embedder


def network(input_shape_hwc):
    """Maxima where the embedder has means."""
    from keras import Sequential, layers

    return Sequential([layers.Input(input_shape_hwc), layers.GlobalMaxPooling2D()])


@embedder(Facts((16, 16), dimensions=3, licence="none", source="computed", trained_on="nothing", {more}))
def wrong(params: Nothing):
    """An embedder."""
    return lambda images: {body}
'''


def embedder(body: str, more: str = "") -> str:
    """A plugin with an embedder of three dimensions, and further facts."""
    return component("embedders", EMBEDDER.format(body=body, more=more))


def command(register: str, body: str = "return 0") -> str:
    """A plugin with a command, and what its hook does first."""
    code = f'def wrong(folder: Path):\n    """A command."""\n{indent(body, "    ")}'
    return component("commands", code).replace("    register(", f"    {register}\n    register(")


RIGHT_OP = "return image[:, ::-1].copy()"
SAMPLE = "for file in files:\n    yield pipekit.Sample({id}, {image}, label=file.parent.name)"

IMPORT = (
    Wrong("syntax_error", "def broken(:\n", "SyntaxError"),
    Wrong("missing_library", "import no_such_library\n", "No module named 'no_such_library'"),
    Wrong("raises", HEAD + "1 / 0\n", "ZeroDivisionError"),
    Wrong("sys_exit", HEAD + "import sys\nsys.exit(0)\n", "SystemExit"),
    Wrong("exits", HEAD + "os._exit(0)\n", "when it is imported, the process ends with status 0", alone=True),
    Wrong("killed", HEAD + "os.kill(os.getpid(), 9)\n", "the process is ended by SIGKILL", alone=True),
    Wrong("endless", HEAD + "time.sleep(3600)\n", "it does not end within", alone=True),
    Wrong("slow", op(RIGHT_OP, "time.sleep(4)\n"), "at every command", alone=True),
    Wrong("prints", op(RIGHT_OP, 'print("hello")\n'), "prints to standard output", alone=True),
    Wrong("asks", HEAD + 'input("name? ")\n', "EOFError", alone=True),
    Wrong("thread", op(RIGHT_OP, "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"), "a thread", alone=True),
    Wrong("writes", op(RIGHT_OP, 'Path("log.txt").write_text("loaded")\n'), "loading it writes", alone=True),
    Wrong("moves", op(RIGHT_OP, 'os.chdir("/")\n'), "changes the working folder"),
    Wrong("heavy", op(RIGHT_OP, "import matplotlib\n"), "imports matplotlib; import it in the function that uses it"),
    Wrong("nothing", HEAD, "no hook of it registers or observes anything"),
    Wrong("misspelt", op(RIGHT_OP).replace("def register_ops", "def register_opps"), "Did you mean 'register_ops'?"),
    Wrong("unmarked", op(RIGHT_OP).replace("@pipekit.hookimpl\n", ""), "not marked with @pipekit.hookimpl"),
    Wrong("argument", op(RIGHT_OP).replace("_ops(register)", "_ops(registry)"), "has no argument 'registry'"),
    Wrong("raising_hook", op(RIGHT_OP).replace('register("wrong"', 'register(1 / 0, "wrong"'), "ZeroDivisionError"),
    Wrong("two_words", op(RIGHT_OP).replace('"wrong"', '"two words"'), "a name is a word without spaces"),
    Wrong("twice", op(RIGHT_OP) + '    register("wrong", wrong)\n', "registers op 'wrong' twice"),
    Wrong("no_module", op(RIGHT_OP).replace('"wrong", wrong', '"wrong", "nowhere:wrong"'), "No module named 'nowhere'"),
    Wrong("no_attribute", op(RIGHT_OP).replace('"wrong", wrong', '"wrong", "os:wrong"'), "has no attribute 'wrong'"),
    Wrong("newer", op(RIGHT_OP, "PIPEKIT_API = 99\n"), "needs pipekit's plugin API 99"),
)  # fmt: skip

OPS = (
    Wrong("endless_op", op("time.sleep(3600)"), "it does not end within", alone=True),
    Wrong("exiting_op", op("os._exit(0)"), "the process ends with status 0", alone=True),
    Wrong("raising_op", op('raise KeyError("x")'), "KeyError"),
    Wrong("leaving_op", op("raise SystemExit(0)"), "SystemExit"),
    Wrong("float_op", op("return image / 255"), "float64"),
    Wrong("no_result", op("pass"), "got NoneType"),
    Wrong("changing_op", op("image[:] = 0\nreturn image"), "modifies its input array"),
    Wrong("random_op", op("return image + np.random.randint(1, 200, image.shape, np.uint8)"), "only from `rng`"),
    Wrong("flat_matrix", op("return np.zeros((3, 3))").replace("def wrong(image", "def wrong(size_hw"), "can't be inverted"),
    Wrong("no_words", op(RIGHT_OP).replace('    """An op."""\n', "").replace('"""A plugin that is wrong."""', ""), "no docstring"),
    Wrong("no_bounds", op(RIGHT_OP, "class Free(pipekit.Params):\n    size: float = 3.0\n").replace("params: Nothing", "params: Free"), "has no description"),
    Wrong("no_params", op(RIGHT_OP).replace("params: Nothing", "params: int"), "annotated with a subclass of pipekit.Params"),
    Wrong("recipe", component("recipes", "RECIPE = [{'use': 'no_such_op'}]", '"wrong", RECIPE, summary="A recipe"'), "no op called 'no_such_op'"),
)  # fmt: skip

OTHERS = (
    Wrong("raising_section", section("return evaluation.nothing"), "has no attribute 'nothing'"),
    Wrong("text_section", section('return "text"'), "a value of type str, expected a pipekit.Section"),
    Wrong("unequal_table", section('return pipekit.Section("A", tables=(pipekit.Table(("a", "b"), ((1,),)),))'), "row 0 has 1 value"),
    Wrong("raising_observer", observer("after_run", "run", 'raise RuntimeError("down")'), "RuntimeError: down"),
    Wrong("text_observer", observer("before_stage", "run, stage", 'return "seen"'), "it returned a value of type str"),
    Wrong("endless_observer", observer("after_run", "run", "time.sleep(3600)"), "it does not end within", alone=True),
    Wrong("outside", exporter('(out_dir / "a.txt").write_text("a")\n(out_dir.parent / "b.txt").write_text("b")'), "it writes b.txt outside"),
    Wrong("timed", exporter('(out_dir / "a.txt").write_text(str(time.time_ns()))'), "give another result"),
    Wrong("deleting", exporter('(out_dir / "a.txt").write_text("a")\nfor sample in artifact:\n    Path(sample.image).unlink()'), "changes the source images"),
    Wrong("same_ids", importer(SAMPLE.format(id="'a'", image="str(file)")), "ids are not unique", needs_path=True),
    Wrong("placed_ids", importer(SAMPLE.format(id="str(file)", image="str(file)")), "contains the path of the folder", needs_path=True),
    Wrong("no_images", importer(SAMPLE.format(id="file.name", image="str(file) + 'x'")), "does not exist", needs_path=True),
    Wrong("greedy", importer(SAMPLE.format(id="file.name", image="str(file)"), 'return "yes"'), "sniff() of an empty folder", needs_path=True),
    Wrong("random_stage", stage('(ctx.out_dir / "a.txt").write_text(str(time.time_ns()))'), "give another result"),
    Wrong("half_written", stage('part = ctx.work_dir / "a.txt"\nif not part.exists():\n    with part.open("w") as file:\n        for sample in dataset:\n            file.write(sample.id)\n(ctx.out_dir / "a.txt").write_text(part.read_text())'), "killed at", alone=True),
    Wrong("text_finding", check('return ["dark"]'), "finding"),
    Wrong("detector", component("detectors", 'def wrong(image, params: Nothing):\n    """A detector."""\n    return np.zeros((0, 3))'), "expected float32"),
    Wrong("executor", component("executors", 'def wrong(run, tasks, params: Nothing):\n    """An executor."""\n    next(tasks, None)\n    yield from map(run, tasks)'), "one result for each of 7 tasks"),
    Wrong("codec", component("codecs", 'class wrong:\n    """A codec."""\n\n    @staticmethod\n    def suffixes():\n        return (".RAW",)'), "not suffixes in lower case"),
)  # fmt: skip

LOSS = "from keras import ops\nreturn lambda y_true, y_pred: {}"

TRAINING = (
    Wrong("nan_loss", of("losse", "params: Nothing", LOSS.format("ops.sum(y_true * y_pred, axis=-1) * float('nan')")), "it is nan", alone=True),
    Wrong("shape_loss", of("losse", "params: Nothing", LOSS.format("-ops.concatenate([y_true * y_pred, y_true], axis=0)")), "expected one number for each of 4 images", alone=True),
    Wrong("upside_down_loss", of("losse", "params: Nothing", LOSS.format("ops.sum(y_true * y_pred, axis=-1)")), "right predictions cost", alone=True),
    Wrong("text_loss", of("losse", "params: Nothing", 'return "focal"'), "expected a keras.losses.Loss or a function", alone=True),
    Wrong("taken_loss", of("losse", "params: Nothing", LOSS.format("1 - ops.sum(y_true * y_pred, axis=-1)")).replace('"wrong"', '"hinge"'), "Keras has a loss called 'hinge'", alone=True),
    Wrong("text_metric", of("metric", "params: Nothing", 'return lambda y_true, y_pred: "good"'), "expected numbers, got str", alone=True),
    Wrong("no_optimizer", of("optimizer", "params: Nothing", 'return "adam"'), "expected a keras.optimizers.Optimizer", alone=True),
    Wrong("raising_callback", of("callback", "params: Nothing", "from keras import callbacks\nclass Bad(callbacks.Callback):\n    def on_epoch_end(self, epoch, logs=None):\n        raise RuntimeError('down')\nreturn Bad()"), "RuntimeError: down", alone=True),
    Wrong("negative_schedule", of("schedule", "share, params: Nothing", "return 0.5 - share"), "at the share 0.99 of the steps it gives -0.49"),
    Wrong("text_schedule", of("schedule", "share, params: Nothing", 'return "half"'), "expected a float, got"),
    Wrong("moody_schedule", of("schedule", "share, params: Nothing", "return float(np.random.rand())"), "the rate may depend on the share alone"),
    Wrong("sampler_beyond", of("sampler", "targets, epoch, params: Nothing, rng", "return np.arange(1, len(targets) + 1)"), "returned the position 40; there are 0 to 39"),
    Wrong("sampler_of_few", of("sampler", "targets, epoch, params: Nothing, rng", "return np.arange(len(targets) // 2)"), "a position for each image"),
)  # fmt: skip

DECIDING = (
    Wrong("losing_splitter", of("splitter", "units, fractions, params: Nothing, rng", 'return ["train"] * (len(units) - 1)'), "each unit needs one"),
    Wrong("foreign_splitter", of("splitter", "units, fractions, params: Nothing, rng", 'return ["holdout"] * len(units)'), "returned the split 'holdout'"),
    Wrong("one_sided_splitter", of("splitter", "units, fractions, params: Nothing, rng", "return [next(iter(fractions))] * len(units)"), "none went to val"),
    Wrong("text_comparison", of("compare_metric", "rows, params: Nothing", 'return "good"'), "one for each image, and returned str"),
    Wrong("text_search", of("searche", "space, params: Nothing, rng", 'return "best"'), "must return a list of combinations"),
    Wrong("foreign_search", of("searche", "space, params: Nothing, rng", "while True:\n    yield {name: 1e9 for name in space.values}"), "proposed train.model = 1000000000.0; the values are"),
    Wrong("moody_search", of("searche", "space, params: Nothing, rng", "while True:\n    yield space.draw(np.random.default_rng())"), "two searches with the same results differ"),
    Wrong("raising_search", of("searche", "space, params: Nothing, rng", "trial = yield space.draw(rng)\ntrial.score + 1\nyield space.draw(rng)"), "TypeError"),
)  # fmt: skip

COMMANDS = (
    Wrong("raising_command", command("1 / 0"), "ZeroDivisionError"),
    Wrong("printing_command", command('print("hello")'), "prints to standard output", alone=True),
    Wrong("exiting_command", command("os._exit(0)"), "the process ends with status 0", alone=True),
    Wrong("taken_command", command("pass").replace('"wrong"', '"train"'), "is a command of pipekit"),
    Wrong("raising_event", observer("on_event", "run, event, values", 'raise RuntimeError("down")'), "RuntimeError: down"),
    Wrong("text_event", observer("on_event", "run, event, values", "return event"), "it returned a value of type str"),
    Wrong("endless_event", observer("on_event", "run, event, values", "time.sleep(3600)"), "it does not end within", alone=True),
)  # fmt: skip

SEEING = (
    Wrong("short_embedder", embedder("images.mean(axis=(1, 2))[:, :2].astype(np.float32)"), "expected (4, 3) float32, got"),
    Wrong("sociable_embedder", embedder("(images.mean(axis=(1, 2)) - images.mean()).astype(np.float32)"), "depend on the images beside it"),
    Wrong("unlicensed_embedder", embedder("images.mean(axis=(1, 2)).astype(np.float32)").replace('licence="none"', 'licence=""'), "empty: licence"),
    Wrong("two_networks", embedder("images.mean(axis=(1, 2)).astype(np.float32)", "keras=network"), "its features in Keras differ from those of embed", alone=True),
    Wrong("text_page", of("page", "studio, params: Nothing", 'return "text"'), "a value of type str, expected a pipekit.Section"),
    Wrong("raising_page", of("page", "studio, params: Nothing", "return studio.nothing"), "has no attribute 'nothing'"),
    Wrong("deep_projection", of("projection", "table, params: Nothing, rng", "return np.zeros((len(table), 3))"), "expected (40, 2) numbers"),
    Wrong("moody_projection", of("projection", "table, params: Nothing, rng", "return np.random.rand(len(table), 2)"), "`rng`"),
)  # fmt: skip

WRONG = (*IMPORT, *OPS, *OTHERS, *TRAINING, *DECIDING, *COMMANDS, *SEEING)


def run_each(folder: Path, wrongs: Sequence[Wrong] = WRONG) -> Iterator[tuple[Wrong, int, str]]:
    """Check each in a process of its own; yields the exit status and what was printed."""
    from pipekit.testing.checks import write_tiny_dataset

    images = write_tiny_dataset(folder / "images")
    for wrong in wrongs:
        file = folder / f"{wrong.name}.py"
        file.write_text(wrong.source, encoding="utf-8")
        limit_s = LIMIT_S if "not end within" in wrong.words else PATIENCE_S
        words = [sys.executable, "-m", "pipekit", "plugins", "check", str(file), "--limit", str(limit_s)]
        words += ["--path", str(images)] if wrong.needs_path else []
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False, cwd=folder)
        yield wrong, done.returncode, done.stdout + done.stderr


def main() -> int:
    """Print each verdict; the status is 1 if one is green, silent or another than expected."""
    missed, wrongs = 0, [wrong for wrong in WRONG if wrong.name in sys.argv[1:] or not sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        for wrong, status, text in run_each(Path(folder), wrongs):
            told = " ".join(text.split())
            lines = [line for line in text.splitlines() if "broken  " in line or line.startswith("error: ")]
            good = status in (1, 2) and wrong.words in told and len(lines) == 1 and "Traceback" not in text
            missed += not good
            print(
                f"{'ok  ' if good else 'MISS'} {wrong.name} ({status}, {len(lines)}): {' '.join(lines).strip() or told}",
                flush=True,
            )
    print(f"{len(wrongs)} wrong plugins, {len(wrongs) - missed} caught with one verdict")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
