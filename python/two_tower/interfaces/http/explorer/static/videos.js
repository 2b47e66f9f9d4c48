// Videos in lists and grids, their pictures, and the shares of a score.

import { call } from "./api.js";
import { h, number, put, signed } from "./dom.js";
import { empty, waiting } from "./notices.js";
import { t } from "./words.js";

let origins = [];

/** Say whose pictures may be loaded: the server's Content-Security-Policy allows no others. */
export const usePictures = (named) => { origins = named ?? []; };

const drawn = (video) => `/thumbnail.svg?${new URLSearchParams({ maker: video.maker ?? "", title: video.title ?? video.video_id ?? "" })}`;

function picture(video) {
  const url = video.thumbnail_url ?? "";
  if (url.startsWith("/thumbnail.svg?")) return url;
  return origins.some((origin) => url.startsWith(`${origin}/`)) ? url : drawn(video);
}

export function thumbnail(video, isLarge = false) {
  const image = h("img", { class: isLarge ? "thumb large" : "thumb", src: picture(video), alt: "", width: 320, height: 180, loading: isLarge ? "eager" : "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => { image.src = drawn(video); }, { once: true });
  return image;
}

export const videoLink = (video, props = {}) =>
  h("a", { href: `#/video/${encodeURIComponent(video.video_id)}`, title: video.title, ...props }, video.title ?? t("untitled"));

export const source = (name) => h("span", { class: `chip ${name}`, title: t(`source.${name}.what`) }, t(`source.${name}`));

/** Return a score and its bar; the bar of the list's best score is full. */
export function score(value, best = 1) {
  return h("span", { class: "score" },
    h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "part", style: { width: `${Math.max(0, Math.min(1, value / best)) * 100}%` } })),
    h("span", { class: "figure" }, number(value, 3)));
}

/** Return how far a video moved: up, down, new, or nothing. */
export function moved(place, before) {
  if (before === undefined) return h("span", { class: "move new" }, t("move.new"));
  const by = before - place;
  if (by === 0) return h("span", { class: "move same" }, h("span", { "aria-hidden": "true" }, "＝"), h("span", { class: "unseen" }, t("move.same")));
  return h("span", { class: by > 0 ? "move up" : "move down" },
    h("span", { "aria-hidden": "true" }, `${by > 0 ? "▲" : "▼"}${Math.abs(by)}`),
    h("span", { class: "unseen" }, t(by > 0 ? "move.up" : "move.down", { n: Math.abs(by) })));
}

/** Return a list of videos, by rank. `actions(video)` are the buttons of a row; `before` maps ids to former ranks. */
export function list(videos, { actions = () => [], before = null, below = () => null } = {}) {
  const best = Math.max(0.001, ...videos.map((video) => video.score));
  return h("ol", { class: "videos" }, videos.map((video) => h("li", { "data-id": video.video_id },
    h("div", { class: "line" },
      h("span", { class: "rank" }, h("span", {}, number(video.rank)), before && moved(video.rank, before.get(video.video_id))),
      thumbnail(video),
      h("div", { class: "what" },
        videoLink(video, { class: "title" }),
        h("div", { class: "facts" }, score(video.score, best), source(video.source))),
      h("div", { class: "actions" }, actions(video))),
    below(video))));
}

/** Let rows that stay glide to their new places; `change` puts the new list in place. */
export function glide(holder, change) {
  const places = () => new Map([...holder.querySelectorAll("li[data-id]")].map((row) => [row.dataset.id, [row, row.getBoundingClientRect().top]]));
  const before = places();
  change();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  for (const [id, [row, top]] of places()) {
    const by = before.has(id) ? before.get(id)[1] - top : null;
    if (by === null) row.animate({ opacity: [0, 1] }, { duration: 350 });
    else if (by) row.animate({ transform: [`translateY(${by}px)`, "none"] }, { duration: 350, easing: "ease-out" });
  }
}

const NAMED = 3;

/** Return the sums of shares by what they are known by, the largest first. */
function kinds(shares) {
  const found = new Map();
  for (const one of shares) {
    const kind = found.get(one.feature) ?? { feature: one.feature, share: 0, parts: [] };
    kind.share += one.share;
    kind.parts.push(one);
    found.set(one.feature, kind);
  }
  return [...found.values()].sort((a, b) => b.share - a.share);
}

/** Return the parts of a kind that say most, by name. */
function names({ parts, share }) {
  const named = parts.filter((one) => one.title ?? one.token).sort((a, b) => (b.share - a.share) * Math.sign(share || 1));
  const shown = named.slice(0, NAMED).map((one, place) => [place ? t("and") : null, one.video_id && one.title ? videoLink(one) : one.token]);
  return shown.length ? h("small", {}, shown, named.length > NAMED ? t("why.rest", { n: number(named.length - NAMED) }) : null) : null;
}

/** Return the shares of a score as bars that begin where the one above ends; the last bar is their sum. */
function waterfall(shares, video) {
  const total = shares.reduce((sum, one) => sum + one.share, 0);
  const rows = kinds(shares);
  let end = 0;
  for (const row of rows) { row.start = end; end += row.share; }
  const low = Math.min(0, ...rows.map((row) => Math.min(row.start, row.start + row.share)));
  const high = Math.max(total, 0.001, ...rows.map((row) => Math.max(row.start, row.start + row.share)));
  const at = (value) => `${((value - low) / (high - low)) * 100}%`;
  const bar = (from, by, kind) => h("span", { class: "track", "aria-hidden": "true" },
    h("span", { class: `part ${kind}`, style: { left: at(Math.min(from, from + by)), width: `max(2px, ${(Math.abs(by) / (high - low)) * 100}%)` } }));
  const line = (row) => h("tr", { role: "row", "data-share": row.share }, h("th", { role: "rowheader", scope: "row" }, featureName(row.feature), names(row)),
    h("td", { role: "cell" }, bar(row.start, row.share, row.share < 0 ? "less" : "more")), h("td", { role: "cell", class: "figure" }, signed(row.share)));
  // The roles are named: on a phone the rows are laid out otherwise, and would lose them.
  return h("table", { class: "why", role: "table" }, h("caption", { class: "unseen" }, t("why.title", { title: video.title ?? "" })),
    h("tbody", { role: "rowgroup" }, rows.map(line)),
    h("tfoot", { role: "rowgroup" }, h("tr", { role: "row", "data-sum": total }, h("th", { role: "rowheader", scope: "row" }, t("why.total")), h("td", { role: "cell" }, bar(0, total, "sum")), h("td", { role: "cell", class: "figure" }, number(total, 3)))));
}

const featureName = (name) => t.has(`feature.${name}`) ? t(`feature.${name}`) : name.replaceAll("_", " ");

/** Return a button that opens the reasons of a video below it. */
export function whyButton(video, userId, holder, signal) {
  const button = h("button", { class: "quiet", "aria-expanded": "false", onclick: async () => {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) { put(holder); return; }
    put(holder, waiting(3));
    try {
      const shares = await call("explain_recommendation", { user_id: userId, video_id: video.video_id }, signal);
      const total = shares.reduce((sum, one) => sum + one.share, 0);
      put(holder, shares.length ? waterfall(shares, video) : empty(t("why.none")),
        shares.length && Math.abs(total - video.score) > 0.005 ? h("p", { class: "note" }, t("why.shaped", { score: number(video.score, 3) })) : null);
    } catch (error) {
      if (!signal.aborted) put(holder, h("p", { class: "note bad", role: "alert" }, error.message));
    }
  } }, t("why"), h("span", { class: "unseen" }, video.title ?? ""));
  return button;
}

/** Return a card of a grid. */
export const card = (video, ...more) => h("li", { class: "card" }, thumbnail(video),
  h("div", { class: "what" }, videoLink(video, { class: "title" }), more));
