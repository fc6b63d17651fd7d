// Figures that are saved: SVG with its colors, PNG, PDF, and the numbers behind the marks.
import { printAlone } from "./alone.js";
import { all, button, csv, element, fileName, harmless, save } from "./base.js";

const PAINT = [
  "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "stroke-opacity", "fill-opacity", "opacity",
  "font-size", "font-weight", "font-family", "text-anchor",
];
const SHARP = 3;

export function startFigures() {
  for (const panel of all(".panel")) {
    const drawing = panel.querySelector("svg.chart");
    if (drawing) panel.append(tools(() => drawing, panel.querySelector("h3, h4").textContent));
  }
}

/** Return buttons that save a chart and show its numbers: those of its marks, or others. */
export function tools(chart, title, given = null) {
  const known = () => (given ? given() : numbers(chart()));
  const row = element("div", { className: "tools" });
  const name = () => fileName(`${document.querySelector("h1").textContent} ${title}`);
  const said = (what) => ({ ariaLabel: `${what} of ${title}` });
  row.append(
    button("SVG", () => save(`${name()}.svg`, standalone(chart(), title, known()), "image/svg+xml"), said("Save SVG")),
    button("PNG", () => png(chart(), title, known()).then((blob) => save(`${name()}.png`, blob)), said("Save PNG")),
    button("PDF", () => {
      const rows = known();
      printAlone(chart(), title, name(), rows.length > 1 ? asTable(rows, title) : null);
    }, said("Print or save as PDF")),
  );
  if (given || numbers(chart()).length > 1) {
    let list = null;
    const show = button("Numbers", () => {
      if (list) list.remove();
      list = list ? null : element("div", { className: "scroll numbers", tabIndex: 0 }, asTable(known(), title));
      if (list) row.after(list);
      show.setAttribute("aria-expanded", String(Boolean(list)));
    }, said("Show numbers"));
    show.setAttribute("aria-expanded", "false");
    row.append(button("CSV", () => save(`${name()}.csv`, csv(known()), "text/csv"), said("Save CSV")), show);
  }
  return row;
}

/** Return the numbers behind a chart's marks: a header, then one row per mark. */
export function numbers(chart) {
  const rows = [];
  for (const mark of all("[data-row]", chart)) {
    const facts = JSON.parse(mark.dataset.row);
    if (!mark.dataset.values) rows.push(facts);
    else mark.dataset.values.split(" ").forEach((value, place) => rows.push({ ...facts, epoch: place + 1, value }));
  }
  const header = Array.from(new Set(rows.flatMap((row) => Object.keys(row))));
  const text = (value) => (value === undefined || value === null ? "" : harmless(String(value)));
  return [header, ...rows.map((row) => header.map((name) => text(row[name])))];
}

function asTable(rows, title) {
  const line = (cells, tag) => element("tr", {}, ...cells.map((cell) => element(tag, { textContent: cell })));
  const [header, ...rest] = rows;
  return element("table", { ariaLabel: `Numbers of ${title}` },
    element("thead", {}, line(header, "th")), element("tbody", {}, ...rest.map((cells) => line(cells, "td"))));
}

/** Return a chart's markup as it looks now, with its title and its numbers inside. */
export function standalone(chart, title, rows) {
  const twin = chart.cloneNode(true);
  const [, , width, height] = chart.getAttribute("viewBox").split(" ").map(Number);
  const twins = all("*", twin);
  all("*", chart).forEach((mark, place) => {
    const style = getComputedStyle(mark);
    for (const property of PAINT) {
      const value = style.getPropertyValue(property);
      if (value) twins[place].setAttribute(property, value);
    }
    twins[place].removeAttribute("class");
  });
  twin.setAttribute("width", width);
  twin.setAttribute("height", height);
  twin.removeAttribute("class");
  const made = (name, text) => {
    const item = document.createElementNS(chart.namespaceURI, name);
    item.textContent = text;
    return item;
  };
  const paper = made("rect", "");
  paper.setAttribute("width", "100%");
  paper.setAttribute("height", "100%");
  paper.setAttribute("fill", getComputedStyle(document.documentElement).getPropertyValue("--paper"));
  twin.prepend(made("title", title), made("metadata", csv(rows)), paper);
  return new XMLSerializer().serializeToString(twin);
}

async function png(chart, title, rows) {
  const [, , width, height] = chart.getAttribute("viewBox").split(" ").map(Number);
  const picture = new Image(width * SHARP, height * SHARP);
  picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(chart, title, rows))}`;
  await picture.decode();
  const canvas = element("canvas", { width: width * SHARP, height: height * SHARP });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}
