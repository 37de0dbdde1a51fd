// Train: a form that is a command, its curves while it runs, and the runs with their reports.

import { el, get, post, say, failed, openDataset, commandBox } from "./common.js";
import { JobView } from "./jobs.js";

const main = document.querySelector("main");
const jobsPlace = el("div", { class: "jobs" });
const runsPlace = el("div", {});
let box, form;

function field(label, input, hint = "") {
  return el("label", { class: "field-of" }, el("span", {}, label), input, hint ? el("small", { class: "soft" }, hint) : null);
}

const values = () => ({ kind: "train", ...Object.fromEntries(new FormData(form)) });

let asked = 0;

async function showCommand() {
  const mine = ++asked; // answers may come in another order: the last question counts
  let words = null, wrong = "";
  try { ({ words } = await post("/api/command", values())); } catch (error) { wrong = error.message; }
  if (mine !== asked) return;
  if (words) box.show(words);
  say(wrong, Boolean(wrong));
}

async function start(given) {
  try { follow(await post("/api/jobs", given)); say("Started. It goes on when you close this page."); } catch (error) { failed(error); }
}

function follow(job) {
  jobsPlace.prepend(new JobView(job, () => showRuns().catch(failed)).view);
}

// The pipeline file of a project: run it, and let it read what was decided here.
function pipelineCard(file) {
  const note = el("div", {});
  const ask = async () => {
    const found = await get("/api/pipeline");
    const names = found.ignored.join(" and ");
    const add = el("button", { type: "button", onclick: async () => {
      try {
        const { added } = await post("/api/pipeline/decisions", { known: found.known });
        say(`Added to ${file}: ${added.join(", ")}`);
      } catch (error) { failed(error); }
      ask().catch(failed);
    } }, `Let it read ${names}`);
    note.replaceChildren(...(names ? [el("p", { class: "problem" }, `${file} does not read ${names}: these decisions do not count in its runs.`), add] : []));
  };
  ask().catch(failed);
  return el("section", { class: "card" }, el("h2", {}, file), el("p", {}, "Runs all stages of the file; finished ones come from the cache."), note,
    el("div", { class: "row" }, el("button", { type: "button", onclick: () => start({ kind: "run" }) }, `Run ${file}`)), commandBox(["run", file]));
}

async function showRuns() {
  const runs = await get("/api/runs");
  runsPlace.replaceChildren(el("h2", {}, "Runs"), runs.length ? el("ul", { class: "runs" }, ...runs.map((run) => el("li", {},
    el("strong", {}, run.name), el("span", {}, run.headline),
    run.report ? el("a", { href: `/runs/${encodeURIComponent(run.name)}/report`, target: "_blank", rel: "noopener" }, "Report") : null,
    run.report ? el("a", { href: "/?f.mistake=yes" }, "Mistakes") : null)))
    : el("p", { class: "soft" }, "There is no run yet. A training leaves one, with a report about images that the model has not seen."));
}

async function open() {
  const [dataset, templates, jobs, found] = await Promise.all([openDataset(), get("/api/templates"), get("/api/jobs"), get("/api/ops")]);
  const model = el("select", { name: "model" }, el("option", { value: "auto" }, "auto: several, the best on val"), ...templates.filter((one) => one.name !== "auto").map((one) => el("option", { value: one.name, title: one.summary }, one.name)));
  form = el("form", { class: "form" },
    field("Model", model),
    field("Epochs", el("input", { type: "number", name: "epochs", min: "1", max: "10000", placeholder: "the template's" }), "at most; training stops when val no longer improves"),
    field("Input size", el("input", { type: "number", name: "input", min: "8", max: "2048", placeholder: "the template's" }), "pixels, of each side"),
    field("Recipe", el("select", { name: "ops" }, el("option", { value: "" }, "no augmentation"), ...found.files.map((name) => el("option", { value: name }, name)))),
    field("Seed", el("input", { type: "number", name: "seed", min: "0", placeholder: "0" }), "the same seed gives the same result"),
    field("Name", el("input", { type: "text", name: "name", maxlength: "60", placeholder: "the folder's" }), "results are in runs/NAME"),
    el("div", { class: "row" }, el("button", { class: "primary" }, "Train")));
  box = commandBox("pipekit train");
  form.addEventListener("submit", (event) => { event.preventDefault(); start(values()); });
  form.addEventListener("input", showCommand);
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
