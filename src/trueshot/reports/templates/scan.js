"use strict";
// Sorts, filters and pages the table of files, filters the images with it, sets how strongly scores
// are shown, and keeps what is written into the page. The page is whole without.
(() => {
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  let rows = [...body.rows];
  // In full: the table shortens names, reasons and hashes.
  const texts = new Map(rows.map((row) => [row, row.dataset.find.toLowerCase()]));
  const cards = [...document.querySelectorAll(".card")];
  const said = cards.map((card) => card.dataset.find.toLowerCase());
  const find = document.getElementById("find");
  const boxes = [...document.querySelectorAll("#filter [name=verdict]")];
  const shown = document.getElementById("shown");
  const atOnce = Number(table.dataset.atOnce);
  const number = (count) => count.toLocaleString("en");
  let fitting = rows;
  let page = 0;

  function make(tag, about, ...children) {
    const made = Object.assign(document.createElement(tag), about);
    made.append(...children);
    return made;
  }

  // Pages: rows of other pages stay in the document, for paper.
  const pagers = [...document.querySelectorAll(".pager")].map((place) => {
    const step = (by, text) => make("button", { type: "button", textContent: text, onclick: () => turn(page + by) });
    const where = make("span");
    const [back, on] = [step(-1, "← Previous"), step(1, "Next →")];
    place.append(back, where, on);
    return { place, where, back, on };
  });

  function turn(to) {
    const pages = Math.max(1, Math.ceil(fitting.length / atOnce));
    page = Math.min(Math.max(to, 0), pages - 1);
    const first = page * atOnce;
    const here = new Set(fitting.slice(first, first + atOnce));
    for (const row of rows) row.classList.toggle("off", !here.has(row));
    for (const { place, where, back, on } of pagers) {
      place.hidden = pages === 1;
      where.textContent = `Rows ${number(first + 1)} to ${number(first + here.size)} of ${number(fitting.length)}`;
      back.disabled = page === 0;
      on.disabled = page === pages - 1;
    }
  }

  function filter() {
    const words = find.value.toLowerCase().trim();
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const fits = (part, text) => verdicts.has(part.dataset.verdict) && text.includes(words);
    fitting = rows.filter((row) => fits(row, texts.get(row)));
    cards.forEach((card, at) => card.classList.toggle("out", !fits(card, said[at])));
    shown.textContent = `${number(fitting.length)} of ${number(rows.length)} rows`;
    turn(0);
  }

  const collator = new Intl.Collator("en", { numeric: true });

  // What a cell is sorted by: a number, a text, or nothing.
  function keyOf(cell) {
    const value = cell.dataset.value;
    if (value === undefined) return cell.textContent;
    return value === "" ? null : Number(value);
  }

  function sort(column, header) {
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = rows.map((row) => [keyOf(row.cells[column]), row]);
    const known = keyed.filter(([key]) => key !== null);
    const missing = keyed.filter(([key]) => key === null); // always last
    const order = ([a], [b]) => (typeof a === "string" ? collator.compare(a, b) : a - b);
    known.sort((one, other) => (down ? -1 : 1) * order(one, other));
    rows = [...known, ...missing].map(([, row]) => row);
    body.replaceChildren(...rows);
    filter();
  }

  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = make("button", { type: "button", textContent: header.textContent });
    button.addEventListener("click", () => sort(column, header));
    header.replaceChildren(button);
  });

  // Scores over photographs: switched and weakened, each or all.
  const toggles = [...document.querySelectorAll(".toggle")];
  const slides = [...document.querySelectorAll(".opacity")];

  function weaken(slide) {
    const over = slide.closest(".photo").querySelector(".heat");
    over.style.opacity = slide.value / 100;
  }

  for (const slide of slides) {
    slide.closest(".slide").hidden = false;
    slide.addEventListener("input", () => weaken(slide));
  }
  if (toggles.length) {
    const all = make("input", { type: "checkbox", id: "all-heat", checked: true });
    all.addEventListener("change", () => toggles.forEach((each) => (each.checked = all.checked)));
    const strength = make("input", { type: "range", className: "opacity", id: "all-opacity", min: 0, max: 100, value: 100 });
    strength.addEventListener("input", () => {
      for (const slide of slides) {
        slide.value = strength.value;
        weaken(slide);
      }
    });
    document.querySelector(".key-box").append(
      make("label", { className: "choice" }, all, " Show crop scores on all images"),
      make("label", { className: "choice" }, "Opacity on all images ", strength),
    );
  }

  // A link to an image opens it.
  function open() {
    const inside = /^#image-\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
    if (!inside) return;
    const card = inside.closest(".card");
    card.classList.remove("out");
    card.querySelector("details").open = true;
    card.scrollIntoView();
  }
  addEventListener("hashchange", open);

  // What is written into the page is kept by the browser, under the identity of this report.
  const report = `trueshot report ${document.getElementById("case").dataset.report}`;
  const told = document.getElementById("kept");
  const fields = [...document.querySelectorAll(".kept")];
  try {
    const kept = JSON.parse(localStorage.getItem(report) || "{}");
    for (const field of fields) {
      if (typeof kept[field.name] === "string") field.value = kept[field.name];
      field.addEventListener("input", () => {
        kept[field.name] = field.value;
        if (!field.value) delete kept[field.name];
        try {
          localStorage.setItem(report, JSON.stringify(kept));
        } catch {
          told.textContent = "This browser cannot store more notes; print the page to keep them.";
        }
      });
    }
    told.textContent =
      "What you write here and next to images stays in this browser, not in the file. To pass it on, print the page or save it as a PDF.";
  } catch {
    // No storage here: what the page says of it stands.
  }

  for (const box of boxes) box.addEventListener("change", filter);
  find.addEventListener("input", filter);
  document.getElementById("filter").hidden = false;
  filter();
  body.classList.remove("waiting");
  open();
})();
