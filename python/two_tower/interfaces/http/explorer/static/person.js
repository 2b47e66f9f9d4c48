// A person: what they watched, what they are recommended, why, and what a like or another release changes.

import { call, read, send } from "./api.js";
import { chosen, controls, fresh } from "./controls.js";
import { day, debounced, h, number, percent, put, say, turns } from "./dom.js";
import { empty, trouble, waiting } from "./notices.js";
import { t } from "./words.js";
import { card, glide, list, moved, source, thumbnail, videoLink, whyButton } from "./videos.js";

const LIMIT = 20;
const HISTORY = 12;

const listOf = (id, state, signal) => call("recommend_videos", { user_id: id, limit: LIMIT, ...chosen(state) }, signal);

// The list of the address that the page was opened at, where it was asked for before the page is there.
let begun = null;

/** Ask for somebody's list while it is still found who asks. */
export function ahead(id) {
  begun = { id, list: listOf(id, fresh()) };
  begun.list.catch(() => {});  // whoever takes it is told
}

function taken(id) {
  const found = begun?.id === id ? begun.list : null;
  begun = null;
  return found;
}

export async function page(holder, { id, me, signal }) {
  if (me.tier === "user") return person(holder, { id: null, me, signal });
  put(holder, id ? null : [h("h1", {}, t("person.title")), h("p", { class: "lead" }, t("person.lead"))], search(id, signal));
  const rest = h("div", {});
  holder.append(rest);
  if (id) return person(rest, { id, me, signal });
  put(rest, waiting());
  put(rest, people(await read("people", {}, signal), t("person.active")));
}

function search(id, signal) {
  const found = h("div", { class: "found" });
  const turn = turns();
  const look = debounced(async (text) => {
    const isLatest = turn();
    if (!text) { put(found); return; }
    try {
      const rows = await read("people", { q: text }, signal);
      if (!isLatest()) return;
      put(found, rows.length ? people(rows, t("person.found", { n: number(rows.length) })) : empty(t("person.unknown", { id: text }), t("person.unknown.what")));
      say(t("person.found", { n: number(rows.length) }));
    } catch (error) {
      if (!signal.aborted && isLatest()) put(found, trouble(error));
    }
  });
  const field = h("input", { type: "search", id: "who", name: "who", value: id ?? "", placeholder: "r00000000", autocomplete: "off", autocapitalize: "off", spellcheck: "false", enterkeyhint: "search",
    oninput: (event) => look(event.target.value.trim()) });
  return [h("form", { class: "search", role: "search", onsubmit: (event) => {
    event.preventDefault();
    if (field.value.trim()) location.hash = `#/person/${encodeURIComponent(field.value.trim())}`;
  } }, h("label", { for: "who" }, t("person.search")), h("div", { class: "row" }, field, h("button", { class: "main" }, t("person.show")))), found];
}

const people = (rows, title) => rows.length === 0 ? empty(t("person.nobody"), t("person.nobody.what")) : h("section", { class: "box" }, h("h2", {}, title),
  h("table", { class: "rows" }, h("thead", {}, h("tr", {}, ["person.id", "person.reviews", "person.likes", "person.last"].map((name, place) =>
    h("th", { scope: "col", class: place ? "figure" : null }, t(name))))),
  h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: `#/person/${encodeURIComponent(row.user_id)}` }, row.user_id)),
    h("td", { class: "figure" }, number(row.review_count)), h("td", { class: "figure" }, number(row.like_count)), h("td", { class: "figure" }, day(row.last_reviewed_at)))))));

async function person(holder, { id, me, signal }) {
  const state = fresh();
  const shown = { before: null, isCompared: false };
  const turn = turns();
  const lists = h("div", { class: "lists", "aria-busy": "true" }, waiting());
  const about = h("div", { class: "about" });
  const side = h("aside", { "aria-label": t("person.history") });
  const recommend = () => (id === null
    ? call("recommend_for_me", { limit: LIMIT, ...chosen(state) }, signal)
    : taken(id) ?? listOf(id, state, signal));

  async function draw() {
    const isLatest = turn();
    lists.setAttribute("aria-busy", "true");
    try {
      if (shown.isCompared) {
        const sides = await compared({ user_id: id, limit: LIMIT, ...chosen(state) }, signal);
        if (!isLatest()) return;  // somebody has chosen otherwise meanwhile
        put(lists, ...sides);
      } else {
        const videos = await recommend();
        if (!isLatest()) return;
        const places = new Map(videos.map((video) => [video.video_id, video.rank]));
        const holders = new Map(videos.map((video) => [video.video_id, h("div", { class: "below" })]));
        glide(lists, () => put(lists, videos.length ? list(videos, {
          before: shown.before,
          below: (video) => holders.get(video.video_id),
          actions: (video) => [likeButton(video), whyButton(video, id, holders.get(video.video_id), signal)],
        }) : empty(t("list.empty"), t("list.empty.what"))));
        if (shown.before) say(t("list.changed", { n: videos.filter((video) => shown.before.get(video.video_id) !== video.rank).length }));
        shown.before = places;
      }
    } catch (error) {
      if (signal.aborted || !isLatest()) return;
      put(lists, trouble(error));
    }
    lists.setAttribute("aria-busy", "false");
  }

  function likeButton(video) {
    const button = h("button", { class: "like", onclick: async () => {
      button.disabled = true;
      try {
        await call("record_event", { video_id: video.video_id, kind: "like", ...(id === null ? {} : { user_id: id }) }, signal);
        say(t("like.done", { title: video.title ?? "" }));
        await Promise.all([draw(), past()]);
      } catch (error) {
        button.disabled = false;
        if (!signal.aborted) lists.prepend(trouble(error));
      }
    } }, h("span", { "aria-hidden": "true" }, "♥"), h("span", {}, t("like")), h("span", { class: "unseen" }, video.title ?? ""));
    return button;
  }

  async function past() {
    if (id === null) return;
    const found = await read("person", { user_id: id }, signal);
    put(about, facts(found));
    put(side, history(found.history, found.history_count), neighbours(id, signal));
  }

  const tabs = id !== null && me.previous ? h("div", { class: "tabs", role: "group", "aria-label": t("person.lists") },
    [false, true].map((isCompared) => h("button", { "aria-pressed": String(isCompared === shown.isCompared), onclick: (event) => {
      shown.isCompared = isCompared;
      shown.before = null;
      for (const other of event.target.parentElement.children) other.setAttribute("aria-pressed", String(other === event.target));
      draw();
    } }, t(isCompared ? "person.two" : "person.one")))) : null;
  const first = draw();  // before the rest: it is what the page is for
  put(holder, h("div", { class: "title" }, h("h1", {}, id ?? t("person.me")), about), h("div", { class: "columns" },
    h("section", { class: "box wide" }, h("div", { class: "row between" }, h("h2", {}, t("person.recommended")), tabs),
      h("div", { class: "holds-controls" }), h("p", { class: "note" }, t("like.real")), lists), id === null ? null : side));
  const [built] = await Promise.all([controls(state, draw, { hasChoices: me.tier === "service", signal }), first, past()]);
  put(holder.querySelector(".holds-controls"), built);
}

const facts = (found) => [h("dl", { class: "figures" },
  [["person.reviews", number(found.review_count)], ["person.likes", number(found.like_count)], ["person.last", day(found.last_reviewed_at)]]
    .map(([name, value]) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, value)))),
found.has_vector ? null : h("p", { class: "note" }, t("person.new")),
found.variant ? h("p", { class: "note" }, t("person.variant", found.variant)) : null];

function history(rows, count) {
  const shown = h("ul", { class: "grid small" });
  const show = (first) => put(shown, rows.slice(0, first).map((row) => card(row, h("p", { class: "facts" }, opinion(row), h("span", { class: "when" }, day(row.at))))));
  show(HISTORY);
  const more = rows.length > HISTORY && h("button", { class: "quiet", onclick: () => { show(rows.length); more.remove(); } }, t("more", { n: number(rows.length - HISTORY) }));
  const cut = count > rows.length && h("p", { class: "note" }, t("person.history.cut", { n: number(rows.length), of: number(count) }));
  return h("section", { class: "box" }, h("h2", {}, t("person.history")), cut, rows.length ? [shown, more] : empty(t("person.history.none"), t("person.history.none.what")));
}

function opinion(row) {
  if (row.kind !== "review") return h("span", { class: `chip event ${row.kind}` }, t(`kind.${row.kind}`));
  const stars = Math.round(row.stars * 2) / 2;
  return h("span", { class: row.is_liked ? "stars liked" : "stars" }, h("span", { "aria-hidden": "true" }, `${row.is_liked ? "♥ " : ""}★ ${number(stars, stars % 1 ? 1 : 0)}`),
    h("span", { class: "unseen" }, t(row.is_liked ? "stars.liked" : "stars", { n: number(stars, stars % 1 ? 1 : 0) })));
}

function neighbours(id, signal) {
  const shown = h("div", {}, waiting(2));
  call("similar_users", { user_id: id, limit: 8 }, signal).then((rows) => put(shown, rows.length
    ? h("ul", { class: "chips" }, rows.map((row) => h("li", {}, h("a", { class: "chip", href: `#/person/${encodeURIComponent(row.user_id)}` }, row.user_id, " ", h("small", {}, number(row.score, 2))))))
    : empty(t("person.similar.none"))), (error) => { if (!signal.aborted) put(shown, trouble(error)); });
  return h("section", { class: "box" }, h("h2", {}, t("person.similar")), shown);
}

/** Two releases side by side, and how far each video moved from the former one. */
async function compared(args, signal) {
  const { serving, previous } = await send("two_lists", args, signal);
  const places = (videos) => new Map(videos.map((video) => [video.video_id, video.rank]));
  const [now, before] = [places(serving.videos), places(previous.videos)];
  const both = serving.videos.filter((video) => before.has(video.video_id)).length;
  const row = (video, mark) => h("li", { "data-id": video.video_id }, h("span", { class: "rank" }, h("span", {}, number(video.rank)), mark), thumbnail(video),
    h("div", { class: "what" }, videoLink(video, { class: "title" }), h("div", { class: "facts" }, h("span", { class: "figure" }, number(video.score, 3)), source(video.source))));
  const side = (name, release, videos, mark) => h("section", { class: "side" }, h("h3", {}, t(name), h("small", {}, release.version)), h("ol", { class: "videos compact" }, videos.map((video) => row(video, mark(video)))));
  return [h("p", { class: "lead" }, t("two.both", { n: number(both), of: number(serving.videos.length), share: percent(serving.videos.length ? both / serving.videos.length : 0) })),
    h("div", { class: "two" },
      side("two.previous", previous, previous.videos, (video) => now.has(video.video_id) ? null : h("span", { class: "move gone" }, t("move.gone"))),
      side("two.serving", serving, serving.videos, (video) => moved(video.rank, before.get(video.video_id))))];
}
