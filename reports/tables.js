"use strict";
// Sortable tables: clicking a heading, by mouse or keyboard, sorts by its column; clicking it again reverses the order.
(function () {
  const UP = "ascending";
  const DOWN = "descending";
  const compare = new Intl.Collator("en", { numeric: true }).compare;

  function key(row, place, numeric) {
    const cell = row.cells[place];
    if (!numeric) return cell.textContent.trim();
    return cell.dataset.key === "" ? NaN : Number(cell.dataset.key);
  }

  // Missing values come last in both orders; the sort is stable.
  function order(one, other, numeric, sign) {
    if (!numeric) return sign * compare(one, other);
    if (isNaN(one) || isNaN(other)) return Number(isNaN(one)) - Number(isNaN(other));
    return sign * (one - other);
  }

  function sort(table, heading) {
    const body = table.tBodies[0];
    const place = heading.cellIndex;
    const numeric = heading.dataset.numeric === "true";
    const direction = heading.getAttribute("aria-sort") === UP ? DOWN : UP;
    const sign = direction === UP ? 1 : -1;
    const rows = Array.from(body.rows, (row) => [key(row, place, numeric), row]);
    rows.sort((one, other) => order(one[0], other[0], numeric, sign));
    body.append(...rows.map((pair) => pair[1]));
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", direction);
  }

  for (const table of document.querySelectorAll("table.listing")) {
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent.trim();
      button.addEventListener("click", () => sort(table, heading));
      heading.replaceChildren(button);
    }
  }

  // Open all folded parts for printing.
  let folded = [];
  window.addEventListener("beforeprint", function () {
    folded = Array.from(document.querySelectorAll("details:not([open])"));
    for (const part of folded) part.open = true;
  });
  window.addEventListener("afterprint", function () {
    for (const part of folded) part.open = false;
  });
})();
