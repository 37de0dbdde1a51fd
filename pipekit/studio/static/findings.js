// Findings: what inspect found, in groups, with the images side by side; a click or X leaves an image out, K keeps one of a group.

import { el, get, post, failed, inText, openDataset, thumbnails, commandBox, number, watch, emptyState } from "./common.js";
import { Decisions } from "./decisions.js";
import { JobView } from "./jobs.js";

const main = document.querySelector("main");
const SHOWN = 24;
const GROUPS = 40;
let dataset, decisions;

function card(row, group) {
  const image = el("img", { alt: "" });
  const caption = el("span", { class: "caption" });
  const file = el("span", { class: "file" });
  const made = el("button", { type: "button", class: "shot", "data-row": String(row) }, el("span", { class: "frame" }, image), file, caption);
  made.addEventListener("click", () => decisions.leaveOut([row], group.message.slice(0, 200), group.check));
  Object.assign(made, { image, caption, file, row, group });
  return made;
}

function mark() {
  for (const one of document.querySelectorAll(".shot")) {
    const out = decisions.leftOut.has(one.row);
    one.classList.toggle("out", out);
    one.setAttribute("aria-pressed", String(out));
    one.caption.textContent = decisions.words(one.row);
    one.setAttribute("aria-label", `${one.title || "image"}, ${decisions.words(one.row)}`);
  }
}

const isOfCopies = (group) => group.copies && group.rows.length > 1;

// One image of a group stays, and all others are left out: also those that are not shown.
async function keep(row, group) {
  const others = group.rows.filter((one) => one !== row);
  if (decisions.leftOut.has(row)) await decisions.leaveOut([row]); // is taken in again
  await decisions.leaveOut(others.filter((one) => !decisions.leftOut.has(one)), group.message.slice(0, 200), group.check);
}

function groupView(group) {
  const cards = group.rows.slice(0, SHOWN).map((row) => card(row, group));
  const buttons = [];
  if (group.remove.length) {
    buttons.push(el("button", { type: "button", onclick: () => decisions.leaveOut(group.remove.filter((row) => !decisions.leftOut.has(row)), group.message.slice(0, 200), group.check) }, `Leave out ${group.remove.length === 1 ? "the one" : `the ${number(group.remove.length)}`} that inspect suggests`));
  } else if (isOfCopies(group)) {
    buttons.push(el("button", { type: "button", onclick: () => decisions.leaveOut(group.rows.slice(1).filter((row) => !decisions.leftOut.has(row)), group.message.slice(0, 200), group.check) }, "Keep the first, leave out the rest"));
  }
  if (isOfCopies(group)) buttons.push(el("span", { class: "soft" }, el("kbd", {}, "K"), "keeps the image that has the focus, and leaves out the others"));
  return el("section", { class: `group ${group.severity}` },
    el("h2", {}, el("span", { class: "severity" }, group.severity), group.check.replaceAll("_", " ")),
    el("p", {}, group.message), el("p", { class: "soft meaning", "data-check": group.check }), cards.length ? el("div", { class: "shots" }, ...cards) : null,
    group.rows.length > SHOWN ? el("p", { class: "soft" }, `${number(group.rows.length - SHOWN)} more: `, el("a", { href: `/?f.finding=${encodeURIComponent(group.check)}` }, "browse them")) : null,
    el("div", { class: "row" }, ...buttons));
}

async function fill() {
  const empty = [...document.querySelectorAll(".shot")].filter((one) => !one.asked);
  for (let at = 0; at < empty.length; at += 200) {
    const some = empty.slice(at, at + 200);
    const found = await thumbnails(dataset, some.map((one) => one.row));
    found.forEach(({ id, file }, number) => {
      some[number].asked = true;
      some[number].title = id;
      some[number].file.textContent = id.split("/").pop();
      if (file) some[number].image.src = URL.createObjectURL(file);
      else some[number].image.replaceWith(el("span", { class: "unreadable" }, "This image can't be shown."));
    });
  }
  mark();
}

// What each check means, in the words of whoever wrote it.
async function explain() {
  const checks = await get("/api/checks");
  for (const place of document.querySelectorAll(".meaning")) {
    const { summary, text, plugin } = checks[place.dataset.check] || {};
    place.textContent = [text || summary || "", plugin && plugin !== "builtin" && plugin !== "pipekit" ? `A check of ${plugin}.` : ""].filter(Boolean).join(" ");
  }
}

async function inspect() {
  try {
    const job = await post("/api/jobs", { kind: "inspect" });
    main.querySelector(".jobs").replaceChildren(new JobView(job, (view) => { if (!view.view.classList.contains("failed")) location.reload(); }).view);
  } catch (error) { failed(error); }
}

async function open() {
  dataset = await openDataset();
  decisions = new Decisions(dataset, mark);
  const [found, command, jobs] = await Promise.all([get(`${dataset.base}/findings`), post("/api/command", { kind: "inspect" }), get("/api/jobs")]);
  const again = el("button", { type: "button", class: found.inspected ? "" : "primary", onclick: inspect }, found.inspected ? "Inspect again" : "Inspect the images");
  const place = el("div", { class: "jobs" });
  const box = commandBox(command.words);
  main.classList.add("text");
  if (!found.inspected) main.replaceChildren(emptyState("Not inspected yet", "Inspecting reads each image once: damaged files, duplicates, the same image in two splits or under two labels, dark, blurred and unusual images. Nothing is changed.", again, place, box));
  else if (!found.groups.length) main.replaceChildren(emptyState("Nothing was found", "No damaged file, no duplicate, no leak between splits.", again, place, box));
  else {
    const groups = found.groups.slice(0, GROUPS).map(groupView);
    main.replaceChildren(
      el("div", { class: "row" }, el("h1", {}, "Findings"), again),
      el("p", { class: "soft" }, "A click or X on an image leaves it out, a second one takes it in again. U undoes. What is left out is in quarantine.csv, for --exclude."),
      place, box, ...groups, found.groups.length > GROUPS ? el("p", { class: "soft" }, `${number(found.groups.length - GROUPS)} more findings are in the page that \`pipekit inspect\` writes.`) : "");
  }
  const running = jobs.find((job) => job.kind === "inspect" && job.running);
  if (running) place.replaceChildren(new JobView(running, () => location.reload()).view);
  await decisions.load();
  await fill();
  explain().catch(failed);
  document.addEventListener("keydown", (event) => {
    const at = document.activeElement.closest?.(".shot");
    if (inText(event.target)) return;
    if (event.key === "k" && at && isOfCopies(at.group) && !event.ctrlKey && !event.metaKey && !event.altKey) keep(at.row, at.group);
    else decisions.key(event, at ? [at.row] : []);
  });
  watch(async (now) => { if (now.decisions !== decisions.revision) await decisions.load(); });
}

open().catch((error) => { main.replaceChildren(emptyState("The findings can't be shown", error.message)); throw error; });
