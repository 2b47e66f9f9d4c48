// Figures as pictures: SVG, drawn from a table that stays readable beside it.

import { h, number, s } from "./dom.js";

const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [210, 52, 14, 12, 30];
// A phone's is drawn narrower, not smaller: its text would be too small to read.
const width = () => matchMedia("(max-width: 40rem)").matches ? 340 : 560;

/** Return a step of 1, 2 or 5 that divides a span into about n parts. */
function step(span, n) {
  const raw = span / n;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].find((one) => one * power >= raw) * power;
}

/**
 * Return lines over the same places.
 * @param {string[]} names of the places, from left to right
 * @param {{name: string, kind: string, points: ({value: number, lower: ?number, upper: ?number} | null)[]}[]} lines
 */
export function lines(names, series, label) {
  const WIDTH = width();
  const labels = Math.floor(WIDTH / 100);
  const all = series.flatMap((one) => one.points).filter((point) => point && point.value !== null);
  if (!all.length) return null;
  const tops = all.map((point) => point.upper ?? point.value);
  const lows = all.map((point) => point.lower ?? point.value);
  const by = step(Math.max(Math.max(...tops) - Math.min(0, ...lows), 1e-6), 4);
  const low = Math.floor(Math.min(0, ...lows) / by) * by;
  const high = Math.ceil(Math.max(...tops) / by) * by || by;
  const digits = Math.max(0, Math.min(4, -Math.floor(Math.log10(by))));
  const x = (place) => names.length === 1 ? (LEFT + WIDTH - RIGHT) / 2 : LEFT + 26 + (place / (names.length - 1)) * (WIDTH - LEFT - RIGHT - 52);
  const y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const grid = [];
  for (let value = low; value <= high + by / 2; value += by) grid.push(s("line", { class: "grid-line", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }), s("text", { class: "tick", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, number(value, digits)));
  const shown = Math.ceil(names.length / labels);
  const below = names.map((name, place) => place % shown ? null : s("text", { class: "tick", x: x(place), y: HEIGHT - 8, "text-anchor": "middle" }, name));
  const drawn = series.map(({ kind, points }) => s("g", { class: `series ${kind}` },
    s("polyline", { points: points.map((point, place) => point && point.value !== null ? `${x(place)},${y(point.value)}` : null).filter(Boolean).join(" ") }),
    points.map((point, place) => !point || point.value === null ? null : [
      point.lower !== null && point.lower !== undefined ? s("path", { class: "whisker", d: `M${x(place)} ${y(point.lower)}V${y(point.upper)}M${x(place) - 5} ${y(point.lower)}h10M${x(place) - 5} ${y(point.upper)}h10` }) : null,
      s("circle", { cx: x(place), cy: y(point.value), r: 4 }, s("title", {}, number(point.value, 4)))])));
  return h("figure", { class: "chart" },
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, grid, below, drawn),
    h("figcaption", {}, series.map(({ name, kind }) => h("span", { class: `key ${kind}` }, name))));
}

/** Return a table. A column is [name, title, show]; numbers stand right. */
export function table(columns, rows) {
  const isFigure = (name) => rows.some((row) => typeof row[name] === "number");
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": columns.map(([, title]) => title).join(", ") }, h("table", { class: "rows" },
    h("thead", {}, h("tr", {}, columns.map(([name, title]) => h("th", { scope: "col", class: isFigure(name) ? "figure" : null }, title)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, columns.map(([name, , show]) => h("td", { class: isFigure(name) ? "figure" : null }, show ? show(row[name], row) : row[name] ?? "–")))))));
}

/** Return a value with a bar of its share. */
export const barred = (share, text) => h("span", { class: "score" }, h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "part", style: { width: `${Math.max(0, Math.min(1, share)) * 100}%` } })), h("span", { class: "figure" }, text));
