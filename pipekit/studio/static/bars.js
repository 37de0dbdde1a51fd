// A prediction as a page shows it: the verdict, probabilities as bars, "none of these". Used by serve and by Try.

import { el } from "./common.js";

const percent = (share) => `${(100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 2 : 1)} %`;

function verdict(found) {
  if ("value" in found) return `${found.value.toPrecision(5)} ${found.unit || ""}`;
  if (found.unknown) return "None of these";
  if ("labels" in found) return found.labels.join(", ") || "No label";
  return found.predicted;
}

function about(found) {
  const words = [];
  if ("low" in found) words.push(`90 % of new values lie between ${found.low.toPrecision(4)} and ${found.high.toPrecision(4)}.`);
  if (found.unknown) words.push(`The image is unlike the training images. The nearest class is ${found.predicted}.`);
  if ("unknown_score" in found) words.push(`Score for "none of these": ${found.unknown_score.toFixed(2)}; the limit is 1.`);
  return words.join(" ");
}

export function bars(found) {
  const chosen = new Set(found.labels || [found.predicted]);
  const rows = (found.top || []).map((one) => {
    const row = el("li", { class: chosen.has(one.class) && !found.unknown ? "chosen" : "" },
      el("span", { class: "value" }, one.class), el("span", { class: "many" }, percent(one.probability)), el("i", { class: "meter" }));
    row.lastChild.style.setProperty("--share", Math.max(0, Math.min(1, one.probability)));
    return row;
  });
  return el("div", { class: `prediction${found.unknown ? " unknown" : ""}` }, el("h2", {}, verdict(found)),
    about(found) ? el("p", { class: "soft" }, about(found)) : null, rows.length ? el("ol", { class: "bars" }, ...rows) : null);
}

// A place to drop, paste or choose images; `take` gets the files.
export function dropBox(take, ...more) {
  const input = el("input", { type: "file", accept: "image/jpeg,image/png,image/webp", hidden: true });
  const choose = el("button", { type: "button", class: "primary", onclick: () => input.click() }, "Choose an image");
  const box = el("div", { class: "drop" }, el("p", {}, "Drop an image here, or paste one."), el("div", { class: "row" }, choose, ...more), input);
  const chosen = (files) => { const [file] = [...files].filter((one) => one.type.startsWith("image/")); if (file) take(file); };
  input.addEventListener("change", () => { chosen(input.files); input.value = ""; });
  box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => { event.preventDefault(); box.classList.remove("over"); chosen(event.dataTransfer.files); });
  document.addEventListener("paste", (event) => chosen(event.clipboardData.files));
  return box;
}
