// One figure on a page of its own: what the browser prints, or saves as PDF, with its fonts and as vectors.
import { element } from "./base.js";

const MARGIN = 8;
const MOST_ROWS = 500;

/** Print a chart alone on a page of its size, and a table behind it unless that is long; then all is as before. */
export function printAlone(chart, title, name, table) {
  const [, , width, height] = chart.getAttribute("viewBox").split(" ").map(Number);
  const root = document.documentElement;
  const before = document.title;
  const short = table && table.rows.length - 1 <= MOST_ROWS;
  const sheet = element("div", { className: "alone" },
    element("div", { className: "figure" }, chart.cloneNode(true)), short ? element("div", { className: "numbers" }, element("h4", { textContent: title }), table) : null);
  // The page's policy lets nothing write styles into the markup; its own sheet may be added to.
  const rules = document.styleSheets[0];
  const [across, down] = [Math.ceil(width) + 2 * MARGIN, Math.ceil(height) + 2 * MARGIN];
  const added = [
    `@page alone { size: ${across}px ${down}px; margin: 0; }`,
    `@media print { .alone .figure { page: alone; width: ${across}px; height: ${down - 1}px; padding: ${MARGIN}px; } }`,
  ];
  const first = rules.cssRules.length;
  added.forEach((rule, place) => rules.insertRule(rule, first + place));
  document.body.append(sheet);
  root.classList.add("print-alone");
  document.title = name;
  addEventListener("afterprint", () => {
    added.forEach(() => rules.deleteRule(first));
    sheet.remove();
    root.classList.remove("print-alone");
    document.title = before;
  }, { once: true });
  print();
}
