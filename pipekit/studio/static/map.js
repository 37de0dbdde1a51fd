// Map: all images as points that lie close together where they look alike; colours by any column; a lasso is a selection.

import { el, get, post, bytes, failed, openDataset, valueOf, thumbnails, commandBox, number, emptyState, keyList } from "./common.js";
import { JobView } from "./jobs.js";
import { Scatter } from "./scatter.js";
import { polygonOf, textOf, within } from "./lasso.js";

const main = document.querySelector("main");
const SHOWN = 24;
const COLOURS = 8;
const STEPS = 16; // of a column of numbers
const FAINT = 9;
const state = () => new URLSearchParams(location.search);
let dataset, scatter, about, x, y, chosen = new Uint32Array(0), only = null;
const legend = el("ul", { class: "legend" });
const card = el("figure", { class: "map-card", "aria-live": "polite", hidden: true });
const said = el("p", { class: "soft", role: "status" });
const shots = el("div", { class: "shots" });
const actions = el("div", { class: "row" });

function change(edit) {
  const params = state();
  edit(params);
  history.replaceState(null, "", `?${params}`);
}

// --- colours -----------------------------------------------------------------------------------------------------------------

const css = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

function packed(text) { // "#rrggbb" as the pixel of an ImageData
  const value = parseInt(text.slice(1), 16);
  return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

function ramp(share) { // from the faint to the strong end: lightness alone says the order
  const ends = ["--map-low", "--map-high"].map((name) => parseInt(css(name).slice(1), 16));
  const mix = (shift) => Math.round(((ends[0] >> shift) & 255) * (1 - share) + ((ends[1] >> shift) & 255) * share);
  return `#${[16, 8, 0].map((shift) => mix(shift).toString(16).padStart(2, "0")).join("")}`;
}

// The colour of each row: {codes, colours, items}, the items for the legend.
function painted(column) {
  const codes = new Uint8Array(dataset.count);
  const faint = css("--map-none");
  if (!column) return { codes, colours: [css("--map-0")], items: [] };
  if (column.kind === "number") {
    const { data } = column;
    const known = data.filter((value, row) => value === value && x[row] === x[row]).sort();
    const low = known[0] ?? 0, high = known[known.length - 1] ?? 1;
    const top = known[Math.floor(known.length * 0.99)] ?? 1, bottom = known[Math.floor(known.length * 0.01)] ?? 0; // single far values do not decide
    for (let row = 0; row < data.length; row++) {
      const share = (data[row] - bottom) / (top - bottom || 1);
      codes[row] = data[row] === data[row] ? Math.min(STEPS - 1, Math.max(0, Math.floor(share * STEPS))) : STEPS;
    }
    const colours = [...Array(STEPS).keys()].map((step) => ramp(step / (STEPS - 1)));
    return { codes, colours: [...colours, faint], items: [], scale: [low, high], faint: STEPS };
  }
  const counts = new Uint32Array(column.values.length + 1);
  for (let row = 0; row < dataset.count; row++) if (x[row] === x[row]) counts[column.data[row] < 0 ? column.values.length : column.data[row]]++;
  const order = column.values.map((_, code) => code).filter((code) => counts[code]).sort((a, b) => counts[b] - counts[a]);
  const own = new Uint8Array(column.values.length + 1).fill(COLOURS);
  own[column.values.length] = FAINT;
  order.slice(0, COLOURS).forEach((code, place) => { own[code] = place; });
  for (let row = 0; row < dataset.count; row++) codes[row] = own[column.data[row] < 0 ? column.values.length : column.data[row]];
  const items = order.slice(0, COLOURS).map((code, place) => ({ code: place, name: column.values[code], count: counts[code] }));
  const others = order.slice(COLOURS).reduce((sum, code) => sum + counts[code], 0);
  if (others) items.push({ code: COLOURS, name: `${number(order.length - COLOURS)} others`, count: others });
  if (counts[column.values.length]) items.push({ code: FAINT, name: "none", count: counts[column.values.length] });
  return { codes, colours: [...[...Array(COLOURS).keys()].map((one) => css(`--map-${one}`)), css("--map-other"), faint], items, faint: FAINT };
}

function paint() {
  const column = dataset.columns.get(state().get("by"));
  const made = painted(column);
  let { codes, faint } = made;
  if (only !== null && made.items.some((item) => item.code === only)) {
    const shown = only;
    codes = codes.map((code) => (code === shown ? code : FAINT));
    faint = FAINT;
  }
  scatter.paint(codes, made.colours.map(packed), faint ?? -1);
  if (made.scale) {
    const bar = el("span", { class: "ramp" });
    legend.replaceChildren(el("li", { class: "scale" }, el("span", {}, Number(made.scale[0].toPrecision(4)).toLocaleString("en")), bar, el("span", {}, Number(made.scale[1].toPrecision(4)).toLocaleString("en"))));
    return;
  }
  const pressed = [...legend.children].findIndex((one) => one.contains(document.activeElement));
  legend.replaceChildren(...made.items.map((item) => {
    const mark = el("i", {});
    mark.style.background = made.colours[item.code];
    const button = el("button", { type: "button", class: "plain", "aria-pressed": String(only === item.code), title: "Show these alone, or all again" }, mark, el("span", { class: "value" }, item.name), el("span", { class: "many" }, number(item.count)));
    button.addEventListener("click", () => { only = only === item.code ? null : item.code; paint(); });
    return el("li", {}, button);
  }));
  legend.children[pressed]?.querySelector("button").focus(); // made anew, it keeps the focus
}

// --- one image ---------------------------------------------------------------------------------------------------------------

let asking = false, wanted = -1;

function wordsOf(row) {
  const facts = [...new Set(["label", state().get("by") || ""])].map((name) => dataset.columns.get(name)).filter(Boolean);
  return facts.map((column) => { const value = valueOf(column, row); return column.kind === "number" ? `${column.name} ${Number(value.toPrecision(4))}` : value || `no ${column.name}`; }).join(", ");
}

async function hover(row, px, py) {
  wanted = row;
  card.dataset.row = row;
  card.hidden = row < 0;
  if (row < 0) return;
  const { clientWidth: width, clientHeight: height } = scatter.view;
  card.style.left = `${px < width / 2 ? px + 18 : px - 18 - 168}px`;
  card.style.top = `${Math.max(4, Math.min(height - 210, py - 90))}px`;
  if (asking) return;
  asking = true;
  try {
    while (wanted >= 0 && card.row !== wanted) {
      const [found] = await thumbnails(dataset, [wanted]);
      card.row = found.row;
      if (card.url) URL.revokeObjectURL(card.url);
      card.url = found.file ? URL.createObjectURL(found.file) : "";
      const picture = found.file ? el("img", { alt: "", src: card.url }) : el("span", { class: "unreadable" }, "can't be read");
      card.replaceChildren(picture, el("figcaption", {}, el("span", { class: "soft" }, wordsOf(found.row)), found.id));
      card.dataset.shown = found.row;
    }
  } catch (error) { failed(error); } finally { asking = false; }
}

// --- the selection -----------------------------------------------------------------------------------------------------------

async function select(polygon) {
  change((params) => { if (polygon) { params.set("lasso", textOf(polygon)); params.set("map", about.by); } else { params.delete("lasso"); params.delete("map"); } });
  chosen = polygon ? within(polygonOf(state()), x, y) : new Uint32Array(0);
  const params = state();
  params.delete("by");
  const link = chosen.length ? el("a", { class: "button primary", href: `/?${params}` }, chosen.length === 1 ? "Browse this image" : `Browse these ${number(chosen.length)} images`) : null;
  const clear = polygon ? el("button", { type: "button", onclick: () => scatter.close(null) }, "Clear") : null;
  actions.replaceChildren(...[link, clear].filter(Boolean));
  said.textContent = polygon ? `${number(chosen.length)} of ${number(scatter.count)} images are selected.` : "Draw a line around points to select their images.";
  const rows = [...chosen.slice(0, SHOWN)];
  shots.replaceChildren();
  if (!rows.length) return;
  const found = await thumbnails(dataset, rows);
  if (rows[0] !== chosen[0]) return;
  const back = state().toString();
  shots.replaceChildren(...found.map(({ row, id, file }) => el("a", { class: "shot", href: `/?${params}&row=${row}`, title: id }, el("span", { class: "frame" }, el("img", { alt: id, src: file ? URL.createObjectURL(file) : null })))));
  if (back && chosen.length > SHOWN) shots.append(el("p", { class: "soft" }, `and ${number(chosen.length - SHOWN)} more`));
}

// --- the page ----------------------------------------------------------------------------------------------------------------

function toolbar() {
  const by = el("select", { "aria-label": "Colours" }, el("option", { value: "" }, "one colour"), ...[...dataset.columns.keys()].map((name) => el("option", { value: name }, name)));
  by.value = state().get("by") || "";
  by.addEventListener("change", () => { only = null; change((params) => (by.value ? params.set("by", by.value) : params.delete("by"))); paint(); });
  const how = el("select", { "aria-label": "Projection" }, ...about.projections.map((one) => el("option", { value: one.name, title: one.summary }, one.shown)));
  how.value = about.by;
  how.addEventListener("change", () => { change((params) => { params.set("how", how.value); params.delete("lasso"); params.delete("map"); }); location.reload(); });
  const tools = [["lasso", "Select"], ["pan", "Move"]].map(([tool, text]) => el("button", { type: "button", "aria-pressed": String(scatter.tool === tool), onclick: (event) => {
    scatter.tool = tool;
    for (const one of event.target.parentNode.children) one.setAttribute("aria-pressed", String(one === event.target));
    scatter.view.classList.toggle("panning", tool === "pan");
  } }, text));
  const button = (text, label, does) => el("button", { type: "button", "aria-label": label, title: label, onclick: does }, text);
  const keys = keyList([["arrows", "from image to image"], ["Shift + arrows, drag", "move the map"], ["+ − 0, wheel", "zoom, whole map"], ["V", "select what is in view"], ["Enter", "open the image"], ["Esc", "clear"]]);
  return el("div", { class: "toolbar" }, el("label", { class: "named" }, "Colour", by), el("label", { class: "named" }, "Layout", how), el("span", { class: "joined" }, ...tools),
    el("span", { class: "joined" }, button("−", "Zoom out", () => scatter.scale(1 / 1.4)), button("+", "Zoom in", () => scatter.scale(1.4)), button("Whole map", "Show the whole map", () => scatter.whole())),
    keys);
}

function draw() {
  scatter = new Scatter({ x, y, label: `Map of ${number(x.length)} images by their features. Arrow keys go from image to image, Enter opens one, V selects what is in view.`,
    hovered: (row, px, py) => hover(row, px, py).catch(failed), opened: (row) => { location.href = `/?row=${row}`; }, selected: (polygon) => select(polygon).catch(failed) });
  scatter.points.addEventListener("contextmenu", (event) => event.preventDefault());
  scatter.view.append(card);
  const coming = about.missing - about.unreadable; // of a file that can't be read, no command computes features
  const missing = coming ? el("div", { class: "note" }, el("p", {}, `${coming === 1 ? "1 image has" : `${number(coming)} images have`} no features yet, and no point.`), ...costs()) : null;
  const damaged = about.unreadable ? el("p", { class: "soft" }, `${about.unreadable === 1 ? "1 image can't be read, and has" : `${number(about.unreadable)} images can't be read, and have`} no point: `, el("a", { href: "/findings" }, "Findings"), " says why.") : null;
  main.className = "map";
  main.replaceChildren(el("h1", { class: "unseen" }, "Map"), el("div", { class: "middle" }, toolbar(), scatter.view),
    el("aside", { class: "map-side", "aria-label": "Colours and selection" }, legend, said, actions, shots,
      el("p", {}, el("a", { class: "button", href: "/?sort=outlier_score&desc=1", title: "Browse the images in the order of their distance to their nearest neighbours" }, "Outliers: farthest first")), missing, damaged,
      el("p", { class: "soft" }, "Images with similar features lie close together. A point among those of another class may have a wrong label. The distance between groups, and their size, mean little.")));
  scatter.fit();
  paint();
  const polygon = state().get("map") === about.by ? polygonOf(state()) : null;
  scatter.polygon = polygon;
  select(polygon).catch(failed);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}

function costs() {
  const { seconds, bytes: size } = about.cost;
  const time = seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : seconds < 5400 ? `${Math.round(seconds / 60)} minutes` : `${(seconds / 3600).toFixed(1)} hours`;
  const place = el("div", { class: "jobs" });
  const start = el("button", { type: "button", class: "primary", onclick: async () => {
    try {
      start.disabled = true;
      follow(place, await post("/api/jobs", { kind: "embed" }));
    } catch (error) { start.disabled = false; failed(error); }
  } }, "Compute the features");
  costs.place = place;
  const disk = size >= 1e8 ? `${(size / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(size / 1e6))} MB`;
  return [el("p", { class: "soft" }, `About ${time} on this machine, and ${disk} on the disk. Each image is computed once, for every later command too.`), el("div", { class: "row centred" }, start), place, commandBox(about.words)];
}

const follow = (place, job) => place.replaceChildren(new JobView(job, (view) => { if (!view.view.classList.contains("failed")) location.reload(); }).view);

async function ready(how) {
  for (;;) {
    const found = await get(`${dataset.base}/map?by=${encodeURIComponent(how)}`);
    if (found.state !== "working") return found;
    main.replaceChildren(emptyState("Drawing the map", `Placing ${number(dataset.count - found.missing)} images by their features. This is done once.`));
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function open() {
  dataset = await openDataset();
  if (!state().has("by")) {
    const usual = dataset.columns.get("label").values.length ? "label" : "";
    if (usual) change((params) => params.set("by", usual));
  }
  about = await ready(state().get("map") || state().get("how") || "");
  if (about.state === "none") {
    main.replaceChildren(emptyState("No features yet", "The map shows images that look alike close together. It needs the features of each image, which a pretrained network computes.", ...costs()));
    const running = (await get("/api/jobs")).find((job) => job.kind === "embed" && job.running);
    if (running) follow(costs.place, running);
    return;
  }
  if (!dataset.columns.has("outlier_score")) dataset = await openDataset(); // made with the map
  const places = new Float32Array(await bytes(`${dataset.base}/points?by=${encodeURIComponent(about.by)}`));
  x = places.subarray(0, dataset.count);
  y = places.subarray(dataset.count);
  draw();
}

open().catch((error) => { main.replaceChildren(emptyState("The map can't be shown", error.message)); throw error; });
