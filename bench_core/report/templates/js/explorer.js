// The data of single images: Dice of every model, attributes, and which have pictures.
import { element } from "./base.js";

/** Return what the page knows of single images, or null. */
export function readExplorer() {
  const source = document.getElementById("explorer-data");
  if (!source) return null;
  const data = JSON.parse(source.textContent);
  for (const set of data.datasets) {
    set.means = set.ids.map((_, row) => {
      const known = set.dice.map((column) => column[row]).filter((value) => value !== null);
      return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
    });
    set.spreads = set.ids.map((_, row) => {
      const known = set.dice.map((column) => column[row]).filter((value) => value !== null);
      const mean = set.means[row];
      return known.length ? Math.sqrt(known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / known.length) : null;
    });
    set.shown = Object.keys(set.pictures).map(Number).sort((a, b) => a - b);
  }
  return data;
}

/** Return thousandths as a percentage with one decimal. */
export function percent(thousandths) {
  return thousandths === null || thousandths === undefined ? "undefined" : `${(thousandths / 10).toFixed(1)} %`;
}

/** Fill a select with [value, label] pairs. */
export function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, label]) => element("option", { value, textContent: label })));
  if (pairs.some(([value]) => String(value) === String(chosen))) select.value = String(chosen);
}

/** Return a labelled control. */
export function labelled(label, control) {
  return element("label", { className: "control" }, element("span", { textContent: label }), control);
}
