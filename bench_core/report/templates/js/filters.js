// Pictures of many kinds, of which a few are shown: the reader chooses by what they are.
import { all, element } from "./base.js";
import { labelled, options } from "./explorer.js";
import { recall, remember, whenRecalled } from "./state.js";

const facetsOf = (node) => JSON.parse(node.dataset.facets || "{}");

/** Give every comparison with filters a row of choices; each offers what the ones before it leave. */
export function startFilters() {
  for (const fieldset of all("fieldset.comparison[data-filters]")) {
    const usual = JSON.parse(fieldset.dataset.filters);
    const names = Object.keys(usual);
    const rows = all(".compared", fieldset).map((node) => ({ node, facets: facetsOf(node),
      views: all(".view", node).map((view) => ({ node: view, facets: facetsOf(view) })) }));
    const kinds = rows.flatMap((row) => row.views.map((view) => ({ ...row.facets, ...view.facets })));
    const chosen = { ...usual };
    const controls = Object.fromEntries(names.map((name) => [name, element("select")]));
    const note = element("p", { className: "hint", textContent: "There is no picture of this kind." });
    fieldset.querySelector(".keys").before(element("div", { className: "viewer-tools" },
      ...names.map((name) => labelled(name[0].toUpperCase() + name.slice(1), controls[name]))));
    fieldset.append(note);

    const matches = (facets, some = names) =>
      some.every((name) => !chosen[name] || !(name in facets) || facets[name] === chosen[name]);

    function apply() {
      names.forEach((name, place) => {
        const before = kinds.filter((facets) => name in facets && matches(facets, names.slice(0, place)));
        const known = [...new Set(before.map((facets) => facets[name]))];
        if (chosen[name] && known.length && !known.includes(chosen[name])) chosen[name] = known[0];
        options(controls[name], [["", "all"], ...known.map((value) => [value, value])], chosen[name]);
        controls[name].parentElement.hidden = known.length < 2;
      });
      let count = 0;
      for (const row of rows) {
        row.node.hidden = !matches(row.facets);
        for (const view of row.views) {
          view.node.hidden = !matches(view.facets);
          if (!row.node.hidden && !view.node.hidden && names.some((name) => name in view.facets)) count += 1;
        }
      }
      note.hidden = count > 0;
    }

    for (const name of names) {
      controls[name].addEventListener("change", () => {
        chosen[name] = controls[name].value;
        apply();
        for (const each of names) {
          const value = chosen[each] === usual[each] ? null : chosen[each] || "all";
          remember(`${fieldset.id}.${each}`, value);
        }
      });
    }
    whenRecalled(() => {
      for (const name of names) {
        const wanted = recall(`${fieldset.id}.${name}`);
        chosen[name] = wanted === null ? usual[name] : wanted === "all" ? "" : wanted;
      }
      apply();
    });
  }
}
