// A model's check of a recipe: how much each op, alone, lowers its accuracy on held-out images.

import { el, get, post, failed, commandBox } from "./common.js";
import { JobView } from "./jobs.js";

const percent = (text) => (text === "" || text === undefined ? "" : `${(100 * Number(text)).toFixed(1)} %`);

function table(rows) {
  const head = ["op", "strength", "accuracy", "drop", "verdict"];
  return el("div", { class: "scroll" }, el("table", { class: "figures" }, el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map((row) => el("tr", { class: row.verdict && /fail/.test(row.verdict) ? "bad" : "" }, el("th", { scope: "row" }, row.op), el("td", { class: "number" }, percent(row.strength).replace(".0 %", " %")), el("td", { class: "number" }, percent(row.accuracy)), el("td", { class: "number" }, percent(row.drop)), el("td", {}, row.verdict || ""))))));
}

// name(): the recipe that is saved; saved(): whether the ops of the page are those of its file.
export async function checkView(name, saved) {
  const place = el("section", { class: "checked" });
  const runs = (await get("/api/runs")).filter((run) => run.model);
  const title = el("h2", {}, "What a model loses by these ops");
  const about = el("p", { class: "soft" }, "Each op is applied alone, at a quarter, half and all of its strength, to held-out images. A recipe that costs a model nothing is too weak to teach it much; one that it can't read may be too strong.");
  if (!runs.length) {
    place.replaceChildren(title, about, el("p", { class: "soft" }, "There is no model yet. "), el("a", { href: "/train" }, "Train"));
    return { place, async update() {} };
  }
  const choice = el("select", { "aria-label": "Model" }, ...runs.map((run) => el("option", { value: run.name }, run.name)));
  const button = el("button", { type: "button" }, "Check with this model");
  const why = el("p", { class: "soft", role: "status" });
  const box = commandBox("pipekit augment --check");
  const jobPlace = el("div", {});
  const resultPlace = el("div", {});
  const given = () => ({ kind: "check", run: choice.value, ops: name() });

  async function result() {
    const found = await get("/api/check");
    resultPlace.replaceChildren(...(found.rows.length ? [el("h3", {}, found.model ? `The last check, with the model of ${found.model}` : "The last check, with a model that was trained again or removed since"), el("p", { class: "verdict" }, found.headline), table(found.rows), el("a", { class: "button", href: "/checked", target: "_blank", rel: "noopener" }, "The whole page, with pictures")] : []));
  }

  async function update() {
    const ready = Boolean(name()) && saved();
    button.disabled = !ready;
    why.textContent = ready ? "" : "Save the recipe first: the check reads its file.";
    if (ready) try { box.show((await post("/api/command", given())).words); } catch (error) { why.textContent = error.message; button.disabled = true; }
  }

  button.addEventListener("click", async () => {
    button.disabled = true;
    try { jobPlace.replaceChildren(new JobView(await post("/api/jobs", given()), () => { button.disabled = false; result().catch(failed); }).view); } catch (error) { button.disabled = false; failed(error); }
  });
  choice.addEventListener("change", () => update().catch(failed));
  place.replaceChildren(title, about, el("div", { class: "row" }, choice, button), why, box, jobPlace, resultPlace);
  await Promise.all([update(), result()]);
  return { place, update };
}
