// What every part of the page needs: elements, files to save, text to copy.

/** Return an element with properties, attributes (in `attributes`) and children; text is never read as markup. */
export function element(name, properties = {}, ...children) {
  const { attributes, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Return a button that does something. */
export function button(label, does, properties = {}) {
  const made = element("button", { type: "button", textContent: label, ...properties });
  made.addEventListener("click", does);
  return made;
}

/** Return all elements that a selector finds. */
export function all(selector, root = document) {
  return Array.from(root.querySelectorAll(selector));
}

/** Offer a file to be saved. */
export function save(name, content, type) {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const url = URL.createObjectURL(blob);
  const link = element("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** Put text into the clipboard, and say on the button whether it worked. */
export async function copy(text, from) {
  const label = from.textContent;
  try {
    await navigator.clipboard.writeText(text);
    from.textContent = "Copied";
  } catch {
    from.textContent = copyOldWay(text) ? "Copied" : "Not allowed";
  }
  setTimeout(() => { from.textContent = label; }, 1500);
}

function copyOldWay(text) {
  const area = element("textarea", { value: text, className: "away" });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

/** Return rows of texts as CSV (RFC 4180, LF ends), as the report's files have it. */
export function csv(rows) {
  const quoted = (field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);
  const line = (row) => (row.length === 1 && row[0] === "" ? '""' : row.map(quoted).join(","));
  return rows.map((row) => line(row) + "\n").join("");
}

/** Return a text that a spreadsheet does not compute. */
export function harmless(text) {
  return /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
}

/** Return a name that every file system takes. */
export function fileName(text) {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 80) || "figure";
}

/** Open whatever folded part an element lies in. */
export function unfold(inner) {
  for (let at = inner.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
}
