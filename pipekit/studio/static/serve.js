// The page of `pipekit serve`: what the model is, and a box that predicts what is dropped.

import { el, say } from "./common.js";
import { bars, dropBox } from "./bars.js";

const needsToken = document.body.dataset.token === "1";
const place = document.querySelector("#result");
let token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
if (token) history.replaceState(null, "", location.pathname); // a reload asks again: a token is kept nowhere

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: token ? { authorization: `Bearer ${token}` } : {} });
  } catch { throw new Error("The server does not answer. Start it again: pipekit serve"); }
  const found = await response.json();
  if (!response.ok) throw new Error([found.error, found.hint].filter(Boolean).join(". "));
  return found;
}

function facts(model) {
  const [height, width, channels] = model.input_shape_hwc;
  const classes = model.task === "number" ? `predicts ${model.value?.name || "a number"}` : `${model.classes.length} ${model.task === "multilabel" ? "labels" : "classes"}: ${model.classes.slice(0, 12).join(", ")}${model.classes.length > 12 ? " …" : ""}`;
  return `${classes}. Input: ${width} x ${height} px, ${channels === 1 ? "grey" : "RGB"}.${model.none_of_these ? " It can tell images that are none of these." : ""}`;
}

async function predict(file) {
  say("Predicting …");
  try {
    const found = await ask("/predict", { method: "POST", body: file });
    const picture = el("img", { alt: file.name || "the image", src: URL.createObjectURL(file) });
    picture.addEventListener("load", () => URL.revokeObjectURL(picture.src));
    const raw = el("details", {}, el("summary", {}, "The answer as JSON"), el("pre", { tabIndex: 0 }, JSON.stringify(found, null, 1)));
    place.replaceChildren(el("section", { class: "card result" }, picture, bars(found), raw));
    say("");
  } catch (error) { place.replaceChildren(el("p", { class: "problem" }, error.message)); say(error.message, true); }
}

function askForToken() {
  const input = el("input", { type: "text", autocomplete: "off", spellcheck: "false", "aria-label": "Token" });
  const form = el("form", {}, el("p", {}, "This server needs the token that it was started with."), el("div", { class: "inline" }, input, el("button", { class: "primary" }, "Open")));
  form.addEventListener("submit", (event) => { event.preventDefault(); token = input.value.trim(); open(); });
  document.querySelector("#drop").replaceChildren(form);
}

async function open() {
  if (needsToken && !token) { askForToken(); return; }
  try {
    const model = await ask("/model");
    document.querySelector("#name").textContent = model.name;
    document.querySelector("#facts").textContent = facts(model);
    document.querySelector("#drop").replaceChildren(dropBox(predict));
    say("");
  } catch (error) {
    if (needsToken) askForToken();
    say(error.message, true);
  }
}

open();
