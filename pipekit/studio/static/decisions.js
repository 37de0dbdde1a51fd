// Labels and images to leave out: what a key does, undo and redo, and what the files say.

import { el, get, post, say, failed, inText, commandLine, number } from "./common.js";

export class Decisions {
  constructor(dataset, changed) {
    Object.assign(this, { dataset, changed, labels: new Map(), leftOut: new Map(), revision: "" });
    const label = dataset.columns.get("label");
    this.classes = [...label.values].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    this.last = "";
  }

  async load() { this.take(await get(`${this.dataset.base}/marks`)); }

  take(found) {
    const map = (values) => new Map(Object.entries(values).map(([row, value]) => [Number(row), value]));
    this.labels = map(found.labels);
    this.leftOut = map(found.left_out);
    this.revision = found.revision;
    this.changed();
  }

  source(row) {
    const label = this.dataset.columns.get("label");
    return label.data[row] < 0 ? "" : label.values[label.data[row]];
  }

  label(row) { return this.labels.get(row) ?? this.source(row); }

  words(row) {
    const parts = [this.labels.has(row) ? `${this.source(row) || "no class"} → ${this.labels.get(row)}` : this.source(row) || "no class"];
    if (this.leftOut.has(row)) parts.push("left out");
    return parts.join(", ");
  }

  async decide(what, rows, after, check = "") {
    const now = what === "label" ? this.labels : this.leftOut;
    const before = rows.map((row) => now.get(row) ?? "");
    try {
      this.take(await post(`${this.dataset.base}/decide`, { what, rows, before, after, check }));
    } catch (error) {
      if (error.status === 409) await this.load();
      failed(error);
      return false;
    }
    return true;
  }

  async relabel(rows, label) {
    if (rows.length && (await this.decide("label", rows, label))) {
      this.last = `${rows.length === 1 ? "1 image" : `${number(rows.length)} images`}: ${label}. Undo: U`;
      say(this.last);
    }
  }

  // Leaves images out, or takes all of them in again if they are left out already.
  async leaveOut(rows, reason = "left out by a person", check = "") {
    const again = rows.every((row) => this.leftOut.has(row));
    if (rows.length && (await this.decide("leave out", rows, again ? "" : reason, check))) {
      say(`${rows.length === 1 ? "1 image" : `${number(rows.length)} images`} ${again ? "taken in again" : "left out"}. Undo: U`);
    }
  }

  async step(name) {
    try {
      const found = await post(`${this.dataset.base}/${name}`, {});
      this.take(found);
      const many = found.steps === 1 ? "1 image" : `${number(found.steps)} images`;
      say(found.steps ? `${name === "undo" ? "Undone" : "Done again"}: ${many}.` : `There is nothing to ${name}.`);
      return found.rows[0];
    } catch (error) {
      if (error.status === 409) await this.load();
      failed(error);
      return undefined;
    }
  }

  // Keys for rows: 1 to 9 a class, X leave out, U undo, R redo. Returns whether the key was one of them.
  async key(event, rows) {
    if (inText(event.target) || event.altKey) return false;
    const undo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey);
    if (undo) { event.preventDefault(); await this.step(event.shiftKey ? "redo" : "undo"); return true; }
    if (event.ctrlKey || event.metaKey) return false;
    if (/^[1-9]$/.test(event.key) && this.classes[event.key - 1] !== undefined) { await this.relabel(rows, this.classes[event.key - 1]); return true; }
    if (event.key === "x") { await this.leaveOut(rows); return true; }
    if (event.key === "u") { await this.step("undo"); return true; }
    if (event.key === "r") { await this.step("redo"); return true; }
    return false;
  }

  command(row, id) {
    const source = this.dataset.source.words;
    if (this.labels.has(row)) return commandLine(["corrections", "add", source[0], id, "--label", this.labels.get(row), ...source.slice(1)]);
    return commandLine(["corrections", "add", source[0], id, "--label", this.source(row) || "CLASS", ...source.slice(1)]);
  }

  // Buttons of the classes, for a mouse or a finger.
  buttons(rows) {
    const made = this.classes.slice(0, 30).map((name, at) =>
      el("button", { type: "button", class: "class", onclick: () => this.relabel(rows(), name) }, at < 9 ? el("kbd", {}, String(at + 1)) : null, name));
    const other = el("input", { type: "text", placeholder: "another class", "aria-label": "Another class", maxlength: "200" });
    const form = el("form", { class: "inline" }, other, el("button", {}, "Set"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = other.value.trim();
      if (!name) return;
      if (!this.classes.includes(name)) this.classes.push(name);
      this.relabel(rows(), name);
      other.value = "";
    });
    return el("div", { class: "classes" }, ...made, form);
  }
}
