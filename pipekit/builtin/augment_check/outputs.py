"""Outputs of augment_check: the table, the plot, the example images, and advice in words."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from pipekit import images
from pipekit.builtin.augment_check.forbidden import forbidden
from pipekit.builtin.augment_check.measure import Measured, thumbnail
from pipekit.builtin.augment_check.strengths import WHOLE
from pipekit.contract import Figure, Picture, Section, Table
from pipekit.page import render
from pipekit.page.markdown import literal
from pipekit.page.plots import COLOURS, panels

Verdict = Literal["fails", "costs", "unsure", "harmless", "unknown"]

HALF = 0.5
"""Fraction of the accuracy above chance: with a larger drop the model fails on the op."""
SMALL = 0.02
"""Smallest drop in accuracy to report."""
UNSURE = 0.05
"""Smallest drop in the true class's probability to report."""

WORDS: dict[Verdict, str] = {
    "fails": "the model fails on it",
    "costs": "costs accuracy",
    "unsure": "makes it less sure",
    "harmless": "harmless",
    "unknown": "no verdict: the model is not better than chance",
}
VERDICT_COLOURS: dict[Verdict, str] = {
    "fails": COLOURS[1],
    "costs": COLOURS[4],
    "unsure": COLOURS[0],
    "harmless": COLOURS[0],
    "unknown": COLOURS[0],
}
COLUMNS = (
    *("op", "settings", "strength", "images", "copies", "accuracy", "drop", "drop_low", "drop_high"),
    *("confidence", "confidence_drop", "verdict"),
)


def verdict(measured: Measured, row: int) -> Verdict:
    """The verdict on a variant. A drop counts only if its 95 % interval lies above 0, and the model is better than chance."""
    if not measured.knows_something:
        return "unknown"
    drop = float(measured.drop[row])
    known = measured.accuracy - measured.chance
    if measured.low[row] > 0:
        if known > 0 and drop >= HALF * known:
            return "fails"
        if drop >= SMALL:
            return "costs"
    return "unsure" if measured.confidence_drop[row] >= UNSURE else "harmless"


def write_outputs(folder: Path, measured: Measured) -> None:
    """``augment_check.csv``, ``.png`` and ``.html``."""
    with (folder / "augment_check.csv").open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(_csv_rows(measured))
    figures = draw(measured)
    (folder / "augment_check.png").write_bytes(figures[1].data)
    sections = [
        ("advice", Section("Advice", advice(measured), figures=figures)),
        ("table", Section("Accuracy and confidence under each op", tables=(page_table(measured),))),
        ("pictures", Section("Example images under each op", _ASK, pictures=tuple(pictures(measured)))),
    ]
    page = render("Is this recipe good for this model?", sections, lead=headline(measured) + ".")
    (folder / "augment_check.html").write_text(page, "utf-8", errors="replace")


_ASK = (
    "The same images under every op, as the model receives them. If you can no longer name the class, the op is too strong, "
    "whatever the metrics say; if you can and the model can't, training with the op is likely to help."
)


def _csv_rows(measured: Measured) -> Iterator[tuple[Any, ...]]:
    counts = (measured.num_images, measured.copies)
    sure = measured.plain_confidence.mean()
    yield ("none", "", "0", *counts, f"{measured.accuracy:.4f}", *["0.0000"] * 3, f"{sure:.4f}", "0.0000", "")
    for row, variant in enumerate(measured.variants):
        falls = (measured.drop[row], measured.low[row], measured.high[row])
        confidence = (measured.confidence[:, row].mean(), measured.confidence_drop[row])
        yield (
            *(variant.op, variant.settings, f"{variant.strength:g}", *counts),
            f"{measured.correct[:, row].mean():.4f}",
            *(f"{value:.4f}" for value in (*falls, *confidence)),
            WORDS[verdict(measured, row)],
        )


def page_table(measured: Measured) -> Table:
    rows: list[tuple[Any, ...]] = [("none", "", "", measured.accuracy, "", float(measured.plain_confidence.mean()), "")]
    for row, variant in enumerate(measured.variants):
        fall = f"{measured.drop[row]:.3f} ({measured.low[row]:.3f} to {measured.high[row]:.3f})"
        accuracy, confidence = float(measured.correct[:, row].mean()), float(measured.confidence[:, row].mean())
        strength = f"{variant.strength:g}"
        rows.append((variant.op, variant.settings, strength, accuracy, fall, confidence, WORDS[verdict(measured, row)]))
    columns = ("op", "settings", "strength", "accuracy", "falls by", "confidence", "verdict")
    return Table(columns, tuple(rows), "Confidence is the mean probability of the true class; the interval is of 95 %.")


def draw(measured: Measured) -> tuple[Figure, Figure]:
    """Accuracy against strength, a small plot for each op; an op without strengths is a marker at full strength."""
    lines: dict[str, list[tuple[float, float]]] = {}
    verdicts: dict[str, Verdict] = {}
    for row, variant in enumerate(measured.variants):
        lines.setdefault(variant.op, []).append((variant.strength, float(measured.correct[:, row].mean())))
        verdicts[variant.op] = verdict(measured, row)

    def on(name: str) -> Callable[[Any], None]:
        def one(axes: Any) -> None:
            path = [(0.0, measured.accuracy), *lines[name]]
            alone = len(path) == 2
            axes.axhline(measured.chance, color="#8b949e", linewidth=1, linestyle=":")
            style = {"linestyle": ":" if alone else "-", "marker": "D" if alone else "o", "markersize": 4}
            axes.plot(*zip(*path, strict=True), color=VERDICT_COLOURS[verdicts[name]], clip_on=False, **style)
            axes.set_title(f"{name}: {WORDS[verdicts[name]]}", fontsize=8.5)
            axes.set(ylim=(0, 1.03), xlim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))

        return one

    worst = min(((points[-1][1], name) for name, points in lines.items() if name != WHOLE), default=(measured.accuracy, ""))
    alt = (
        f"Accuracy over the strength of each op, from {measured.accuracy:.3f} without any; "
        f"lowest {worst[0]:.3f} with {worst[1]}."
    )
    caption = (
        "Accuracy against strength, as a fraction of the recipe's; each op alone, on the same images. "
        "Dotted: the accuracy of always predicting the most frequent class."
    )
    return panels("augment_check", list(map(on, lines)), columns=4, alt=alt, caption=caption)


def pictures(measured: Measured) -> Iterator[Picture]:
    for label, plain, made in measured.shown:
        yield _picture(plain, "none", "0", label, "")
        for variant, (pixels, said) in zip(measured.variants, made, strict=True):
            yield _picture(pixels, variant.op, f"{variant.strength:g}", label, said)


def _picture(pixels: Any, op: str, strength: str, label: str, said: str) -> Picture:
    name = f"{op} at {strength}" if said else "as it is"
    answer = f"; predicted {said}" if said else ""
    tags = {"op": op, "strength": strength, **({"answer": "right" if said == label else "wrong"} if said else {})}
    return Picture(images.encode(thumbnail(pixels), "jpg", 90), f"{label}, {name}{answer}", f"{label}, {name}{answer}", tags)


def headline(measured: Measured) -> str:
    """One sentence: the whole recipe's accuracy, the ops that the labels forbid, and those that the model fails on."""
    no = _forbidden(measured)
    bad = [name for name, worst in _worst(measured).items() if worst == "fails" and name != WHOLE and name not in no]
    ending = f"; the labels forbid {', '.join(no)}" if no else ""
    if not measured.knows_something:
        ending += f"; no verdict on the ops, since the model is not better than chance ({measured.chance:.3f})"
    else:
        ending += f"; the model fails on {', '.join(bad)}" if bad else "; the model fails on no other op" if no else ""
        ending += "" if bad or no else "; the model fails on no op"
    return (
        f"accuracy {measured.accuracy:.3f} as they are, {measured.correct[:, -1].mean():.3f} under the recipe, "
        f"{measured.num_images} images ({measured.split}){ending}"
    )


def facts(measured: Measured) -> dict[str, str]:
    counts = [worst for name, worst in _worst(measured).items() if name != WHOLE]
    return {
        "accuracy": f"{measured.accuracy:.3f}",
        "recipe": f"{measured.correct[:, -1].mean():.3f}",
        "fails on": str(counts.count("fails")),
        "cost": str(counts.count("costs")),
        **({"forbidden": str(len(_forbidden(measured)))} if _forbidden(measured) else {}),
    }


def _forbidden(measured: Measured) -> dict[str, str]:
    """The ops that the classes' names forbid, with the reason."""
    found = {row.op: forbidden(row.op, measured.classes, measured.mirror_labels) for row in measured.variants}
    return {name: reason for name, reason in found.items() if reason}


def _worst(measured: Measured) -> dict[str, Verdict]:
    """Each op's verdict at the recipe's strength (the largest that was measured)."""
    return {variant.op: verdict(measured, row) for row, variant in enumerate(measured.variants)}


def advice(measured: Measured) -> str:
    """Advice for each op, the worst ones first."""
    parts = [
        f"- **Your labels forbid {literal(name)}**: {reason}. No training can teach that: leave it out."
        for name, reason in _forbidden(measured).items()
    ]
    if not measured.knows_something:
        return "\n".join(parts) + (
            f"\n\nThe model's accuracy is {measured.accuracy:.3f} on {measured.num_images} unchanged images; always predicting "
            f"the most frequent class gives {measured.chance:.3f}; the difference may be due to chance. Without accuracy to "
            "lose, the check has no result: train a better model, or check it on more images."
        )
    words: dict[Verdict, list[str]] = {name: [] for name in WORDS}
    for name, worst in _worst(measured).items():
        if name != WHOLE and name not in _forbidden(measured):
            words[worst].append(name)
    for name in words["fails"]:
        parts.append(f"- **The model fails on {literal(name)}.** {_figures(measured, name)} {_keep_below(measured, name)}")
    for name in words["costs"]:
        parts.append(
            f"- **{literal(name)}** costs accuracy: {_figures(measured, name)} If you can still name the classes in its "
            "images below, the model has yet to learn this change: train with it; if you can't, make it weaker."
        )
    if words["unsure"]:
        parts.append(f"- The model stays correct but less confident with {_listed(words['unsure'])}: good to train with.")
    if words["harmless"]:
        parts.append(
            f"- {_listed(words['harmless'])}: no drop beyond chance on these images. Safe to train with; the model knows these "
            "changes already, or they are weak."
        )
    note = (
        f"Measured on {measured.num_images} images. A drop says that a change confuses the model, not why: the change may "
        "destroy the class, or the model may never have been trained on it. The images below show which."
    )
    return "\n".join(parts) + f"\n\n{note}"


def _figures(measured: Measured, name: str) -> str:
    row = max(number for number, variant in enumerate(measured.variants) if variant.op == name)
    now = float(measured.correct[:, row].mean())
    return (
        f"Accuracy drops from {measured.accuracy:.3f} to {now:.3f} (95 % interval of the drop: {measured.low[row]:.3f} to "
        f"{measured.high[row]:.3f})."
    )


def _keep_below(measured: Measured, name: str) -> str:
    """The largest strength up to which the model doesn't fail, and what decides."""
    rows = [row for row, variant in enumerate(measured.variants) if variant.op == name]
    fine = []
    for row in rows:
        if verdict(measured, row) == "fails":
            break
        fine.append(measured.variants[row])
    if fine:
        return (
            f"Up to {fine[-1].settings} it does not. If you can still name the classes in its images below, training with the "
            "op can teach the model; if you can't, keep it there."
        )
    return (
        "If you can still name the classes in its images below, training with the op can teach the model; if you can't, leave "
        "it out."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(literal(name) for name in names)
