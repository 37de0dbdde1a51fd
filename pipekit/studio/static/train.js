// Train: a form that is a command, its curves while it runs, and the runs with their reports.

import { el, get, post, say, failed, openDataset, commandBox, atFields, problemList, lasts, number } from "./common.js";
import { JobView } from "./jobs.js";

const main = document.querySelector("main");
const jobsPlace = el("div", { class: "jobs" });
const runsPlace = el("div", {});
const costPlace = el("div", { class: "cost", role: "status" });
let box, form;

function field(label, input, hint = "") {
  return el("label", { class: "field-of" }, el("span", {}, label), input, hint ? el("small", { class: "soft" }, hint) : null);
}

const values = () => ({ kind: "train", ...Object.fromEntries(new FormData(form)) });

let asked = 0;

// The address holds what is filled in: a reload loses nothing.
function remember() {
  const filled = [...new FormData(form)].filter(([, value]) => value !== "");
  history.replaceState(null, "", filled.length ? `?${new URLSearchParams(filled)}` : location.pathname);
}

function recall() {
  for (const [name, value] of new URLSearchParams(location.search)) if (form.elements.namedItem(name)) form.elements.namedItem(name).value = value;
  if (!form.elements.model.value) form.elements.model.value = "auto"; // a template that is no longer there
}

async function showCommand() {
  const mine = ++asked; // answers may come in another order: the last question counts
  costPlace.classList.add("stale");
  if (!costPlace.firstChild) costPlace.replaceChildren(el("p", { class: "soft" }, "Estimating …"));
  let words = null, wrong = null;
  try { ({ words } = await post("/api/command", values())); } catch (error) { wrong = error; }
  if (mine !== asked) return;
  atFields(form, wrong);
  const elsewhere = wrong && !form.querySelector(".at-field"); // a mistake that belongs to no field
  say(elsewhere ? wrong.message : "", Boolean(elsewhere));
  if (words) { box.show(words); await showCost(mine); } else costPlace.replaceChildren(); // nothing is estimated for what is wrong
}

// --- what the training will take, before it starts ------------------------------------------------------------------------------

async function showCost(mine, more = {}) {
  await new Promise((resolve) => setTimeout(resolve, 250)); // while a person types
  const given = { ...values(), ...more };
  for (;;) {
    if (mine !== asked) return;
    let found;
    try { found = await post("/api/cost", given); } catch (error) { costPlace.classList.remove("stale"); if (mine === asked) costPlace.replaceChildren(el("p", { class: "soft" }, `No estimate: ${error.message}`)); return; }
    if (mine !== asked) return;
    if (found.state === "ready") { drawCost(found, mine); return; }
    costPlace.replaceChildren(el("p", { class: "soft" }, more.by_layers ? "Building the network to count its operations …" : "Estimating …"));
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
}

function drawCost(found, mine) {
  costPlace.classList.remove("stale");
  const images = `${number(found.train)} training images${found.is_divided ? "" : ", by the default split"}`;
  const passes = found.epochs && !found.candidates.length ? `, at most ${number(found.epochs)} epochs` : "";
  const about = el("p", { class: "soft" }, `${images}${passes}, ${found.hw.join(" × ")} px. Estimated for two cores, the report not included.`);
  if (found.seconds === null) {
    const make = el("button", { type: "button", onclick: () => showCost(mine, { by_layers: true }) }, "Estimate from its layers");
    costPlace.replaceChildren(el("p", {}, "This template states no cost."), make, about, commandBox(found.words));
    return;
  }
  const kept = found.candidates.filter((one) => !one.left_out);
  const rows = found.candidates.map((one) => el("li", { class: one.left_out ? "soft" : "" }, el("span", {}, one.template), el("span", { class: "many" }, one.left_out ? "left out" : lasts(one.seconds)), one.left_out ? el("small", {}, one.left_out) : null));
  costPlace.replaceChildren(el("p", { class: "takes" }, `${found.epochs && !kept.length ? "At most about" : "About"} ${lasts(found.seconds)}`), rows.length ? el("ul", { class: "candidates" }, ...rows) : "", about);
}

async function start(given) {
  try { follow(await post("/api/jobs", given)); say("Started. It goes on when you close this page."); } catch (error) {
    atFields(form, error);
    failed(error);
  }
}

function follow(job) {
  jobsPlace.prepend(new JobView(job, () => showRuns().catch(failed)).view);
}

// The pipeline file of a project: run it, and let it read what was decided here.
function pipelineCard(file) {
  const note = el("div", {});
  const mistakes = el("div", {});
  const run = el("button", { type: "button", onclick: () => start({ kind: "run" }) }, `Run ${file}`);
  const ask = async (pressed = false) => {
    const found = await get("/api/pipeline");
    const names = found.ignored.join(" and ");
    const add = el("button", { type: "button", onclick: async () => {
      try {
        const { added } = await post("/api/pipeline/decisions", { known: found.known });
        say(`Added to ${file}: ${added.join(", ")}`);
      } catch (error) { failed(error); }
      ask(true).catch(failed);
    } }, `Let it read ${names}`);
    const wrong = await get("/api/pipeline/problems");
    mistakes.replaceChildren(...(wrong.length ? [el("p", { class: "problem" }, `${file} has ${wrong.length === 1 ? "a mistake" : `${number(wrong.length)} mistakes`}, and nothing of it would run.`), problemList(wrong), el("button", { type: "button", onclick: () => ask(true).catch(failed) }, "Read it again"), commandBox(["run", file, "--dry-run"])] : []));
    run.disabled = wrong.length > 0;
    const side = card.parentElement; // a file with mistakes stands first: below the form they would be out of view
    if (side && (side.firstElementChild === card) !== (wrong.length > 0)) side[wrong.length ? "prepend" : "append"](card);
    note.replaceChildren(...(names ? [el("p", { class: "problem" }, `${file} does not read ${names}: these decisions do not count in its runs.`), add] : []));
    if (pressed) (mistakes.querySelector("button") || note.querySelector("button") || run).focus(); // what was pressed is gone
  };
  const card = el("section", { class: "card pipeline" }, el("h2", {}, file), el("p", {}, "Runs all stages of the file; finished ones come from the cache."), mistakes, note,
    el("div", { class: "row" }, run), commandBox(["run", file]));
  ask().catch(failed);
  return card;
}

async function showRuns() {
  const runs = await get("/api/runs");
  const newest = runs.find((run) => run.report); // Browse has the mistakes of this one
  const several = runs.filter((run) => run.report).length > 1 ? el("a", { href: "/compare" }, "Compare runs") : null;
  runsPlace.replaceChildren(el("div", { class: "row" }, el("h2", {}, "Runs"), several ?? ""), runs.length ? el("ul", { class: "runs" }, ...runs.map((run) => el("li", {},
    el("strong", {}, run.name), el("span", {}, run.headline),
    run.report ? el("a", { href: `/runs/${encodeURIComponent(run.name)}/report`, target: "_blank", rel: "noopener" }, "Report") : null,
    run === newest ? el("a", { href: "/?f.mistake=yes" }, "Mistakes") : null)))
    : el("p", { class: "soft" }, "There is no run yet. A training leaves one, with a report about images that the model has not seen."));
}

async function open() {
  const [dataset, templates, jobs, found] = await Promise.all([openDataset(), get("/api/templates"), get("/api/jobs"), get("/api/ops")]);
  const model = el("select", { name: "model" }, el("option", { value: "auto" }, "auto: several, the best on val"), ...templates.filter((one) => one.name !== "auto").map((one) => el("option", { value: one.name, title: one.summary }, one.name)));
  form = el("form", { class: "form" },
    field("Model", model),
    el("div", { class: "halves" }, field("Epochs", el("input", { type: "number", name: "epochs", min: "1", max: "10000", placeholder: "the template's" }), "at most"),
    field("Input size", el("input", { type: "number", name: "input", min: "8", max: "2048", placeholder: "the template's" }), "pixels, of each side")),
    field("Recipe", el("select", { name: "ops" }, el("option", { value: "" }, "no augmentation"), ...found.files.map((name) => el("option", { value: name }, name)))),
    el("div", { class: "halves" }, field("Seed", el("input", { type: "number", name: "seed", min: "0", placeholder: "0" }), "same seed, same result"),
    field("Name", el("input", { type: "text", name: "name", maxlength: "60", placeholder: "the folder's" }), "of runs/NAME")),
    costPlace,
    el("div", { class: "row" }, el("button", { class: "primary" }, "Train")));
  box = commandBox("pipekit train");
  form.addEventListener("submit", (event) => { event.preventDefault(); start(values()); });
  form.addEventListener("input", () => { remember(); showCommand().catch(failed); });
  recall();
  const decided = el("p", { class: "soft" }, "Corrected labels and left-out images count: the command names their files.");
  const pipeline = dataset.pipeline ? pipelineCard(dataset.pipeline) : null;
  main.classList.add("two");
  main.replaceChildren(
    el("div", { class: "side" }, el("section", { class: "card" }, el("h1", {}, "Train"), form, decided, box), pipeline),
    el("div", { class: "wide" }, jobsPlace, runsPlace));
  for (const job of jobs.filter((one) => one.kind !== "inspect").slice(0, 5).reverse()) follow(job);
  await Promise.all([showCommand(), showRuns()]);
}

open().catch((error) => { main.replaceChildren(el("p", { class: "empty" }, error.message)); throw error; });
