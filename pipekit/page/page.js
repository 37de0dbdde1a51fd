"use strict";
(() => {
  for (const element of document.querySelectorAll(".needs-script")) element.hidden = false;

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
    gallery.filter = (wanted) => {
      for (const menu of form.querySelectorAll("select[name]")) menu.value = wanted[menu.name] ?? "";
      limit = first;
      show();
    };
    show();
  }
  for (const link of document.querySelectorAll("[data-filter]")) {
    link.addEventListener("click", () => {
      const section = document.querySelector(link.getAttribute("href"));
      section?.querySelector("[data-gallery]")?.filter(JSON.parse(link.dataset.filter));
      // Deferred: the jump to the anchor, which follows this, would take the focus away again.
      setTimeout(() => section?.querySelector("h2")?.focus({ preventScroll: true }));
    });
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
})();
