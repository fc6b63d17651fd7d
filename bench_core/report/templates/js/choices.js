// Choices that work without a script: here they only get into the address.
import { all } from "./base.js";
import { recall, remember, whenRecalled } from "./state.js";

export function startChoices() {
  for (const input of all("fieldset > input[type=radio], fieldset > input[type=checkbox]")) {
    const key = input.type === "radio" ? input.name : input.id;
    const value = input.type === "radio" ? input.id.slice(input.name.length + 1) : "1";
    input.addEventListener("change", () => {
      if (input.checked) remember(key, input.defaultChecked ? null : value);
      else if (input.type === "checkbox") remember(key, null);
    });
    whenRecalled(() => {
      const wanted = recall(key);
      input.checked = wanted === null ? input.defaultChecked : wanted === value;
    });
  }
}
