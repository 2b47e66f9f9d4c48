// The filter and the shape of a list: what is chosen acts at once.

import { read } from "./api.js";
import { debounced, h, number } from "./dom.js";
import { t } from "./words.js";

const FRESH = { diversity: 0, rotation: 0, maker: "", tag: "", price_max: "", max_per_maker: "", include_seen: false };

/** Return the arguments of a list by what is chosen. */
export function chosen(state) {
  const filter = {};
  if (state.maker) filter.maker = state.maker;
  if (state.tag) filter.tags_any = [state.tag];
  if (state.price_max !== "") filter.price_max = Number(state.price_max);
  if (state.max_per_maker !== "") filter.max_per_maker = Number(state.max_per_maker);
  return { filter, diversity: state.diversity, rotation: state.rotation, exclude_seen: !state.include_seen };
}

export const fresh = () => ({ ...FRESH });

/** Return the controls; `act` is called once somebody pauses. */
export async function controls(state, act, { hasChoices, isVisitor = false, signal }) {
  const choices = hasChoices ? await read("choices", {}, signal) : { makers: [], tags: [] };
  const soon = debounced(act, 120);
  const set = (name, value) => { state[name] = value; soon(); };
  const slider = (name) => {
    // Not <output>: a label would name that, and not the slider.
    const shown = h("span", { class: "now" }, number(state[name], 2));
    return h("label", { class: "field slide" }, h("span", {}, t(`control.${name}`), shown),
      h("input", { type: "range", min: 0, max: 1, step: 0.05, value: state[name], "data-control": name, "aria-description": t(`control.${name}.what`),
        oninput: (event) => { shown.textContent = number(Number(event.target.value), 2); set(name, Number(event.target.value)); } }));
  };
  const select = (name, options) => h("label", { class: "field" }, h("span", {}, t(`control.${name}`)),
    h("select", { "data-control": name, onchange: (event) => set(name, event.target.value) },
      h("option", { value: "" }, t("control.any")),
      options.map(([value, text]) => h("option", { value, selected: String(state[name]) === String(value) }, text))));
  return h("form", { class: "controls", "aria-label": t("controls"), onsubmit: (event) => event.preventDefault() },
    slider("diversity"), !isVisitor && slider("rotation"),
    hasChoices && [
      select("maker", choices.makers.map((one) => [one.id, one.name])),
      select("tag", choices.tags.map((one) => [one.id, one.name])),
      h("label", { class: "field" }, h("span", {}, t("control.price_max")),
        h("input", { type: "number", min: 0, step: 100, inputmode: "numeric", value: state.price_max, placeholder: t("control.any"), "data-control": "price_max",
          oninput: (event) => set("price_max", event.target.validity.valid ? event.target.value : "") })),
      select("max_per_maker", [1, 2, 3, 5].map((n) => [n, number(n)])),
    ],
    h("label", { class: "check" }, h("input", { type: "checkbox", checked: state.include_seen, "data-control": "include_seen",
      onchange: (event) => set("include_seen", event.target.checked) }), h("span", {}, t(isVisitor ? "control.include_likes" : "control.include_seen"))));
}
