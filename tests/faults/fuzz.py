"""Fuzz what reads other people's files: images, pipeline files and recipes, each changed at random.

    python tests/faults/fuzz.py --images 3000 --pipelines 5000 --ops 5000 --seed 1      # --keep FOLDER keeps what went wrong

Images go through what an import does (``images.verify``: header and full decode) and a reduced decode, pipeline files through
``load_plan``, recipes through ``check_ops`` and ``compile_recipe``. The only exception that any may raise is pipekit's own.
Each item has ``LIMIT_S`` seconds of processor time: then the system ends the process (``SIGPROF``, also inside a C library),
and another one goes on with the next item. The same seed makes the same items.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 10.0
MEMORY_BYTES = 8 << 30
"""Address space of a worker: what would fill the machine's memory fails in the worker."""
SLOWEST = 5


@dataclasses.dataclass
class Result:
    """Of one kind of items: how many were read, how many refused, what went wrong, and the slowest (seconds, number, name)."""

    read: int = 0
    refused: int = 0
    problems: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    slowest: list[tuple[float, int, str]] = dataclasses.field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        self.read += row["outcome"] == "read"
        self.refused += row["outcome"] == "refused"
        if row["outcome"] == "problem":
            self.problems.append(row)
        self.slowest = sorted([*self.slowest, (row["cpu_s"], row["number"], row["name"])], reverse=True)[:SLOWEST]


# --- images --------------------------------------------------------------------------------------------------------------


@cache
def image_bases() -> tuple[tuple[str, bytes], ...]:
    """(name, bytes): the sample photographs in every format and mode that people have."""
    from PIL import Image

    photo = Image.open(ROOT / "sample_data/photos/cat.jpg").convert("RGB").resize((160, 120))
    frames = [photo.rotate(angle).resize((80, 60)) for angle in (0, 40, 80)]
    alpha = photo.copy()
    alpha.putalpha(photo.convert("L"))
    deep = Image.frombytes("I;16", (60, 40), random.Random(0).randbytes(60 * 40 * 2))
    several: dict[str, Any] = {"save_all": True, "append_images": frames[1:]}
    made: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("baseline", "JPEG", photo, {"exif": _exif()}),
        ("progressive", "JPEG", photo, {"progressive": True, "quality": 60}),
        ("grey", "JPEG", photo.convert("L"), {"optimize": True}),
        ("cmyk", "JPEG", photo.convert("CMYK"), {}),
        ("rgb", "PNG", photo, {}),
        ("alpha", "PNG", alpha, {}),
        ("palette", "PNG", photo.convert("P"), {"transparency": 3}),
        ("bits", "PNG", photo.convert("1"), {}),
        ("deep", "PNG", deep, {}),
        ("lossy", "WEBP", photo, {}),
        ("lossless", "WEBP", alpha, {"lossless": True}),
        ("animated", "WEBP", frames[0], several),
        ("single", "GIF", photo.convert("P"), {}),
        ("animated", "GIF", frames[0], {**several, "duration": 50, "loop": 0}),
        ("raw", "TIFF", photo, {}),
        ("lzw", "TIFF", photo, {"compression": "tiff_lzw"}),
        ("deflate", "TIFF", alpha, {"compression": "tiff_adobe_deflate"}),
        ("jpeg", "TIFF", photo, {"compression": "jpeg"}),
        ("fax", "TIFF", photo.convert("1"), {"compression": "group4"}),
        ("deep", "TIFF", deep, {}),
        ("pages", "TIFF", frames[0], several),
        ("rgb", "BMP", photo, {}),
        ("palette", "BMP", photo.convert("P"), {}),
        ("bits", "BMP", photo.convert("1"), {}),
    ]
    found = []
    for name, kind, picture, options in made:
        out = io.BytesIO()
        picture.save(out, kind, **options)
        found.append((f"{kind} {name}", out.getvalue()))
    return tuple(found)


def _exif() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    return exif.tobytes()


EXTREME = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 13_000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def image(chance: random.Random) -> tuple[str, bytes]:
    name, data = chance.choice(image_bases())
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        change = chance.choice((_flip, _cut, _number, _number, _swap, _repeat, _chunks, _enlarge, _enlarge))
        changed = bytearray(change(changed, chance))
    if name.startswith("PNG") and chance.random() < 0.7:
        changed = bytearray(_with_checksums(bytes(changed)))
    return name, bytes(changed)


def _place(data: bytes | bytearray, chance: random.Random) -> int:
    """Half of the places are in the header, where most of the meaning is."""
    return chance.randrange(max(1, min(len(data), 300 if chance.random() < 0.5 else len(data))))


def _flip(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 2, 8, 40))):
        if data:
            data[_place(data, chance)] ^= 1 << chance.randrange(8)
    return data


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(len(data) + 1)]


def _number(data: bytearray, chance: random.Random) -> bytearray:
    """A length, an offset or a size becomes an extreme one."""
    size, order = chance.choice((1, 2, 4)), chance.choice("<>")
    value = chance.choice(EXTREME) % 256**size
    place = _place(data, chance)
    data[place : place + size] = value.to_bytes(size, "little" if order == "<" else "big")
    return data


def _swap(data: bytearray, chance: random.Random) -> bytearray:
    first, second, third = sorted(_place(data, chance) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def _repeat(data: bytearray, chance: random.Random) -> bytearray:
    first, second = sorted(_place(data, chance) for _ in range(2))
    return data[:second] + data[first:second][:5000] * chance.choice((1, 3, 50)) + data[second:]


def _chunks(data: bytearray, chance: random.Random) -> bytearray:
    """Swap, repeat or drop whole chunks of PNG, RIFF and JPEG."""
    pieces = _pieces(bytes(data))
    if len(pieces) < 3:
        return _swap(data, chance)
    first, second = chance.randrange(1, len(pieces)), chance.randrange(1, len(pieces))
    how = chance.randrange(3)
    if how == 0:
        pieces[first], pieces[second] = pieces[second], pieces[first]
    elif how == 1:
        pieces[first:first] = [pieces[second]] * chance.choice((1, 5, 200))
    else:
        del pieces[first]
    return bytearray(b"".join(pieces))


def _pieces(data: bytes) -> list[bytes]:
    place = {b"\x89PNG": 8, b"RIFF": 12, b"\xff\xd8\xff\xe0": 2, b"\xff\xd8\xff\xe1": 2}.get(data[:4], len(data))
    pieces = [data[:place]]
    while place + 8 <= len(data):
        if data[:4] == b"\x89PNG":
            size = int.from_bytes(data[place : place + 4], "big") + 12
        elif data[:4] == b"RIFF":
            size = (int.from_bytes(data[place + 4 : place + 8], "little") + 9) // 2 * 2
        else:
            size = int.from_bytes(data[place + 2 : place + 4], "big") + 2 if data[place + 1] != 0xDA else len(data)
        pieces.append(data[place : place + size])
        place += size
    return [*pieces, data[place:]]


def _enlarge(data: bytearray, chance: random.Random) -> bytearray:
    """Have the header claim a larger image, up to the limit and beyond."""
    width, height = (chance.choice((1, 500, 3000, 13_000, 16_383, 65_535, 2**31 - 1)) for _ in range(2))
    if data[:4] == b"\x89PNG":
        data[16:24] = struct.pack(">II", width, height)
    elif data[:3] == b"GIF":
        place = chance.choice((6, max(6, data.find(b"\x2c") + 5)))
        data[place : place + 4] = struct.pack("<HH", width % 65_536, height % 65_536)
    elif data[:2] == b"BM":
        data[18:26] = struct.pack("<ii", width, chance.choice((-1, 1)) * height)
    elif data[:4] == b"RIFF":
        _enlarge_webp(data, width % 16_384, height % 16_384)
    elif data[:2] in (b"II", b"MM"):
        _enlarge_tiff(data, width, height)
    elif (place := max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))) > 0:
        data[place + 5 : place + 9] = struct.pack(">HH", height % 65_536, width % 65_536)
    return data


def _enlarge_webp(data: bytearray, width: int, height: int) -> None:
    if (place := data.find(b"VP8X")) > 0:
        data[place + 12 : place + 18] = width.to_bytes(3, "little") + height.to_bytes(3, "little")
    if (place := data.find(b"\x9d\x01\x2a")) > 0:
        data[place + 3 : place + 7] = struct.pack("<HH", width, height)
    elif (place := data.find(b"VP8L")) > 0:
        bits = int.from_bytes(data[place + 9 : place + 13], "little") & ~0xFFFFFFF
        data[place + 9 : place + 13] = (bits | width | height << 14).to_bytes(4, "little")


def _enlarge_tiff(data: bytearray, width: int, height: int) -> None:
    order = "<" if data[:2] == b"II" else ">"
    for tag, value in ((256, width), (257, height), (278, height)):
        place = data.find(struct.pack(f"{order}H", tag) + struct.pack(f"{order}H", 4)[:1])
        if place > 0:
            data[place + 2 : place + 12] = struct.pack(f"{order}HII", 4, 1, value)


def _with_checksums(data: bytes) -> bytes:
    """A PNG whose checksums fit again: a wrong one hides every other change."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        if place + 12 + size > len(data):
            break
        body = data[place + 4 : place + 8 + size]
        parts.append(data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body)))
        place += size + 12
    return b"".join(parts) + data[place:]


def read_image(data: bytes, folder: Path) -> None:
    from pipekit import images
    from pipekit.errors import ImageError

    try:
        images.verify(data)
    finally:
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)  # the limit is for one reading
        with contextlib.suppress(ImageError):
            images.decode(data, at_least_hw=(64, 64), gray=True)


# --- pipeline files ------------------------------------------------------------------------------------------------------

_BLOCK = re.compile(r"^```toml\n(.*?)^```", re.DOTALL | re.MULTILINE)

_INPUT = re.compile(rb'^(?:path|exclude|images|file|prior|model_path) = "([^"]+)"', re.MULTILINE)

_FAR = re.compile(r'^(path = )"(?:/|\.\.).*?"', re.MULTILINE)
"""Paths that exist only on the machine of the example."""

_ABOVE = """
[stages.data]
use = "import.folders"
path = "images"

[stages.split]
use = "split"
dataset = "data"

[stages.train]
use = "train"
dataset = "split"

"""
"""What an example of one stage leaves out."""

VALUES = (
    "nan", "-inf", "1e400", "-1", "0", "9" * 30, "9" * 5000, "0x" + "f" * 400, "true", "[]", "{}", "[[]]", '""', "'\\'",
    '"\\u0000"', "1979-05-27", "07:32:00", "1979-05-27T00:32:00.999999-07:00", '"' + "a" * 50_000 + '"', '"/dev/zero"',
    '"../../.."', '"."', "[" * 90 + "]" * 90, "[" * 3000 + "]" * 3000, "{a = " * 60 + "1" + "}" * 60,
    "{a = " * 2000 + "1" + "}" * 2000, "a." * 3000 + "b = 1", '"rotate(" ', '"' + "one_of(" * 200 + '"',
    '["rotate(9)", 7, {op = "hflip", p = 2}]', '{template = 7}', '"pipeline.toml"', "'''", '"""',
)  # fmt: skip


@cache
def pipeline_bases() -> tuple[tuple[str, bytes], ...]:
    """(name, bytes): the pipelines of ``sample_data`` and of the plugins, and those in the documents."""
    files = [*sorted(ROOT.glob("sample_data/**/*.toml")), *sorted(ROOT.glob("plugins/*/example/*.toml"))]
    texts = [(str(file.relative_to(ROOT)), file.read_text("utf-8")) for file in files]
    for page in sorted(ROOT.glob("docs/**/*.md")):
        blocks = [block for block in _BLOCK.findall(page.read_text("utf-8")) if "[stages" in block]
        texts += [(str(page.relative_to(ROOT)), block if "import." in block else _ABOVE + block) for block in blocks]
    found = [(name, _FAR.sub(r'\1"images"', text).encode()) for name, text in texts]
    return tuple(found)


def pipeline(chance: random.Random) -> tuple[str, bytes]:
    name, data = chance.choice(pipeline_bases())
    text = data.decode()
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        change = chance.choice((_value, _value, _value, _lines, _tokens, _tokens, _characters))
        text = change(text, chance)
    changed = bytearray(text.encode("utf-8", "surrogatepass"))
    if chance.random() < 0.1:
        changed = chance.choice((_flip, _cut))(changed, chance)
    return name, bytes(changed)


def _value(text: str, chance: random.Random) -> str:
    lines = text.splitlines()
    places = [place for place, line in enumerate(lines) if "=" in line] or [0]
    place = chance.choice(places)
    if lines:
        lines[place] = f"{lines[place].partition('=')[0]}= {chance.choice(VALUES)}"
    return "\n".join(lines)


def _lines(text: str, chance: random.Random) -> str:
    lines = [*text.splitlines(), ""]
    first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
    how = chance.randrange(4)
    if how == 0:
        lines[first], lines[second] = lines[second], lines[first]
    elif how == 1:
        del lines[first]
    elif how == 2:
        lines[first:first] = [lines[second]] * chance.choice((1, 2, 300))
    else:
        lines[first:first] = chance.choice(pipeline_bases())[1].decode().splitlines()[:20]
    return chance.choice(("\n", "\n", "\r\n")).join(lines)


def _tokens(text: str, chance: random.Random) -> str:
    """A word becomes another word, of any of the files."""
    words = list(re.finditer(r"[\w.-]+|[^\w\s]", text))
    others = re.findall(r"[\w.-]+|[^\w\s]", chance.choice(pipeline_bases())[1].decode())
    if not words:
        return text
    word = chance.choice(words)
    return text[: word.start()] + chance.choice((*others, *EXTREME_WORDS)) + text[word.end() :]


EXTREME_WORDS = (
    "",
    "..",
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "=",
    "9" * 400,
    "-0",
    "\x00",
    "\ud800",
    "ß" * 300,
    "\u202e",
    "__class__",
    "*",
    "%s",
)


def _characters(text: str, chance: random.Random) -> str:
    for _ in range(chance.choice((1, 3, 10))):
        place = chance.randrange(len(text) + 1)
        new = chance.choice(("", chr(chance.randrange(32, 127)), chance.choice("\"'[]{}()=.,|#\\\n\t\0é")))
        text = text[:place] + new + text[place + chance.randrange(2) :]
    return text


@cache
def _make_inputs(folder: Path) -> None:
    """The folders and files that the pipelines name, empty: else every plan would fail for the lack of them."""
    for named in {named.decode() for _, data in pipeline_bases() for named in _INPUT.findall(data)}:
        place = folder / named
        if place.resolve().is_relative_to(folder.resolve()) and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch() if place.suffix else place.mkdir()


def _overrides(text: str) -> list[str]:
    """Some of the lines as what follows ``--set``."""
    header, found = "", []
    for line in text.splitlines():
        if line.startswith("["):
            header = f"{line.strip('[] ')}."
        elif "=" in line:
            found.append(header + line.strip())
    return found[::2]


def read_pipeline(data: bytes, folder: Path) -> None:
    from pipekit.pipeline.plan import load_plan

    _make_inputs(folder)
    file = folder / "pipeline.toml"
    file.write_bytes(data)
    overrides = _overrides(data.decode("utf-8", "ignore")) if zlib.crc32(data) % 5 == 0 else []
    names_plugins = b"plugins" in data
    plan = load_plan(file, overrides=overrides, registry=None if names_plugins else registry())
    repr(plan)


@cache
def registry() -> Any:
    from pipekit.registry.registry import load_registry

    return load_registry(installed=False)


# --- recipes -------------------------------------------------------------------------------------------------------------

RECIPES = (
    "rotate(40)|hflip|albu.GaussNoise(p=0.3)",
    "rotate(25)|zoom(0.2, keep_aspect=true)|hflip|brightness([0.7, 1.3])|hue_saturation(20)",
    "one_of(blur|noise, hflip, rotate(20)|hflip)|medium",
    "medium|invert",
    "sequence(ops=[rotate(3), hflip])|light",
    "heavy",
)
PARTS = (
    "(", ")", "[", "]", "{", "}", "|", ",", "=", ".", "*", "**", "-", "~", "not ", "lambda: 0", "x:=1", "1 if 2 else 3",
    "f'{a}'", "'", '"', "\\", "nan", "inf", "1e999", "-1e999", "9" * 400, "9" * 5000, "1j", "b'a'", "...", "None", "True",
    "0x7fffffff", "{'a': 1}", "{1: [2]}", "p=2", "p=p", "*a", "**a", "ops=7", "ops=[]", "[" * 150, "(" * 250, "-" * 3000,
    "a." * 3000, "hflip|" * 2000, "one_of(" * 60, "\x00", "\ud800", "é", "\n", "#", "x.toml", ".toml", "__import__('os')",
)  # fmt: skip


@cache
def recipe_bases() -> tuple[str, ...]:
    """Recipes of the documents, the presets, and every op with its first parameters."""
    return (*RECIPES, *(name for kind in ("op", "recipe") for name in [c.name for c in registry().components(kind)]))


def recipe(chance: random.Random) -> tuple[str, bytes]:
    names = chance.sample(recipe_bases(), chance.choice((1, 1, 2, 4)))
    parts = [name if chance.random() < 0.6 or "(" in name else f"{name}({_arguments(chance)})" for name in names]
    text = "|".join(parts)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        if chance.random() < 0.5:
            place = chance.randrange(len(text) + 1)
            text = text[:place] + chance.choice(PARTS) + text[place + chance.choice((0, 0, 1, 3)) :]
        else:
            text = _characters(text, chance)
    return chance.choice(names), text.encode("utf-8", "surrogatepass")


def _arguments(chance: random.Random) -> str:
    values = ("3", "0.5", "-7", "[0.1, 2]", "reflect", "true", "none", "p=0.5", "'a'", "[[1]]", "1e30", "{}", *PARTS)
    plain = ("3", "0.5", "p=0.5", "[0.1, 2]")
    return ", ".join(chance.choice(plain if chance.random() < 0.5 else values) for _ in range(chance.randrange(4)))


def read_recipe(data: bytes, folder: Path) -> None:
    from pipekit.recipe.compiled import compile_recipe
    from pipekit.recipe.notation import check_ops

    calls = check_ops(registry(), data.decode("utf-8", "surrogatepass"), folder)
    compile_recipe(calls, (64, 48) if len(data) % 2 else None)


# --- workers -------------------------------------------------------------------------------------------------------------

Kind = tuple[Callable[[random.Random], tuple[str, bytes]], Callable[[bytes, Path], None]]
KINDS: dict[str, Kind] = {
    "images": (image, read_image),
    "pipelines": (pipeline, read_pipeline),
    "ops": (recipe, read_recipe),
}


def item(kind: str, seed: int, number: int) -> tuple[str, bytes]:
    """The name of what was changed, and the changed bytes."""
    return KINDS[kind][0](random.Random(f"{seed}:{kind}:{number}"))


def work(kind: str, seed: int, start: int, stop: int) -> None:
    """In a worker: one line before each item, and one with its outcome."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no outcome
    KINDS[kind][0](random.Random(0))  # what is loaded once counts for no item
    with tempfile.TemporaryDirectory() as folder:
        for number in range(start, stop):
            name, data = item(kind, seed, number)
            print(json.dumps({"begin": number, "name": name}), file=out, flush=True)
            print(json.dumps({"number": number, "name": name, **one(kind, data, Path(folder))}), file=out, flush=True)


def one(kind: str, data: bytes, folder: Path) -> dict[str, Any]:
    from pipekit.errors import PipekitError

    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    before = time.process_time()
    try:
        KINDS[kind][1](data, folder)
        found: dict[str, Any] = {"outcome": "read"}
    except PipekitError as error:
        found = {"outcome": "refused"}
        str(error)
    except BaseException:
        found = {"outcome": "problem", "what": shortened(traceback.format_exc())}
    signal.setitimer(signal.ITIMER_PROF, 0)
    return {**found, "cpu_s": round(time.process_time() - before, 3)}


def shortened(text: str) -> str:
    """A traceback's places in pipekit, each once, and its last line."""
    lines = text.strip().splitlines()
    places = dict.fromkeys(line for line in lines if "/pipekit/" in line)
    return "\n".join([*places, lines[-1][:500]])


def results(kind: str, seed: int, count: int, script: str = "") -> Iterator[dict[str, Any]]:
    """The outcome of each item; a worker that dies is replaced, and its item is a problem.

    Args:
        script: what a worker runs, with ``--work KIND START STOP --seed SEED``; by default this file.
    """
    place = 0
    while place < count:
        command = [sys.executable, script or __file__, "--work", kind, str(place), str(count), "--seed", str(seed)]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        begun = None
        with (
            tempfile.TemporaryFile("w+") as said,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=environ, text=True) as worker,
        ):
            assert worker.stdout is not None
            for line in worker.stdout:
                row = json.loads(line)
                if "begin" in row:
                    begun = row
                else:
                    yield row
                    begun, place = None, row["number"] + 1
            worker.wait()
            said.seek(0)
            errors = said.read()[-2000:]
        if begun is None and place < count:
            raise RuntimeError(f"the worker ended before an item began (exit code {worker.returncode}): {errors}")
        if begun is not None:
            what = (
                f"more than {LIMIT_S:g} s of processor time"
                if worker.returncode == -signal.SIGPROF
                else f"died: {worker.returncode}"
            )
            name = begun["name"]
            yield {"number": begun["begin"], "name": name, "outcome": "problem", "what": what, "cpu_s": LIMIT_S}
            place = begun["begin"] + 1


def fuzz(kind: str, count: int, seed: int) -> Result:
    """Read ``count`` items of a kind."""
    found = Result()
    for row in results(kind, seed, count):
        found.add(row)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="write what went wrong, and the slowest items, here")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        kind, start, stop = options.work
        work(kind, options.seed, int(start), int(stop))
        return 0
    bad = 0
    for kind in KINDS:
        count = getattr(options, kind)
        if not count:
            continue
        found = fuzz(kind, count, options.seed)
        bad += len(found.problems)
        print(f"{kind}: {count:,} items; {found.read:,} read, {found.refused:,} refused, {len(found.problems):,} problems")
        print("  slowest: " + ", ".join(f"{cpu_s:.1f} s ({name}, {number})" for cpu_s, number, name in found.slowest))
        for what, times in Counter(row["what"].strip().splitlines()[-1][:200] for row in found.problems).most_common():
            example = next(row for row in found.problems if row["what"].strip().splitlines()[-1][:200] == what)
            print(f"  {times} x {what}; for example {example['number']} ({example['name']})\n{example['what']}")
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for number in {*(row["number"] for row in found.problems), *(number for _, number, _ in found.slowest)}:
                (options.keep / f"{kind}-{options.seed}-{number}").write_bytes(item(kind, options.seed, number)[1])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
