// What else is known of one image: the nearest ones, and what the runs have made of it.

import { el, get, thumbnails, commandBox, number } from "./common.js";

function shot(dataset, one, thumb, opened) {
  const image = el("img", { alt: "" });
  if (thumb.file) image.src = URL.createObjectURL(thumb.file);
  const label = dataset.columns.get("label");
  const said = label.data[one.row] < 0 ? "no class" : label.values[label.data[one.row]];
  return el("button", { type: "button", class: "shot", "aria-label": `${thumb.id}, ${said}, similarity ${one.similarity.toFixed(2)}`, title: thumb.id, onclick: () => opened(one.row) },
    el("span", { class: "frame" }, image), el("span", { class: "caption" }, `${said} · ${one.similarity.toFixed(2)}`));
}

async function near(place, dataset, row, opened, current) {
  const found = await get(`${dataset.base}/nearest/${row}`);
  const title = el("h3", {}, "The images that are most like it");
  if (found.state === "none") {
    if (current()) place.replaceChildren(title, el("p", { class: "soft" }, found.has_some ? "This image has no features yet. The page Map, or this command, computes them:" : "They are compared by features, which the page Map, or this command, computes:"), commandBox(found.words));
    return;
  }
  const pictures = await thumbnails(dataset, found.near.map((one) => one.row));
  if (!current()) return;
  place.replaceChildren(title, found.near.length ? el("div", { class: "shots" }, ...found.near.map((one, at) => shot(dataset, one, pictures[at], opened))) : el("p", { class: "soft" }, "No other image has features."));
}

function runLine(run) {
  const splits = [...new Set(Object.values(run.splits).filter(Boolean))];
  const { prediction } = run;
  const wrong = prediction && prediction.correct === "0";
  const said = prediction && prediction.predicted !== undefined ? `predicted ${prediction.predicted}${prediction.confidence ? ` (${Math.round(100 * prediction.confidence)} %)` : ""}` : "";
  return el("li", {}, el("strong", {}, run.name), el("span", {}, splits.join(", ") || "no split"),
    run.copies ? el("span", {}, `${number(run.copies)} ${run.copies === 1 ? "copy" : "copies"}`) : null, said ? el("span", { class: wrong ? "bad" : "" }, said) : null);
}

async function made(place, dataset, row, current) {
  const found = await get(`${dataset.base}/history/${row}`);
  if (!current()) return;
  const title = el("h3", {}, "What was made from it");
  const copies = found.copies.map((one) => el("figure", { class: "shot" }, el("span", { class: "frame" }, one.picture ? el("img", { alt: `copy ${one.copy}`, src: one.picture }) : null), el("figcaption", { class: "caption", title: one.file }, one.steps.join(", ") || "unchanged")));
  const all = found.runs.reduce((sum, run) => sum + run.copies, 0);
  place.replaceChildren(title,
    copies.length ? el("div", { class: "shots" }, ...copies) : "", all > copies.length ? el("p", { class: "soft" }, `${number(all - copies.length)} more copies are in the folders of the runs.`) : "",
    found.runs.length ? el("ul", { class: "made" }, ...found.runs.map(runLine)) : el("p", { class: "soft" }, "No run has had this image yet."),
    found.passed_over ? el("p", { class: "soft" }, `${number(found.passed_over)} older runs were not read.`) : "",
    copies.length ? commandBox(["replay", found.copies[0].file], "The command that makes the first copy again") : "");
}

// opened(row) shows another image; current() says whether the panel still shows this one.
export function aboutImage(dataset, row, opened, current) {
  const nearest = el("section", { class: "about-nearest" });
  const history = el("section", { class: "about-made" });
  const wrong = (place) => (error) => { if (current()) place.replaceChildren(el("p", { class: "problem" }, error.message)); };
  setTimeout(() => { // while an arrow key is held, images pass that nobody looks at
    if (!current()) return;
    near(nearest, dataset, row, opened, current).catch(wrong(nearest));
    made(history, dataset, row, current).catch(wrong(history));
  }, 120);
  return [nearest, history];
}
