// Browse: filters with their counts, a grid, and one image with all that is known about it.

import { el, get, bytes, say, failed, openDataset, valueOf, commandBox, commandLine, inText, number, watch, emptyState, keyList } from "./common.js";
import { Grid } from "./grid.js";
import { Decisions } from "./decisions.js";
import { polygonOf, within } from "./lasso.js";
import { aboutImage } from "./about.js";

const main = document.querySelector("main");
const BINS = 24;
const MOST_VALUES = 12;

let dataset, decisions, grid, detail, lassoed = null, found = null, foundText = "", sorted = null, sortedBy = "";

// --- the address holds the state: f.NAME=value (several: or), n.NAME=low..high, q=text, sort=NAME, desc=1, px=N, row=N -------

const state = () => new URLSearchParams(location.search);

function change(edit, push = false) {
  const params = state();
  edit(params);
  const text = params.toString();
  history[push ? "pushState" : "replaceState"](null, "", text ? `?${text}` : location.pathname);
}

function filters() {
  const params = state();
  const list = [];
  for (const column of dataset.columns.values()) {
    if (column.kind === "category") {
      const wanted = params.getAll(`f.${column.name}`);
      if (wanted.length) list.push({ column, codes: new Set(wanted.map((value) => (value === "" ? -1 : column.values.indexOf(value)))) });
    } else if (params.has(`n.${column.name}`)) {
      const [low, high] = params.get(`n.${column.name}`).split("..").map(Number);
      list.push({ column, low, high });
    }
  }
  return list;
}

// The rows that pass all filters, and for each column the counts of its values among the rows that pass the other ones.
function sieve() {
  const list = filters();
  const { count } = dataset;
  const only = found || lassoed ? new Uint8Array(count) : null;
  for (const list of [found, lassoed]) if (list) for (const row of list) only[row]++;
  const needed = (found ? 1 : 0) + (lassoed ? 1 : 0);
  const decided = state().get("decided");
  const fails = new Uint8Array(count);
  const failing = new Int8Array(count).fill(-1);
  list.forEach((filter, at) => {
    const { data, kind } = filter.column;
    for (let row = 0; row < count; row++) {
      const value = data[row];
      const passes = kind === "category" ? filter.codes.has(value) : value >= filter.low && value <= filter.high;
      if (!passes) { fails[row] += fails[row] < 2 ? 1 : 0; failing[row] = at; }
    }
  });
  const place = new Map(list.map((filter, at) => [filter.column.name, at]));
  const passing = (row) => (!only || only[row] === needed) && (!decided || (decided === "label" ? decisions.labels : decisions.leftOut).has(row));
  const plain = !only && !decided;
  const rows = new Uint32Array(count);
  let size = 0;
  for (let row = 0; row < count; row++) if (!fails[row] && (plain || passing(row))) rows[size++] = row;
  const counts = new Map();
  for (const column of dataset.columns.values()) {
    const at = place.has(column.name) ? place.get(column.name) : -2;
    counts.set(column.name, tally(column, (row) => (!fails[row] || (fails[row] === 1 && failing[row] === at)) && (plain || passing(row))));
  }
  return { rows: rows.slice(0, size), counts };
}

function tally(column, counted) {
  const { data } = column;
  if (column.kind === "category") {
    const counts = new Uint32Array(column.values.length + 1); // the last one: without a value
    for (let row = 0; row < data.length; row++) if (counted(row)) counts[data[row] < 0 ? column.values.length : data[row]]++;
    return counts;
  }
  if (column.low === undefined) {
    let low = Infinity, high = -Infinity;
    for (const value of data) { if (value < low) low = value; if (value > high) high = value; }
    Object.assign(column, { low, high });
  }
  const counts = new Uint32Array(BINS);
  const width = (column.high - column.low) / BINS || 1;
  for (let row = 0; row < data.length; row++) {
    if (data[row] === data[row] && counted(row)) counts[Math.min(BINS - 1, Math.floor((data[row] - column.low) / width))]++;
  }
  return counts;
}

async function inOrder(rows) {
  const params = state();
  const by = params.get("sort");
  const column = by && dataset.columns.get(by);
  if (!column) return params.get("desc") ? rows.reverse() : rows;
  if (sortedBy !== by) { sorted = new Uint32Array(await bytes(`${dataset.base}/order?by=${encodeURIComponent(by)}`)); sortedBy = by; }
  const wanted = new Uint8Array(dataset.count);
  for (const row of rows) wanted[row] = 1;
  const ordered = sorted.filter((row) => wanted[row]);
  if (!params.get("desc")) return ordered;
  const missing = (row) => column.kind === "category" ? column.data[row] < 0 : Number.isNaN(column.data[row]);
  const valued = ordered.filter((row) => !missing(row)).reverse(); // rows without a value stay last
  return valued.length === ordered.length ? valued : Uint32Array.from([...valued, ...ordered.filter(missing)]);
}

// The selection of the map: its polygon is in the address.
async function readLasso() {
  const polygon = polygonOf(state());
  if (!polygon) { lassoed = null; return; }
  const points = new Float32Array(await bytes(`${dataset.base}/points?by=${encodeURIComponent(state().get("map") || "")}`));
  lassoed = within(polygon, points.subarray(0, dataset.count), points.subarray(dataset.count));
}

async function refresh(keep = true) {
  const text = state().get("q") || "";
  if (text !== foundText) {
    foundText = text;
    found = text ? new Uint32Array(await bytes(`${dataset.base}/search?q=${encodeURIComponent(text)}`)) : null;
    if (foundText !== text) return;
  }
  const { rows, counts } = sieve();
  sidebar(counts);
  const shown = await inOrder(rows);
  grid.show(shown, keep);
  const many = shown.length === dataset.count ? `${number(dataset.count)} images` : `${number(shown.length)} of ${number(dataset.count)} images`;
  document.querySelector(".count").textContent = many;
  main.querySelector(".nothing").hidden = shown.length > 0;
}

// --- filters ---------------------------------------------------------------------------------------------------------------

function sidebar(counts) {
  const place = main.querySelector(".filters-list");
  const focused = document.activeElement && document.activeElement.dataset.key;
  place.replaceChildren(...[...dataset.columns.values()].map((column) => (column.kind === "category" ? choices(column, counts.get(column.name)) : range(column, counts.get(column.name)))), decidedFilter());
  if (lassoed) place.prepend(selectionFilter());
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function choices(column, counts) {
  const chosen = new Set(state().getAll(`f.${column.name}`));
  const values = column.values.map((value, code) => [value, counts[code]]);
  if (counts[column.values.length] || chosen.has("")) values.push(["", counts[column.values.length]]);
  values.sort((a, b) => (chosen.has(b[0]) - chosen.has(a[0])) || b[1] - a[1] || a[0].localeCompare(b[0]));
  const most = Math.max(1, ...values.map(([, count]) => count));
  const shown = column.all ? values : values.slice(0, MOST_VALUES);
  const items = shown.map(([value, count]) => {
    const box = el("input", { type: "checkbox", checked: chosen.has(value), "data-key": `f.${column.name}.${value}` });
    box.addEventListener("change", () => {
      change((params) => {
        const kept = new Set(params.getAll(`f.${column.name}`));
        if (box.checked) kept.add(value); else kept.delete(value);
        params.delete(`f.${column.name}`);
        for (const one of kept) params.append(`f.${column.name}`, one);
      });
      refresh().catch(failed);
    });
    const label = el("label", {}, box, el("span", { class: "value" }, value || "none"), el("span", { class: "many" }, number(count)));
    label.style.setProperty("--share", count / most);
    return el("li", {}, label);
  });
  const more = values.length > shown.length ? el("button", { type: "button", class: "plain", onclick: () => { column.all = true; refresh().catch(failed); } }, `${number(values.length - shown.length)} more`) : null;
  return el("fieldset", {}, el("legend", {}, column.name), el("ul", {}, ...items), more);
}

function range(column, counts) {
  const given = state().get(`n.${column.name}`);
  const [low, high] = given ? given.split("..").map(Number) : [column.low, column.high];
  const most = Math.max(1, ...counts);
  const bars = ["", ""]; // two paths, and no element for each bar: those that are out of the range, those that are in it
  counts.forEach((count, bin) => {
    const from = column.low + (bin * (column.high - column.low)) / BINS;
    const height = Math.max(1, 40 * (count / most));
    bars[Number(from + (column.high - column.low) / BINS >= low && from <= high)] += `M${10 * bin} 40v${-height}h9v${height}z`;
  });
  const whole = Number.isInteger(column.low) && Number.isInteger(column.high) && column.high - column.low > 1;
  const step = whole ? 1 : (column.high - column.low) / 200 || 1;
  const said = (value) => (whole ? number(Math.round(value)) : value.toPrecision(3));
  const input = (name, value, key) => {
    const made = el("input", { type: "range", min: String(column.low), max: String(column.high), step: String(step), "aria-label": `${name} ${column.name}`, "data-key": key });
    made.value = value;
    made.addEventListener("change", set);
    made.addEventListener("input", tell);
    return made;
  };
  const from = input("Smallest", low, `n.${column.name}.low`);
  const to = input("Largest", high, `n.${column.name}.high`);
  const text = el("output", {}, `${said(low)} to ${said(high)}`);
  function tell() { text.textContent = `${said(Number(from.value))} to ${said(Number(to.value))}`; }
  function set() {
    const ends = [Number(from.value), Number(to.value)].sort((a, b) => a - b);
    if (ends[0] - column.low < step / 2) ends[0] = column.low;
    if (column.high - ends[1] < step / 2) ends[1] = column.high;
    change((params) => {
      if (ends[0] <= column.low && ends[1] >= column.high) params.delete(`n.${column.name}`);
      else params.set(`n.${column.name}`, ends.join(".."));
    });
    refresh().catch(failed);
  }
  return el("fieldset", {}, el("legend", {}, column.name), histogram(bars), from, to, text);
}

function histogram(bars) {
  const svg = (tag, props, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(props)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  return svg("svg", { class: "histogram", viewBox: `0 0 ${10 * BINS} 40`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars.map((path, at) => svg("path", { d: path, class: at ? "in" : "" })));
}

function selectionFilter() {
  const drop = el("button", { type: "button", onclick: () => { lassoed = null; change((params) => { params.delete("lasso"); params.delete("map"); }); refresh().catch(failed); } }, "Show all");
  const back = el("a", { href: `/map?lasso=${state().get("lasso")}&map=${encodeURIComponent(state().get("map") || "")}` }, "on the map");
  return el("fieldset", {}, el("legend", {}, "selection"), el("p", {}, `${number(lassoed.length)} images `, back), drop);
}

function decidedFilter() {
  const chosen = state().get("decided") || "";
  const counts = { label: decisions.labels.size, out: decisions.leftOut.size };
  const radio = (value, text) => {
    const made = el("input", { type: "radio", name: "decided", checked: chosen === value, "data-key": `decided.${value}` });
    made.addEventListener("change", () => { change((params) => (value ? params.set("decided", value) : params.delete("decided"))); refresh().catch(failed); });
    return el("li", {}, el("label", {}, made, el("span", { class: "value" }, text), el("span", { class: "many" }, value ? number(counts[value]) : "")));
  };
  return el("fieldset", {}, el("legend", {}, "decided"), el("ul", {}, radio("", "all"), radio("label", "relabelled"), radio("out", "left out")));
}

// --- one image ---------------------------------------------------------------------------------------------------------------

class Detail {
  constructor(host) {
    this.host = host;
    this.drawn = true;
    host.addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(); });
  }

  async show(row) {
    if (row === undefined) return;
    this.row = row;
    change((params) => params.set("row", row));
    const { base } = dataset;
    let facts;
    try { facts = await get(`${base}/facts/${row}`); } catch (error) { failed(error); return; }
    if (this.row !== row) return;
    this.facts = facts;
    const targets = facts.boxes.length || facts.keypoints.length || facts.mask;
    const image = el("img", { class: "whole", alt: facts.id, src: `${base}/image/${row}${targets && this.drawn ? "?drawn=1" : ""}` });
    image.addEventListener("error", () => image.replaceWith(el("p", { class: "unreadable" }, "This image can't be shown.")));
    const toggle = targets ? el("label", { class: "check" }, el("input", { type: "checkbox", checked: this.drawn, onchange: (event) => { this.drawn = event.target.checked; this.show(row); } }), "Annotations") : null;
    const close = el("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => this.close() }, "×");
    const step = (by, text) => el("button", { type: "button", onclick: () => { grid.choose(grid.at + by, false, false); this.show(grid.current); } }, text);
    this.decided = el("p", { class: "decided" });
    this.box = commandBox(decisions.command(row, facts.id), "The command that does the same");
    this.out = el("button", { type: "button", onclick: () => decisions.leaveOut([row]) });
    this.host.replaceChildren(
      el("div", { class: "detail-head" }, el("h2", {}, facts.id), close),
      image,
      el("div", { class: "row" }, step(-1, "← Before"), step(1, "Next →"), toggle),
      this.decided,
      decisions.buttons(() => [row]),
      el("div", { class: "row" }, this.out, el("button", { type: "button", onclick: () => decisions.step("undo") }, el("kbd", {}, "U"), "Undo"), el("button", { type: "button", onclick: () => decisions.step("redo") }, el("kbd", {}, "R"), "Redo")),
      this.box,
      ...aboutImage(dataset, row, (other) => { grid.goTo(other); this.show(other); }, () => this.row === row && !this.host.hidden),
      this.table(facts),
    );
    this.host.hidden = false;
    main.classList.add("with-detail");
    this.mark();
    grid.layout();
  }

  mark() {
    if (this.host.hidden || !this.facts) return;
    this.decided.textContent = decisions.words(this.row);
    this.out.replaceChildren(el("kbd", {}, "X"), decisions.leftOut.has(this.row) ? "Take in again" : "Leave out");
    this.box.show(decisions.command(this.row, this.facts.id));
    const now = decisions.label(this.row);
    this.host.querySelectorAll(".class").forEach((button) => button.setAttribute("aria-pressed", button.lastChild.textContent === now));
  }

  table(facts) {
    const rows = [];
    const add = (name, value) => { if (value !== "" && value !== null && value !== undefined) rows.push(el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))); };
    if (facts.error) add("can't be read", facts.error);
    add("split", facts.split);
    if (facts.width_px) add("size", `${number(facts.width_px)} × ${number(facts.height_px)} px, ${facts.format}, ${number(Math.ceil(facts.bytes / 1024))} kB`);
    for (const column of dataset.columns.values()) {
      if (["label", "split", "boxes", "keypoints", "mask", "finding"].includes(column.name) || column.name in facts.extra) continue;
      const value = valueOf(column, this.row);
      add(column.name, column.kind === "number" ? (Number.isNaN(value) ? "" : Number(value.toPrecision(6))) : value);
    }
    for (const finding of facts.findings) add(finding.check.replaceAll("_", " "), finding.message);
    for (const [name, value] of Object.entries(facts.extra)) add(name, typeof value === "object" ? JSON.stringify(value) : value);
    facts.boxes.forEach((box, at) => add(`box ${at + 1}`, `${box.label} ${box.xyxy.join(", ")}${box.outlines ? `, ${box.outlines} outline(s)` : ""}`));
    if (facts.keypoints.length) add("keypoints", facts.keypoints.map((one) => one.label).join(", "));
    add("mask", facts.mask);
    add("file", facts.path);
    add("sha256", facts.sha256);
    return el("dl", { class: "facts" }, ...rows);
  }

  close() {
    this.host.hidden = true;
    main.classList.remove("with-detail");
    change((params) => params.delete("row"));
    grid.layout();
    grid.view.focus();
  }
}

// --- the page ----------------------------------------------------------------------------------------------------------------

function toolbar() {
  const search = el("input", { type: "search", placeholder: "Search names", "aria-label": "Search names", value: state().get("q") || "" });
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { change((params) => (search.value ? params.set("q", search.value) : params.delete("q"))); refresh(false).catch(failed); }, 150);
  });
  const sort = el("select", { "aria-label": "Order" }, el("option", { value: "" }, "by name"), ...[...dataset.columns.keys()].map((name) => el("option", { value: name }, `by ${name}`)));
  sort.value = state().get("sort") || "";
  const down = el("button", { type: "button", "aria-pressed": String(Boolean(state().get("desc"))), title: "Descending" }, "↓");
  sort.addEventListener("change", () => { change((params) => (sort.value ? params.set("sort", sort.value) : params.delete("sort"))); refresh(false).catch(failed); });
  down.addEventListener("click", () => {
    change((params) => (params.get("desc") ? params.delete("desc") : params.set("desc", "1")));
    down.setAttribute("aria-pressed", String(Boolean(state().get("desc"))));
    refresh(false).catch(failed);
  });
  const size = el("input", { type: "range", min: "56", max: "280", step: "4", "aria-label": "Size of the thumbnails" });
  size.value = state().get("px") || "132";
  size.addEventListener("input", () => { grid.size = Number(size.value); change((params) => params.set("px", size.value)); grid.layout(); grid.reveal(); });
  const clear = el("button", { type: "button", onclick: () => { change((params) => { for (const name of [...params.keys()]) if (/^(f\.|n\.)|^(q|decided|lasso|map)$/.test(name)) params.delete(name); }); search.value = ""; lassoed = null; refresh().catch(failed); } }, "Clear filters");
  const keys = keyList([["arrows, Page, Home, End", "move"], ["Enter", "open"], ["Space, Shift + arrows", "choose several"], ["1 to 9", "set the class"], ["X", "leave out"], ["U, R", "undo, redo"], ["/", "search"], ["Esc", "close"]]);
  return el("div", { class: "toolbar" }, search, sort, down, el("label", { class: "size" }, "Size", size), clear, el("span", { class: "count", role: "status" }), keys);
}

async function start() {
  dataset = await openDataset();
  decisions = new Decisions(dataset, () => { if (grid) { grid.draw(); detail.mark(); } });
  const panel = el("aside", { class: "detail", "aria-label": "Image", hidden: true });
  const field = el("div", { class: "field" });
  const lists = el("div", { class: "filters-list" });
  const folded = matchMedia("(max-width: 50rem)").matches;
  main.classList.add("browse");
  main.replaceChildren(
    el("h1", { class: "unseen" }, "Browse"),
    el("details", { class: "filters", open: !folded }, el("summary", {}, "Filters"), lists),
    el("div", { class: "middle" }, toolbar(), el("p", { class: "nothing", hidden: true }, "No image passes these filters. Clear one of them."), field),
    panel,
  );
  detail = new Detail(panel);
  grid = new Grid(field, dataset, {
    describe: (row) => ({ name: decisions.words(row), caption: decisions.words(row), kind: decisions.leftOut.has(row) ? "out" : decisions.labels.has(row) ? "relabelled" : "" }),
    opened: (row) => detail.show(row),
    moved: (row) => { if (!panel.hidden) detail.show(row); },
  });
  grid.size = Number(state().get("px")) || (folded ? 100 : 132);
  await decisions.load();
  await readLasso().catch(failed);
  const row = state().get("row");
  await refresh(false);
  if (row !== null && Number(row) < dataset.count) { grid.goTo(Number(row)); await detail.show(Number(row)); }
  grid.view.focus({ preventScroll: true });
  document.addEventListener("keydown", keys);
  addEventListener("popstate", () => readLasso().then(refresh).catch(failed));
  watch(async (now) => {
    if (now.digest !== dataset.digest) say("The images, or what is known of them, have changed: reload the page.", true);
    if (now.decisions !== decisions.revision) await decisions.load();
  });
}

async function keys(event) {
  if (event.key === "/" && !inText(event.target)) { event.preventDefault(); main.querySelector("[type=search]").focus(); return; }
  if (event.key === "Escape" && inText(event.target)) { grid.view.focus(); return; }
  if (event.key === "Escape" && !detail.host.hidden) { detail.close(); return; }
  const rows = grid.acted;
  if (await decisions.key(event, rows)) {
    if (/^[1-9x]$/.test(event.key) && rows.length === 1 && grid.at < grid.rows.length - 1) grid.choose(grid.at + 1, false, false);
  }
}

start().catch((error) => {
  main.replaceChildren(emptyState("The images can't be shown", error.message));
  throw error;
});
