(function () {
  "use strict";
  var root = document.documentElement;
  var button = document.getElementById("theme");
  var themes = ["system", "light", "dark"];
  var current = "system";
  function remembered() {
    try { return localStorage.getItem("segtrial-theme"); } catch (error) { return null; }
  }
  function show(theme) {
    current = theme;
    if (theme === "system") { root.removeAttribute("data-theme"); } else { root.setAttribute("data-theme", theme); }
    button.textContent = "Theme: " + theme;
    try { localStorage.setItem("segtrial-theme", theme); } catch (error) { /* private windows keep nothing */ }
  }
  button.hidden = false;
  button.addEventListener("click", function () { show(themes[(themes.indexOf(current) + 1) % themes.length]); });
  var asked = new URLSearchParams(location.search).get("theme");
  var start = asked || remembered();
  if (themes.indexOf(start) > 0) { show(start); }
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (item) { item.open = true; });
  });
})();
