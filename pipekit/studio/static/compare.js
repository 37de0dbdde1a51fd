// Compare: several runs on the same images, with their intervals; and before and after corrections of labels.

import { el, get, post, say, failed, commandBox, emptyState, number, openDataset, thumbnails } from "./common.js";
import { JobView } from "./jobs.js";

const main = document.querySelector("main");
const state = () => new URLSearchParams(location.search);
const result = el("section", { class: "compared", "aria-live": "polite" });
const afterPlace = el("section", { class: "card again" });
let runs, dataset, asked = 0;

function remember(edit) {
  const params = state();
  edit(params);
  history.replaceState(null, "", params.size ? `?${params}` : location.pathname);
}

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// --- several runs -----------------------------------------------------------------------------------------------------------------

const points = (value) => `${(100 * value).toFixed(1)} %`;

// A line for each run, from 0 to 1 or to the largest end: the interval, and the figure in it.
function intervals(models) {
  const ends = models.flatMap((one) => [one.value, one.low, one.high]).filter(Number.isFinite);
  const [low, high] = models.every((one) => one.metric === "accuracy") ? [0, 1] : [Math.min(0, ...ends), Math.max(...ends) || 1];
  const at = (value) => `${(100 * (value - low)) / (high - low)}%`;
  const said = (value) => (models[0].metric === "accuracy" ? points(value) : Number(value.toPrecision(4)).toString());
  return el("ul", { class: "intervals" }, ...models.map((one) => {
    const line = el("span", { class: "line", "aria-hidden": "true" });
    if (Number.isFinite(one.low)) {
      const span = el("i", { class: "span" });
      span.style.left = at(one.low);
      span.style.width = `calc(${at(one.high)} - ${at(one.low)})`;
      line.append(span);
    }
    if (Number.isFinite(one.value)) {
      const dot = el("i", { class: "dot" });
      dot.style.left = at(one.value);
      line.append(dot);
    }
    const text = Number.isFinite(one.value) ? said(one.value) : "no figure";
    return el("li", {}, el("strong", {}, one.name), line, el("span", { class: "figure" }, text, Number.isFinite(one.low) ? el("small", { class: "soft" }, ` ${said(one.low)} to ${said(one.high)}`) : null));
  }));
}

// Images that one of two models alone gets right.
function pictures(rows, title, count) {
  if (!rows.length) return null;
  const place = el("div", { class: "shots" });
  const view = el("div", { class: "differ" }, el("h3", {}, `${title}: ${number(count)}`), place);
  const label = dataset.columns.get("label");
  thumbnails(dataset, rows).then((found) => place.replaceChildren(...found.map(({ row, id, file }) => {
    const image = el("img", { alt: id });
    if (file) image.src = URL.createObjectURL(file);
    return el("a", { class: "shot", href: `/?row=${row}` }, el("span", { class: "frame" }, image), el("span", { class: "caption" }, label.data[row] < 0 ? id : label.values[label.data[row]]));
  }))).catch(failed);
  return view;
}

const query = (names) => names.map((name) => `run=${encodeURIComponent(name)}`).join("&");

async function compared(names, place) {
  const mine = ++asked;
  for (;;) {
    const found = await get(`/api/compare?${query(names)}`);
    if (mine !== asked) return;
    if (found.state === "ready") { place.replaceChildren(...drawn(found, names)); return; }
    place.replaceChildren(el("p", { class: "soft" }, "Comparing, image by image …"));
    await wait(400);
    if (mine !== asked) return;
  }
}

function drawn(found, names) {
  const pairs = found.pairs.flatMap((pair) => [el("p", { class: "verdict" }, pair.verdict), pictures(pair.only_other, `Only ${pair.other} is right`, pair.gained), pictures(pair.only_first, `Only ${pair.first} is right`, pair.lost)]);
  const { num_images: images, groups } = found.pairs[0];
  const about = [images ? `${number(images)} images that both reports have with the same label.` : "", "95 % intervals.", groups === "named" ? "" : "They hold if the images are independent: those of one patient, video or scene are not."];
  return [el("h2", { class: "metric" }, found.models[0].metric.replaceAll("_", " ")), intervals(found.models), ...pairs.filter(Boolean), el("p", { class: "soft" }, about.filter(Boolean).join(" ")),
    el("div", { class: "row" }, el("a", { class: "button", href: `/compared?${query(names)}`, target: "_blank", rel: "noopener" }, "The whole comparison, with the images on which they disagree")), commandBox(found.words)];
}

function chooser() {
  const chosen = new Set(state().getAll("run"));
  const boxes = runs.filter((run) => run.report).map((run) => {
    const box = el("input", { type: "checkbox", value: run.name, checked: chosen.has(run.name), onchange: () => choose() });
    return el("li", {}, el("label", {}, box, el("span", {}, el("strong", {}, run.name), el("small", { class: "soft" }, run.headline))));
  });
  return el("section", { class: "card" }, el("h1", {}, "Compare"), el("p", { class: "soft" }, "Choose two or more runs. The one that you choose first is what the others are compared with."), el("ul", { class: "choose-runs" }, ...boxes));
}

function choose() {
  const ticked = [...main.querySelectorAll(".choose-runs input:checked")].map((box) => box.value);
  const before = state().getAll("run").filter((name) => ticked.includes(name));
  const names = [...before, ...ticked.filter((name) => !before.includes(name))]; // in the order of the ticks
  remember((params) => { params.delete("run"); for (const name of names) params.append("run", name); });
  show(names);
}

function show(names) {
  if (names.length < 2) {
    asked++;
    result.replaceChildren(el("p", { class: "soft" }, "Two accuracies side by side say little. Choose two runs: only the images on which they differ count."));
    return;
  }
  compared(names, result).catch((error) => { result.replaceChildren(el("p", { class: "problem" }, error.message)); });
}

// --- before and after corrections -------------------------------------------------------------------------------------------------

const STEPS = { again: "Train again, with your corrections", remeasure: "Measure the earlier model on the corrected labels" };

async function showAgain() {
  const trained = runs.filter((run) => run.model && run.report && !/-(again|corrected)$/.test(run.name));
  if (!trained.length) { afterPlace.hidden = true; return; }
  const wanted = state().get("before");
  const choice = el("select", { "aria-label": "The run before" }, ...trained.map((run) => el("option", { value: run.name }, run.name)));
  choice.value = trained.some((run) => run.name === wanted) ? wanted : trained[0].name;
  choice.addEventListener("change", () => { remember((params) => params.set("before", choice.value)); steps(place, choice.value, true).catch(failed); });
  const place = el("div", { class: "steps" });
  afterPlace.replaceChildren(el("h2", {}, "Before and after corrections"), el("label", { class: "named" }, "before", choice), place);
  await steps(place, choice.value, state().getAll("run").length < 2); // an address that names runs shows those
}

async function steps(place, before, shown) {
  let found;
  try { found = await get(`/api/again?run=${encodeURIComponent(before)}`); } catch (error) { place.replaceChildren(el("p", { class: "problem" }, error.message)); return; }
  if (found.reason) { place.replaceChildren(el("p", { class: "soft" }, found.reason)); return; }
  const decided = found.relabelled + found.left_out;
  const about = el("p", { class: "soft" }, decided ? `${number(found.relabelled)} relabelled, ${number(found.left_out)} left out.` : "Nothing is corrected yet: ", decided ? null : el("a", { href: "/?f.mistake=yes" }, "look at the mistakes"));
  const jobPlace = el("div", {});
  const list = el("ol", {}, ...found.steps.map((step) => el("li", { class: step.done ? "done" : "" }, STEPS[step.kind], step.done ? el("span", { class: "soft" }, " done") : null, step.words.length ? commandBox(step.words) : null)),
    el("li", {}, "Compare both on the same images, in pairs"));
  const all = found.steps.every((step) => step.done);
  const button = el("button", { type: "button", class: all ? "" : "primary", disabled: !decided, onclick: () => run(place, before, jobPlace, button).catch(failed) }, all ? "Once more" : "Train again and compare");
  place.replaceChildren(about, list, el("div", { class: "row" }, button), jobPlace);
  if (all && shown) tick([found.measured, found.after]);
}

// One step after the other; a reload or another day goes on with the next one, since what is done is in runs/.
async function run(place, before, jobPlace, button) {
  button.disabled = true;
  for (let more = true; more;) {
    const found = await get(`/api/again?run=${encodeURIComponent(before)}`);
    const step = found.steps.find((one) => !one.done) || (button.textContent === "Once more" ? found.steps[0] : null);
    button.textContent = "Train again and compare";
    more = Boolean(step);
    if (!step) break;
    const job = await post("/api/jobs", { kind: step.kind, run: before, ...(step.kind === "remeasure" ? { on: found.after } : {}) });
    const ended = await new Promise((resolve) => jobPlace.replaceChildren(new JobView(job, resolve).view));
    if (ended.view.classList.contains("failed") || !ended.done) { button.disabled = false; return; }
  }
  say("Trained, measured, compared.");
  runs = await get("/api/runs");
  jobPlace.replaceChildren();
  await steps(place, before, true);
}

function tick(names) {
  remember((params) => { params.delete("run"); for (const name of names) params.append("run", name); });
  main.querySelector(".side").firstChild.replaceWith(chooser());
  show(names);
}

// --- the page --------------------------------------------------------------------------------------------------------------

async function open() {
  [runs, dataset] = await Promise.all([get("/api/runs"), openDataset()]);
  if (!runs.some((run) => run.report)) {
    main.replaceChildren(emptyState("There is no report yet", "A training leaves one. Train twice, for example with and without a recipe, and compare both here.", el("a", { class: "button primary", href: "/train" }, "Train")));
    return;
  }
  main.classList.add("two");
  main.replaceChildren(el("div", { class: "side" }, chooser(), afterPlace), el("div", { class: "wide" }, result));
  show(state().getAll("run"));
  await showAgain();
}

open().catch((error) => { main.replaceChildren(emptyState("The runs can't be shown", error.message)); throw error; });
