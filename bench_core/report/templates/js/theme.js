// Light, dark, or as the system has it.

const THEMES = ["system", "light", "dark"];

export function startTheme() {
  const root = document.documentElement;
  const toggle = document.getElementById("theme");
  let current = "system";
  function show(theme) {
    current = theme;
    if (theme === "system") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
    toggle.textContent = `Theme: ${theme}`;
    try { localStorage.setItem("segtrial-theme", theme); } catch { /* private windows keep nothing */ }
  }
  function remembered() {
    try { return localStorage.getItem("segtrial-theme"); } catch { return null; }
  }
  toggle.hidden = false;
  toggle.addEventListener("click", () => show(THEMES[(THEMES.indexOf(current) + 1) % THEMES.length]));
  const start = new URLSearchParams(location.search).get("theme") || remembered();
  if (THEMES.indexOf(start) > 0) show(start);
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((item) => { item.open = true; });
  });
}
