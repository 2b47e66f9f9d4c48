// Health: is all well, how good is what serves, and the SQL behind each figure.

import { read } from "./api.js";
import { barred, lines, table } from "./charts.js";
import { copy, day, h, number, percent, put, say, signed, time } from "./dom.js";
import { empty, trouble, waiting } from "./notices.js";
import { t } from "./words.js";

const col = (name, show) => [name, t(`col.${name}`), show];
const ok = (value) => value ? h("span", { class: "state ok" }, t("passed")) : h("span", { class: "state critical" }, t("failed"));
const known = (key, text) => t.has(key) ? t(key) : text;
const interval = (row) => row.lower === null ? "" : `${number(row.lower, 3)} – ${number(row.upper, 3)}`;
const dayOf = (version) => day(`${version.slice(0, 4)}-${version.slice(4, 6)}-${version.slice(6, 8)}`);
const group = (rows, name) => [...new Set(rows.map((row) => row[name]))];

function overReleases(rows, metric) {
  const mine = rows.filter((row) => row.metric === metric);
  const points = (get) => mine.map(get);
  return lines(mine.map((row) => `#${row.release_id} ${dayOf(row.version)}`), [
    { name: t("model"), kind: "main", points: points((row) => row) },
    { name: t("popularity"), kind: "base", points: points((row) => ({ value: row.popularity })) },
  ], t("chart.releases", { metric }));
}

// What each figure of the server's looks like; its name is that of its .sql file.
const FIGURES = {
  quality: (rows) => [group(rows, "metric").map((metric) => [h("h3", {}, metric), overReleases(rows, metric)]),
    h("details", {}, h("summary", {}, t("as.table")), table([col("release_id"), col("version"), col("metric"), col("value", (v) => number(v, 4)), ["lower", t("col.interval"), (_, row) => interval(row)], col("popularity", (v) => number(v, 4))], rows))],
  slices: (rows) => table([col("slice", (v) => known(`slice.${v}`, v)), col("value", (v, row) => barred(v / Math.max(...rows.map((one) => one.upper ?? one.value)), number(v, 3))), ["lower", t("col.interval"), (_, row) => interval(row)], col("popularity", (v) => number(v, 3)), col("users", (v) => number(v))], rows),
  gates: (rows) => {
    const passed = rows.filter((row) => row.passed);
    const checks = (some) => table([col("check_name"), col("passed", ok), col("value", (v) => number(v, 3)), col("requirement", (v, row) => `${known(`requirement.${v}`, v)} ${number(row.threshold, 3)}`), col("note", (v) => v ?? "")], some);
    return [h("p", { class: "lead" }, t("gates.of", { version: rows[0].version, passed: number(passed.length), n: number(rows.length) })),
      passed.length < rows.length ? checks(rows.filter((row) => !row.passed)) : null,
      passed.length ? h("details", {}, h("summary", {}, t("gates.passed", { n: number(passed.length) })), checks(passed)) : null];
  },
  drift: (rows) => table([col("tower", (v) => known(`tower.${v}`, v)), col("feature", (v) => known(`feature.${v}`, v.replaceAll("_", " "))), col("measure"), col("value", (v, row) => barred(v / row.threshold, number(v, 3))), col("threshold", (v) => number(v, 2)), col("is_exceeded", (v) => v ? h("span", { class: "state warning" }, t("exceeded")) : h("span", { class: "state ok" }, t("within")))], rows),
  index: (rows) => table([col("release_id"), col("version"), col("index_recall", (v) => number(v, 3)), col("is_exact", (v, row) => v ? t("search.exact") : t("search.lists", { probes: number(row.probes), lists: number(row.lists) })), col("video_count", (v) => number(v)), col("user_count", (v) => number(v))], rows),
  fallbacks: (rows) => [lines(rows.map((row) => day(row.day)), [
    { name: t("col.click_through_rate"), kind: "main", points: rows.map((row) => ({ value: row.click_through_rate, lower: row.click_through_rate_lower, upper: row.click_through_rate_upper })) },
    { name: t("col.fallback_share"), kind: "base", points: rows.map((row) => ({ value: row.fallback_share })) }], t("figure.fallbacks")),
  h("details", {}, h("summary", {}, t("as.table")), table([col("day", day), col("list_count", (v) => number(v)), col("click_through_rate", (v) => percent(v, 1)), col("fallback_share", (v) => percent(v, 1)), col("coverage", (v) => percent(v, 1))], rows))],
  events: (rows) => table([col("kind", (v) => known(`kind.${v}`, v)), col("event_count", (v) => number(v)), col("user_count", (v) => number(v)), col("last_at", time)], rows),
  experiments: (rows) => table([col("experiment"), col("variant", (v) => known(`variant.${v}`, v)), col("list_count", (v) => number(v)), col("click_rate", (v) => percent(v, 1)), col("click_difference", (v, row) => v === null ? "–" : `${signed(v)} (${number(row.click_difference_lower, 3)} – ${number(row.click_difference_upper, 3)})`), col("like_rate", (v) => percent(v, 1))], rows),
  rejected: (rows) => table([col("reason"), col("row_count", (v) => number(v)), col("share", (v) => percent(v, 2)), col("first_file"), col("first_line", (v) => number(v))], rows),
  runs: (rows) => table([col("started_at", time), col("steps"), col("state", (v) => h("span", { class: `state ${v === "done" ? "ok" : v === "running" ? "" : "critical"}` }, known(`run.${v}`, v))), col("minutes", (v) => v === null ? "–" : number(v, 1)), col("version", (v) => v ?? "–"), col("message", (v) => v ?? "")], rows),
};

function figure(name, signal) {
  const body = h("div", {}, waiting(2));
  const tools = h("div", {});
  read(`figures/${name}`, {}, signal).then(({ rows, sql }) => {
    put(tools, sqlTools(name, sql));
    put(body, rows === null ? empty(t("figure.unbuilt"), t("figure.unbuilt.what")) : rows.length ? FIGURES[name](rows) : empty(t(`figure.${name}.none`)));
  }, (error) => { if (!signal.aborted) put(body, trouble(error)); });
  return h("section", { class: "box", id: `figure-${name}`, "data-figure": name }, h("div", { class: "row between" }, h("h2", {}, t(`figure.${name}`)), tools),
    h("p", { class: "note" }, t(`figure.${name}.what`)), body);
}

function sqlTools(name, sql) {
  const button = h("button", { class: "quiet", onclick: async () => {
    const text = await copy(sql) ? t("copied") : t("copy.select");
    button.textContent = text;
    say(text);
    setTimeout(() => { button.textContent = t("copy.sql"); }, 2000);
  } }, t("copy.sql"));
  return h("details", { class: "sql" }, h("summary", {}, "SQL", h("span", { class: "unseen" }, t(`figure.${name}`))), h("div", {}, button, h("pre", { tabindex: 0 }, h("code", {}, sql))));
}

const daysSince = (text) => number((Date.now() - Date.parse(`${text}Z`)) / 86400000, 1);

/** Return what a check found, in the page's language; what is not known here as the server says it. */
function said({ check, state, message }, facts) {
  const run = (steps) => {
    const found = facts.runs.find((one) => one.steps === steps);
    const newest = found && found.state !== "done" ? t("said.run.newest", { state: known(`run.${found.state}`, found.state), message: found.message ?? "" }) : "";
    return (found?.done_at ? t("said.run", { days: daysSince(found.done_at) }) : t("said.run.none")) + newest;
  };
  return {
    answer: () => t(state === "ok" ? "said.answer.ok" : "said.answer.critical"),
    release: () => facts.released_at ? t("said.release", { version: facts.serving_version, days: daysSince(facts.released_at) }) : t("said.release.none"),
    run: () => run("load to release"),
    daily: () => run("load to refresh"),
    rejected: () => t("said.rejected", { share: percent(facts.rejected_share, 2) }),
    index: () => t("said.index", { recall: number(facts.index_recall, 3) }),
    latest: () => t("said.latest", { version: facts.latest_version ?? "–" }),
    drift: () => t("said.drift", { n: number(facts.drifted) }),
  }[check]?.() ?? message;
}

export async function page(holder, { signal }) {
  const verdict = h("div", {}, waiting(1));
  put(holder, h("h1", {}, t("health.title")), verdict, h("div", { class: "figures-grid" }, Object.keys(FIGURES).map((name) => figure(name, signal))));
  const { state, checks, facts } = await read("health", {}, signal);
  put(verdict, h("section", { class: `verdict ${state}` }, h("h2", {}, t(`health.${state}`)),
    h("ul", {}, checks.map((check) => h("li", {}, h("span", { class: `state ${check.state}` }, t(`state.${check.state}`)), h("strong", {}, known(`check.${check.check}`, check.check)), h("span", {}, said(check, facts)))))));
}
