"use strict";
(() => {
  for (const element of document.querySelectorAll(".needs-script")) element.hidden = false;

  // Contents: open beside the page on wide windows; on narrow ones a bar that closes after a choice. The section in view is marked.
  const contents = document.querySelector("[data-contents]"), roomy = matchMedia("(min-width: 64rem)");
  const fit = () => { contents.open = roomy.matches; };
  roomy.addEventListener("change", fit);
  fit();
  const entries = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const mark = () => {
    const sections = [...document.querySelectorAll("main > section")];
    const current = sections.filter((section) => section.getBoundingClientRect().top < innerHeight / 3).pop();
    for (const [id, link] of entries) {
      if (id === current?.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", mark, { passive: true });
  mark();

  // Folded sections: a link to one opens it, and so does printing.
  const unfold = (id) => {
    const details = document.getElementById(id)?.querySelector(":scope > details");
    if (details) details.open = true;
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (!link) return;
    unfold(decodeURIComponent(link.hash.slice(1)));
    if (contents.contains(link)) fit();
  });
  addEventListener("hashchange", () => unfold(decodeURIComponent(location.hash.slice(1))));
  if (location.hash) unfold(decodeURIComponent(location.hash.slice(1)));
  addEventListener("beforeprint", () => { for (const details of document.querySelectorAll(".folded > details")) details.open = true; });

  // A page in runs/NAME/ knows the name of its run.
  const run = /\/runs\/([\w.-]+)\//.exec(location.pathname)?.[1];
  for (const code of run ? document.querySelectorAll(".command code") : []) code.textContent = code.textContent.replace("runs/NAME", `runs/${run}`);

  // Commands to copy, where the browser allows it.
  for (const button of navigator.clipboard ? document.querySelectorAll("[data-copy]") : []) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not allowed";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // Tables: a button in each heading sorts by that column; numbers by value, everything else alphabetically.
  const key = (row, column) => row.cells[column].textContent.trim();
  const number = (text) => parseFloat(text.replaceAll(",", ""));
  function sort(table, column, direction) {
    const rows = [...table.tBodies[0].rows];
    const numeric = rows.every((row) => key(row, column) === "–" || !Number.isNaN(number(key(row, column))));
    const compare = numeric
      ? (a, b) => (number(key(a, column)) - number(key(b, column))) * direction
      : (a, b) => key(a, column).localeCompare(key(b, column)) * direction;
    const empty = (row) => key(row, column) === "–";
    rows.sort((a, b) => empty(a) - empty(b) || (empty(a) ? 0 : compare(a, b)));
    table.tBodies[0].append(...rows);
    for (const heading of table.tHead.rows[0].cells) heading.removeAttribute("aria-sort");
    table.tHead.rows[0].cells[column].setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  }
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, column, heading.getAttribute("aria-sort") === "descending" ? 1 : -1));
    });
  }

  // Galleries: menus filter and order the pictures; "Show more" reveals the rest.
  for (const gallery of document.querySelectorAll("[data-gallery]")) {
    const form = gallery.querySelector("form");
    const list = gallery.querySelector(".pictures");
    const more = gallery.querySelector(".more");
    const order = form.querySelector("[data-order]");
    const first = Number(gallery.dataset.first);
    const items = [...list.children].map((element, place) => ({
      element,
      place,
      tags: JSON.parse(element.dataset.tags),
      values: JSON.parse(element.dataset.values),
    }));
    let limit = first;
    const show = () => {
      const wanted = [...form.querySelectorAll("select[name]")].filter((menu) => menu.value);
      const by = order ? order.value : "";
      const direction = by[0] === "-" ? -1 : 1;
      items.sort((a, b) => (by ? ((a.values[by.slice(1)] ?? 0) - (b.values[by.slice(1)] ?? 0)) * direction : 0) || a.place - b.place);
      list.append(...items.map((item) => item.element));
      let found = 0;
      for (const item of items) {
        const fits = wanted.every((menu) => item.tags[menu.name] === menu.value);
        item.element.hidden = !fits || ++found > limit;
      }
      form.querySelector("output").textContent = found ? `${Math.min(found, limit)} of ${found} pictures` : "the report keeps no picture of this kind";
      more.hidden = found <= limit;
    };
    form.addEventListener("change", () => { limit = first; show(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => { limit = first; show(); }));
    more.addEventListener("click", () => { limit += 2 * first; show(); });
    gallery.having = (wanted) => items.filter((item) => Object.entries(wanted).every(([tag, value]) => item.tags[tag] === value));
    gallery.filter = (wanted) => {
      for (const menu of form.querySelectorAll("select[name]")) menu.value = wanted[menu.name] ?? "";
      limit = first;
      show();
    };
    show();
  }
  const galleryOf = (link) => document.querySelector(link.getAttribute("href"))?.querySelector("[data-gallery]");
  for (const link of document.querySelectorAll("[data-filter]")) {
    link.addEventListener("click", () => {
      if (link.getAttribute("role") === "button") return;
      galleryOf(link)?.filter(JSON.parse(link.dataset.filter));
      // Deferred: the jump to the anchor, which follows this, would take the focus away again.
      setTimeout(() => document.querySelector(link.getAttribute("href"))?.querySelector("h2")?.focus({ preventScroll: true }));
    });
  }

  // Matrices: a cell shows its pictures beside it. One cell is in the order of the Tab key; the arrow keys go to the others.
  for (const matrix of document.querySelectorAll("[data-matrix]")) {
    const panel = matrix.querySelector(".cell"), most = 12;
    const rows = [...matrix.querySelectorAll("tbody tr")].map((row) => [...row.cells].slice(1).map((cell) => cell.querySelector("a")));
    const links = rows.flat().filter(Boolean);
    if (!panel || !links.length || !galleryOf(links[0])) continue;
    const heading = panel.querySelector("h3"), said = panel.querySelector("p"), list = panel.querySelector("ul"), all = panel.querySelector("a");
    const choose = (link) => {
      for (const other of links) {
        other.setAttribute("aria-pressed", String(other === link));
        other.tabIndex = other === link ? 0 : -1;
      }
      const found = galleryOf(link).having(JSON.parse(link.dataset.filter));
      heading.textContent = link.dataset.name;
      const counted = `${link.dataset.count} image${link.dataset.count === "1" ? "" : "s"}`;
      said.textContent = !found.length ? `${counted}: the report keeps no picture of them`
        : found.length > most || String(found.length) !== link.dataset.count.replaceAll(",", "")
          ? `${counted}, ${Math.min(most, found.length)} of them below` : counted;
      list.replaceChildren(...found.slice(0, most).map((item) => {
        const copy = item.element.cloneNode(true);
        copy.hidden = false;
        return copy;
      }));
      all.hidden = found.length <= most;
      all.dataset.filter = link.dataset.filter;
    };
    for (const link of links) {
      link.setAttribute("role", "button");
      link.addEventListener("click", (event) => { event.preventDefault(); choose(link); });
    }
    matrix.querySelector("table").addEventListener("keydown", (event) => {
      const link = event.target.closest("a"), steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
      if (!link) return;
      if (event.key === " ") { event.preventDefault(); choose(link); }
      if (!(event.key in steps)) return;
      event.preventDefault();
      const [down, right] = steps[event.key];
      let row = rows.findIndex((cells) => cells.includes(link)), column = rows[row].indexOf(link);
      do { row += down; column += right; } while (rows[row] && column >= 0 && column < rows[row].length && !rows[row][column]);
      rows[row]?.[column]?.focus();
    });
    const counts = (link) => Number(link.dataset.count.replaceAll(",", ""));
    const mistakes = links.filter((link) => !link.parentElement.classList.contains("hit"));
    choose((mistakes.length ? mistakes : links).reduce((a, b) => (counts(b) > counts(a) ? b : a)));
    panel.hidden = false;
  }

  // A button toggles a class on its section: counts or rates.
  for (const button of document.querySelectorAll("[data-toggle]")) {
    button.addEventListener("click", () => {
      const on = button.closest("section").classList.toggle(button.dataset.toggle);
      button.setAttribute("aria-pressed", String(on));
    });
  }

  // The threshold slider of a two-class model, computed from the counts per thousandth of probability.
  for (const widget of document.querySelectorAll("[data-threshold]")) {
    const counts = JSON.parse(widget.querySelector("script").textContent);
    const slider = widget.querySelector("input");
    const sum = (values, from) => values.slice(from).reduce((a, b) => a + b, 0);
    const show = () => {
      const from = Number(slider.value);
      const tp = sum(counts.positive, from), fp = sum(counts.negative, from);
      const fn = sum(counts.positive, 0) - tp, tn = sum(counts.negative, 0) - fp;
      const share = (a, b) => (b ? (a / b).toFixed(3) : "–");
      const values = {
        threshold: (from / 1000).toFixed(3), tp, fp, fn, tn,
        accuracy: share(tp + tn, tp + fp + fn + tn), precision: share(tp, tp + fp), recall: share(tp, tp + fn),
        specificity: share(tn, tn + fp), f1: share(2 * tp, 2 * tp + fp + fn),
      };
      for (const place of widget.querySelectorAll("[data-value]")) place.textContent = values[place.dataset.value];
      slider.setAttribute("aria-valuetext", `threshold ${values.threshold}, precision ${values.precision}, recall ${values.recall}`);
    };
    slider.addEventListener("input", show);
    show();
  }

  // Maps of images: a canvas of points. The pointer or the arrow keys choose one, and the card shows its picture and facts.
  for (const map of document.querySelectorAll("[data-map]")) {
    const data = JSON.parse(map.querySelector("script").textContent);
    const canvas = map.querySelector("canvas"), menu = map.querySelector("select"), legend = map.querySelector(".legend");
    const shot = map.querySelector(".shot"), words = map.querySelector(".card p");
    const count = data.ids.length, edge = 12;
    let chosen = -1, only = -1;
    const pen = canvas.getContext("2d");
    const colour = (name) => getComputedStyle(map).getPropertyValue(name).trim();
    const at = (i) => [
      edge + (data.x[i] / 1000) * (canvas.clientWidth - 2 * edge),
      edge + (data.y[i] / 1000) * (canvas.clientHeight - 2 * edge),
    ];
    const trace = (shape, x, y, r) => {
      pen.beginPath();
      if (shape === 0) pen.arc(x, y, r, 0, 7);
      else if (shape === 1) pen.rect(x - r * 0.9, y - r * 0.9, r * 1.8, r * 1.8);
      else { pen.moveTo(x, y - r * 1.2); pen.lineTo(x + r * 1.1, y + r * 0.8); pen.lineTo(x - r * 1.1, y + r * 0.8); pen.closePath(); }
    };
    const draw = () => {
      const scale = devicePixelRatio || 1;
      canvas.width = canvas.clientWidth * scale;
      canvas.height = canvas.clientHeight * scale;
      pen.setTransform(scale, 0, 0, scale, 0, 0);
      const codes = data.facts[menu.value].codes, colours = [...Array(8).keys()].map((k) => colour(`--map-${k}`));
      const radius = count > 800 ? 3.2 : count > 200 ? 4.2 : 5.5;
      const dot = (i, r) => {
        pen.fillStyle = colours[codes[i] % 8];
        trace(Math.floor(codes[i] / 8) % 3, ...at(i), r);
        pen.fill();
      };
      for (let i = 0; i < count; i++) {
        pen.globalAlpha = only < 0 || codes[i] === only ? 0.85 : 0.12;
        dot(i, radius);
      }
      pen.globalAlpha = 1;
      if (chosen >= 0) {
        dot(chosen, radius + 2);
        pen.lineWidth = 2;
        pen.strokeStyle = colour("--ink");
        trace(0, ...at(chosen), radius + 5);
        pen.stroke();
      }
    };
    const choose = (i) => {
      if (i === chosen) return;
      chosen = i;
      const share = (place, of) => (of > 1 ? `${(place / (of - 1)) * 100}%` : "0%");
      shot.style.backgroundPosition = `${share(i % data.columns, data.columns)} ${share(Math.floor(i / data.columns), data.rows)}`;
      shot.style.backgroundSize = `${data.columns * 100}% ${data.rows * 100}%`;
      shot.classList.add("chosen");
      shot.setAttribute("aria-label", `picture of ${data.ids[i]}`);
      const facts = Object.entries(data.facts).map(([name, fact]) => `${name}: ${fact.exact.length ? fact.values[fact.exact[i]] : fact.names[fact.codes[i]]}`);
      words.textContent = [data.ids[i], ...facts].join("\n");
      draw();
    };
    const explain = () => {
      only = -1;
      const { names, codes } = data.facts[menu.value];
      const counts = names.map(() => 0);
      for (const code of codes) counts[code]++;
      legend.replaceChildren(...names.map((name, code) => {
        const item = document.createElement("li"), button = document.createElement("button"), mark = document.createElement("span");
        button.type = "button";
        button.setAttribute("aria-pressed", "false");
        mark.textContent = "\u25cf\u25a0\u25b2"[Math.floor(code / 8) % 3];
        mark.style.color = `var(--map-${code % 8})`;
        mark.setAttribute("aria-hidden", "true");
        button.append(mark, ` ${name} (${counts[code].toLocaleString("en")})`);
        button.addEventListener("click", () => {
          only = only === code ? -1 : code;
          [...legend.children].forEach((other, k) => other.firstChild.setAttribute("aria-pressed", String(k === only)));
          draw();
        });
        item.append(button);
        return item;
      }));
      draw();
    };
    const best = (cost) => {
      let found = -1, least = Infinity;
      for (let i = 0; i < count; i++) {
        const value = cost(i);
        if (value < least) [found, least] = [i, value];
      }
      return found;
    };
    const point = (event) => {
      const x = event.offsetX, y = event.offsetY;
      const near = best((i) => { const [a, b] = at(i); return Math.hypot(a - x, b - y); });
      const [a, b] = at(near);
      if (Math.hypot(a - x, b - y) < 18) choose(near);
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      if (!step) return;
      event.preventDefault();
      if (chosen < 0) return choose(best((i) => Math.hypot(data.x[i] - 500, data.y[i] - 500)));
      const [x, y] = at(chosen);
      const next = best((i) => {
        const [a, b] = at(i), along = (a - x) * step[0] + (b - y) * step[1], across = Math.abs((a - x) * step[1] + (b - y) * step[0]);
        return i !== chosen && along > 0 && across <= 2 * along ? along + 2 * across : Infinity;
      });
      if (next >= 0) choose(next);
    });
    menu.addEventListener("change", explain);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    new ResizeObserver(draw).observe(canvas);
    explain();
  }
})();
