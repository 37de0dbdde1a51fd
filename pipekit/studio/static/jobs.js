// A job on a page: its events as they come, its curves, stop, and what went wrong.

import { el, get, post, failed, commandBox, number, lasts, problemList } from "./common.js";
import { TimeLeft } from "./timeleft.js";

const LINES = [["loss", "loss"], ["val_loss", "val loss"], ["accuracy", "accuracy"], ["val_accuracy", "val accuracy"]];

export class JobView {
  constructor(job, ended = () => {}) {
    Object.assign(this, { job, ended, epochs: [], at: 0, stage: "", left: new TimeLeft(), mistakes: [] });
    this.title = el("h3", {}, `pipekit ${job.kind}`);
    this.text = el("p", { class: "soft", role: "status" }, "starting …");
    this.bar = el("progress", { max: 1, hidden: true });
    this.time = el("p", { class: "soft time-left", hidden: true });
    this.listed = el("div", {});
    this.curves = el("div", { class: "curves" });
    this.stop = el("button", { type: "button", hidden: !job.running, onclick: () => this.end() }, "Stop");
    this.wrong = el("pre", { class: "wrong", hidden: true });
    this.view = el("section", { class: "job" }, el("div", { class: "row" }, this.title, this.stop), this.text, this.bar, this.time, this.curves, this.listed, this.wrong, commandBox(job.words));
    this.follow().catch(failed);
  }

  async follow() {
    for (;;) {
      let found;
      try {
        found = await get(`/api/jobs/${this.job.job}/events?from=${this.at}&wait=1`);
      } catch (error) {
        if (error.status) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1000)); // the server was stopped: the job goes on
        continue;
      }
      this.at = found.next;
      for (const line of found.lines) {
        try { this.take(JSON.parse(line)); } catch { if (line.trim()) this.text.textContent = line; }
      }
      if (this.epochs.length) this.draw();
      this.tell();
      if (!found.running && !found.lines.length) { this.finish(found.errors); return; }
    }
  }

  take(event) {
    const name = event.event;
    this.left.take(event, performance.now());
    if (name === "stage_started") { this.stage = event.stage; this.text.textContent = `${event.stage} …`; this.bar.hidden = true; }
    else if (name === "stage_cached") this.text.textContent = `${event.stage}: taken from the cache`;
    else if (name === "progress" && event.total) {
      this.bar.hidden = false;
      this.bar.value = event.done / event.total;
      this.text.textContent = `${event.stage}: ${event.label}, ${number(event.done)} of ${number(event.total)} ${event.unit}`;
    } else if (name === "resumed") this.text.textContent = `${event.stage}: ${event.message || "goes on where it was stopped"}`;
    else if (name === "epoch") {
      this.epochs = this.epochs.filter((one) => one.epoch < event.epoch);
      this.epochs.push(event);
      this.bar.hidden = false;
      this.bar.value = event.epoch / event.epochs;
      this.text.textContent = `epoch ${event.epoch} of ${event.epochs}; best so far: ${event.best}`;
    } else if (name === "run_finished") { this.done = event.headline || "finished"; }
    else if (name === "error") {
      this.error = [event.message, event.hint].filter(Boolean).join(". ");
      this.mistakes = event.problems || [];
    }
  }

  tell() {
    const seconds = this.left.seconds(performance.now());
    this.time.hidden = seconds === null || seconds < 1 || !this.job.running;
    if (!this.time.hidden) this.time.textContent = `${this.left.atMost ? "at most " : "about "}${lasts(seconds)} left for ${this.stage || "this stage"}${this.left.later ? ", the templates after this one included" : ""}`;
  }

  finish(errors) {
    this.job.running = false;
    this.stop.hidden = true;
    this.bar.hidden = this.time.hidden = true;
    if (this.mistakes.length) this.listed.replaceChildren(problemList(this.mistakes));
    const stopped = /^Stopped\./m.test(errors);
    const failed = this.error || (!this.done && !stopped && this.job.kind !== "inspect");
    this.text.textContent = this.error || this.done || (stopped ? "Stopped. The same command goes on from there." : failed ? "It ended before it was finished." : "Finished.");
    this.view.classList.toggle("failed", Boolean(failed));
    this.wrong.hidden = !failed || !errors;
    this.wrong.textContent = errors;
    this.ended(this);
  }

  async end() {
    this.stop.disabled = true;
    this.text.textContent = "stopping …";
    try { await post(`/api/jobs/${this.job.job}/stop`, {}); } catch (error) { failed(error); }
  }

  draw() {
    const plots = [["loss", LINES.slice(0, 2)], ["accuracy", LINES.slice(2)]];
    this.curves.replaceChildren(...plots.filter(([, lines]) => lines.some(([name]) => this.epochs.some((one) => one[name] !== undefined))).map(([title, lines]) => plot(title, lines, this.epochs)));
  }
}

function plot(title, lines, epochs) {
  const width = 340, height = 170, left = 40, bottom = 24;
  const svg = (tag, props, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(props)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const values = epochs.flatMap((one) => lines.map(([name]) => one[name])).filter(Number.isFinite);
  const low = title === "accuracy" ? 0 : Math.min(0, ...values);
  const high = title === "accuracy" ? 1 : Math.max(...values, 1e-9);
  const last = Math.max(2, epochs[0].epochs);
  const x = (epoch) => left + ((epoch - 1) / (last - 1)) * (width - left - 10);
  const y = (value) => 10 + (1 - (value - low) / (high - low)) * (height - bottom - 10);
  const marks = [low, (low + high) / 2, high].map((value) => svg("text", { x: left - 6, y: y(value) + 4, class: "tick end" }, value.toPrecision(2)));
  const paths = lines.map(([name], at) => {
    const points = epochs.filter((one) => Number.isFinite(one[name])).map((one) => `${x(one.epoch).toFixed(1)},${y(one[name]).toFixed(1)}`);
    const shapes = [svg("polyline", { points: points.join(" "), class: `line line-${at}` })];
    if (points.length === 1) shapes.push(svg("circle", { cx: points[0].split(",")[0], cy: points[0].split(",")[1], r: 3, class: `dot line-${at}` }));
    return svg("g", {}, ...shapes);
  });
  const now = epochs[epochs.length - 1];
  const label = lines.map(([name, said]) => (Number.isFinite(now[name]) ? `${said} ${now[name].toFixed(3)}` : "")).filter(Boolean).join(", ");
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} after ${now.epoch} epochs: ${label}` },
    svg("path", { d: `M${left} 10V${height - bottom}H${width - 10}`, class: "axis" }), ...marks,
    svg("text", { x: width - 10, y: height - 6, class: "tick end" }, `${last} epochs`), ...paths);
  const legend = el("figcaption", {}, ...lines.filter(([name]) => Number.isFinite(now[name])).map(([name, said], at) => el("span", { class: `key line-${at}` }, `${said} ${now[name].toFixed(3)}`)));
  return el("figure", {}, drawing, legend);
}
