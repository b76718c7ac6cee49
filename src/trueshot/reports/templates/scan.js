"use strict";
// Sorts and filters the table of files, and filters the images with it. The page is whole without.
(() => {
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  // In full: the table shortens names, reasons and hashes.
  const texts = rows.map((row) => row.dataset.find.toLowerCase());
  const cards = [...document.querySelectorAll(".card")];
  const said = cards.map((card) => card.dataset.find.toLowerCase());
  const find = document.getElementById("find");
  const boxes = [...document.querySelectorAll("#filter [name=verdict]")];
  const shown = document.getElementById("shown");

  function filter() {
    const words = find.value.toLowerCase().trim();
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const fits = (part, text) => verdicts.has(part.dataset.verdict) && text.includes(words);
    let count = 0;
    rows.forEach((row, at) => {
      const fit = fits(row, texts[at]);
      row.classList.toggle("out", !fit);
      count += fit;
    });
    cards.forEach((card, at) => card.classList.toggle("out", !fits(card, said[at])));
    shown.textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
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
    body.replaceChildren(...[...known, ...missing].map(([, row]) => row));
  }

  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => sort(column, header));
    header.replaceChildren(button);
  });
  const toggles = [...document.querySelectorAll(".toggle")];
  if (toggles.length) {
    const label = document.createElement("label");
    const all = document.createElement("input");
    label.className = "choice";
    all.type = "checkbox";
    all.id = "all-heat";
    all.checked = true;
    all.addEventListener("change", () => toggles.forEach((each) => (each.checked = all.checked)));
    label.append(all, " Show the evidence over all images");
    document.querySelector(".key-box").append(label);
  }
  for (const box of boxes) box.addEventListener("change", filter);
  find.addEventListener("input", filter);
  document.getElementById("filter").hidden = false;
  filter();
})();
