// A canvas of points, a pixel at a time: 60,000 or 1,000,000 of them. Beside the pixels it keeps which row each one shows.

import { el } from "./common.js";
import { simplified } from "./lasso.js";

const REACH_PX = 9; // how far from a point the pointer may be
const MARGIN_PX = 18;

export class Scatter {
  // x, y: Float32Array in 0..1, NaN for none. hovered(row or -1, x, y), opened(row), selected(polygon in 0..1).
  constructor({ x, y, label, hovered, opened, selected }) {
    Object.assign(this, { x, y, hovered, opened, selected, tool: "lasso", row: -1, polygon: null, line: null, pointers: new Map() });
    this.mix(x, y);
    this.points = el("canvas", { class: "points", tabindex: "0", role: "application", "aria-roledescription": "map", "aria-label": label });
    this.over = el("canvas", { class: "over", "aria-hidden": "true" });
    this.view = el("div", { class: "scatter" }, this.points, this.over);
    this.zoom = 1;
    this.centre = [0.5, 0.5];
    this.colours = new Uint32Array([0xff000000]);
    this.codes = new Uint8Array(this.count);
    const on = (name, does, options) => this.points.addEventListener(name, does, options);
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.release(event));
    on("pointercancel", (event) => this.release(event));
    on("pointerleave", () => { if (!this.pointers.size) this.point(-1); });
    on("wheel", (event) => { event.preventDefault(); this.scale(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY); }, { passive: false });
    on("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.fit()).observe(this.view);
  }

  // The points in a mixed order, so that no class covers the others because its name comes last.
  mix(x, y) {
    const rows = [];
    for (let row = 0; row < x.length; row++) if (x[row] === x[row]) rows.push(row);
    this.count = rows.length;
    this.rows = Uint32Array.from(rows);
    let seed = 1;
    for (let at = this.count - 1; at > 0; at--) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      const other = Math.floor((seed / 4294967296) * (at + 1));
      const kept = this.rows[at];
      this.rows[at] = this.rows[other];
      this.rows[other] = kept;
    }
    this.px = Float32Array.from(this.rows, (row) => x[row]);
    this.py = Float32Array.from(this.rows, (row) => y[row]);
  }

  // codes: for each row the number of its colour, 255: not drawn, and `faint` is drawn below the others.
  paint(codes, colours, faint = -1) {
    this.colours = Uint32Array.from(colours);
    this.faint = faint;
    for (let at = 0; at < this.count; at++) this.codes[at] = codes[this.rows[at]];
    this.later();
  }

  fit() {
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.ratio = ratio;
    const width = Math.max(1, Math.round(this.view.clientWidth * ratio)), height = Math.max(1, Math.round(this.view.clientHeight * ratio));
    if (width === this.points.width && height === this.points.height && this.image) return;
    for (const canvas of [this.points, this.over]) { canvas.width = width; canvas.height = height; }
    this.pen = this.points.getContext("2d");
    this.image = this.pen.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.who = new Int32Array(width * height);
    this.draw();
  }

  // Pixels of the canvas: px = a * x + b.
  get frame() {
    const { width, height } = this.points;
    const margin = MARGIN_PX * this.ratio;
    const side = Math.max(1, Math.min(width, height) - 2 * margin);
    const wide = (width - 2 * margin) / side > 1.25 ? Math.min(1.6, (width - 2 * margin) / side) : 1;
    const scaleX = side * wide * this.zoom, scaleY = side * this.zoom;
    return { scaleX, scaleY, left: width / 2 - this.centre[0] * scaleX, top: height / 2 - this.centre[1] * scaleY };
  }

  later() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => { this.drawing = 0; this.draw(); });
  }

  draw() {
    if (!this.image) return;
    const { width, height } = this.points;
    const { scaleX, scaleY, left, top } = this.frame;
    const base = this.count < 3000 ? 3.2 : this.count < 20_000 ? 2.2 : this.count < 150_000 ? 1.4 : 0.8;
    const radius = Math.min(7, base * Math.sqrt(this.zoom)) * this.ratio;
    const offsets = disc(radius);
    const reach = Math.ceil(radius);
    const { pixels, who, px, py, codes, colours, faint } = this;
    pixels.fill(0);
    who.fill(-1);
    const passes = faint >= 0 ? [true, false] : [false];
    for (const below of passes) {
      for (let at = 0; at < this.count; at++) {
        const code = codes[at];
        if (code === 255 || (faint >= 0 && (code === faint) !== below)) continue;
        const x = Math.round(px[at] * scaleX + left), y = Math.round(py[at] * scaleY + top);
        if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
        const place = y * width + x, colour = colours[code];
        for (let one = 0; one < offsets.length; one += 2) {
          const target = place + offsets[one + 1] * width + offsets[one];
          pixels[target] = colour;
          who[target] = at;
        }
      }
    }
    this.pen.putImageData(this.image, 0, 0);
    this.drawn = (this.drawn || 0) + 1;
    this.mark();
  }

  // The line of the lasso, and a ring around the current point.
  mark() {
    const pen = this.over.getContext("2d");
    const style = getComputedStyle(this.view);
    pen.clearRect(0, 0, this.over.width, this.over.height);
    pen.lineWidth = 2 * this.ratio;
    pen.strokeStyle = style.getPropertyValue("--accent");
    const { scaleX, scaleY, left, top } = this.frame;
    const shape = this.line || this.polygon;
    if (shape && shape.length >= 4) {
      pen.beginPath();
      for (let at = 0; at < shape.length; at += 2) pen.lineTo(shape[at] * scaleX + left, shape[at + 1] * scaleY + top);
      pen.closePath();
      pen.globalAlpha = 0.12;
      pen.fillStyle = style.getPropertyValue("--accent");
      pen.fill("evenodd");
      pen.globalAlpha = 1;
      pen.setLineDash([6 * this.ratio, 4 * this.ratio]);
      pen.stroke();
      pen.setLineDash([]);
    }
    if (this.row >= 0) {
      pen.strokeStyle = style.getPropertyValue("--ink");
      pen.beginPath();
      pen.arc(this.x[this.row] * scaleX + left, this.y[this.row] * scaleY + top, 9 * this.ratio, 0, 7);
      pen.stroke();
    }
  }

  near(x, y) { // the row whose pixel is nearest to a place of the page
    const { width, height } = this.points;
    const atX = Math.round(x * this.ratio), atY = Math.round(y * this.ratio), reach = Math.round(REACH_PX * this.ratio);
    let best = -1, least = Infinity;
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        const px = atX + dx, py = atY + dy, distance = dx * dx + dy * dy;
        if (px < 0 || py < 0 || px >= width || py >= height || distance >= least || distance > reach * reach) continue;
        if (this.who[py * width + px] >= 0) { best = this.who[py * width + px]; least = distance; }
      }
    }
    return best < 0 ? -1 : this.rows[best];
  }

  place(row) { // of a row, in pixels of the page
    const { scaleX, scaleY, left, top } = this.frame;
    return [(this.x[row] * scaleX + left) / this.ratio, (this.y[row] * scaleY + top) / this.ratio];
  }

  data(x, y) { // of a place of the page, in 0..1
    const { scaleX, scaleY, left, top } = this.frame;
    return [(x * this.ratio - left) / scaleX, (y * this.ratio - top) / scaleY];
  }

  point(row) {
    if (row === this.row) return;
    this.row = row;
    this.mark();
    this.hovered(row, ...(row < 0 ? [0, 0] : this.place(row)));
  }

  scale(by, x = this.view.clientWidth / 2, y = this.view.clientHeight / 2) {
    const before = this.data(x, y);
    this.zoom = Math.min(400, Math.max(0.5, this.zoom * by));
    const after = this.data(x, y);
    this.centre = [this.centre[0] + before[0] - after[0], this.centre[1] + before[1] - after[1]];
    this.later();
  }

  shift(x, y) { // by pixels of the page
    const { scaleX, scaleY } = this.frame;
    this.centre = [this.centre[0] - (x * this.ratio) / scaleX, this.centre[1] - (y * this.ratio) / scaleY];
    this.later();
  }

  whole() { this.zoom = 1; this.centre = [0.5, 0.5]; this.later(); }

  // What is in view, as a selection: the keyboard's lasso.
  selectView() {
    const [left, top] = this.data(0, 0), [right, bottom] = this.data(this.view.clientWidth, this.view.clientHeight);
    this.close([left, top, right, top, right, bottom, left, bottom]);
  }

  close(polygon) {
    this.polygon = polygon && polygon.length >= 6 ? simplified(polygon).map((value) => Math.min(1, Math.max(0, value))) : null;
    this.line = null;
    this.mark();
    this.selected(this.polygon);
  }

  // --- pointers -----------------------------------------------------------------------------------------------------------

  press(event) {
    this.points.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    this.moved = 0;
    this.panning = this.tool === "pan" || event.button === 1 || event.button === 2 || event.shiftKey || this.pointers.size > 1;
    this.line = this.panning ? null : this.data(event.offsetX, event.offsetY);
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) { this.point(this.near(event.offsetX, event.offsetY)); return; }
    const now = [event.offsetX, event.offsetY];
    this.moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (one) => Math.max(1, Math.hypot(one[0] - other[0], one[1] - other[1]));
      this.scale(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      this.shift((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    } else if (this.panning) this.shift(now[0] - before[0], now[1] - before[1]);
    else if (this.moved > 4) { this.line.push(...this.data(...now)); this.mark(); }
    this.pointers.set(event.pointerId, now);
  }

  release(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (event.type === "pointerup" && this.moved <= 4) {
      const row = this.near(event.offsetX, event.offsetY);
      this.line = null;
      if (row >= 0) { this.point(row); this.opened(row); } else this.close(null);
    } else if (this.line && !this.panning) this.close(this.line);
  }

  // --- keys ---------------------------------------------------------------------------------------------------------------

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in steps && event.shiftKey) this.shift(...steps[event.key].map((step) => -60 * step));
    else if (event.key in steps) this.step(...steps[event.key]);
    else if (event.key === "+" || event.key === "=") this.scale(1.4, ...(this.row >= 0 ? this.place(this.row) : []));
    else if (event.key === "-") this.scale(1 / 1.4);
    else if (event.key === "0") this.whole();
    else if (event.key === "v") this.selectView();
    else if (event.key === "Escape") { this.close(null); this.point(-1); }
    else if (event.key === "Enter" && this.row >= 0) this.opened(this.row);
    else return;
    event.preventDefault();
  }

  // The nearest point in a direction: distance grows with the angle to it.
  step(dx, dy) {
    const from = this.row >= 0 ? [this.x[this.row], this.y[this.row]] : this.centre;
    let best = -1, least = Infinity;
    for (let at = 0; at < this.count; at++) {
      if (this.codes[at] === 255 || this.rows[at] === this.row) continue;
      const x = this.px[at] - from[0], y = this.py[at] - from[1];
      const along = x * dx + y * dy, across = Math.abs(x * dy) + Math.abs(y * dx);
      if (this.row >= 0 && along <= 0) continue;
      const cost = Math.abs(along) + 2.5 * across;
      if (cost < least) { least = cost; best = this.rows[at]; }
    }
    if (best < 0) return;
    this.point(best);
    const [x, y] = this.place(best);
    const { clientWidth: width, clientHeight: height } = this.view;
    if (x < 20 || y < 20 || x > width - 20 || y > height - 20) this.shift(width / 2 - x, height / 2 - y);
  }
}

function disc(radius) {
  const reach = Math.ceil(radius), found = [];
  for (let y = -reach; y <= reach; y++) for (let x = -reach; x <= reach; x++) if (x * x + y * y <= radius * radius + 0.3) found.push(x, y);
  return Int32Array.from(found);
}
