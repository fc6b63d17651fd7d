import { startChoices } from "./choices.js";
import { readExplorer } from "./explorer.js";
import { startFigures } from "./figures.js";
import { startFilters } from "./filters.js";
import { startScatter } from "./scatter.js";
import { show, startState } from "./state.js";
import { startTables } from "./tables.js";
import { startTheme } from "./theme.js";
import { startViewer } from "./viewer.js";

startTheme();
startState();
startChoices();
startTables();
startFigures();
startFilters();
const explorer = readExplorer();
if (explorer) {
  const viewer = startViewer(explorer, explorer.files);
  const place = document.getElementById("explorer");
  place.hidden = false;
  place.querySelector(".open").addEventListener("click", () => viewer.open(0));
  startScatter(place.querySelector(".scatter-place"), explorer, viewer);
}
show();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
