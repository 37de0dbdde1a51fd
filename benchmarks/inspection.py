"""Inspecting photographs with planted faults: `pipekit inspect`, a bare loop, and other tools, in one run.

Rerun: python benchmarks/inspection.py PHOTOS
       python benchmarks/inspection.py PHOTOS --halves --peer fastdup=/path/to/its/python

tests/builtin/planted.py plants the faults among copies of the photographs; with --halves each photograph is first cut in two,
which gives twice as many different images. Each method runs in a fresh process without a cache; the shortest time of several
rounds counts, together with the processor time of that round.

The bare loop is a one-off script: read each file once, hash it, decode it once, compute a perceptual hash, the variance of the
Laplacian and the brightness from that one array, on two processes; then compare all pairs of hashes and search for outliers.
`bare` decodes in grayscale, at half the size or less if that leaves 128 px; `bare_whole` decodes in colour and in full size,
without that optimisation. They keep no record and show no image. `pipekit inspect --no-features` runs all checks that need no
network, keeps every result and writes the page; `pipekit_features` runs a network on each image too, and all checks.

cleanvision, imagededup, fastdup and imgeda run if they can be imported: here, or by the Python that --peer names (they do
not all fit into one environment). They are not dependencies of this project. If one stops at a broken file, this is reported,
and it runs again without the broken files.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2
LIMIT_S = 900
FAULTS = ("exact", "near", "corrupt", "dark", "blurred")

Found = dict[str, list[Any]]
"""A tool's results by fault: pairs of names for duplicates, names for other faults. Faults that it can't detect are omitted."""


# --- the bare loop -------------------------------------------------------------------------------------------------------


def one_file(path: str, whole: bool = False) -> tuple[str, str, int, float, float]:
    """Name, hash of the bytes, perceptual hash, sharpness (-1 for a broken file) and brightness."""
    import cv2
    import numpy as np
    import simplejpeg

    cv2.setNumThreads(1)
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    try:
        if whole:
            gray = cv2.cvtColor(simplejpeg.decode_jpeg(data, "BGR"), cv2.COLOR_BGR2GRAY)
        else:
            gray = simplejpeg.decode_jpeg(data, "GRAY", min_height=128, min_width=128)[..., 0]
    except ValueError:
        return file_name(path), digest, 0, -1.0, 0.0
    small = cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8]
    bits = int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")
    return file_name(path), digest, bits, float(cv2.Laplacian(gray, cv2.CV_32F).var()), float(gray.mean())


def bare_whole(folder: str) -> Found:
    return bare(folder, whole=True)


def bare(folder: str, whole: bool = False) -> Found:
    import numpy as np

    files = sorted(str(path) for path in Path(folder).rglob("*.jpg"))
    with get_context("spawn").Pool(WORKERS) as pool:
        rows = pool.map(partial(one_file, whole=whole), files, chunksize=32)
    first: dict[str, str] = {}
    exact = [(first[row[1]], row[0]) for row in rows if row[3] >= 0 and first.setdefault(row[1], row[0]) != row[0]]
    good = [row for row in rows if row[3] >= 0]
    names = [row[0] for row in good]
    hashes = np.array([row[2] for row in good], np.uint64)
    near = []
    for number, value in enumerate(hashes):
        close = np.flatnonzero(np.bitwise_count(hashes[number + 1 :] ^ value) <= 6)
        near += [(names[number], names[number + 1 + other]) for other in close]

    def outliers(values: Any, spreads: float) -> list[str]:
        logs = np.log(np.array(values) + 1)
        middle = np.median(logs)
        limit = middle - spreads * 1.4826 * np.median(abs(logs - middle))
        return [name for name, value in zip(names, logs, strict=True) if value < limit]

    return {
        "exact": exact,
        "near": near,
        "corrupt": [row[0] for row in rows if row[3] < 0],
        "dark": outliers([row[4] for row in good], 4),
        "blurred": outliers([row[3] for row in good], 3),
    }


# --- the tools -----------------------------------------------------------------------------------------------------------


def pipekit_features(folder: str) -> Found:
    return pipekit(folder, "--features")


def pipekit(folder: str, features: str = "--no-features") -> Found:
    out = Path(os.environ["PIPEKIT_STORE"]) / "out"
    command = [sys.executable, "-m", "pipekit", "inspect", folder, "--workers", str(WORKERS), "--out", str(out), features]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found: Found = {}
    checks = {
        "exact_duplicates": "exact",
        "near_duplicates": "near",
        "corrupt": "corrupt",
        "dark": "dark",
        "blurred": "blurred",
    }
    for finding in json.loads((out / "inspect.json").read_text("utf-8"))["findings"]:
        fault = checks.get(finding["check"])
        if fault in ("exact", "near"):
            found.setdefault(fault, []).extend(pairs(finding["samples"]))
        elif fault:
            found.setdefault(fault, []).extend(finding["samples"])
    return found


def cleanvision(folder: str) -> Found:
    from cleanvision import Imagelab

    lab = Imagelab(data_path=folder)
    lab.find_issues(n_jobs=WORKERS)
    name = file_name
    return {
        "exact": [pair for group in lab.info["exact_duplicates"]["sets"] for pair in pairs([name(path) for path in group])],
        "near": [pair for group in lab.info["near_duplicates"]["sets"] for pair in pairs([name(path) for path in group])],
        "dark": [name(path) for path in lab.issues.index[lab.issues["is_dark_issue"]]],
        "blurred": [name(path) for path in lab.issues.index[lab.issues["is_blurry_issue"]]],
    }


def imagededup(folder: str) -> Found:
    from imagededup.methods import PHash

    hasher = PHash()
    codes = hasher.encode_images(image_dir=folder, recursive=True, num_enc_workers=WORKERS)
    found = hasher.find_duplicates(encoding_map=codes, num_dist_workers=WORKERS)
    copies = [(a, b) for a, others in found.items() for b in others]
    missing = {path.name for path in Path(folder).rglob("*.jpg")} - {file_name(name) for name in codes}
    return {"exact": copies, "near": copies, "corrupt": sorted(missing)}


def fastdup(folder: str) -> Found:
    os.environ["SENTRY_OPT_OUT"] = "1"
    import fastdup as tool

    with tempfile.TemporaryDirectory() as work:
        run = tool.create(work_dir=work, input_dir=folder)
        run.run(overwrite=True, print_summary=False, num_threads=WORKERS)
        similar, broken = run.similarity(), run.invalid_instances()
    name = file_name
    copies = [(name(a), name(b)) for a, b in zip(similar["filename_from"], similar["filename_to"], strict=True)]
    return {"exact": copies, "near": copies, "corrupt": [name(path) for path in broken["filename"]]}


def imgeda(folder: str) -> Found:
    command = [str(Path(sys.executable).parent / "imgeda")]
    with tempfile.TemporaryDirectory() as work:
        manifest = str(Path(work) / "found.jsonl")
        scan = [*command, "scan", folder, "-o", manifest, "--workers", str(WORKERS), "--force"]
        subprocess.run(scan, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*command, "check", "all", "-m", manifest], check=True, stdout=subprocess.DEVNULL)
        rows = [json.loads(line) for line in Path(manifest).read_text("utf-8").splitlines()]
    rows = [row for row in rows if "path" in row]
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.get("phash"):
            groups.setdefault(row["phash"], []).append(file_name(row["path"]))
    copies = [pair for group in groups.values() for pair in pairs(group)]

    def marked(key: str) -> list[str]:
        return [file_name(row["path"]) for row in rows if row.get(key)]

    return {
        "exact": copies,
        "near": copies,
        "corrupt": marked("is_corrupt"),
        "dark": marked("is_dark"),
        "blurred": marked("is_blurry"),
    }


def file_name(path: str) -> str:
    return Path(path).name


def pairs(group: list[str]) -> list[tuple[str, str]]:
    return [(a, b) for number, a in enumerate(group) for b in group[number + 1 :]]


WAYS: dict[str, Callable[[str], Found]] = {
    way.__name__: way for way in (bare, bare_whole, pipekit, pipekit_features, cleanvision, imagededup, fastdup, imgeda)
}

OURS = ("bare", "bare_whole", "pipekit", "pipekit_features")
"""Methods that need only pipekit's own environment."""


# --- measuring -----------------------------------------------------------------------------------------------------------


def measured(way: str, python: str, folder: str) -> tuple[float, float, float, Found]:
    """Seconds, seconds of processor time, peak megabytes of any one process, and the detected faults."""
    with tempfile.TemporaryDirectory() as store:
        answer = Path(store) / "answer.json"
        started = time.perf_counter()
        subprocess.run(
            [python, __file__, folder, "--way", way, "--answer", str(answer)],
            env={**os.environ, "PIPEKIT_STORE": store},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=LIMIT_S,
            check=True,
        )
        seconds = time.perf_counter() - started
        said = json.loads(answer.read_text("utf-8"))
    return seconds - said["waited_s"], said["processor_s"], said["peak_mb"], said["found"]


def answer(way: str, folder: str, place: str) -> None:
    if sys.platform == "linux":  # orphaned grandchildren become children of this process, and are counted
        set_child_subreaper = 36
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)
    found = WAYS[way](folder)
    done = time.perf_counter()
    with contextlib.suppress(ChildProcessError):
        for _ in range(20):  # some live as long as this process
            time.sleep(0.02)
            os.waitpid(-1, os.WNOHANG)
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    said = {
        "found": found,
        "processor_s": sum(use.ru_utime + use.ru_stime for use in usage),
        "waited_s": time.perf_counter() - done,
        "peak_mb": max(use.ru_maxrss for use in usage) / 1024,
    }
    Path(place).write_text(json.dumps(said), encoding="utf-8")


def last_line(error: subprocess.SubprocessError) -> str:
    text = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip()
    return text.splitlines()[-1][:120] if text else str(error)[-120:]


def score(found: Found, planted: dict[str, dict[str, str]]) -> list[str]:
    """For each fault, the number of planted ones detected, and of other images reported (false positives)."""
    texts = []
    for fault in FAULTS:
        if fault not in found:
            texts.append("-")
            continue
        if fault in ("exact", "near"):
            told = {frozenset(pair) for pair in found[fault]}
            hits = sum(frozenset(pair) in told for pair in planted[fault].items())
        else:
            hits = len(set(found[fault]) & set(planted[fault]))
        texts.append(f"{hits}/{len(planted[fault])}")
    faulty = {name for of in planted.values() for pair in of.items() for name in pair}
    reported = {name for of in found.values() for item in of for name in ([item] if isinstance(item, str) else item)}
    return [*texts, str(len(reported - faulty))]


def halves(photos: list[Path], folder: Path) -> list[Path]:
    """Cut each photograph in two across its longer side: twice as many different images."""
    from pipekit import images

    made = []
    folder.mkdir()
    for number, photo in enumerate(photos):
        image = images.read(photo)
        height, width = image.shape[:2]
        middle = max(height, width) // 2
        for part, side in enumerate((slice(None, middle), slice(-middle, None))):
            made.append(folder / f"{number:05}_{part}.jpg")
            images.write(made[-1], image[:, side] if width >= height else image[side])
    return made


def can_import(python: str, way: str) -> bool:
    found = subprocess.run([python, "-c", f"import {way}"], capture_output=True, check=False)
    return found.returncode == 0


def main(photos: list[Path], in_two: bool, peers: dict[str, str], chosen: list[str], rounds: int) -> None:
    sys.path.insert(0, str(ROOT))
    from tests.builtin.planted import plant

    with tempfile.TemporaryDirectory() as scratch:
        if in_two:
            photos = halves(photos, Path(scratch) / "halves")
        folder = Path(scratch) / "photos"
        planted = plant(photos, folder)
        pythons = {way: peers.get(way, sys.executable) for way in WAYS if not chosen or way in chosen}
        for way in list(pythons):
            if way not in OURS and not can_import(pythons[way], way):
                print(f"{way}: not installed")
                del pythons[way]
        best: dict[str, tuple[float, float, float, Found]] = {}
        notes: dict[str, str] = {}
        whole = Path(scratch) / "whole"
        for _ in range(rounds):
            for way, python in pythons.items():
                try:
                    made = measured(way, python, str(whole if way in notes else folder))
                except subprocess.TimeoutExpired:
                    notes[way] = f"not done after {LIMIT_S} s"
                    continue
                except subprocess.CalledProcessError as error:
                    notes[way] = f"stopped at a broken file ({last_line(error)}); measured without those"
                    if not whole.exists():
                        whole.mkdir()
                        for path in folder.iterdir():
                            if path.name not in planted["corrupt"]:
                                os.link(path, whole / path.name)
                    try:
                        made = measured(way, python, str(whole))
                    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as again:
                        notes[way] = f"failed without broken files too: {last_line(again)}"
                        continue
                if way not in best or made[0] < best[way][0]:
                    best[way] = made
        count = sum(1 for _ in folder.iterdir())
        print(f"{count:,} images, the best of {rounds}, {WORKERS} workers, {os.cpu_count()} cores")
        heads = ("", "s", "images/s", "of bare", "processor s", "MB", *FAULTS, "others")
        print("".join(f"{head:>12}" for head in heads))
        for way, (seconds, processor, memory, found) in best.items():
            of_bare = f"{best['bare'][0] / seconds:.2f}" if "bare" in best else ""
            values = (f"{seconds:.1f}", f"{count / seconds:.0f}", of_bare, f"{processor:.1f}", f"{memory:.0f}")
            print("".join(f"{value:>12}" for value in (way, *values, *score(found, planted))))
        for way, note in notes.items():
            print(f"{way}: {note}")
        others = [seconds for way, (seconds, *_) in best.items() if way not in OURS]
        if others and "pipekit" in best:
            print(f"pipekit is {min(others) / best['pipekit'][0]:.1f} times as fast as the fastest of the other tools")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=str(ROOT / "sample_data" / "textures" / "images"))
    parser.add_argument("--halves", action="store_true", help="cut each photograph in two")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="the Python that has a tool")
    parser.add_argument("--only", action="append", default=[], choices=list(WAYS), help="measure this way only")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--answer", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way:
        answer(asked.way, asked.folder, asked.answer)
    else:
        found_photos = sorted(path for path in Path(asked.folder).rglob("*.jpg"))
        main(found_photos, asked.halves, dict(peer.split("=", 1) for peer in asked.peer), asked.only, asked.rounds)
