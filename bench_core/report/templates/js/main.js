import { startChoices } from "./choices.js";
import { startFigures } from "./figures.js";
import { show, startState } from "./state.js";
import { startTables } from "./tables.js";
import { startTheme } from "./theme.js";

startTheme();
startState();
startChoices();
startTables();
startFigures();
show();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
