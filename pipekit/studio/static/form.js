// Controls of a component's parameters, made from their JSON Schema: plugins get them too.

import { el } from "./common.js";

const plain = (schema) => {
  const options = (schema.anyOf || [schema]).filter((one) => one.type !== "null");
  return { ...schema, ...(options.length === 1 ? options[0] : {}), nullable: (schema.anyOf || []).some((one) => one.type === "null") };
};

// params: name -> schema; values: what is set, changed in place; changed() is called at each move.
export function controls(params, values, changed) {
  return Object.entries(params).map(([name, given]) => {
    const schema = plain(given);
    const set = (value) => { if (value === undefined) delete values[name]; else values[name] = value; changed(); };
    const unit = schema.unit ? ` (${schema.unit})` : "";
    return el("label", { class: "control", "data-param": name, title: schema.description || "" }, el("span", {}, name.replace(new RegExp(`_${schema.unit}$`), "").replaceAll("_", " ") + unit), control(schema, values[name], set));
  });
}

function control(schema, value, set) {
  const now = value ?? schema.default;
  if (schema.enum) {
    const select = el("select", {}, ...(schema.nullable ? [el("option", { value: "" }, "the recipe's")] : []), ...schema.enum.map((one) => el("option", { value: String(one) }, String(one))));
    select.value = now === null || now === undefined ? "" : String(now);
    select.addEventListener("change", () => set(select.value === "" ? undefined : schema.enum.find((one) => String(one) === select.value)));
    return select;
  }
  if (schema.type === "boolean" || typeof schema.default === "boolean") return el("input", { type: "checkbox", checked: Boolean(now), onchange: (event) => set(event.target.checked) });
  if (schema.type === "number" || schema.type === "integer") return numeric(schema, now, set);
  if (Array.isArray(now) && now.length === 2 && now.every(Number.isFinite)) return pair(now, set);
  const input = el("input", { type: "text", value: now === undefined || now === null ? "" : typeof now === "string" ? now : JSON.stringify(now) });
  input.addEventListener("change", () => {
    let made = input.value;
    try { made = JSON.parse(made); } catch { /* a text */ }
    set(input.value === "" ? undefined : made);
  });
  return input;
}

function numeric(schema, now, set) {
  const low = schema.minimum ?? schema.exclusiveMinimum ?? 0;
  const high = schema.maximum ?? schema.exclusiveMaximum ?? Math.max(1, 4 * (Number(schema.default) || 1));
  const step = schema.type === "integer" ? 1 : (high - low) / 100;
  const slider = el("input", { type: "range", min: String(low), max: String(high), step: String(step) });
  const box = el("input", { type: "number", step: "any", placeholder: schema.nullable ? "unset" : "" });
  slider.value = now ?? low;
  if (now !== null && now !== undefined) box.value = now;
  slider.addEventListener("input", () => {
    let value = Number(slider.value);
    if (schema.exclusiveMinimum !== undefined && value <= low) value = low + step;
    box.value = Number(value.toPrecision(6));
    set(Number(box.value));
  });
  box.addEventListener("input", () => { slider.value = box.value; set(box.value === "" ? undefined : Number(box.value)); });
  return el("span", { class: "numeric" }, slider, box);
}

function pair(now, set) {
  const boxes = now.map((value) => el("input", { type: "number", step: "any", value: String(value) }));
  for (const box of boxes) box.addEventListener("input", () => set(boxes.map((one) => Number(one.value))));
  return el("span", { class: "pair" }, boxes[0], "to", boxes[1]);
}
