// What stands in place of content: an error, nothing yet, wait.

import { h } from "./dom.js";
import { t } from "./words.js";

const KNOWN = { 0: "away", 401: "key", 403: "forbidden", 429: "busy", 503: "unready", 504: "slow" };

/** Return what a person is told of an error. */
export function trouble(error) {
  const known = KNOWN[error.status];
  return h("div", { class: "notice bad", role: "alert" },
    h("strong", {}, t(known ? `error.${known}` : "error.any")),
    error.status ? h("p", {}, error.message) : null,
    error.hint ? h("p", {}, error.hint) : null,
    error.status === 401 && h("button", { class: "main", onclick: () => dispatchEvent(new Event("ask-key")) }, t("key.enter")));
}

export const empty = (title, text) => h("div", { class: "empty" }, h("p", {}, h("strong", {}, title)), text ? h("p", {}, text) : null);

export function waiting(rows = 6) {
  return h("div", { class: "waiting", "aria-hidden": "true" }, Array.from({ length: rows }, () => h("div", {})));
}
