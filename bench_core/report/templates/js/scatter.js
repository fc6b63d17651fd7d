// One dot per image: two models, or an attribute, against Dice. Dots are picked with the mouse or by numbers.
import { button, csv, element, harmless, save } from "./base.js";
import { labelled, options, percent } from "./explorer.js";
import { tools } from "./figures.js";
import { recall, remember, whenRecalled } from "./state.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [560, 420, 56, 14, 12, 44];
const MOST_LISTED = 100;
const NEAR = 12;

function shape(space, name, attributes, text = "") {
  const made = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function ticks(low, high) {
  const raw = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const size = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= raw * 0.999);
  const found = [];
  for (let at = Math.ceil(low / size - 1e-9); at <= Math.floor(high / size + 1e-9); at += 1) found.push(at * size);
  return found;
}

/** Start the plot in its place; `viewer` shows images. */
export function startScatter(box, data, viewer) {
  const view = { set: 0, x: "", y: "", brush: null };
  const pick = { set: element("select"), x: element("select"), y: element("select") };
  const ends = ["x from", "x to", "y from", "y to"].map((label) => {
    const input = element("input", { type: "number", step: "any" });
    input.setAttribute("aria-label", `Pick images with ${label}`);
    return input;
  });
  const said = element("output", { className: "hint" });
  const frame = element("div", { className: "plot" });
  const list = element("div", { className: "picked" });
  const chart = () => frame.querySelector("svg");
  box.append(
    element("div", { className: "viewer-tools" }, labelled("Dataset", pick.set), labelled("Across", pick.x), labelled("Up", pick.y)),
    frame, said,
    element("div", { className: "tools" }, element("span", { className: "count", textContent: "Pick by numbers: across from" }), ends[0], "to", ends[1],
      element("span", { className: "count", textContent: "up from" }), ends[2], "to", ends[3], button("Pick none", () => brush(null))),
    list);

  const set = () => data.datasets[view.set];
  const axes = () => [["mean", "mean Dice of all models (%)"], ...data.models.map((item) => [`model ${item.label}`, `Dice of ${item.title} (%)`])];
  const attributes = () => Object.keys(set().attributes).map((name) => [`attribute ${name}`, name]);

  /** Return an axis's numbers, and the texts that they stand for, if any. */
  function column(axis) {
    const tenth = (values) => ({ values: values.map((value) => (value === null ? null : value / 10)), names: null });
    if (axis.startsWith("attribute ")) {
      const raw = set().attributes[axis.slice(10)];
      if (!raw.some((value) => typeof value === "string")) return { values: raw, names: null };
      const names = Array.from(new Set(raw.filter((value) => value !== null))).sort();
      return { values: raw.map((value) => (value === null ? null : names.indexOf(value))), names };
    }
    const place = data.models.findIndex((item) => `model ${item.label}` === axis);
    return tenth(place < 0 ? set().means : set().dice[place]);
  }

  let dots = [];
  let scales = null;

  function picked() {
    if (!view.brush) return [];
    const [x0, x1, y0, y1] = view.brush;
    return dots.filter(({ x, y }) => x >= x0 && x <= x1 && y >= y0 && y <= y1);
  }

  function render() {
    const known = [...attributes(), ...axes()];
    options(pick.set, data.datasets.map((item, place) => [place, item.title]), view.set);
    const usual = attributes().length ? attributes()[0][0] : axes()[1][0];
    if (!known.some(([key]) => key === view.x)) view.x = usual;
    if (!axes().some(([key]) => key === view.y)) view.y = "mean";
    options(pick.x, known, view.x);
    options(pick.y, axes(), view.y);
    const [across, up] = [column(view.x), column(view.y)];
    dots = set().ids.map((_, row) => ({ row, x: across.values[row], y: up.values[row] })).filter(({ x, y }) => x !== null && y !== null);
    const span = (values, percentage) => {
      if (percentage) return [Math.min(100, ...values) - 1, 101];
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const pad = (high - low || 1) * 0.06;
      return [low - pad, high + pad];
    };
    frame.replaceChildren();
    if (!dots.length) { frame.textContent = "No image has both numbers."; list.replaceChildren(); return; }
    const [xs, ys] = [span(dots.map(({ x }) => x), !view.x.startsWith("attribute ")), span(dots.map(({ y }) => y), true)];
    const line = (from, to, start, end) => ({
      at: (value) => start + ((value - from) / (to - from)) * (end - start), back: (place) => from + ((place - start) / (end - start)) * (to - from) });
    scales = { x: line(...xs, LEFT, WIDTH - RIGHT), y: line(...ys, HEIGHT - BOTTOM, TOP) };
    frame.append(drawn(across, xs, ys));
    drawPicked();
  }

  function drawn(across, xs, ys) {
    const space = document.querySelector("svg").namespaceURI;
    const title = `${pick.y.selectedOptions[0].textContent} against ${pick.x.selectedOptions[0].textContent} on ${set().title}`;
    const made = shape(space, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart scatter", role: "img",
      "aria-label": `${title}. ${dots.length} images; the list below the plot names those that are picked.` });
    const add = (...parts) => made.append(shape(space, ...parts));
    const places = across.names ? across.names.map((_, place) => place) : ticks(...xs);
    const wanted = across.names ? (value) => across.names[value] : (value) => String(Number(value.toPrecision(6)));
    for (const value of places) {
      add("line", { x1: scales.x.at(value), x2: scales.x.at(value), y1: TOP, y2: HEIGHT - BOTTOM, class: "grid" });
      add("text", { x: scales.x.at(value), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle", class: "tick" }, String(wanted(value)).slice(0, 14));
    }
    for (const value of ticks(...ys)) {
      add("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: scales.y.at(value), y2: scales.y.at(value), class: "grid" });
      add("text", { x: LEFT - 6, y: scales.y.at(value) + 4, "text-anchor": "end", class: "tick" }, String(Number(value.toPrecision(6))));
    }
    if (!view.x.startsWith("attribute ")) {
      const low = Math.max(xs[0], ys[0]);
      add("line", { x1: scales.x.at(low), y1: scales.y.at(low), x2: scales.x.at(100), y2: scales.y.at(100), class: "thread" });
    }
    add("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle", class: "axis" }, pick.x.selectedOptions[0].textContent);
    add("text", { x: 14, y: (TOP + HEIGHT - BOTTOM) / 2, "text-anchor": "middle", class: "axis", transform: `rotate(-90 14 ${(TOP + HEIGHT - BOTTOM) / 2})` }, pick.y.selectedOptions[0].textContent);
    add("path", { class: "dots s1", d: path(dots) });
    add("path", { class: "dots chosen s2", d: "" });
    add("rect", { class: "brush", width: 0, height: 0 });
    return made;
  }

  // One path for all dots: lines of no length with round ends, so that thousands cost one element.
  function path(points) {
    return points.map(({ x, y, row }) => `M${(scales.x.at(x) + spread(row)).toFixed(1)} ${scales.y.at(y).toFixed(1)}h0`).join("");
  }

  function spread(row) {
    return view.x.startsWith("attribute ") && column(view.x).names ? ((row * 7919) % 41) - 20 : 0;
  }

  function drawPicked() {
    const found = picked();
    chart().querySelector(".chosen").setAttribute("d", path(found));
    const rect = chart().querySelector(".brush");
    if (view.brush) {
      const [x0, x1, y0, y1] = view.brush;
      const [left, right] = [Math.max(LEFT, scales.x.at(x0)), Math.min(WIDTH - RIGHT, scales.x.at(x1))];
      const [top, bottom] = [Math.max(TOP, scales.y.at(y1)), Math.min(HEIGHT - BOTTOM, scales.y.at(y0))];
      for (const [key, value] of Object.entries({ x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) })) rect.setAttribute(key, value);
    }
    rect.setAttribute("visibility", view.brush ? "visible" : "hidden");
    ends.forEach((input, place) => { if (document.activeElement !== input) input.value = view.brush ? Number(view.brush[place].toPrecision(4)) : ""; });
    showList(found);
  }

  function rows(points) {
    const texts = axes().slice(1).map(([, label]) => label);
    const known = Object.keys(set().attributes);
    const cell = (value) => (value === null ? "" : harmless(String(value)));
    return [["image", "fold", ...known, ...texts], ...points.map(({ row }) => [cell(set().ids[row]), String(set().folds[row]),
      ...known.map((name) => cell(set().attributes[name][row])), ...set().dice.map((values) => cell(values[row] === null ? null : values[row] / 10))])];
  }

  function showList(found) {
    list.replaceChildren();
    if (!view.brush) {
      said.textContent = `${dots.length} images. Drag over dots to pick images, or give numbers below.`;
      return;
    }
    const shown = found.filter(({ row }) => set().pictures[row]);
    said.textContent = `${found.length} of ${dots.length} images picked, pictures of ${shown.length} are in the page.`;
    if (!found.length) return;
    const open = (row) => viewer.open(view.set, row, "picked", found.map((item) => item.row));
    const order = found.slice().sort((one, two) => one.y - two.y || one.row - two.row);
    const items = order.slice(0, MOST_LISTED).map(({ row }) => {
      const name = set().pictures[row] ? button(set().ids[row], () => open(row)) : element("span", { textContent: `${set().ids[row]} (no picture)` });
      return element("li", {}, name, ` ${set().dice.map((values, place) => `${data.models[place].title} ${percent(values[row])}`).join(", ")}`);
    });
    if (order.length > MOST_LISTED) items.push(element("li", { textContent: `and ${order.length - MOST_LISTED} more, all of them in the CSV` }));
    list.append(
      element("div", { className: "tools" },
        shown.length ? button("Look at them", () => open(shown[0].row)) : null,
        button("Save CSV", () => save("picked-images.csv", csv(rows(order)), "text/csv"), { ariaLabel: "Save CSV of the picked images" })),
      element("ol", { tabIndex: 0, ariaLabel: "Picked images, lowest first" }, ...items));
  }

  function brush(found) {
    view.brush = found;
    remember("scatter.pick", found ? found.map((value) => Number(value.toPrecision(6))).join(" ") : null);
    drawPicked();
  }

  function keep() {
    remember("scatter.data", view.set ? set().label : null);
    remember("scatter.x", view.x);
    remember("scatter.y", view.y);
  }

  for (const [key, control] of Object.entries(pick)) {
    control.addEventListener("change", () => {
      view[key] = key === "set" ? Number(control.value) : control.value;
      view.brush = null;
      remember("scatter.pick", null);
      render();
      keep();
    });
  }
  for (const input of ends) {
    input.addEventListener("change", () => {
      const given = ends.map((item) => (item.value === "" ? NaN : Number(item.value)));
      if (given.every(Number.isNaN)) { brush(null); return; }
      const whole = [-1e9, 1e9, -1e9, 1e9];
      brush(given.map((value, place) => (Number.isNaN(value) ? whole[place] : value)));
    });
  }

  const place = (event) => {
    const area = chart().getBoundingClientRect();
    const factor = WIDTH / area.width;
    return [(event.clientX - area.left) * factor, (event.clientY - area.top) * factor];
  };
  let start = null;
  frame.addEventListener("pointerdown", (event) => {
    if (!chart() || event.pointerType === "touch") return;
    start = place(event);
    frame.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  frame.addEventListener("pointermove", (event) => {
    if (!chart()) return;
    if (start) { drag(event); return; }
    const near = nearest(place(event));
    if (near) said.textContent = `${set().ids[near.row]}: ${set().dice.map((values, at) => `${data.models[at].title} ${percent(values[near.row])}`).join(", ")}`;
  });
  frame.addEventListener("pointerup", (event) => {
    if (!start) return;
    const [x, y] = place(event);
    if (Math.hypot(x - start[0], y - start[1]) < 4) {
      const near = nearest([x, y]);
      brush(near ? [near.x, near.x, near.y, near.y] : null);
    } else drag(event);
    start = null;
  });

  function drag(event) {
    const [x, y] = place(event);
    const [xs, ys] = [[start[0], x], [start[1], y]].map((pair) => pair.sort((a, b) => a - b));
    brush([scales.x.back(xs[0]), scales.x.back(xs[1]), scales.y.back(ys[1]), scales.y.back(ys[0])]);
  }

  function nearest([x, y]) {
    let [best, least] = [null, NEAR];
    for (const dot of dots) {
      const away = Math.hypot(scales.x.at(dot.x) + spread(dot.row) - x, scales.y.at(dot.y) - y);
      if (away < least) [best, least] = [dot, away];
    }
    return best;
  }

  whenRecalled(() => {
    const found = data.datasets.findIndex((item) => item.label === recall("scatter.data"));
    view.set = Math.max(0, found);
    view.x = recall("scatter.x") || "";
    view.y = recall("scatter.y") || "";
    const pickedNow = (recall("scatter.pick") || "").split(" ").map(Number);
    view.brush = pickedNow.length === 4 && pickedNow.every(Number.isFinite) ? pickedNow : null;
    render();
  });
  frame.after(tools(chart, "images", () => rows(dots)));
}
