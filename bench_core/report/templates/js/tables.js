// Tables that are sorted, filtered and saved. Their cells hold the numbers at full precision: the only source.
import { all, button, copy, csv, element, save, unfold } from "./base.js";
import { recall, remember, whenRecalled } from "./state.js";

const FEW_ROWS = 6;

export function startTables() {
  for (const box of all(".table")) prepare(box);
}

/** Return the values of a row's cells as the table's CSV file has them. */
function values(row) {
  return Array.from(row.cells).flatMap((cell) => JSON.parse(cell.dataset.v));
}

function prepare(box) {
  const table = box.querySelector("table");
  const name = box.dataset.name;
  const heads = Array.from(table.tHead.rows[0].cells);
  const bodies = Array.from(table.tBodies);
  const rows = bodies.flatMap((body) => Array.from(body.rows).filter((row) => !row.classList.contains("group")));
  const home = new Map(rows.map((row) => [row, row.parentElement]));
  const group = (row) => home.get(row).dataset.group || "";
  const grouped = rows.some((row) => group(row));
  const sorted = element("tbody", { hidden: true });
  table.append(sorted);

  function asCsv() {
    const header = [...(grouped ? ["group"] : []), ...heads.flatMap((head) => JSON.parse(head.dataset.names))];
    const shown = bodies.concat(sorted).flatMap((body) => Array.from(body.rows)).filter((row) => home.has(row) && !row.hidden);
    return csv([header, ...shown.map((row) => [...(grouped ? [group(row)] : []), ...values(row)])]);
  }

  function key(row, column) {
    const text = JSON.parse(row.cells[column].dataset.v)[0];
    const number = text === "" ? NaN : Number(text);
    return { text, number, missing: text === "" || text === "–" };
  }

  function sort(column, direction) {
    heads.forEach((head, place) => {
      if (place === column && direction) head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    if (!direction) {
      for (const row of rows) home.get(row).append(row);
    } else {
      const keys = new Map(rows.map((row) => [row, key(row, column)]));
      const numbers = rows.every((row) => keys.get(row).missing || !Number.isNaN(keys.get(row).number));
      const order = rows.slice().sort((one, two) => {
        const [a, b] = [keys.get(one), keys.get(two)];
        // What is missing comes last in either direction.
        if (a.missing !== b.missing) return a.missing ? 1 : -1;
        return direction * (numbers ? a.number - b.number || 0 : a.text.localeCompare(b.text, "en", { numeric: true }));
      });
      sorted.append(...order);
    }
    sorted.hidden = !direction;
    hideEmpty();
  }

  function hideEmpty() {
    for (const body of bodies) {
      body.hidden = !Array.from(body.rows).some((row) => home.has(row) && !row.hidden);
    }
  }

  const count = element("output", { className: "count" });
  function filter(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const content = `${row.textContent} ${group(row)}`.toLowerCase();
      row.hidden = !words.every((word) => content.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    hideEmpty();
  }

  heads.forEach((head, column) => {
    const label = element("button", { type: "button", className: "sort" });
    label.append(...head.childNodes);
    head.append(label);
    label.addEventListener("click", () => {
      const first = head.classList.contains("number") ? -1 : 1;
      const now = { ascending: 1, descending: -1 }[head.getAttribute("aria-sort")] || 0;
      const next = now === 0 ? first : now === first ? -first : 0;
      sort(column, next);
      remember(`sort.${name}`, next ? `${next < 0 ? "-" : ""}${head.dataset.key}` : null);
    });
  });

  const tools = element("div", { className: "tools" });
  let search = null;
  if (rows.length > FEW_ROWS) {
    search = element("input", { type: "search", placeholder: "Filter rows" });
    search.setAttribute("aria-label", `Filter rows of ${box.querySelector("h3").textContent}`);
    search.addEventListener("input", () => {
      filter(search.value);
      remember(`find.${name}`, search.value);
    });
    tools.append(search, count);
  }
  const title = box.querySelector("h3").textContent;
  tools.append(
    button("Copy CSV", (event) => copy(asCsv(), event.currentTarget), { ariaLabel: `Copy CSV of ${title}` }),
    button("Save CSV", () => save(`${name}.csv`, asCsv(), "text/csv"), { ariaLabel: `Save CSV of ${title}` }),
  );
  box.querySelector(".scroll").before(tools);

  whenRecalled(() => {
    const wanted = recall(`sort.${name}`) || "";
    const column = heads.findIndex((head) => head.dataset.key === wanted.replace(/^-/, ""));
    sort(Math.max(column, 0), column < 0 ? 0 : wanted.startsWith("-") ? -1 : 1);
    const found = recall(`find.${name}`) || "";
    if (search && search.value !== found) search.value = found;
    if (search) filter(found);
    if (wanted || found) unfold(box);
  });
}
