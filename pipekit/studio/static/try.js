// Try: an image that is dropped, pasted, chosen or seen by the camera, and what a run's model says of it.

import { el, get, send, say, failed, openDataset, commandBox, commandLine, thumbnails, emptyState } from "./common.js";
import { bars, dropBox } from "./bars.js";
import { Camera } from "./camera.js";

const main = document.querySelector("main");
const shown = el("div", { class: "tried" });
const verdict = el("div", { "aria-live": "polite" });
const seen = el("section", { hidden: true });
const alike = el("section", { hidden: true });
let dataset, found, choice, camera, command, python, file = null, last = 0;

const run = () => found.runs.find((one) => one.name === choice.value);
const base = () => `/api/try/${encodeURIComponent(choice.value)}`;

function commands() {
  const name = file && file.name ? file.name : "photo.jpg";
  const model = `runs/${choice.value}`;
  const lines = [["predict", model, name]];
  if (!run().no_grad_cam) lines.push(["explain", model, name]);
  if (dataset) lines.push(["similar", name, dataset.source.words[0]]);
  lines.push(["serve", model]);
  command.show(lines.map((words) => commandLine([...words, ...found.options])).join("\n"));
  python.show(`import pipekit\n\nfor found in pipekit.predict(${JSON.stringify(model)}, ${JSON.stringify(name)}):\n    print(found.predicted, found.probabilities)`);
}

// --- one image -----------------------------------------------------------------------------------------------------------

async function predict(blob) {
  const answer = await send(base(), blob);
  return answer.json();
}

async function take(given) {
  camera.stop();
  file = given;
  const mine = ++last;
  const picture = el("img", { alt: file.name || "the image", src: URL.createObjectURL(file) });
  shown.replaceChildren(picture);
  verdict.replaceChildren(el("p", { class: "soft" }, "Predicting … The first image opens the model."));
  seen.hidden = alike.hidden = true;
  commands();
  try {
    const said = await predict(file);
    if (mine !== last) return;
    verdict.replaceChildren(bars(said));
    showSeen(said);
    await showAlike(mine);
  } catch (error) {
    if (mine !== last) return;
    verdict.replaceChildren(el("p", { class: "problem" }, error.message));
    say(error.message, true);
  }
}

function showSeen(said) {
  const reason = run().no_grad_cam;
  const title = el("h2", {}, "Where it sees it");
  const about = "predicted" in said && !said.labels ? said.predicted : "";
  const make = el("button", { type: "button", onclick: () => explain(make, about) }, "Draw Grad-CAM");
  seen.replaceChildren(title, el("p", { class: "soft" }, reason || "Grad-CAM marks what in the image is evidence for the class. It loads TensorFlow, which takes some seconds the first time."), reason ? null : make);
  seen.hidden = false;
}

async function explain(button, about) {
  const mine = last;
  button.disabled = true;
  button.textContent = "Drawing …";
  try {
    const answer = await send(`${base()}/grad_cam?about=${encodeURIComponent(about)}`, file);
    if (mine !== last) return;
    const picture = el("img", { class: "cam", alt: `Grad-CAM${about ? ` for ${about}` : ""}`, src: URL.createObjectURL(await answer.blob()) });
    button.replaceWith(el("figure", { class: "cam" }, picture, el("figcaption", { class: "soft" }, `Yellow: evidence for ${about || "the prediction"}; blue: against it or neutral. As large as the model sees it.`)));
  } catch (error) {
    if (mine !== last) return;
    button.replaceWith(el("p", { class: "problem" }, error.message));
  }
}

async function showAlike(mine) {
  const title = el("h2", {}, "The known images that are most like it");
  if (!found.features) {
    alike.replaceChildren(title, el("p", { class: "soft" }, "They are compared by features, which are not computed yet:"), commandBox(["embed", ...dataset.source.words.slice(0, 1)]));
    alike.hidden = false;
    return;
  }
  alike.replaceChildren(title, el("p", { class: "soft" }, "Comparing …"));
  alike.hidden = false;
  try {
    const near = await (await send(`${base()}/nearest?digest=${dataset.base.split("/").pop()}`, file)).json();
    const pictures = await thumbnails(dataset, near.map((one) => one.row));
    if (mine !== last) return;
    alike.replaceChildren(title, near.length ? el("div", { class: "shots" }, ...near.map((one, at) => shot(one, pictures[at]))) : el("p", { class: "soft" }, "None of the images that are open has features."));
  } catch (error) {
    if (mine === last) alike.replaceChildren(title, el("p", { class: "problem" }, error.message));
  }
}

function shot(one, thumb) {
  const image = el("img", { alt: thumb.id });
  if (thumb.file) image.src = URL.createObjectURL(thumb.file);
  return el("a", { class: "shot", href: `/?q=${encodeURIComponent(thumb.id)}` }, el("span", { class: "frame" }, image),
    el("span", { class: "caption" }, `${one.label || thumb.id} · ${one.similarity.toFixed(2)}`));
}

// --- the camera ------------------------------------------------------------------------------------------------------------

async function live(blob) {
  const said = await predict(blob);
  if (!camera.running) return;
  verdict.replaceChildren(bars(said));
  verdict.dataset.frames = String(Number(verdict.dataset.frames || 0) + 1);
}

async function watch() {
  last++;
  file = null;
  seen.hidden = alike.hidden = true;
  verdict.replaceChildren(el("p", { class: "soft" }, "Predicting …"));
  try { await camera.start(shown, live); } catch (error) { verdict.replaceChildren(el("p", { class: "problem" }, error.message)); say(error.message, true); }
}

// --- the page --------------------------------------------------------------------------------------------------------------

async function open() {
  [dataset, found] = await Promise.all([openDataset(), get("/api/try")]);
  if (!found.runs.length) {
    main.replaceChildren(emptyState("There is no model yet", "A training leaves one, and this page tries it on images of yours.", el("a", { class: "button primary", href: "/train" }, "Train")));
    return;
  }
  const wanted = new URLSearchParams(location.search).get("run");
  choice = el("select", { "aria-label": "Model" }, ...found.runs.map((one) => el("option", { value: one.name }, one.name)));
  if (found.runs.some((one) => one.name === wanted)) choice.value = wanted;
  const about = el("p", { class: "soft" }, run().headline);
  const button = el("button", { type: "button", class: "camera", onclick: () => (camera.running ? camera.stop() : watch()) }, "Camera");
  camera = new Camera((running) => { button.textContent = running ? "Stop the camera" : "Camera"; button.setAttribute("aria-pressed", String(running)); });
  command = commandBox("", "Show the commands");
  python = commandBox("", "Show the Python");
  choice.addEventListener("change", () => {
    history.replaceState(null, "", `?run=${encodeURIComponent(choice.value)}`);
    about.textContent = run().headline;
    commands();
    if (file) take(file).catch(failed);
  });
  main.classList.add("two", "trying");
  main.replaceChildren(
    el("div", {}, el("section", { class: "card" }, el("h1", {}, "Try"), choice, about, dropBox((given) => take(given).catch(failed), button), command, python)),
    el("div", { class: "wide" }, el("div", { class: "tried-row" }, shown, verdict), seen, alike));
  shown.append(el("p", { class: "soft" }, "An image that is dropped here goes to this machine's own server, and is not kept."));
  commands();
}

open().catch((error) => { main.replaceChildren(el("p", { class: "empty" }, error.message)); throw error; });
