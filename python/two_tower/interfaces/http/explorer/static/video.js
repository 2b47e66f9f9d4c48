// A video: what is like it, who likes it, and where it lies on the map of the catalogue.

import { call, read } from "./api.js";
import { day, debounced, h, number, put, say, turns } from "./dom.js";
import { empty, trouble, waiting } from "./notices.js";
import { t } from "./words.js";
import { list, thumbnail, videoLink } from "./videos.js";

export async function page(holder, { id, me, signal }) {
  const isService = me.tier === "service";
  if (!id) {
    put(holder, h("h1", {}, t("video.title")), h("p", { class: "lead" }, t("video.lead")), isService && search(signal), h("div", { class: "rest" }, waiting()));
    const rest = holder.querySelector(".rest");
    const popular = await call("popular_videos", { limit: 12 }, signal);
    put(rest, h("section", { class: "box" }, h("h2", {}, t("video.popular")),
      popular.length ? h("ul", { class: "grid" }, popular.map((video) => h("li", { class: "card" }, thumbnail(video), h("div", { class: "what" }, videoLink(video, { class: "title" }))))) : empty(t("catalogue.none"), t("catalogue.none.what"))),
    isService && mapBox(null, signal));
    return;
  }
  const near = h("div", { class: "lists" }, waiting());
  const about = h("div", { class: "about-video" }, waiting(2));
  const side = h("aside", { "aria-label": t("video.people") });
  put(holder, isService && search(signal), about, h("div", { class: "columns" },
    h("section", { class: "box wide" }, h("h2", {}, t("video.near")), near), side), h("div", { class: "rest" }));
  let videos, found;
  try {
    [videos, found] = await Promise.all([
      call("similar_videos", { video_id: id, limit: 12 }, signal),
      isService ? read("video", { video_id: id }, signal) : Promise.resolve({ video_id: id }),
    ]);
  } catch (error) {
    if (![404, 422].includes(error.status)) throw error;  // 422: what is no id at all
    put(holder, h("h1", {}, t("video.title")), isService && search(signal), empty(t("video.none"), id));
    return;
  }
  put(about, head(found, isService));
  put(near, videos.length ? list(videos) : empty(t("video.near.none")));
  if (!isService) { side.remove(); return; }
  put(side, likers(found, signal));
  put(holder.querySelector(".rest"), mapBox({ ...found, near: videos }, signal));
}

function search(signal) {
  const found = h("div", { class: "found" });
  const turn = turns();
  const look = debounced(async (text) => {
    const isLatest = turn();
    if (!text) { put(found); return; }
    try {
      const rows = await read("videos", { q: text }, signal);
      if (!isLatest()) return;
      put(found, h("section", { class: "box" }, rows.length ? h("ul", { class: "grid small" }, rows.map((video) => h("li", { class: "card" }, thumbnail(video), h("div", { class: "what" }, videoLink(video, { class: "title" }))))) : empty(t("video.unknown", { text }))));
      say(t("video.found", { n: number(rows.length) }));
    } catch (error) {
      if (!signal.aborted && isLatest()) put(found, trouble(error));
    }
  });
  return [h("form", { class: "search", role: "search", onsubmit: (event) => event.preventDefault() }, h("label", { for: "what" }, t("video.search")),
    h("input", { type: "search", id: "what", autocomplete: "off", placeholder: t("video.search.like"), oninput: (event) => look(event.target.value.trim()) })), found];
}

function head(video, isService) {
  const facts = [["video.maker", video.maker], ["video.label", video.label], ["video.series", video.series], ["video.price", video.price === null || video.price === undefined ? null : number(video.price)],
    ["video.released", video.released_on && day(video.released_on)], ["video.performers", video.performers?.join("、")], ["video.rank", video.popularity_rank && number(video.popularity_rank)]];
  return [isService ? thumbnail(video, true) : null, h("div", { class: "what" }, h("h1", {}, video.title ?? (isService ? t("untitled") : t("video.title"))),
    isService ? null : h("p", { class: "note" }, video.video_id),
    h("dl", { class: "facts-list" }, facts.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, value)))),
    video.tags?.length ? h("ul", { class: "chips" }, video.tags.map((tag) => h("li", {}, h("span", { class: "chip" }, tag)))) : null,
    video.is_hidden ? h("p", { class: "notice" }, t("video.hidden")) : null,
    video.product_url ? h("p", {}, h("a", { href: video.product_url, rel: "noreferrer noopener", target: "_blank" }, t("video.page"))) : null)];
}

function likers(video, signal) {
  const people = h("div", {}, waiting(3));
  read("likers", { video_id: video.video_id }, signal).then((rows) => put(people, rows.length
    ? h("table", { class: "rows" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("person.id")), h("th", { scope: "col", class: "figure" }, t("video.stars")), h("th", { scope: "col", class: "figure" }, t("video.when")))),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, h("a", { href: `#/person/${encodeURIComponent(row.user_id)}` }, row.user_id)),
        h("td", { class: "figure" }, number(row.stars, row.stars % 1 ? 1 : 0)), h("td", { class: "figure" }, day(row.at))))))
    : empty(t("video.people.none"))), (error) => { if (!signal.aborted) put(people, trouble(error)); });
  return h("section", { class: "box" }, h("h2", {}, t("video.people")),
    h("p", { class: "note" }, t("video.people.n", { likes: number(video.like_count ?? 0), reviews: number(video.review_count ?? 0) })), people);
}

function mapBox(video, signal) {
  const holder = h("section", { class: "box" }, h("h2", {}, t("map")), waiting(4));
  import("./map.js").then(({ map }) => map(holder, video, signal)).catch((error) => {
    if (!signal.aborted) put(holder, h("h2", {}, t("map")), trouble(error));
  });
  return holder;
}
