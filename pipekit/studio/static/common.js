// What all pages share: elements, requests, the dataset's columns, commands, short messages.

export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export class Failure extends Error {
  constructor(status, found) {
    const problems = found.problems || [];
    super(problems.length ? problems.map((one) => `${one.path}: ${one.message}`).join("; ") : [found.message, found.hint].filter(Boolean).join(". "));
    this.status = status;
    this.problems = problems;
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Failure(0, { message: "The studio does not answer", hint: "Start it again: pipekit studio" });
  }
  if (response.ok) return response;
  let found = { message: `${response.status} ${response.statusText}` };
  try { found = await response.json(); } catch { /* no JSON: the status says it */ }
  throw new Failure(response.status, found);
}

const own = { "x-pipekit": "1" };
export const get = async (path) => (await answer(path)).json();
export const bytes = async (path) => (await answer(path)).arrayBuffer();
export const post = async (path, value) => (await answer(path, { method: "POST", headers: own, body: JSON.stringify(value) })).json();
export const send = async (path, body) => answer(path, { method: "POST", headers: own, body });

// --- the dataset ---------------------------------------------------------------------------------------------------------

export async function openDataset() {
  const index = await get("/api/index");
  const data = await bytes(`/api/${index.digest}/columns`);
  const columns = new Map();
  index.columns.forEach((column, number) => {
    const type = column.kind === "category" ? Int32Array : Float32Array;
    columns.set(column.name, { ...column, data: new type(data, number * 4 * index.count, index.count) });
  });
  return { ...index, columns, base: `/api/${index.digest}` };
}

export function valueOf(column, row) {
  const value = column.data[row];
  if (column.kind === "category") return value < 0 ? "" : column.values[value];
  return value;
}

// --- many pictures in one answer: lengths, then parts -----------------------------------------------------------------------

export function unpack(buffer) {
  const head = new DataView(buffer);
  const count = head.getUint32(0, true);
  const parts = [];
  let at = 4 + 4 * count;
  for (let number = 0; number < count; number++) {
    const size = head.getUint32(4 + 4 * number, true);
    parts.push(new Uint8Array(buffer, at, size));
    at += size;
  }
  return parts;
}

export async function thumbnails(dataset, rows) {
  const response = await send(`${dataset.base}/thumbs`, Uint32Array.from(rows));
  const [head, ...files] = unpack(await response.arrayBuffer());
  const ids = JSON.parse(new TextDecoder().decode(head));
  return rows.map((row, number) => ({ row, id: ids[number], file: files[number].length ? new Blob([files[number]], { type: "image/jpeg" }) : null }));
}

// --- commands --------------------------------------------------------------------------------------------------------------

export const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${String(word).replaceAll("'", `'\\''`)}'`);
export const commandLine = (words) => ["pipekit", ...words].map(quote).join(" ");

export function commandBox(words, title = "Show the command") {
  const text = typeof words === "string" ? words : commandLine(words);
  const code = el("code", {}, text);
  const copy = el("button", { type: "button", onclick: () => copyText(code.textContent) }, "Copy");
  const box = el("details", { class: "command-box" }, el("summary", {}, title), el("div", {}, el("pre", {}, code), copy));
  box.show = (next) => { code.textContent = typeof next === "string" ? next : commandLine(next); };
  return box;
}

async function copyText(text) {
  try { await navigator.clipboard.writeText(text); say("Copied."); } catch { say("The browser does not let a page copy here: select the text."); }
}

// --- short messages ----------------------------------------------------------------------------------------------------------

let clearing = 0;
export function say(text, bad = false) {
  const place = document.querySelector(".state");
  place.textContent = text;
  place.classList.toggle("bad", bad);
  clearTimeout(clearing);
  if (!bad) clearing = setTimeout(() => { place.textContent = ""; }, 6000);
}

export const failed = (error) => { say(error.message, true); if (!(error instanceof Failure)) throw error; };

// Mistakes at the fields of a form: each below the field of its name, the others in the line of messages.
export function atFields(form, error) {
  for (const note of form.querySelectorAll(".at-field")) note.remove();
  for (const one of form.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
  if (!error) return;
  for (const { path, message, hint } of error.problems || []) {
    const input = form.elements[path];
    if (!input) continue;
    input.setAttribute("aria-invalid", "true");
    input.closest("label").append(el("small", { class: "at-field", role: "status" }, [message, hint].filter(Boolean).join(". ")));
  }
}

// Mistakes of a pipeline file, each with its line and its key.
export const problemList = (problems) => el("ol", { class: "mistakes" }, ...problems.map((one) => el("li", {},
  el("p", { class: "at-key" }, el("code", {}, one.path || "the file"), one.line ? el("span", { class: "soft" }, `line ${one.line}`) : null),
  one.text ? el("pre", {}, el("code", {}, one.text.trim())) : null,
  el("p", { class: "problem" }, one.message), one.hint ? el("p", { class: "soft" }, one.hint) : null)));

export const lasts = (seconds) => (seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);

export const inText = (target) => target instanceof Element && target.matches("input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable]");

export const number = (value) => value.toLocaleString("en");

// --- what changes elsewhere ----------------------------------------------------------------------------------------------------

export function watch(callback) {
  let asking = false, lost = false;
  const ask = async () => {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const found = await get("/api/state");
      if (lost) say("The studio answers again.");
      lost = false;
      await callback(found);
    } catch (error) {
      lost = error.status === 0;
      say(error.message, true);
    } finally { asking = false; }
  };
  setInterval(ask, 1000);
}

// The list of a page's keys is made when it is opened.
export function keyList(keys) {
  const box = el("details", { class: "keys" }, el("summary", {}, "Keys"));
  box.addEventListener("toggle", () => { if (!box.querySelector("dl")) box.append(el("dl", {}, ...keys.map(([key, does]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, does))))); });
  return box;
}

export const emptyState = (title, text, ...actions) => el("div", { class: "empty" }, el("h1", {}, title), el("p", {}, text), ...actions);

document.querySelector(".menu [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" }); // where the menu is wider than the window
