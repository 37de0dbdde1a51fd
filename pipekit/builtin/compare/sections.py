"""The sections of the comparison page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipekit.builtin.compare import further, of_task
from pipekit.builtin.compare.paired import Answers
from pipekit.contract import Figure, Picture, Section, Table
from pipekit.errors import ImageError
from pipekit.page import Top
from pipekit.page.markdown import literal
from pipekit.page.plots import COLOURS, DASHES, plot
from pipekit.tasks import NUMBER

if TYPE_CHECKING:
    from pipekit.builtin.compare import CompareParams


def build_sections(
    answers: Sequence[Answers], found: Mapping[str, Any], params: CompareParams
) -> Iterator[tuple[str, Section]]:
    yield "verdict", of_task.summary(found) if "task" in found else _verdict(found)
    pictures = tuple(_pictures(answers, found, params))
    changed = sum(len(pair["changed"]) for pair in found["pairs"])
    if changed:
        words = (
            f"Where do the models disagree? {changed} predictions are correct in one model and wrong in the other; "
            f"{len(pictures)} of them are below."
            if found.get("task") != NUMBER
            else f"Where do the models disagree? {len(pictures)} images are below, the largest differences first."
        )
        yield "changed", Section("Disagreements", words, pictures=pictures)
    if "further" in found:
        yield "further", further.section(found["further"])
    yield "figures", of_task.figures(answers) if "task" in found else _figures(answers)
    rows = differing(answers)
    if rows:
        table = Table(("parameter", *(one.name for one in answers)), tuple(rows))
        yield "parameters", Section("Parameter differences", "What was done differently?", tables=(table,))
    else:
        yield "parameters", Section("Parameter differences", "The models' files record no difference.")
    figures = tuple(figure for key in ("val_loss", f"val_{_score(answers)}") for figure in _curves(answers, key))
    tables = tuple(_learning(answers))
    if figures or tables:
        yield "curves", Section("Learning curves", "How did the models learn?", figures=figures, tables=tables)


FOLDED = ("parameters", "curves")
"""Sections that are closed until the reader opens them."""

FIRST_PICTURES = 6


def top_of(found: Mapping[str, Any], sections: Mapping[str, Section]) -> Top:
    """The headline, and a few images on which the models disagree."""
    changed = sections.get("changed")
    pictures = changed.pictures[:FIRST_PICTURES] if changed else ()
    return Top(str(found["headline"]), pictures_title="Where the models disagree" if pictures else "", pictures=pictures)


HOW = {
    "seeds": "The comparison is of recipes, not of single trainings: each was trained with several seeds, and all were "
    "measured on the same images. The interval and the p-value allow for further images and further seeds. *Gained*: images "
    "that most trainings of the later recipe predict correctly, and most of the first don't. ",
    "folds": "The comparison is of recipes, not of single models: both were cross-validated with the same folds. The p-value "
    "is that of the t-test over folds, corrected for the training images that they share (Nadeau and Bengio 2003), and the "
    "interval inverts it. ",
}
"""How recipes are compared, by method."""


def _verdict(found: Mapping[str, Any]) -> Section:
    several = len(found["pairs"]) > 1
    rows = tuple(
        (
            f"{pair['other']} against {pair['first']}",
            pair["num_images"],
            f"{100 * pair['difference']['value']:+.1f}",
            f"{100 * pair['difference']['low']:+.1f} to {100 * pair['difference']['high']:+.1f}",
            pair["gained"],
            pair["lost"],
            "< 0.001" if pair["p"] < 0.001 else pair["p"],
            *(("< 0.001" if pair["p_holm"] < 0.001 else pair["p_holm"],) if several else ()),
        )
        for pair in found["pairs"]
    )
    columns = (
        "pair",
        "images",
        "points",
        "95 % interval",
        "gained",
        "lost",
        {"seeds": "p (recipes)", "folds": "p (corrected t)"}.get(found["pairs"][0]["method"], "p (McNemar)"),
        *(("p (Holm)",) if several else ()),
    )
    words = [literal(pair["verdict"]) for pair in found["pairs"]]
    left_out = [
        f"{pair['num_only_first'] + pair['num_only_other']} images are in only one of the two reports and are omitted."
        for pair in found["pairs"]
        if pair["num_only_first"] + pair["num_only_other"]
    ]
    how = HOW.get(found["pairs"][0]["method"]) or (
        "The comparison is paired: it uses predictions for the same images. *Gained*: images that only the later model "
        "predicts correctly. *Lost*: images that only the first one does. The p-value is that of McNemar's test, the interval "
        "is Tango's (1998), which inverts the same test: it excludes 0 exactly when p is below 0.05. "
    )
    groups, kind = found["pairs"][0]["num_groups"], found["pairs"][0]["groups"]
    if groups is None:
        how += "Both hold if the images are independent: images of one patient, video or scene are not."
    elif kind == "copies":
        how += (
            f"Copies of one image count as one: {groups} groups. Both hold if these are independent: images of one patient, "
            "video or scene are not."
        )
    else:
        how += f"The images come in {groups} groups; both allow for that."
    if several:
        how += (
            " With several comparisons at once, a small p-value is more often due to chance: a model is called better only if "
            "Holm's adjusted p-value is below 0.05."
        )
    return Section("Summary", "\n\n".join([*words, *left_out, how]), tables=(Table(columns, rows),))


def _figures(answers: Sequence[Answers]) -> Section:
    def estimate(found: Mapping[str, Any]) -> str:
        if found["value"] is None:
            return "–"
        return f"{found['value']:.3f}" + (f" ({found['low']:.2f} to {found['high']:.2f})" if found["low"] is not None else "")

    names = tuple(one.name for one in answers)
    overall = [
        (word, *(estimate(one.metrics[key]) for one in answers))
        for key, word in (("accuracy", "accuracy"), ("balanced_accuracy", "balanced accuracy"), ("macro_f1", "macro F1"))
    ]
    overall += [
        (word, *(one.metrics[key] for one in answers))
        for key, word in (("matthews", "Matthews correlation"), ("log_loss", "log loss"), ("brier", "Brier score"))
    ]
    overall.append(("calibration error", *(one.metrics["calibration"]["expected_error"] for one in answers)))
    for key, word in (("near_copies", "images with a copy in train"), ("label_conflicts", "images again under another label")):
        overall.append((word, *((one.metrics.get(key) or {}).get("count", "–") for one in answers)))
    classes = sorted({row["class"] for one in answers for row in one.metrics["per_class"]})
    by_class = [{row["class"]: row for row in one.metrics["per_class"]} for one in answers]
    recalls = tuple((name, *(estimate(rows[name]["recall"]) if name in rows else "–" for rows in by_class)) for name in classes)
    return Section(
        "Metrics",
        "How good is each model? Metrics over all the images in its report, with 95 % intervals.",
        tables=(
            Table(("metric", *names), tuple(overall), "Over all images"),
            Table(("class", *names), recalls, "Recall of each class"),
        ),
    )


def _pictures(answers: Sequence[Answers], found: Mapping[str, Any], params: CompareParams) -> Iterator[Picture]:
    from pipekit import images

    by_name = {one.name: one for one in answers}
    share = params.pictures // max(1, len(found["pairs"]))
    for pair in found["pairs"]:
        first, other = by_name[pair["first"]], by_name[pair["other"]]
        for entry in pair["changed"][:share]:
            one, two = first.rows[entry["id"]], other.rows[entry["id"]]
            try:
                pixels = images.read(two.get("image", ""), at_least_hw=(params.thumbnail_px, params.thumbnail_px))
            except ImageError:
                continue
            true = of_task.stated_in(one)
            better = other.name if entry["gained"] else first.name
            tags = {"closer": better} if found.get("task") == NUMBER else {"correct in": better, "true": true}
            said = [f"{name}: {of_task.said_in(row)}" for name, row in ((first.name, one), (other.name, two))]
            verdict = "; ".join([f"true: {true}", *said]) if "task" in found else f"{true}; {', '.join(said)}"
            yield Picture(
                images.encode(images.thumbnail(pixels, params.thumbnail_px), "jpg", quality=82),
                alt=f"{entry['id']}: {verdict}",
                caption=f"{verdict}\n{entry['id']}",
                tags=tags,
            )


def differing(answers: Sequence[Answers]) -> list[tuple[str, ...]]:
    """Differences in how the models were trained, as text: parameters, data, seed, versions; without results."""
    flat = [dict(_flat(_made_with(one.about.get("model", {})))) for one in answers]
    names = list(dict.fromkeys(name for entries in flat for name in entries))
    rows = [(name, *(entries.get(name, "–") for entries in flat)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


RESULTS = {"history", "words", "weights_sha256", "kept_epoch", "stopped_early", "found_learning_rate"}
"""Entries of ``model.json`` that are results of the training."""
LONGEST = 200


def _made_with(model: Mapping[str, Any]) -> dict[str, Any]:
    """``model.json`` without results, with each parameter once: the training's parameters include the template's."""
    training = model.get("training")
    training = dict(training) if isinstance(training, Mapping) else {}
    if "augment" in training:  # what older models call it
        training = {"ops": training.pop("augment"), **training}
    twice = {"training", *(("params", "template") if "model" in training else ())}
    return {**training, **{name: value for name, value in model.items() if name not in RESULTS | twice}}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else str(name))
    else:
        text = _as_text(value)
        yield prefix, text if len(text) <= LONGEST else text[:LONGEST] + " …"


def _as_text(value: Any) -> str:
    """Format a value for reading; a list of ops as ``rotate limit_deg = 10.0, hflip``."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, Mapping) and "op" in item for item in value):
        return ", ".join(" ".join([str(op["op"]), *_settings(op)]) for op in value)
    return json.dumps(value, ensure_ascii=False)


def _settings(op: Mapping[str, Any]) -> Iterator[str]:
    for name, value in op.items():
        if name != "op" and value is not None and not (name == "p" and value == 1):
            yield f"{name} = {json.dumps(value, ensure_ascii=False)}"


def _score(answers: Sequence[Answers]) -> str:
    """The metric of the learning curves, by the task."""
    return {"multilabel": "f1", "regression": "mae"}.get(str(answers[0].metrics.get("task")), "accuracy")


def _learning(answers: Sequence[Answers]) -> Iterator[Table]:
    """Number of epochs of each model, and its losses and accuracies at the kept epoch."""
    rows, score = [], _score(answers)
    for one in answers:
        model = one.about.get("model", {})
        epochs, kept = model.get("history") or [], model.get("kept_epoch")
        at = epochs[kept - 1] if isinstance(kept, int) and 1 <= kept <= len(epochs) else {}
        found = [at.get(name) for name in ("loss", "val_loss", score, f"val_{score}")]
        rows.append((one.name, len(epochs) or None, kept, *found, model.get("parameters")))
    if any(row[1] for row in rows):
        columns = ("model", "epochs", "kept", "loss", "val loss", score, f"val {score}", "weights")
        yield Table(columns, tuple(rows), "At the kept epoch")


def _curves(answers: Sequence[Answers], key: str) -> tuple[Figure, ...]:
    series = []
    for one in answers:
        epochs = one.about.get("model", {}).get("history") or []
        points = [(place, epoch[key]) for place, epoch in enumerate(epochs, 1) if isinstance(epoch.get(key), (int, float))]
        if points:
            series.append((one.name, points))
    if len(series) < 2:
        return ()
    word = key.replace("_", " ")

    def draw(axes: Any) -> None:
        for place, (name, points) in enumerate(series):
            colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=dash, label=name)
        axes.set(xlabel="epoch", ylabel=word)
        axes.legend()

    ends = ", ".join(f"{name} ends at {points[-1][1]:.3f}" for name, points in series)
    return plot(f"compare_{key}", draw, alt=f"{word.capitalize()} by epoch: {ends}.")
