"""The stage ``inspect``: what is found, and what is not reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipekit
from pipekit import images
from pipekit.builtin.inspect.checks import balance, copies, files, outliers
from pipekit.contract import PAUSE, Finding, Sample
from pipekit.engine.adhoc import AdhocPipeline
from pipekit.images import statistics
from pipekit.images.measuring import measure_image
from tests.builtin.planted import plant

PHOTOS = Path(__file__).resolve().parents[2] / "sample_data" / "photos"


def crops(folder: Path, count: int, size_px: int = 150) -> list[Path]:
    """Different parts of the sample photographs, at different scales."""
    folder.mkdir()
    chance = np.random.default_rng(5)
    pictures = [images.read(PHOTOS / name) for name in ("cat.jpg", "coffee.jpg")]
    made = []
    for number in range(count):
        picture = pictures[number % 2]
        side = int(chance.integers(size_px, min(picture.shape[:2])))
        top, left = (int(chance.integers(0, edge - side + 1)) for edge in picture.shape[:2])
        part = picture[top : top + side, left : left + side]
        turned = np.rot90(part, number // 2 % 4)
        path = folder / f"{number:03}.jpg"
        images.write(path, images.resize(np.ascontiguousarray(turned), (size_px, size_px)))
        made.append(path)
    return made


def inspect(folder: Path, base: Path, **params: Any) -> tuple[dict[str, Any], Any]:
    adhoc = AdhocPipeline(base_dir=base, settings={"executor": "serial"})
    data = adhoc.add("data", "import.folders", path=str(folder), verify="none", max_failed=1.0)
    adhoc.add("inspect", "inspect", dataset=data, **params)
    outcome = adhoc.run()
    made = outcome.artifact("inspect")
    return json.loads((made.path / "inspect.json").read_text("utf-8")), outcome


def of(found: dict[str, Any], check: str) -> set[str]:
    return {name for finding in found["findings"] if finding["check"] == check for name in finding["samples"]}


def test_planted_faults_are_found_and_little_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    photos = crops(tmp_path / "photos", 120)
    planted = plant(photos, tmp_path / "all", exact=10, near=10, corrupt=10, dark=3, blurred=3)
    found, outcome = inspect(tmp_path / "all", tmp_path)
    assert of(found, "corrupt") == set(planted["corrupt"])
    assert of(found, "exact_duplicates") == {*planted["exact"], *planted["exact"].values()}
    assert len(of(found, "near_duplicates") & set(planted["near"])) >= 9
    assert of(found, "dark") == set(planted["dark"])
    assert set(planted["blurred"]) <= of(found, "blurred")
    photographs = {path.name for path in (tmp_path / "all").glob("photo_*")}
    assert len(of(found, "blurred") & photographs) <= 1
    assert not (of(found, "wrong_extension") | of(found, "odd_size") | of(found, "odd_aspect")) & photographs
    assert list(outcome.stages[-1].facts)[:3] == ["images", "corrupt", "exact_duplicates"]
    page = (outcome.artifact("inspect").path / "inspect.html").read_text("utf-8")
    assert "data:image/jpeg;base64," in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_second_look_reads_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("pipekit.files.trees.SETTLED_S", 0.0)  # files of this moment are hashed again
    crops(tmp_path / "photos", 6)
    first, _ = inspect(tmp_path / "photos", tmp_path)

    def refused(path: object) -> bytes:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("pipekit.files.read_bytes", refused)
    monkeypatch.setattr("pipekit.store.file_hashes.hash_file", refused)
    second, outcome = inspect(tmp_path / "photos", tmp_path)
    assert second == first
    assert all(stage.cached for stage in outcome.stages)


def test_a_check_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    crops(tmp_path / "photos", 3)
    plugin = tmp_path / "bad.py"
    plugin.write_text(
        "import pipekit\n"
        "class P(pipekit.Params):\n    pass\n"
        "def broken(rows, ctx, params: P):\n    raise ValueError('no luck')\n"
        "def unknown(rows, ctx, params: P):\n"
        "    yield pipekit.Finding('unknown', 'info', 'one', (rows[0]['id'],))\n"
        "    yield pipekit.Finding('unknown', 'info', 'two', ('nowhere.png',))\n"
        "@pipekit.hookimpl\ndef register_checks(register):\n"
        "    register('broken', broken, summary='Fails')\n    register('unknown', unknown, summary='No such sample')\n",
        "utf-8",
    )
    adhoc = AdhocPipeline(base_dir=tmp_path, settings={"executor": "serial"}, plugins=("bad.py",))
    data = adhoc.add("data", "import.folders", path="photos")
    adhoc.add("inspect", "inspect", dataset=data, checks=["broken", "unknown", "near_duplicates"])
    outcome = adhoc.run()
    assert outcome.stages[-1].warnings == (
        "check 'broken' of plugin 'bad' failed: ValueError: no luck",
        "a finding of check 'unknown' of plugin 'bad' left out: there is no sample 'nowhere.png'",
    )
    found = json.loads((outcome.stages[-1].artifact.path / "inspect.json").read_text("utf-8"))
    assert [finding["message"] for finding in found["findings"] if finding["check"] == "unknown"] == ["one"]


def test_a_plugin_s_check_sees_rows_as_dicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPEKIT_STORE", str(tmp_path / "store"))
    made = crops(tmp_path / "photos", 3)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"text")
    plugin = tmp_path / "seeing.py"
    plugin.write_text(
        "import pipekit\n"
        "class P(pipekit.Params):\n    pass\n"
        "def seen(rows, ctx, params: P):\n"
        "    yield pipekit.Finding('seen', 'info', '', values={'rows': list(map(dict, rows)), 'last': dict(rows[-1])})\n"
        "@pipekit.hookimpl\ndef register_checks(register):\n    register('seen', seen, summary='Rows')\n",
        "utf-8",
    )
    adhoc = AdhocPipeline(base_dir=tmp_path, settings={"executor": "serial"}, plugins=("seeing.py",))
    data = adhoc.add("data", "import.folders", path="photos", verify="none")
    adhoc.add("inspect", "inspect", dataset=data, checks=["seen"])
    outcome = adhoc.run()
    (finding,) = json.loads((outcome.artifact("inspect").path / "inspect.json").read_text("utf-8"))["findings"]
    dataset = {sample.id: sample for sample in outcome.artifact("data")}
    *rows, bad = sorted(finding["values"]["rows"], key=lambda row: "problem" in row)
    for number, (row, path) in enumerate(zip(rows, made, strict=True)):
        told = {"label": None, "split": "", "suffix": ".jpg", "sha256": dataset[path.name].sha256, "group": number}
        assert row == measured(path) | told
    assert set(bad) == {"id", "label", "split", "suffix", "sha256", "problem"}
    assert finding["values"]["last"] == finding["values"]["rows"][-1]


# --- measuring -----------------------------------------------------------------------------------------------------------


def measured(path: Path) -> dict[str, Any]:
    yielded = measure_image(Sample(path.name, str(path)), None, None)  # type: ignore[arg-type]
    (row,) = (found for found in yielded if found is not PAUSE)
    return row


def test_measures_of_a_known_picture(tmp_path: Path) -> None:
    half = np.zeros((100, 200, 3), np.uint8)
    half[:, 100:] = 200
    images.write(tmp_path / "half.png", half)
    row = measured(tmp_path / "half.png")
    assert (row["width_px"], row["height_px"], row["format"]) == (200, 100, "PNG")
    assert (row["dark_level"], row["bright_level"], row["contrast"], row["entropy_bits"]) == (0, 200, 100, 1)


def test_a_grey_lower_half_is_seen_and_a_plain_picture_is_not(tmp_path: Path) -> None:
    picture = images.read(PHOTOS / "cat.jpg")
    broken = picture.copy()
    broken[len(broken) // 2 :] = 128
    images.write(tmp_path / "broken.jpg", broken)
    images.write(tmp_path / "whole.jpg", picture)
    images.write(tmp_path / "plain.jpg", np.full((90, 90, 3), 128, np.uint8))
    assert measured(tmp_path / "broken.jpg")["cut_off"] == pytest.approx(0.5, abs=0.06)
    assert measured(tmp_path / "whole.jpg")["cut_off"] == 0
    assert measured(tmp_path / "plain.jpg")["cut_off"] == 0


def test_sharpness_does_not_hang_on_contrast_or_size(tmp_path: Path) -> None:
    picture = images.read(PHOTOS / "coffee.jpg")
    images.write(tmp_path / "a.png", picture)
    images.write(tmp_path / "b.png", (picture // 3).astype(np.uint8))
    images.write(tmp_path / "c.png", images.resize(picture, (picture.shape[0] // 2, picture.shape[1] // 2)))
    values = [measured(tmp_path / f"{name}.png")["sharpness"] for name in "abc"]
    assert values[1] == pytest.approx(values[0], rel=0.25)
    assert values[2] == pytest.approx(values[0], rel=0.25)


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\xe0" + bytes(50)])
def test_what_can_not_be_read_is_a_row_with_a_problem(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.jpg").write_bytes(data)
    images.write(tmp_path / "a/good.png", np.zeros((8, 8, 3), np.uint8))
    adhoc = AdhocPipeline(base_dir=tmp_path, settings={"executor": "serial"})
    loaded = adhoc.add("data", "import.folders", path="a", verify="none")
    adhoc.add("inspect", "inspect", dataset=loaded)
    found = json.loads((adhoc.run().stages[-1].artifact.path / "inspect.json").read_text())
    assert (found["num_images"], found["num_unusable"]) == (2, 1)
    assert [finding["samples"] for finding in found["findings"] if finding["check"] == "corrupt"] == [["x.jpg"]]


# --- the checks, on rows -------------------------------------------------------------------------------------------------


def row(name: str, **values: Any) -> dict[str, Any]:
    usual = {
        "label": "a",
        "split": "",
        "sha256": name,
        "suffix": ".jpg",
        "size_bytes": 1000,
        "width_px": 100,
        "height_px": 80,
        "format": "JPEG",
        "mode": "RGB",
        "orientation": 1,
        "frames": 1,
        "dark_level": 10.0,
        "bright_level": 240.0,
        "contrast": 50.0,
        "entropy_bits": 7.0,
        "sharpness": 1.0,
        "cut_off": 0.0,
        "group": name,
    }
    return {"id": name, **usual, **values}


def run(check: Any, rows: list[dict[str, Any]], **params: Any) -> list[Finding]:
    from pipekit.contract import params_type_of

    return list(check(rows, None, params_type_of(check)(**params)))


def test_leakage_keeps_the_test_image() -> None:
    rows = [
        row("a", split="train", group=1),
        row("b", split="test", group=1),
        row("c", split="train", group=1),
        row("d", split="val"),
    ]
    (finding,) = run(copies.leakage, rows)
    assert (finding.severity, finding.samples, finding.values["remove"]) == ("error", ("a", "b", "c"), ["a", "c"])
    assert finding.message == "nearly the same image in train and test"


def test_copies_of_one_original_in_two_splits_are_leakage() -> None:
    rows = [
        row("a", split="train", origin=0, group=1),
        row("a.aug1", split="test", origin=0, group=2),
        row("b", split="train", origin=3, group=3),
        row("b.aug1", split="train", origin=3, group=4),
    ]
    (finding,) = run(copies.leakage, rows)
    assert finding.message == "copies of one original in train and test"
    assert (finding.samples, finding.values["remove"]) == (("a", "a.aug1"), ["a"])
    near = [{**one, "group": 1} for one in rows[:2]]
    assert [one.message for one in run(copies.leakage, near)] == ["nearly the same image in train and test"], "said once"


def test_the_stage_finds_copies_of_one_original_by_name(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    for name in ("train/a/x.png", "test/a/x.aug1.png", "train/a/y.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        images.write(tmp_path / "set" / name, chance.integers(0, 255, (32, 32, 3), np.uint8))
    found = pipekit.inspect(tmp_path / "set", only=["leakage"], workers=1).found
    assert [one["samples"] for one in found["findings"]] == [["test/a/x.aug1.png", "train/a/x.png"]]


def test_two_labels_on_one_image_are_a_conflict() -> None:
    rows = [row("a", group=1, sha256="x"), row("b", group=1, sha256="x", label="b"), row("c", label="b")]
    (finding,) = run(copies.label_conflicts, rows)
    assert finding.message == "the same file labelled a and b"
    assert run(copies.leakage, rows) == []


def test_a_conflict_of_many_labels_names_five() -> None:
    made = [row(f"{n}.jpg", label=f"class {n}", sha256="x", group=0) for n in range(7)]
    (finding,) = run(copies.label_conflicts, made)
    assert finding.message == "the same file labelled class 0, class 1, class 2, class 3, class 4 and 2 more"
    assert len(finding.samples) == 7


def test_near_copies_do_not_repeat_exact_ones() -> None:
    rows = [row("a", group=1, sha256="x"), row("b", group=1, sha256="x")]
    assert len(run(copies.exact_duplicates, rows)) == 1
    assert run(copies.near_duplicates, rows) == []
    (finding,) = run(copies.near_duplicates, [*rows, row("c", group=1, width_px=500)])
    assert finding.samples == ("a", "c") or finding.samples == ("b", "c")
    assert finding.values["remove"] == [finding.samples[0]]


@pytest.mark.parametrize(
    ("check", "odd"),
    [
        (outliers.dark, {"bright_level": 30.0}),
        (outliers.bright, {"dark_level": 220.0}),
        (outliers.blurred, {"sharpness": 0.1}),
        (outliers.low_information, {"entropy_bits": 1.0}),
        (outliers.odd_size, {"width_px": 1000, "height_px": 800}),
        (outliers.odd_size, {"width_px": 10, "height_px": 8}),
        (outliers.odd_aspect, {"width_px": 900}),
        (outliers.odd_aspect, {"height_px": 900}),
    ],
)
def test_what_stands_apart_is_reported_and_nothing_else(check: Any, odd: dict[str, Any]) -> None:
    rows = [row(f"{n}", bright_level=235.0 + n % 9, entropy_bits=7 + n % 5 / 10) for n in range(60)]
    assert run(check, rows) == []
    (finding,) = run(check, [*rows, row("odd", **odd), row("bad", problem="truncated")])
    assert finding.samples == ("odd",)
    assert run(check, [*rows, row("odd", **odd)], strictness=100.0) == []
    assert run(check, [row("odd", **odd), *rows[:10]]) == []
    assert run(check, [row(f"{n}", **odd) for n in range(60)]) == []


def test_files_that_are_not_what_they_say() -> None:
    rows = [
        row("a"),
        row("b.png", suffix=".png"),
        row("c", problem="truncated JPEG"),
        row("d", orientation=6),
        row("e", frames=3),
    ]
    assert [f.message for f in run(files.wrong_extension, rows)] == ["JPEG in files called .png"]
    assert [f.samples for f in run(files.corrupt, rows)] == [("c",)]
    assert [f.samples for f in run(files.orientation, rows)] == [("d",)]
    assert [f.samples for f in run(files.animated, rows)] == [("e",)]
    assert [f.samples for f in run(files.mixed_modes, [*rows, row("g", mode="L")])] == [("g",)]
    assert [f.samples for f in run(files.cut_off, [*rows, row("g", cut_off=0.4)])] == [("g",)]


def test_classes_of_very_different_sizes() -> None:
    rows = [row(f"a{n}") for n in range(60)] + [row(f"b{n}", label="b") for n in range(10)]
    messages = [finding.message for finding in run(balance.imbalance, rows)]
    assert messages == ["'a' has 60 images, 'b' has 10: 6.0 times as many", "fewer than 20 images: 'b' (10)"]
    assert run(balance.imbalance, rows[:60] + [row(f"b{n}", label="b") for n in range(50)]) == []


def test_classes_missing_in_a_split_and_missing_labels() -> None:
    rows = [row("a", split="train"), row("b", split="train", label="b"), row("c", split="test"), row("d", label=None)]
    assert [f.message for f in run(balance.missing_classes, rows)] == ["no image in test of 'b'"]
    assert [f.samples for f in run(balance.unlabelled, rows)] == [("d",)]
    assert run(balance.unlabelled, [row("d", label=None)]) == []


@pytest.mark.parametrize(
    ("check", "limit", "odd"),
    [
        (outliers.dark, 6 * 0.1, lambda x: {"bright_level": 241 * np.exp(-x) - 1}),
        (outliers.bright, 8 * 8, lambda x: {"dark_level": 10 + x}),
        (outliers.blurred, 2.5 * 0.15, lambda x: {"sharpness": 1.001 * np.exp(-x) - 0.001}),
        (outliers.low_information, 8 * 0.15, lambda x: {"entropy_bits": 7 - x}),
        (outliers.odd_size, 6 * 0.25, lambda x: {"width_px": 100 * np.exp(x)}),
        (outliers.odd_size, 6 * 0.25, lambda x: {"width_px": 100 * np.exp(-x)}),
        (outliers.odd_aspect, 6 * 0.1, lambda x: {"width_px": 100 * np.exp(x)}),
        (outliers.odd_aspect, 6 * 0.1, lambda x: {"width_px": 100 * np.exp(-x)}),
    ],
)
def test_an_outlier_lies_beyond_its_limit(check: Any, limit: float, odd: Any) -> None:
    """The number of spreads times the least spread, which is the spread where all others are alike."""
    rows = [row(f"{n}") for n in range(40)]
    assert run(check, [*rows, row("odd", **odd(0.95 * limit))]) == []
    assert len(run(check, [*rows, row("odd", **odd(1.05 * limit))])) == 1


def test_the_spread_is_the_standard_deviation_of_normal_data() -> None:
    """The median distance is 20, so a spread is 1.4826 * 20 = 29.65, and 8 of them are 237.2."""
    rows = [row(f"{n}", dark_level=(80.0, 100.0, 120.0)[n % 3]) for n in range(60)]
    assert run(outliers.bright, [*rows, row("odd", dark_level=100 + 230.0)]) == []
    (finding,) = run(outliers.bright, [*rows, row("odd", dark_level=100 + 245.0)])
    assert finding.values["scores"] == {"odd": round(245 / (1.4826 * 20), 2)}


def test_a_wide_middle_widens_the_spread() -> None:
    """The middle nine tenths are 60 wide, 60 / 3.29 = 18.2: the median distance of 0 says nothing here."""
    rows = [row(f"{n}", dark_level=130.0 if n < 3 else 70.0 if n < 6 else 100.0) for n in range(40)]
    assert run(outliers.bright, [*rows, row("odd", dark_level=100 + 140.0)]) == []
    assert len(run(outliers.bright, [*rows, row("odd", dark_level=100 + 150.0)])) == 1


def test_of_fewer_than_twenty_images_nothing_is_said() -> None:
    odd = row("odd", dark_level=220.0)
    assert len(run(outliers.bright, [odd, *(row(f"{n}") for n in range(19))])) == 1
    assert run(outliers.bright, [odd, *(row(f"{n}") for n in range(18))]) == []


def test_every_picture_is_blurred_as_much_before_its_sharpness_is_measured() -> None:
    """Columns 28 levels above and below their mean: of a blur by 0.25 px2 (1/8, 3/4, 1/8) the half is left, 14. A Gaussian of
    1 px takes away 0.977 of that. In every other column there is nothing to see, so 0.01 is what the energy is divided by."""
    columns = np.tile(np.array([100, 156], np.uint8), (64, 32))
    assert statistics.measures(columns, 0.0)["sharpness"] == pytest.approx((14 * 0.977) ** 2 / 0.01, rel=0.01)


def test_a_linear_interpolation_blurs_by_a_sixth_of_a_pixel() -> None:
    """Between two pixels, at p, the variance is p * (1 - p), in larger pixels by the scale squared."""
    between = np.linspace(0, 1, 1001)
    _, blurred_px2 = statistics.reduced(np.zeros((192, 300), np.uint8), 128)
    assert blurred_px2 == pytest.approx((between * (1 - between)).mean() / 1.5**2, rel=0.01)


@pytest.mark.parametrize(("stripe_px", "contrast"), [(1, 0), (2, 28)])
def test_images_are_measured_at_a_shorter_side_of_128_px(tmp_path: Path, stripe_px: int, contrast: float) -> None:
    """At 256 px, stripes of 1 px are averaged out, and stripes of 2 px stay, 28 levels above and below their mean."""
    columns = np.where(np.arange(256) // stripe_px % 2, 156, 100).astype(np.uint8)
    images.write(tmp_path / "stripes.png", np.tile(columns[None, :, None], (256, 1, 3)))
    steps = measure_image(Sample("stripes.png", str(tmp_path / "stripes.png")), None, ctx=None)  # type: ignore[arg-type]
    (found,) = (step for step in steps if step is not PAUSE)
    assert found["contrast"] == pytest.approx(contrast, abs=1)
