// Recipe: ops with controls, and variants of one image that follow each move, at the model's input size.

import { el, get, post, send, unpack, say, failed, openDataset, commandBox, commandLine } from "./common.js";
import { controls } from "./form.js";
import { checkView } from "./checked.js";

const main = document.querySelector("main");
const state = () => new URLSearchParams(location.search);
let dataset, known = new Map(), ops = [], saved = "", busy = false, again = false;
const list = el("ol", { class: "ops" });
const shots = el("div", { class: "variants" });
const wrong = el("p", { class: "problem", role: "status" });
const box = commandBox("pipekit augment");
let row, size, count, seed, name, checking = null, written = "";

// --- the variants: one request at a time, and the last values always count ---------------------------------------------------

async function show() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    do {
      again = false;
      await once();
    } while (again);
  } finally { busy = false; }
}

async function once() {
  const asked = { row: Number(row.value), size: Number(size.value), count: Number(count.value), seed: Number(seed.value), ops };
  try {
    const response = await send(`${dataset.base}/preview`, JSON.stringify(asked));
    const [head, ...files] = unpack(await response.arrayBuffer());
    const [file, captions] = JSON.parse(new TextDecoder().decode(head));
    draw(captions, files, file);
    wrong.textContent = "";
    atOps("");
  } catch (error) { wrong.textContent = atOps(error.message); }
}

// Mistakes are named by their place, such as ops[1].limit_deg: they stand at that control. Returns what has no control.
function atOps(message) {
  for (const note of list.querySelectorAll(".at-field")) note.remove();
  for (const one of list.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
  const rest = [];
  for (const part of message.split(/;? *(?=ops\[\d+\])/)) {
    const found = part.match(/^ops\[(\d+)\](?:\.(\w+))?[^:]*: *(.*)$/s);
    const place = found && list.children[found[1]];
    if (!place) { rest.push(part); continue; }
    const control = [...place.querySelectorAll(".control")].find((one) => one.dataset.param === found[2]);
    control?.querySelectorAll("input, select").forEach((input) => input.setAttribute("aria-invalid", "true"));
    (control || place).append(el("small", { class: "at-field" }, found[3]));
  }
  return rest.filter(Boolean).join(" ");
}

function draw(captions, files, file) {
  while (shots.children.length > files.length) { URL.revokeObjectURL(shots.lastChild.image.src); shots.lastChild.remove(); }
  files.forEach((data, at) => {
    let shot = shots.children[at];
    if (!shot) {
      const image = el("img", { alt: "" });
      const text = el("figcaption", {});
      shot = el("figure", {}, image, text);
      Object.assign(shot, { image, text });
      shots.append(shot);
    }
    const before = shot.image.src;
    shot.image.src = URL.createObjectURL(new Blob([data], { type: "image/jpeg" }));
    if (before) URL.revokeObjectURL(before);
    shot.image.alt = at ? `variant ${at}: ${captions[at]}` : `the image: ${file}`;
    shot.text.textContent = captions[at];
  });
  shots.dataset.shown = String(Number(shots.dataset.shown || 0) + 1);
}

// --- the list of ops -----------------------------------------------------------------------------------------------------------

function changed() {
  sessionStorage.setItem("recipe", JSON.stringify(ops)); // a reload keeps what is not saved yet
  const source = dataset.source.words[0];
  const file = `recipes/${name.value || "NAME"}.toml`;
  box.show(`${commandLine(["augment", source, "--preview", "--ops", file, "--size", `${size.value}x${size.value}`, "--seed", seed.value])}`);
  checking?.update().catch(failed);
  show().catch(failed);
}

function item(op, at) {
  const about = known.get(op.op);
  const { op: opName, p, ...values } = op;
  const update = () => {
    const chance = Number(probability.value);
    for (const key of Object.keys(op)) delete op[key];
    Object.assign(op, { op: opName }, values, probability.value !== "" && !(chance === 1 && !(about && "p" in about.params)) ? { p: chance } : {});
    changed();
  };
  const probability = el("input", { type: "number", min: "0", max: "1", step: "0.05", value: p === undefined ? "" : String(p), placeholder: about && "p" in about.params ? String(about.params.p.default) : "1", "aria-label": `Probability of ${opName}` });
  probability.addEventListener("input", update);
  const move = (by, text, label) => el("button", { type: "button", class: "plain", "aria-label": `${label} ${opName}`, disabled: at + by < 0 || at + by >= ops.length, onclick: () => { ops.splice(at + by, 0, ...ops.splice(at, 1)); listOps(); focusOp(at + by, label); } }, text);
  const params = about ? Object.fromEntries(Object.entries(about.params).filter(([key]) => key !== "p")) : {};
  return el("li", {}, el("div", { class: "op-head" }, el("strong", {}, opName),
    el("label", { class: "chance" }, "p", probability), move(-1, "↑", "Move up"), move(1, "↓", "Move down"),
    el("button", { type: "button", class: "plain", "aria-label": `Remove ${opName}`, onclick: () => { ops.splice(at, 1); listOps(); focusOp(Math.min(at, ops.length - 1), "Remove"); } }, "×")),
    about && about.summary ? el("p", { class: "soft" }, about.summary) : null, ...controls(params, values, update));
}

// The list is made anew: what a key has pressed keeps the focus, at its new place.
function focusOp(at, label) {
  const buttons = [...(list.children[at]?.querySelectorAll(".op-head button") || [])];
  const wanted = buttons.find((one) => one.ariaLabel.startsWith(label) && !one.disabled) || buttons.find((one) => !one.disabled);
  (ops.length ? wanted : main.querySelector("[list=all-ops]"))?.focus();
}

function listOps() {
  list.replaceChildren(...ops.map(item));
  if (!ops.length) list.replaceChildren(el("li", { class: "soft" }, "No op yet: the variants are the image itself. Add one, or begin with a preset."));
  changed();
}

async function add(opName) {
  try {
    if (!known.has(opName)) known.set(opName, await get(`/api/op?name=${encodeURIComponent(opName)}`));
    ops.push({ op: opName });
    listOps();
  } catch (error) { failed(error); }
}

async function take(path, file = "") {
  try {
    const found = await get(path);
    ops = found.ops;
    saved = found.known || "";
    if (file) name.value = file;
    written = file ? JSON.stringify(ops) : "";
    for (const one of ops) if (!known.has(one.op)) known.set(one.op, await get(`/api/op?name=${encodeURIComponent(one.op)}`));
    listOps();
  } catch (error) { failed(error); }
}

async function save(event) {
  event.preventDefault();
  try {
    saved = (await post(`/api/recipes/${encodeURIComponent(name.value)}`, { ops, known: saved })).known;
    say(`Saved: recipes/${name.value}.toml`);
    written = JSON.stringify(ops);
    changed();
  } catch (error) { failed(error); }
}

async function open() {
  const [data, found] = await Promise.all([openDataset(), get("/api/ops")]);
  dataset = data;
  known = new Map(found.ops.map((one) => [one.name, one]));
  const input = (props) => { const made = el("input", { type: "number", ...props }); made.addEventListener("input", changed); return made; };
  row = input({ min: "0", max: String(dataset.count - 1), value: state().get("row") || "0" });
  size = input({ min: "16", max: "1024", value: "128" });
  count = input({ min: "1", max: "24", value: "11" });
  seed = input({ min: "0", value: "0" });
  name = el("input", { type: "text", maxlength: "60", required: true, placeholder: "NAME", "aria-label": "Name of the recipe" });
  name.addEventListener("input", () => { saved = written = ""; changed(); });
  const choose = el("input", { type: "text", list: "all-ops", placeholder: "Add an op", "aria-label": "Add an op" });
  const addForm = el("form", { class: "inline" }, choose, el("datalist", { id: "all-ops" }, ...found.ops.map((one) => el("option", { value: one.name }, one.summary))), el("button", {}, "Add"));
  addForm.addEventListener("submit", (event) => { event.preventDefault(); if (choose.value) { add(choose.value.trim()); choose.value = ""; } });
  const begin = el("select", { "aria-label": "Begin with" }, el("option", { value: "" }, "Begin with …"),
    el("optgroup", { label: "recipes/" }, ...found.files.map((one) => el("option", { value: `file:${one}` }, one))),
    el("optgroup", { label: "presets" }, ...found.presets.map((one) => el("option", { value: `preset:${one.name}`, title: one.summary }, one.name))));
  const beginForm = el("form", { class: "inline" }, begin, el("button", {}, "Begin")); // a button: arrow keys alone would replace the ops at each step
  beginForm.addEventListener("submit", (event) => {
    event.preventDefault();
    const [kind, which] = begin.value.split(":");
    if (which) take(`/api/recipes/${encodeURIComponent(which)}${kind === "preset" ? "?preset=1" : ""}`, kind === "file" ? which : "");
  });
  const another = el("button", { type: "button", onclick: () => { row.value = String(Math.floor(Math.random() * dataset.count)); changed(); } }, "Another image");
  const saveForm = el("form", { class: "inline" }, name, el("button", { class: "primary" }, "Save"));
  saveForm.addEventListener("submit", save);
  const checkPlace = el("div", {});
  main.classList.add("two");
  main.replaceChildren(
    el("div", { class: "side" }, el("section", { class: "card" }, el("h1", {}, "Recipe"), beginForm, list, addForm, saveForm, box)),
    el("div", { class: "wide" }, el("div", { class: "row numbers" }, el("label", {}, "image", row), another, el("label", {}, "input size", size), el("label", {}, "variants", count), el("label", {}, "seed", seed)), wrong, shots, checkPlace));
  ops = JSON.parse(sessionStorage.getItem("recipe") || "[]");
  for (const one of ops) if (!known.has(one.op)) known.set(one.op, await get(`/api/op?name=${encodeURIComponent(one.op)}`));
  listOps();
  checking = await checkView(() => name.value.trim(), () => Boolean(written) && written === JSON.stringify(ops));
  checkPlace.replaceChildren(checking.place);
}

open().catch((error) => { main.replaceChildren(el("p", { class: "empty" }, error.message)); throw error; });
