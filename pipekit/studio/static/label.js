// Label: images without a class, one after another, with a suggestion; a key decides, and every decision is in corrections.csv.

import { el, get, post, failed, inText, openDataset, thumbnails, commandBox, number, watch, emptyState } from "./common.js";
import { Decisions } from "./decisions.js";
import { JobView } from "./jobs.js";

const main = document.querySelector("main");
const AGAIN = 10; // decisions after which the next round is computed
const state = () => new URLSearchParams(location.search);
let dataset, decisions, queue = [], row = -1, about = null, decided = 0, round = "", asking = false, urls = new Map(), guesses = new Map(); // row -> {label, p}: also of one that undo brings back
const picture = el("img", { class: "whole", alt: "", hidden: true });
const name = el("h2", {}, "Choosing the images that come first …");
const suggestion = el("div", { class: "suggestion" });
const classes = el("div", {});
const left = el("p", { class: "left-over" });
const bar = el("progress", { max: "1" });
const strip = el("div", { class: "strip", role: "group", "aria-label": "Next images" });
const order = el("p", { class: "soft" });
const brings = el("div", {});
const box = commandBox("pipekit corrections add");

const skipped = () => (state().get("skip") || "").split(",").filter(Boolean).map(Number);

function skip(one) { // the address holds it: a reload does not bring the image back at once
  const params = state();
  params.set("skip", [...new Set([...skipped(), one])].slice(-200).join(","));
  history.replaceState(null, "", `?${params}`);
}

const waits = (one) => !decisions.label(one) && !decisions.leftOut.has(one);

function waiting() {
  let count = 0;
  for (let one = 0; one < dataset.count; one++) if (waits(one)) count++;
  return count;
}

// --- the queue -----------------------------------------------------------------------------------------------------------------

async function refill() {
  if (asking) return;
  asking = true;
  round = `${decisions.revision}-${Date.now()}`;
  decided = 0;
  try {
    for (;;) {
      const found = await get(`${dataset.base}/labelling?at=${encodeURIComponent(round)}`);
      if (found.state === "none") { noFeatures(found); return; }
      if (found.state === "ready") { about = found; break; }
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
    for (const one of about.next) guesses.set(one.row, one);
    queue = about.next;
    if (row < 0 || !waits(row)) next(); else await draw();
  } catch (error) { failed(error); } finally { asking = false; }
}

function next() {
  const put = new Set(skipped());
  queue = queue.filter((one) => waits(one.row));
  const found = queue.find((one) => !put.has(one.row) && one.row !== row) ?? queue.find((one) => one.row !== row) ?? queue[0];
  if (!found) {
    if (waiting() && !asking) { refill(); return; }
    row = -1;
  } else row = found.row;
  draw().catch(failed);
}

async function fetchUrls(rows) {
  const wanted = rows.filter((one) => !urls.has(one));
  if (!wanted.length) return;
  for (const { row: one, id, file } of await thumbnails(dataset, wanted)) urls.set(one, { id, url: file ? URL.createObjectURL(file) : "" });
}

async function draw() {
  const many = waiting();
  if (!many) { finished(); return; }
  if (row < 0) return;
  const put = new Set(skipped());
  const coming = queue.filter((one) => one.row !== row && !put.has(one.row)).slice(0, 8);
  const now = row;
  left.textContent = `${number(many)} ${many === 1 ? "image has" : "images have"} no class yet.`;
  bar.value = 1 - many / dataset.count;
  await fetchUrls([row, ...coming.map((one) => one.row)]);
  if (row !== now) return;
  const { id, url } = urls.get(row);
  name.textContent = id;
  picture.hidden = false;
  picture.alt = id;
  picture.dataset.row = row;
  picture.src = `${dataset.base}/image/${row}`;
  if (url) picture.style.backgroundImage = `url(${url})`;
  const guess = guesses.get(row);
  suggestion.replaceChildren(guess && guess.label
    ? el("button", { type: "button", class: "primary", onclick: () => accept() }, el("kbd", {}, "Enter"), guess.label, el("span", { class: "sure" }, ` ${Math.round(guess.p * 100)} %`))
    : el("p", { class: "soft" }, "No suggestion yet: label a few images of two classes first."));
  const known = document.activeElement && classes.contains(document.activeElement);
  classes.replaceChildren(decisions.buttons(() => [row]));
  if (known) main.querySelector(".label-now").focus();
  box.show(decisions.command(row, id));
  strip.replaceChildren(...coming.map((one) => {
    const found = urls.get(one.row);
    return el("button", { type: "button", class: "shot", title: found.id, onclick: () => { row = one.row; draw().catch(failed); } }, el("span", { class: "frame" }, el("img", { alt: found.id, src: found.url || null })), el("span", { class: "caption" }, one.label ? `${one.label}?` : ""));
  }));
  order.textContent = about && about.by === "typical" ? "Typical images first: the middle of groups in which nothing is labelled." : about && about.by === "unsure" ? "Images whose class the probe is unsure about, each unlike those before it." : "";
  said();
  const upcoming = coming[0];
  if (upcoming) new Image().src = `${dataset.base}/image/${upcoming.row}`; // the next one is there before it is asked for
}

function said() {
  const probe = about && about.probe;
  const points = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value * 100).toFixed(1)}`;
  if (!probe) brings.replaceChildren();
  else if (probe.why) brings.replaceChildren(el("p", { class: "soft" }, `What more labels are likely to bring can't be said yet: ${probe.why}.`));
  else {
    brings.replaceChildren(
      el("dl", { class: "facts" },
        el("div", {}, el("dt", {}, "The probe now"), el("dd", {}, `${Math.round(probe.accuracy[0] * 100)} to ${Math.round(probe.accuracy[1] * 100)} % right`)),
        el("div", {}, el("dt", {}, `${probe.more} more labels`), el("dd", {}, `${points(probe.gain[0])} to ${points(probe.gain[1])} points`))),
      el("p", { class: "soft" }, "95 % intervals, on labelled images that the probe did not learn from. A trained model may gain more or less: this is an estimate and no promise."));
  }
}

// --- decisions -----------------------------------------------------------------------------------------------------------------

function moved() { // the file is as the page shows it now: also after another tab's decision
  if (row >= 0 && !waits(row)) {
    decided++;
    next();
    if (decided >= AGAIN) refill();
  } else draw().catch(failed);
}

async function accept() {
  const guess = guesses.get(row);
  if (guess && guess.label) await decisions.relabel([row], guess.label);
}

async function keys(event) {
  if (inText(event.target)) return;
  if (event.key === "Enter" && !event.target.closest("button, summary, a")) { event.preventDefault(); await accept(); return; }
  if ((event.key === "s" || event.key === "ArrowRight") && !event.ctrlKey && !event.metaKey) { skip(row); next(); return; }
  if (event.key === "u" && !event.ctrlKey && !event.metaKey) { await back(); return; }
  await decisions.key(event, row >= 0 ? [row] : []);
}

async function back() { // to the image whose decision is undone
  const found = await decisions.step("undo");
  if (found !== undefined && waits(found)) { row = found; await open_(); }
}

async function open_() {
  if (!main.contains(picture)) page();
  await draw();
}

// --- the page --------------------------------------------------------------------------------------------------------------------

function page() {
  main.className = "label";
  const button = (key, text, does) => el("button", { type: "button", onclick: does }, el("kbd", {}, key), text);
  main.replaceChildren(
    el("section", { class: "label-now", tabindex: "-1", "aria-label": "Image to label" }, picture, name, suggestion, classes,
      el("div", { class: "row" }, button("S", "Skip", () => { skip(row); next(); }), button("X", "Leave out", () => decisions.leaveOut([row])), button("U", "Undo", () => back().catch(failed)), button("R", "Redo", () => decisions.step("redo"))), box),
    el("aside", { class: "label-side" }, el("h1", {}, "Label"), left, bar, order, strip, brings,
      el("p", { class: "soft" }, "Every decision is in corrections.csv at once, as the command below the image writes it; train, split and inspect read it.")));
}

function finished() {
  row = -1;
  main.className = "";
  const any = decisions.labels.size ? [el("div", { class: "row centred" }, el("a", { class: "button primary", href: "/train" }, "Train"), el("a", { class: "button", href: "/?decided=label" }, "Browse what was labelled"), el("button", { type: "button", onclick: () => back().catch(failed) }, el("kbd", {}, "U"), "Undo"))] : [];
  main.replaceChildren(emptyState("Every image has a class", "There is nothing to label. Images without a class, in a table or a folder, are shown here one after another.", ...any));
}

function noFeatures(found) {
  const place = el("div", { class: "jobs" });
  const view = (job) => place.replaceChildren(new JobView(job, (one) => { if (!one.view.classList.contains("failed")) location.reload(); }).view);
  const start = el("button", { type: "button", class: "primary", onclick: async () => { try { start.disabled = true; view(await post("/api/jobs", { kind: "embed" })); } catch (error) { start.disabled = false; failed(error); } } }, "Compute the features");
  const minutes = found.cost.seconds < 90 ? `${Math.max(1, Math.round(found.cost.seconds))} s` : `${Math.round(found.cost.seconds / 60)} minutes`;
  main.className = "";
  main.replaceChildren(emptyState(`${number(waiting())} images have no class`, `Suggestions and a good order need the features of the images: about ${minutes} on this machine. Without them, Browse takes class keys too.`, el("div", { class: "row centred" }, start, el("a", { class: "button", href: "/?f.label=" }, "Label in Browse")), place, commandBox(found.words)));
  get("/api/jobs").then((jobs) => { const running = jobs.find((job) => job.kind === "embed" && job.running); if (running) view(running); }).catch(failed);
}

async function open() {
  dataset = await openDataset();
  let ready = false;
  decisions = new Decisions(dataset, () => { if (ready) moved(); });
  await decisions.load();
  for (const label of new Set(decisions.labels.values())) if (!decisions.classes.includes(label)) decisions.classes.push(label);
  document.addEventListener("keydown", (event) => { keys(event).catch(failed); });
  if (!waiting()) { finished(); ready = true; return; }
  page();
  await refill();
  ready = true;
  watch(async (now) => { if (now.decisions !== decisions.revision) await decisions.load(); });
}

open().catch((error) => { main.replaceChildren(emptyState("The images can't be shown", error.message)); throw error; });
