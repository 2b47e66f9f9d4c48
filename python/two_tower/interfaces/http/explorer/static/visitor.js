// A visitor whom nobody knows: a few likes, and the list that follows. Nothing is stored.

import { call } from "./api.js";
import { h, number, put, say, turns } from "./dom.js";
import { chosen, controls, fresh } from "./controls.js";
import { empty, trouble, waiting } from "./notices.js";
import { t } from "./words.js";
import { glide, list, thumbnail } from "./videos.js";

const SHELVES = ["popular_videos", "trending_videos", "new_videos"];

export async function page(holder, { me, signal }) {
  const liked = new Map();
  const state = fresh();
  let before = null;
  const [listTurn, shelfTurn] = [turns(), turns()];
  let shelf = SHELVES[0];
  const grid = h("ul", { class: "grid pick-grid" });
  const answer = h("div", { class: "lists" }, empty(t("visitor.none"), t("visitor.none.what")));
  const below = h("button", { class: "main to-list", hidden: true, onclick: () => answer.closest("section").scrollIntoView({ behavior: "smooth" }) });
  const count = h("div", { class: "row note" });

  async function ask() {
    const isLatest = listTurn();
    below.hidden = !liked.size;
    below.textContent = t("visitor.below", { n: number(liked.size) });
    put(count, liked.size ? [h("span", {}, t("visitor.count", { n: number(liked.size) })), h("button", { class: "quiet", onclick: clear }, t("visitor.clear"))] : null);
    if (!liked.size) {
      before = null;
      put(answer, empty(t("visitor.none"), t("visitor.none.what")));
      return;
    }
    try {
      const { rotation: _, ...args } = chosen(state);
      const videos = await call("recommend_for_likes", { video_ids: [...liked.keys()], limit: 12, ...args }, signal);
      if (!isLatest()) return;  // something else has been picked meanwhile
      const places = new Map(videos.map((video) => [video.video_id, video.rank]));
      glide(answer, () => put(answer, list(videos, { before })));
      say(t("visitor.changed", { n: number(videos.length) }));
      before = places;
    } catch (error) {
      if (!signal.aborted && isLatest()) put(answer, trouble(error));
    }
  }

  function clear() {
    liked.clear();
    for (const one of grid.querySelectorAll("[aria-pressed=true]")) one.setAttribute("aria-pressed", "false");
    ask();
  }

  const tile = (video) => h("li", { class: "card" }, h("button", { class: "tile", "aria-pressed": String(liked.has(video.video_id)), onclick: (event) => {
    const isLiked = !liked.delete(video.video_id);
    if (isLiked) liked.set(video.video_id, video);
    event.currentTarget.setAttribute("aria-pressed", String(isLiked));
    ask();
  } }, thumbnail(video), h("span", { class: "heart", "aria-hidden": "true" }, "♥"), h("span", { class: "title" }, video.title ?? t("untitled"))));

  async function stock() {
    const isLatest = shelfTurn();
    put(grid, waiting(3));
    try {
      const videos = await call(shelf, { limit: 24 }, signal);
      if (!isLatest()) return;
      put(grid, videos.length ? videos.map(tile) : h("li", {}, empty(t("catalogue.none"), t("catalogue.none.what"))));
    } catch (error) {
      if (!signal.aborted && isLatest()) put(grid, h("li", {}, trouble(error)));
    }
  }

  const shelves = h("div", { class: "tabs", role: "group", "aria-label": t("visitor.shelves") }, SHELVES.map((name) => h("button", { "aria-pressed": String(name === shelf), onclick: (event) => {
    shelf = name;
    for (const other of event.target.parentElement.children) other.setAttribute("aria-pressed", String(other === event.target));
    stock();
  } }, t(`shelf.${name}`))));
  const holds = h("div", { class: "holds-controls" });
  put(holder, h("h1", {}, t("visitor.title")), h("p", { class: "lead" }, t("visitor.lead")),
    h("div", { class: "columns even" },
      h("section", { class: "box" }, h("div", { class: "row between" }, h("h2", {}, t("visitor.likes")), shelves), grid, below),
      h("section", { class: "box sticky" }, h("h2", {}, t("visitor.list")), count, holds, answer)));
  const [built] = await Promise.all([controls(state, ask, { hasChoices: me.tier === "service", isVisitor: true, signal }), stock()]);
  put(holds, built);
}
