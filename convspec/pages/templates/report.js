"use strict";
// Sorting and filtering of the table of layers. Without it the page is the same, unsorted.
(() => {
  const table = document.getElementById("layers");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const headings = Array.from(table.tHead.rows[0].cells);
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  const keyOf = (row, place) => row.cells[place].dataset.key;

  // what is not known comes last in either direction
  const sort = (place, kind, direction) => {
    const sign = direction === "ascending" ? 1 : -1;
    const value = { inf: Infinity, "-inf": -Infinity };
    const number = (key) => (key in value ? value[key] : Number(key));
    const compare = (one, other) => {
      const [a, b] = [keyOf(one, place), keyOf(other, place)];
      if (a === "" || b === "") return (a === "") - (b === "");
      if (kind === "text") return sign * words.compare(a, b);
      const [x, y] = [number(a), number(b)];
      return x === y ? 0 : sign * (x < y ? -1 : 1);
    };
    body.append(...rows.slice().sort(compare));
  };

  headings.forEach((heading, place) => {
    const kind = heading.dataset.kind;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", place === 0 ? "ascending" : "none");
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const first = kind === "text" || place === 0 ? "ascending" : "descending";
      const second = first === "ascending" ? "descending" : "ascending";
      const direction = before === first ? second : first;
      headings.forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", direction);
      sort(place, kind, direction);
    });
  });

  const form = document.getElementById("filters");
  const [text, method, count] = ["filter", "method", "count"].map((id) => document.getElementById(id));
  const filter = () => {
    const terms = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const found = row.dataset.words.toLowerCase();
      const fits = terms.every((term) => found.includes(term));
      row.hidden = !(fits && (method.value === "" || method.value === row.dataset.method));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} layers`;
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  text.addEventListener("input", filter);
  method.addEventListener("change", filter);
  form.hidden = false;
  filter();
})();
