// Label maps over an image. Canvases are only drawn on, never read: files beside the page may not be read.
import { element } from "./base.js";

const STRONG = 0.82;
const WEAK = 0.5;

/** Load an image's files; `facts` are photo, sheet, width, height, models, and whether pixels are left out. */
export async function openPicture(facts, files, classes) {
  const [photoName, sheetName, width, height, models, ignored] = facts;
  const [photo, sheet] = await Promise.all([photoName, sheetName].map(async (name) => {
    const image = new Image();
    image.src = files[name];
    await image.decode();
    return image;
  }));
  const count = (models.length + 1) * classes + ignored;
  const columns = Math.max(1, Math.ceil(Math.sqrt(count)));
  const tile = (number) => {
    const [made, brush] = blank(width, height);
    brush.drawImage(sheet, (number % columns) * width, Math.floor(number / columns) * height, width, height, 0, 0, width, height);
    return made;
  };
  const areas = (place) => Array.from({ length: classes }, (_, label) => tile(place * classes + label));
  return {
    photo, width, height,
    has: (model) => models.includes(model),
    truth: () => areas(0),
    prediction: (model) => areas(models.indexOf(model) + 1),
    ignored: () => (ignored ? tile(count - 1) : null),
  };
}

function blank(width, height) {
  const made = element("canvas", { width, height });
  const brush = made.getContext("2d");
  brush.imageSmoothingEnabled = false;
  return [made, brush];
}

function copyOf(area) {
  const [made, brush] = blank(area.width, area.height);
  brush.drawImage(area, 0, 0);
  return [made, brush];
}

function combine(operation, first, ...others) {
  const [made, brush] = copyOf(first);
  brush.globalCompositeOperation = operation;
  for (const other of others) brush.drawImage(other, 0, 0);
  return made;
}

const both = (first, ...others) => combine("destination-in", first, ...others);
const without = (first, ...others) => combine("destination-out", first, ...others);
const either = (areas) => combine("source-over", areas[0], ...areas.slice(1));

/** Return the pixels of an area that touch a pixel outside it, above, below, left or right. */
function outline(area) {
  const [inside, brush] = copyOf(area);
  brush.globalCompositeOperation = "destination-in";
  for (const [x, y] of [[0, 1], [0, -1], [1, 0], [-1, 0]]) brush.drawImage(area, x, y);
  return without(area, inside);
}

function paint(brush, area, color, alpha) {
  const [made, fill] = copyOf(area);
  fill.globalCompositeOperation = "source-in";
  fill.fillStyle = `rgb(${color.join(",")})`;
  fill.fillRect(0, 0, made.width, made.height);
  brush.globalAlpha = alpha;
  brush.drawImage(made, 0, 0);
  brush.globalAlpha = 1;
}

/** Return truth and prediction of all classes or one, without what counts nowhere. */
function counted(picture, model, label) {
  const chosen = (areas) => (label === null ? areas : [areas[label]]);
  const ignored = picture.ignored();
  const seen = (area) => (ignored ? without(area, ignored) : area);
  return [chosen(picture.truth()).map(seen), chosen(picture.prediction(model)).map(seen)];
}

function paintErrors(brush, picture, model, { label, opacity, colors }) {
  const [truth, prediction] = counted(picture, model, label);
  const [hit, extra, missed, swapped] = colors.errors;
  const [here, there] = [either(truth), either(prediction)];
  const right = either(truth.map((area, place) => both(area, prediction[place])));
  paint(brush, right, hit, WEAK * opacity);
  paint(brush, without(there, here), extra, STRONG * opacity);
  paint(brush, without(here, there), missed, STRONG * opacity);
  paint(brush, without(both(here, there), right), swapped, STRONG * opacity);
}

function paintOutlines(brush, picture, model, { label, opacity, colors }) {
  const [truth, prediction] = counted(picture, model, label);
  const [hit, extra, missed, swapped] = colors.errors;
  const [mine, theirs] = [truth.map(outline), prediction.map(outline)];
  const [here, there] = [either(mine), either(theirs)];
  const same = either(mine.map((area, place) => both(area, theirs[place])));
  paint(brush, without(here, there), missed, opacity);
  paint(brush, without(there, here), extra, opacity);
  paint(brush, without(both(here, there), same), swapped, opacity);
  paint(brush, same, hit, opacity);
}

function paintClasses(brush, areas, { label, opacity, colors, mode }) {
  areas.forEach((area, place) => {
    if (label !== null && label !== place) return;
    const color = colors.classes[place % colors.classes.length];
    if (mode !== "outline") paint(brush, area, color, WEAK * opacity);
    paint(brush, outline(area), color, opacity);
  });
}

/** Draw the image and over it `what`: "image", "truth" or the number of a model. */
export function draw(canvas, picture, what, options) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  const brush = canvas.getContext("2d");
  brush.drawImage(picture.photo, 0, 0, picture.width, picture.height);
  if (what === "image" || options.mode === "bare") return;
  if (what === "truth") {
    paintClasses(brush, picture.truth(), options);
    if (picture.ignored()) paint(brush, picture.ignored(), [128, 128, 128], STRONG * options.opacity);
  } else if (picture.has(what)) {
    if (options.mode === "error") paintErrors(brush, picture, what, options);
    else if (options.mode === "outline") paintOutlines(brush, picture, what, options);
    else paintClasses(brush, picture.prediction(what), options);
  }
}
