// A grid of thumbnails that has elements for what is in view alone, whatever the number of rows.

import { el, thumbnails } from "./common.js";

const TALLEST_PX = 12_000_000; // browsers cap an element's height; above this the scroll position is scaled
const KEPT = 1500; // pictures that are kept beyond those in view
const AHEAD_LINES = 6; // that are asked for beyond the view while it scrolls
const MOST = 240; // pictures in one request
const CAPTION_PX = 24;
const GAP_PX = 8;

export class Grid {
  // describe(row, id) -> {name, caption, kind}; opened(row), moved(row), acted(event, rows)
  constructor(host, dataset, { describe, opened, moved = () => {}, label = "Images" }) {
    Object.assign(this, { host, dataset, describe, opened, moved });
    this.rows = new Uint32Array(0);
    this.size = 132;
    this.at = 0;
    this.anchor = 0;
    this.chosen = new Set(); // positions
    this.kept = new Map(); // row -> {id, url}
    this.asking = false;
    this.ahead = 0; // 1: it scrolls down, -1: up
    this.tiles = [];
    this.sizer = el("div", { class: "sizer" });
    this.view = el("div", { class: "grid", role: "listbox", tabindex: "0", "aria-label": label, "aria-multiselectable": "true" }, this.sizer);
    host.replaceChildren(this.view);
    this.view.addEventListener("scroll", () => this.later(), { passive: true });
    this.view.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.layout()).observe(this.view);
  }

  show(rows, keep = true) {
    const current = this.rows[this.at];
    this.rows = rows;
    this.chosen.clear();
    this.at = keep && current !== undefined ? Math.max(0, rows.indexOf(current)) : 0;
    this.anchor = this.at;
    this.layout();
    if (keep) this.reveal(); else this.view.scrollTop = 0;
  }

  layout() {
    const width = this.view.clientWidth - 2 * GAP_PX;
    this.columns = Math.max(1, Math.floor((width + GAP_PX) / (this.size + GAP_PX)));
    this.step = this.size + CAPTION_PX + GAP_PX;
    this.lines = Math.ceil(this.rows.length / this.columns);
    this.height = this.lines * this.step + GAP_PX;
    this.scale = Math.max(1, this.height / TALLEST_PX);
    this.sizer.style.height = `${Math.min(this.height, TALLEST_PX)}px`;
    this.offset = Math.max(0, (width - this.columns * (this.size + GAP_PX) + GAP_PX) / 2) + GAP_PX;
    this.draw();
  }

  get top() {
    const reach = Math.max(1, Math.min(this.height, TALLEST_PX) - this.view.clientHeight);
    return this.scale > 1 ? (this.view.scrollTop / reach) * (this.height - this.view.clientHeight) : this.view.scrollTop;
  }

  set top(value) {
    const reach = Math.max(1, Math.min(this.height, TALLEST_PX) - this.view.clientHeight);
    const whole = Math.max(1, this.height - this.view.clientHeight);
    this.view.scrollTop = this.scale > 1 ? (value / whole) * reach : value;
  }

  later() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => { this.drawing = 0; this.draw(); });
  }

  draw() {
    const top = this.top;
    const first = Math.max(0, Math.floor(top / this.step) - 1) * this.columns;
    const shown = (Math.ceil(this.view.clientHeight / this.step) + 3) * this.columns;
    const last = Math.min(this.rows.length, first + shown);
    while (this.tiles.length < last - first) this.tiles.push(this.tile());
    while (this.tiles.length > shown) this.tiles.pop().remove(); // the view was wider, or its pictures smaller
    const moved = top - (this.drawnTop ?? top);
    if (moved) this.ahead = Math.abs(moved) < this.view.clientHeight ? Math.sign(moved) : 0; // a jump has no direction
    this.drawnTop = top;
    this.first = first;
    this.last = last;
    // A tile keeps its row while that is in view: a scroll changes the tiles of the lines that come.
    const { length } = this.tiles;
    const round = first - (first % length);
    this.tiles.forEach((tile, slot) => this.place(tile, round + slot + (round + slot < first ? length : 0), top));
    this.fetch();
  }

  tile() {
    const image = el("img", { alt: "", draggable: "false" });
    const caption = el("span", { class: "caption" });
    const tile = el("div", { class: "tile", role: "option", id: `tile-${this.tiles.length}` }, image, caption);
    Object.assign(tile, { image, caption, position: -1, url: "" });
    tile.addEventListener("click", (event) => {
      this.choose(tile.position, event.shiftKey, event.ctrlKey || event.metaKey);
      if (!event.shiftKey && !event.ctrlKey && !event.metaKey) this.opened(this.rows[tile.position]);
    });
    this.sizer.append(tile);
    return tile;
  }

  place(tile, position, top) {
    tile.hidden = position >= this.last;
    if (tile.hidden) { tile.position = -1; return; }
    const row = this.rows[position];
    const line = Math.floor(position / this.columns);
    const x = this.offset + (position % this.columns) * (this.size + GAP_PX);
    const y = line * this.step + GAP_PX + (this.scale > 1 ? this.view.scrollTop - top : 0);
    tile.style.transform = `translate(${x}px, ${y}px)`;
    if (tile.size !== this.size) Object.assign(tile.style, { width: `${this.size}px`, height: `${this.size + CAPTION_PX}px` });
    tile.size = this.size;
    const at = position === this.at;
    if (at) this.view.setAttribute("aria-activedescendant", tile.id);
    // Most of a scroll's frames change nothing else.
    const kept = this.kept.get(row);
    const said = this.describe(row, kept ? kept.id : "");
    const shown = [row, position, this.rows.length, at, this.chosen.has(position), kept ? kept.url : "", Boolean(kept), said.name, said.caption, said.kind].join("\n");
    tile.position = position;
    if (tile.shown === shown) return;
    tile.shown = shown;
    tile.dataset.row = row;
    tile.setAttribute("aria-posinset", position + 1);
    tile.setAttribute("aria-setsize", this.rows.length);
    tile.setAttribute("aria-selected", this.chosen.has(position));
    this.fill(tile, kept, said, at);
  }

  fill(tile, kept, said, at) {
    tile.caption.textContent = said.caption;
    tile.className = `tile${at ? " at" : ""}${said.kind ? ` ${said.kind}` : ""}`;
    tile.setAttribute("aria-label", kept ? `${kept.id}, ${said.name}` : said.name);
    tile.title = kept ? kept.id : "";
    tile.toggleAttribute("data-unreadable", Boolean(kept) && !kept.url);
    const url = kept ? kept.url : "";
    if (tile.url === url) return;
    tile.url = url;
    // A new element: an old one would show the picture of another row until the new one is decoded.
    const image = el("img", { alt: "", draggable: "false", src: url || null });
    tile.image.replaceWith(image);
    tile.image = image;
  }

  // One request at a time, for what is in view when it leaves: a fast scroll asks for what it ends at.
  async fetch() {
    if (this.asking) return;
    const reach = AHEAD_LINES * this.columns;
    const coming = this.ahead > 0 ? this.missing(this.last, this.last + reach) : this.ahead < 0 ? this.missing(this.first - reach, this.first) : [];
    const wanted = this.missing(this.first, this.last);
    if (!wanted.length && coming.length < reach / 2) return;
    this.asking = true;
    try {
      for (const { row, id, file } of await thumbnails(this.dataset, [...wanted, ...coming].slice(0, MOST))) {
        this.kept.set(row, { id, url: file ? URL.createObjectURL(file) : "" });
      }
    } catch (error) {
      this.asking = false;
      if (error.status === 410) location.reload();
      return;
    }
    this.asking = false;
    this.forget();
    this.draw();
  }

  missing(from, to) { // rows without a picture, of a part of the positions
    const found = [];
    for (let position = Math.max(0, from); position < Math.min(this.rows.length, to); position++) {
      if (!this.kept.has(this.rows[position])) found.push(this.rows[position]);
    }
    return found;
  }

  forget() {
    if (this.kept.size <= KEPT) return;
    const shown = new Set(this.rows.slice(this.first, this.last));
    for (const [row, { url }] of this.kept) {
      if (this.kept.size <= KEPT / 2) break;
      if (shown.has(row)) continue;
      if (url) URL.revokeObjectURL(url);
      this.kept.delete(row);
    }
  }

  // --- choosing -----------------------------------------------------------------------------------------------------------

  get current() { return this.rows[this.at]; }

  get acted() { // the rows that an action is for: those that are chosen, else the current one
    const positions = this.chosen.size ? [...this.chosen].sort((a, b) => a - b) : this.rows.length ? [this.at] : [];
    return positions.map((position) => this.rows[position]);
  }

  choose(position, range, toggle) {
    if (position < 0 || position >= this.rows.length) return;
    if (toggle) {
      if (this.chosen.has(position)) this.chosen.delete(position); else this.chosen.add(position);
      this.anchor = position;
    } else if (range) {
      this.chosen.clear();
      for (let one = Math.min(this.anchor, position); one <= Math.max(this.anchor, position); one++) this.chosen.add(one);
    } else {
      this.chosen.clear();
      this.anchor = position;
    }
    this.at = position;
    this.reveal();
    this.moved(this.current);
  }

  reveal() {
    const y = Math.floor(this.at / this.columns) * this.step;
    const height = this.view.clientHeight;
    const top = this.top;
    if (y < top) this.top = y;
    else if (y + this.step > top + height) this.top = y + this.step + GAP_PX - height;
    this.draw();
  }

  goTo(row) {
    const position = this.rows.indexOf(row);
    if (position >= 0) { this.at = this.anchor = position; this.chosen.clear(); this.reveal(); }
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.view.clientHeight / this.step)) * this.columns;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      const next = Math.min(this.rows.length - 1, Math.max(0, this.at + steps[event.key]));
      this.choose(next, event.shiftKey, false);
    } else if (event.key === "Enter" && this.rows.length) {
      this.opened(this.current);
    } else if (event.key === " ") {
      this.choose(this.at, false, true);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      for (let one = 0; one < this.rows.length; one++) this.chosen.add(one);
      this.draw();
    } else return;
    event.preventDefault();
  }
}
