// Elements, numbers and dates. Text enters a page as text nodes alone: a title is never read as HTML.

const SVG = "http://www.w3.org/2000/svg";
const LINK = /^(https?:\/\/|\/(?!\/)|#)/i;

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, to] of Object.entries(value)) element.style.setProperty(key, to);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else if ((name === "href" || name === "src") && !LINK.test(value)) continue;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return an element. `props` are attributes, `onclick` and the like, and `style` as an object. */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** Return an SVG element. */
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/** Put these in place of all that an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let locale = "en";
export const setLocale = (name) => { locale = name; };

export const number = (value, digits = 0) => value === null || value === undefined ? "–"
  : new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

export const percent = (value, digits = 0) => value === null || value === undefined ? "–"
  : new Intl.NumberFormat(locale, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

export const signed = (value, digits = 3) =>
  new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "always" }).format(value);

// The database's moments are UTC without a zone.
const moment = (text) => new Date(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T12:00:00` : /Z|[+-]\d\d:?\d\d$/.test(text) ? text : `${text}Z`);
export const day = (text) => text ? new Intl.DateTimeFormat(locale, { dateStyle: "medium" }).format(moment(text)) : "–";
export const time = (text) => text ? new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(moment(text)) : "–";

/** Tell a screen reader. */
export function say(text) {
  document.getElementById("live").textContent = text;
}

/** Return a function that is called once its callers pause. */
export function debounced(call, milliseconds = 140) {
  let timer;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => call(...args), milliseconds); };
}

/** Return a function to call before each request; what it returns says whether no other has been made since. */
export function turns() {
  let latest = 0;
  return () => {
    const mine = ++latest;
    return () => mine === latest;
  };
}

/** Copy a text; returns whether that was possible. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
