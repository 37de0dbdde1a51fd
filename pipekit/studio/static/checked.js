// A model's check of a recipe: how much each op, alone, lowers its accuracy on held-out images.

import { el, get, post, failed, commandBox } from "./common.js";
import { JobView } from "./jobs.js";

const percent = (text) => (text === "" || text === undefined ? "" : `${(100 * Number(text)).toFixed(1)} %`);

// An underscore is a place where a long name may go on in the next line.
const broken = (name) => name.split("_").flatMap((part, at) => (at ? ["_", el("wbr", {}), part] : [part]));

function line(row, before) {
  const plain = row.op === "none"; // the images as they are
  const name = el("th", { scope: "row", class: before && before.op === row.op ? "same" : "" }, ...(plain ? ["as they are"] : broken(row.op)));
  const figures = [plain ? "" : percent(row.strength).replace(".0 %", " %"), percent(row.accuracy), plain ? "" : percent(row.drop)];
  return el("tr", { class: row.verdict && /fail/.test(row.verdict) ? "bad" : "" }, name, ...figures.map((figure) => el("td", { class: "number" }, figure)), el("td", {}, row.verdict || ""));
}

function table(rows) {
  const head = ["strength", "accuracy", "drop"].map((name) => el("th", { scope: "col", class: "number" }, name));
  return el("div", { class: "scroll" }, el("table", { class: "figures" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "op"), ...head, el("th", { scope: "col" }, "verdict"))),
    el("tbody", {}, ...rows.map((row, at) => line(row, rows[at - 1])))));
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
