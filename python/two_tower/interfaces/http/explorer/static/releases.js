// Releases: what serves, what served before, what differs, and the way back.

import { read, send } from "./api.js";
import { table } from "./charts.js";
import { copy, h, number, percent, put, say, time } from "./dom.js";
import { empty, trouble, waiting } from "./notices.js";
import { t } from "./words.js";

const SHOWN = ["ndcg@10", "recall@20"];

export async function page(holder, context) {
  const { signal } = context;
  const rest = h("div", {}, waiting());
  put(holder, h("h1", {}, t("releases.title")), rest);
  const found = await read("releases", {}, signal);
  if (!found.versions.length) {
    put(rest, empty(t("releases.none"), t("releases.none.what")));
    return;
  }
  const serving = found.versions.find((row) => row.state === "serving");
  const previous = found.versions.find((row) => row.state === "previous");
  put(rest, now(serving, previous, found, context), versions(found), history(found.history), compare(found, signal), serving && previous && changes(signal));
}

function now(serving, previous, found, context) {
  if (!serving) return h("section", { class: "box" }, empty(t("releases.unserved")));
  return h("section", { class: "box serving" }, h("div", {}, h("h2", {}, t("releases.serving")), h("p", { class: "h1" }, serving.version),
    h("p", { class: "note" }, t("releases.since", { at: time(serving.released_at) }))),
  previous && found.can_roll_back ? h("div", { class: "back" }, h("p", { class: "note" }, t("releases.before", { version: previous.version })),
    h("button", { class: "danger", onclick: () => confirm(serving, previous, context) }, t("rollback"))) : h("p", { class: "note" }, t(previous ? "rollback.once" : "rollback.none")));
}

/** Ask once, and say what will happen. */
function confirm(serving, previous, { signal }) {
  const told = h("div", {});
  const yes = h("button", { class: "danger", type: "button", onclick: async () => {
    yes.disabled = true;
    put(told, h("p", { class: "note", role: "status" }, t("rollback.runs")));
    try {
      const done = await send("rollback", { serving_version: serving.version }, signal);
      say(t("rollback.done", { version: done.version_to }));
      dialog.close();
      location.reload();
    } catch (error) {
      yes.disabled = false;
      put(told, trouble(error));
    }
  } }, t("rollback.yes"));
  const dialog = h("dialog", { "aria-labelledby": "back-title", onclose: () => dialog.remove() }, h("h2", { id: "back-title" }, t("rollback.ask")),
    h("p", {}, t("rollback.what", { from: serving.version, to: previous.version })), told,
    h("div", { class: "row end" }, h("button", { class: "quiet", type: "button", onclick: () => dialog.close() }, t("cancel")), yes));
  document.body.append(dialog);
  dialog.showModal();
}

const state = (name) => h("span", { class: `state ${{ serving: "ok", refused: "critical" }[name] ?? ""}` }, t(`release.${name}`));

function versions({ versions: rows }) {
  const columns = [["version", t("col.version"), (v, row) => [v, row.is_latest ? h("small", {}, " ", t("releases.latest")) : null]], ["state", t("col.state"), state], ["released_at", t("col.released_at"), time],
    ...SHOWN.map((name) => [name, name, (v) => number(v, 4)]), rows.some((row) => row.failed_checks.length || row.note) && ["note", t("col.note"), (_, row) => [...row.failed_checks, row.note].filter(Boolean).join(", ")]].filter(Boolean);
  return h("section", { class: "box" }, h("h2", {}, t("releases.versions")), table(columns, rows.map((row) => ({ ...row, ...row.metrics }))),
    h("p", { class: "note" }, t("releases.older"), " ", command("two-tower rollback VERSION")));
}

function command(text) {
  const button = h("button", { class: "quiet", onclick: async () => { const isDone = await copy(text); button.textContent = isDone ? t("copied") : t("copy.select"); say(button.textContent); } }, t("copy"));
  return h("span", { class: "command" }, h("code", {}, text), button);
}

const history = (rows) => h("section", { class: "box" }, h("h2", {}, t("releases.history")), table([["release_id", "#", (v) => number(v)], ["version", t("col.version")], ["released_at", t("col.released_at"), time],
  ["is_rollback", t("col.how"), (v) => t(v ? "releases.rollback" : "releases.release")], ["index_recall", t("col.index_recall"), (v) => number(v, 3)], ["video_count", t("col.video_count"), (v) => number(v)]], rows));

/** Two versions beside each other, metric by metric, each with its interval. */
function compare({ versions: rows, metrics }, signal) {
  const measured = rows.filter((row) => metrics.some((one) => one.version === row.version)).map((row) => row.version);
  if (measured.length < 2) return null;
  const picked = measured.slice(0, 2);
  const shown = h("div", {});
  const of = (version, metric) => metrics.find((one) => one.version === version && one.metric === metric);
  const cell = (one) => one ? [number(one.value, 4), one.lower === null ? null : h("small", {}, ` ${number(one.lower, 4)} – ${number(one.upper, 4)}`)] : "–";
  const draw = () => {
    const names = [...new Set(metrics.filter((one) => picked.includes(one.version)).map((one) => one.metric))];
    put(shown, table([["metric", t("col.metric")], ["a", picked[0], cell], ["b", picked[1], cell]], names.map((metric) => ({ metric, a: of(picked[0], metric), b: of(picked[1], metric) }))));
  };
  const pick = (place) => h("label", { class: "field" }, h("span", {}, t(place ? "compare.with" : "compare.this")), h("select", { onchange: (event) => { picked[place] = event.target.value; draw(); } },
    measured.map((version) => h("option", { value: version, selected: version === picked[place] }, version))));
  draw();
  return h("section", { class: "box" }, h("h2", {}, t("compare")), h("p", { class: "note" }, t("compare.what")), h("div", { class: "controls wide" }, pick(0), pick(1)), shown);
}

function changes(signal) {
  const body = h("div", {}, waiting(1));
  read("changes", {}, signal).then((found) => put(body, found.users ? h("dl", { class: "figures" },
    [["changes.users", number(found.users)], ["changes.same", percent(found.same_share)], ["changes.first", percent(found.same_first)]].map(([name, value]) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, value)))) : empty(t("changes.none"))),
  (error) => { if (!signal.aborted) put(body, trouble(error)); });
  return h("section", { class: "box" }, h("h2", {}, t("changes")), h("p", { class: "note" }, t("changes.what")), body);
}
