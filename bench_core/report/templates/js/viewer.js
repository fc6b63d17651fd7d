// One image at a time: truth and two models side by side or under a slider, with lists to step through.
import { all, button, element } from "./base.js";
import { labelled, options, percent } from "./explorer.js";
import { draw, openPicture } from "./paint.js";
import { recall, remember, whenRecalled } from "./state.js";

const LISTS = {
  worst: "worst for all first",
  differ: "models differ most first",
  ahead: "A ahead of B first",
  behind: "B ahead of A first",
  low: "lowest Dice of A first",
  best: "best for all first",
  all: "as they are counted",
  picked: "picked in the scatter plot",
};
const MODES = { error: "error map", outline: "outlines", fill: "classes", bare: "image alone" };

/** Return the viewer: `open(dataset, row, list, picked)` shows an image. */
export function startViewer(data, files) {
  const view = { set: 0, row: null, a: 0, b: Math.min(1, data.models.length - 1), list: "worst", mode: "error", layout: "side",
    label: null, opacity: 1, zoom: 1, split: 50, picked: [], colors: "" };
  const select = () => element("select");
  const range = (min, max, step) => element("input", { type: "range", min, max, step });
  const controls = { set: select(), list: select(), a: select(), b: select(), mode: select(), layout: select(), label: select(),
    colors: select(), opacity: range(0, 1, 0.05), zoom: range(1, 6, 0.5) };
  const find = element("input", { type: "search", placeholder: "part of a name" });
  const where = element("output", { className: "where" });
  const facts = element("p", { className: "facts-line" });
  const legend = element("ul", { className: "keys" });
  const panels = element("div", { className: "viewer-panels" });
  const title = element("h2", { id: "viewer-title", textContent: "Images" });
  const dialog = element("dialog", { id: "viewer" },
    element("div", { className: "viewer-head" }, title, where,
      button("Previous", () => step(-1)), button("Next", () => step(1)), button("Close", () => dialog.close())),
    element("div", { className: "viewer-tools" },
      labelled("Dataset", controls.set), labelled("Order", controls.list), labelled("Find", find),
      labelled("A", controls.a), labelled("B", controls.b), labelled("Show", controls.mode), labelled("Layout", controls.layout),
      labelled("Class", controls.label), labelled("Colors", controls.colors), labelled("Opacity", controls.opacity),
      labelled("Zoom", controls.zoom)),
    facts, legend, panels,
    element("p", { className: "hint", textContent: "Keys: ← → step, E error map, O outlines, C classes, I image alone, S side by side or slider, Esc closes." }));
  dialog.setAttribute("aria-labelledby", "viewer-title");
  document.body.append(dialog);
  let serial = 0;

  const set = () => data.datasets[view.set];

  function order() {
    const { dice, means, spreads, shown } = set();
    const [a, b] = [dice[view.a], dice[view.b]];
    const rows = view.list === "picked" ? view.picked.filter((row) => set().pictures[row]) : shown.slice();
    const score = {
      worst: (row) => means[row], best: (row) => (means[row] === null ? null : -means[row]), differ: (row) => (spreads[row] === null ? null : -spreads[row]),
      ahead: (row) => (a[row] === null || b[row] === null ? null : b[row] - a[row]),
      behind: (row) => (a[row] === null || b[row] === null ? null : a[row] - b[row]), low: (row) => a[row],
    }[view.list];
    if (!score) return rows;
    return rows.sort((one, two) => {
      const [x, y] = [score(one), score(two)];
      if ((x === null) !== (y === null)) return x === null ? 1 : -1;
      return x - y || one - two;
    });
  }

  function step(by) {
    const rows = order();
    if (!rows.length) return;
    const at = rows.indexOf(view.row);
    view.row = at < 0 ? rows[0] : rows[(at + by + rows.length) % rows.length];
    render();
  }

  function fillControls() {
    options(controls.set, data.datasets.map((item, place) => [place, item.title]), view.set);
    options(controls.list, Object.entries(LISTS).filter(([key]) => key !== "picked" || view.picked.length), view.list);
    for (const key of ["a", "b"]) options(controls[key], data.models.map((item, place) => [place, item.title]), view[key]);
    options(controls.mode, Object.entries(MODES), view.mode);
    options(controls.layout, [["side", "side by side"], ["slider", "slider"]], view.layout);
    options(controls.label, [["", "all"], ...set().classes.map((name, place) => [place, name])], view.label === null ? "" : view.label);
    controls.label.parentElement.hidden = set().classes.length < 2;
    options(controls.colors, [["", "that stand out here"], ...Object.keys(data.colors.errors).map((name) => [name, name])], view.colors);
    controls.opacity.value = view.opacity;
    controls.zoom.value = view.zoom;
  }

  function keep() {
    const defaults = { a: 0, b: Math.min(1, data.models.length - 1), list: "worst", mode: "error", layout: "side", opacity: 1, zoom: 1, colors: "" };
    remember("image", `${set().label}/${set().ids[view.row]}`);
    for (const [key, usual] of Object.entries(defaults)) {
      const value = key === "a" || key === "b" ? data.models[view[key]].label : view[key];
      remember(`view.${key}`, view[key] === usual || view[key] === "picked" ? null : value);
    }
    remember("view.class", view.label === null ? null : set().classes[view.label]);
  }

  async function render() {
    const mine = ++serial;
    fillControls();
    const rows = order();
    const { ids, folds, dice, attributes, pictures, classes } = set();
    where.textContent = rows.length ? `${rows.indexOf(view.row) + 1} of ${rows.length}` : "no pictures";
    if (view.row === null || !pictures[view.row]) {
      panels.replaceChildren(element("p", { textContent: "No picture of this dataset is in the page." }));
      return;
    }
    title.textContent = ids[view.row];
    const known = Object.entries(attributes).filter(([, values]) => values[view.row] !== null)
      .map(([name, values]) => `${name} ${values[view.row]}`);
    facts.textContent = [`fold ${folds[view.row]}`, ...known].join(" · ");
    keep();
    const picture = await openPicture(pictures[view.row], files, Math.min(classes.length, data.most_classes));
    if (mine !== serial) return;
    const colors = { errors: data.colors.errors[view.colors || set().colors], classes: data.colors.classes };
    const drawing = { mode: view.mode, label: view.label, opacity: view.opacity, colors };
    const panel = (what, name, score) => {
      const canvas = element("canvas");
      const said = score === undefined ? name : `${name}, Dice ${percent(score)}`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${said}, of ${ids[view.row]}${what === "image" || what === "truth" ? "" : `, shown as ${MODES[view.mode]}`}`);
      draw(canvas, picture, what, drawing);
      canvas.style.width = `${100 * view.zoom}%`;
      const shows = typeof what !== "number" || picture.has(what);
      const label = element("figcaption", {}, element("strong", { textContent: name }),
        score === undefined ? null : ` Dice ${percent(score)}`, shows ? null : " left no label map");
      const frame = element("div", { className: "frame", tabIndex: view.zoom > 1 ? 0 : -1 }, canvas);
      return element("figure", { className: "viewer-panel" }, frame, label);
    };
    const model = (place, letter) => panel(place, `${letter}: ${data.models[place].title}`, dice[place][view.row]);
    const first = [panel("image", "image"), panel("truth", "ground truth")];
    panels.replaceChildren(...first, ...(view.layout === "side" ? [model(view.a, "A"), model(view.b, "B")] : [slider(model)]));
    // Squares show the grid where it is enlarged; where it is made smaller they would drop thin lines.
    for (const canvas of all("canvas", panels)) canvas.classList.toggle("enlarged", canvas.clientWidth >= canvas.width);
    const frames = all(".frame", panels);
    for (const frame of frames) {
      frame.addEventListener("scroll", () => frames.forEach((other) => {
        other.scrollTo(frame.scrollLeft, frame.scrollTop);
      }));
    }
    showLegend(colors);
  }

  function slider(model) {
    const [under, over] = [model(view.b, "B"), model(view.a, "A")];
    const top = over.querySelector("canvas");
    const frame = under.querySelector(".frame");
    top.classList.add("over");
    frame.append(top);
    frame.classList.add("stack");
    const line = element("span", { className: "line" });
    frame.append(line);
    const move = element("input", { type: "range", min: 0, max: 100, value: view.split, className: "split" });
    move.setAttribute("aria-label", "Where A ends and B begins, in percent of the width");
    const place = () => {
      view.split = Number(move.value);
      top.style.clipPath = `inset(0 ${100 - view.split}% 0 0)`;
      line.style.left = `${view.split * view.zoom}%`;
    };
    move.addEventListener("input", place);
    place();
    const drag = (event) => {
      if (!event.buttons) return;
      const box = top.getBoundingClientRect();
      move.value = (100 * (event.clientX - box.left)) / box.width;
      place();
    };
    frame.addEventListener("pointerdown", drag);
    frame.addEventListener("pointermove", drag);
    const caption = element("figcaption", {});
    caption.append(...over.querySelector("figcaption").childNodes, " | ", ...under.querySelector("figcaption").childNodes);
    return element("figure", { className: "viewer-panel" }, frame, move, caption);
  }

  function showLegend(colors) {
    const words = view.mode === "error" ? ["right (TP)", "added (FP)", "missed (FN)", "another class"]
      : view.mode === "outline" ? ["both outlines", "outline of the prediction", "outline of the ground truth", "outlines of two classes"] : [];
    const several = set().classes.length > 1 && view.label === null;
    const items = words.slice(0, several ? 4 : 3).map((word, place) => [colors.errors[place], word]);
    if (view.mode !== "bare") set().classes.forEach((name, place) => items.push([colors.classes[place % colors.classes.length], view.mode === "fill" ? name : `${name} (ground truth)`]));
    legend.replaceChildren(...items.map(([color, word]) => {
      const key = element("span", { className: "key" });
      key.style.background = `rgb(${color.join(",")})`;
      return element("li", {}, key, element("span", { textContent: word }));
    }));
  }

  for (const [key, control] of Object.entries(controls)) {
    control.addEventListener(control.type === "range" ? "input" : "change", () => {
      const value = control.value;
      if (key === "label") view.label = value === "" ? null : Number(value);
      else view[key] = ["set", "a", "b", "opacity", "zoom"].includes(key) ? Number(value) : value;
      if (key === "set") Object.assign(view, { label: null, list: view.list === "picked" ? "worst" : view.list });
      if (key === "set" || key === "list") view.row = order()[0] ?? null;
      render();
    });
  }
  find.addEventListener("change", () => {
    const row = order().find((item) => set().ids[item].includes(find.value));
    where.textContent = row === undefined ? "no picture of that name" : where.textContent;
    if (row !== undefined) { view.row = row; render(); }
  });
  const KEYS = { e: () => { view.mode = "error"; }, o: () => { view.mode = "outline"; }, c: () => { view.mode = "fill"; },
    i: () => { view.mode = "bare"; }, s: () => { view.layout = view.layout === "side" ? "slider" : "side"; } };
  dialog.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
    else if (KEYS[event.key.toLowerCase()]) { KEYS[event.key.toLowerCase()](); render(); } else return;
    event.preventDefault();
  });
  dialog.addEventListener("close", () => remember("image", null));

  function open(place, row = null, list = null, picked = null) {
    view.set = place;
    if (picked) view.picked = picked;
    if (list) view.list = list;
    if (view.list === "picked" && !view.picked.length) view.list = "worst";
    view.label = null;
    view.row = row === null ? order()[0] ?? null : row;
    if (!dialog.open) dialog.showModal();
    return render();
  }

  whenRecalled(() => {
    const wanted = recall("image");
    if (wanted === null) { if (dialog.open) dialog.close(); return; }
    const place = data.datasets.findIndex((item) => wanted.startsWith(`${item.label}/`));
    if (place < 0) return;
    const row = data.datasets[place].ids.indexOf(wanted.slice(data.datasets[place].label.length + 1));
    const model = (key, usual) => {
      const found = data.models.findIndex((item) => item.label === recall(key));
      return found < 0 ? usual : found;
    };
    const one = (key, known, usual) => (known.includes(recall(key)) ? recall(key) : usual);
    const number = (key, low, high, usual) => {
      const given = recall(key) === null ? NaN : Number(recall(key));
      return Number.isNaN(given) ? usual : Math.min(high, Math.max(low, given));
    };
    const label = data.datasets[place].classes.indexOf(recall("view.class"));
    Object.assign(view, { a: model("view.a", 0), b: model("view.b", Math.min(1, data.models.length - 1)),
      list: one("view.list", Object.keys(LISTS), "worst"), mode: one("view.mode", Object.keys(MODES), "error"),
      layout: one("view.layout", ["side", "slider"], "side"), colors: one("view.colors", Object.keys(data.colors.errors), ""),
      opacity: number("view.opacity", 0, 1, 1), zoom: number("view.zoom", 1, 6, 1) });
    const chosen = label < 0 ? null : label;
    open(place, data.datasets[place].pictures[row] ? row : null);
    if (chosen !== null) { view.label = chosen; render(); }
  });

  for (const figure of all(".view[data-image]")) {
    const [place, id] = JSON.parse(figure.dataset.image);
    const row = data.datasets[place].ids.indexOf(id);
    if (!data.datasets[place].pictures[row]) continue;
    const drawing = figure.querySelector("svg");
    const enlarge = button("", () => open(place, row), { className: "enlarge", ariaLabel: `Enlarge: ${drawing.getAttribute("aria-label")}` });
    drawing.before(enlarge);
    enlarge.append(drawing);
  }
  return { open };
}
