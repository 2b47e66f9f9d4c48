// The frame around the pages: where one is, the language, light or dark, who asks.

import { Problem, key, read, setKey } from "./api.js";
import { h, put, say, setLocale } from "./dom.js";
import { language, setLanguage, t } from "./words.js";
import { trouble } from "./notices.js";
import { usePictures } from "./videos.js";

const PAGES = {
  person: { tiers: ["user", "service"], load: () => import("./person.js") },
  visitor: { tiers: ["visitor", "user", "service"], load: () => import("./visitor.js") },
  video: { tiers: ["visitor", "user", "service"], load: () => import("./video.js") },
  health: { tiers: ["service"], load: () => import("./health.js") },
  releases: { tiers: ["service"], load: () => import("./releases.js") },
};
const THEMES = ["auto", "light", "dark"];

const main = document.getElementById("main");
let me = { tier: "visitor" };
let shown = new AbortController();

const open = () => Object.keys(PAGES).filter((name) => PAGES[name].tiers.includes(me.tier));

/** Return the page and the id that the address names. */
function asked() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  return [name, decoded(rest.join("/"))];
}

function place() {
  const [name, id] = asked();
  if (open().includes(name)) return { name, id };
  // The address of a page that needs a key stays, for when there is one; any other is no page's.
  if (name && !(name in PAGES)) history.replaceState(null, "", `#/${open()[0]}`);
  return { name: open()[0], id: "" };
}

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

function theme() {
  return THEMES.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "auto";
}

function dress() {
  const name = theme();
  if (name === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = name;
}

function top() {
  const { name } = place();
  const links = open().map((page) =>
    h("a", { href: `#/${page}`, "aria-current": page === name ? "page" : null }, t(`page.${page}`)));
  const choose = (label, chosen, choices, onchange) => h("label", { class: "pick" }, h("span", { class: "unseen" }, label),
    h("select", { onchange: (event) => onchange(event.target.value) },
      Object.entries(choices).map(([value, text]) => h("option", { value, selected: value === chosen }, text))));
  put(document.getElementById("top"), h("div", { class: "bar" },
    h("a", { class: "brand", href: "#/", "aria-label": t("home") }, h("img", { src: "/explorer/static/icon.svg", alt: "", width: 26, height: 26 }), h("span", {}, "two-tower")),
    h("nav", { "aria-label": t("pages") }, links),
    h("div", { class: "tools" },
      choose(t("language"), language(), { ja: "日本語", en: "English" }, (value) => { setLanguage(value); start(); }),
      choose(t("theme"), theme(), Object.fromEntries(THEMES.map((one) => [one, t(`theme.${one}`)])),
        (value) => { localStorage.setItem("theme", value); dress(); }),
      me.needs_key && h("button", { class: "quiet", onclick: askKey }, key() ? t(`tier.${me.tier}`) : t("key.enter")))));
  const skip = document.getElementById("skip");
  skip.textContent = t("skip");
}

/** Ask who somebody is: an API key or a token of the app, for this tab. */
function askKey() {
  const use = (text) => { setKey(text); boot(); };
  const field = h("input", { type: "password", id: "key", autocomplete: "off", spellcheck: "false", value: key() });
  const dialog = h("dialog", { "aria-labelledby": "key-title", onclose: () => dialog.remove() },
    h("form", { method: "dialog", onsubmit: () => use(field.value.trim()) },
    h("h2", { id: "key-title" }, t("key.title")), h("p", {}, t("key.what")),
    h("label", { for: "key" }, t("key.label")), field,
    h("div", { class: "row end" },
      key() && h("button", { type: "button", class: "quiet", onclick: () => { dialog.close(); use(""); } }, t("key.forget")),
      h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("cancel")),
      h("button", { class: "main" }, t("key.use")))));
  document.body.append(dialog);
  dialog.showModal();
}

async function show(isMove) {
  shown.abort();
  shown = new AbortController();
  const { name, id } = place();
  const { signal } = shown;
  top();
  document.title = `${t(`page.${name}`)} · two-tower`;
  const page = h("div", { class: `page ${name}` });
  put(main, page);
  try {
    const { page: draw } = await PAGES[name].load();
    if (!signal.aborted) await draw(page, { id, me, signal });
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) console.error(error);
    page.append(trouble(error));
  }
  if (isMove && !signal.aborted) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
    say(document.title);
  }
}

function start() {
  speak();
  return show(false);
}

/** Numbers and dates are written as the browser's own variant of the language has them. */
function speak() {
  const name = language();
  document.documentElement.lang = name;
  setLocale(navigator.languages?.find((one) => one.startsWith(name)) ?? name);
  dress();
}

async function boot() {
  speak();
  // Without keys whoever asks may see it: nothing has to be known first.
  const [name, id] = asked();
  if (name === "person" && id && "open" in document.documentElement.dataset) PAGES.person.load().then(({ ahead }) => ahead(id));
  try {
    me = await read("me");
    usePictures(me.images);
  } catch (error) {
    me = { tier: "visitor", needs_key: true };
    top();
    put(main, trouble(error));
    return;
  }
  await show(false);
}

addEventListener("hashchange", () => { if (!location.hash.startsWith("#main")) show(true); });
addEventListener("ask-key", askKey);
document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
boot();
