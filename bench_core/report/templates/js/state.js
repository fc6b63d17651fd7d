// What the reader chose, in the page's address: #part?key=value&... can be sent to somebody else.

let anchor = "";
let chosen = new URLSearchParams();
const listeners = [];

/** Return the value of a key, or null. */
export function recall(key) {
  return chosen.get(key);
}

/** Keep a value; null or an empty text forgets it. */
export function remember(key, value) {
  if (value === null || value === "") chosen.delete(key);
  else chosen.set(key, String(value));
  write();
}

/** Call a function now and whenever another address is opened. */
export function whenRecalled(apply) {
  listeners.push(apply);
  apply();
}

/** Read the address and go to its part; the parts of the page register after it. */
export function startState() {
  read();
  window.addEventListener("hashchange", () => {
    const plain = !location.hash.includes("?");
    read(plain ? chosen : null);
    if (plain) write();
    else listeners.forEach((apply) => apply());
    show();
  });
}

/** Bring the address's part into view: the browser does not know it where values follow. */
export function show() {
  const part = anchor && document.getElementById(anchor);
  if (part && location.hash.includes("?")) part.scrollIntoView();
}

function read(keep = null) {
  const [first, ...rest] = location.hash.slice(1).split("?");
  try { anchor = decodeURIComponent(first); } catch { anchor = ""; }
  chosen = keep || new URLSearchParams(rest.join("?"));
}

function write() {
  const values = chosen.toString();
  const hash = `#${encodeURIComponent(anchor)}${values ? `?${values}` : ""}`;
  if (hash !== location.hash && (hash !== "#" || location.hash)) history.replaceState(null, "", hash);
}
