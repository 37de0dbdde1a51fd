// A page of a plugin: a form made from its parameters, and the section that its function returns for an image, after each change.

import { el, get, post, failed, openDataset, thumbnails, emptyState } from "./common.js";
import { controls } from "./form.js";

const main = document.querySelector("main");
const name = document.body.dataset.name;
const path = encodeURIComponent(name);
const state = () => new URLSearchParams(location.search);
let dataset, params, row, busy = false, again = false;
const content = el("div", { class: "section" });
const title = el("h2", {});
const wrong = el("p", { class: "problem", role: "status" });
const picture = el("img", { class: "whole", alt: "" });
const caption = el("p", { class: "soft" });

// One request at a time, and the last values always count. The address holds them: a reload shows the same.
async function show() {
  history.replaceState(null, "", `?${new URLSearchParams({ row: row.value, params: JSON.stringify(params) })}`);
  if (busy) { again = true; return; }
  busy = true;
  try {
    do {
      again = false;
      try {
        const made = await post(`${dataset.base}/pages/${path}`, { row: Number(row.value), params });
        title.textContent = made.title;
        content.innerHTML = made.html; // the page's policy runs none of its scripts
        if (!made.html) content.replaceChildren(el("p", { class: "soft" }, "The page has nothing to show for this image."));
        content.dataset.shown = String(Number(content.dataset.shown || 0) + 1);
        wrong.textContent = "";
      } catch (error) { wrong.textContent = error.message; }
    } while (again);
  } finally { busy = false; }
}

async function image() {
  const [found] = await thumbnails(dataset, [Number(row.value)]);
  caption.textContent = found.id;
  picture.alt = found.id;
  if (picture.src) URL.revokeObjectURL(picture.src);
  if (found.file) picture.src = URL.createObjectURL(found.file); else picture.removeAttribute("src");
}

function go(to) {
  row.value = String(Math.min(dataset.count - 1, Math.max(0, Math.round(to) || 0)));
  image().catch(failed);
  show().catch(failed);
}

async function open() {
  const [data, about] = await Promise.all([openDataset(), get(`/api/pages/${path}`)]);
  dataset = data;
  try { params = JSON.parse(state().get("params") || "{}"); } catch { params = {}; }
  row = el("input", { type: "number", min: "0", max: String(dataset.count - 1), value: state().get("row") || "0", "aria-label": "Image number" });
  row.addEventListener("change", () => go(Number(row.value)));
  const step = (by, text, label) => el("button", { type: "button", "aria-label": label, onclick: () => go(Number(row.value) + by) }, text);
  const form = el("form", { class: "form" }, ...controls(about.params, params, () => show().catch(failed)));
  form.addEventListener("submit", (event) => event.preventDefault());
  main.classList.add("two");
  main.replaceChildren(
    el("div", { class: "side" }, el("section", { class: "card" }, el("h1", {}, document.title.split(" · ")[0]), el("p", {}, about.summary), picture, caption,
      el("div", { class: "row numbers" }, step(-1, "←", "The image before"), el("label", {}, "image", row), step(1, "→", "The next image")), form,
      el("p", { class: "soft" }, `From the plugin ${about.plugin}.`))),
    el("div", { class: "wide" }, wrong, title, content));
  go(Number(row.value));
}

open().catch((error) => { main.replaceChildren(emptyState("The page can't be shown", error.message)); throw error; });
