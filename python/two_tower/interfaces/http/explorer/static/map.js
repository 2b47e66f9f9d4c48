// The catalogue as a plane: two directions of the released vectors, a dot a video.
//
// Dots are written into an image's bytes: 100,000 of them take a few milliseconds, where as many
// paths of a canvas would take hundreds.

import { read, readBytes } from "./api.js";
import { debounced, h, number, percent, put, say, turns } from "./dom.js";
import { t } from "./words.js";
import { thumbnail, videoLink } from "./videos.js";

const COLOURS = ["#0d9488", "#d97706", "#7c3aed", "#db2777", "#2563eb", "#65a30d", "#dc2626", "#0891b2"];
const OTHER = "#8b95a1";
const OLD = [71, 85, 105];
const NEW = [234, 88, 12];
const UNKNOWN = 65535;
const MODES = ["maker", "tag", "age"];
const NEAREST = 8;

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const packed = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

/** Read what catalogue_map.py packs: a JSON header, then a column after the other. */
function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const take = (kind, n) => { const part = new kind(buffer.slice(at, at + n * kind.BYTES_PER_ELEMENT)); at += n * kind.BYTES_PER_ELEMENT; return part; };
  const n = head.count;
  return { ...head, x: take(Uint16Array, n), y: take(Uint16Array, n), age: take(Uint16Array, n), maker: take(Uint8Array, n), tag: take(Uint8Array, n), ids: take(Uint8Array, 16 * n) };
}

export function idOf(points, place) {
  const hex = [...points.ids.subarray(16 * place, 16 * place + 16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The picture of the points: where it is moved to, and the dots in it. */
export class Plane {
  constructor(canvas, points) {
    Object.assign(this, { canvas, points, mode: "maker", zoom: 1, centre: [0.5, 0.5], marked: [], frames: [] });
    this.index = new Map();
    this.colour(this.mode);
  }

  colour(mode) {
    this.mode = mode;
    const { points } = this;
    const palette = [OTHER, ...COLOURS].map((hex) => packed(rgb(hex)));
    this.colours = new Uint32Array(points.count);
    for (let i = 0; i < points.count; i++) {
      if (mode === "age") {
        const share = points.age[i] === UNKNOWN ? null : Math.exp(-points.age[i] / (points.age_half * 1.44));
        this.colours[i] = share === null ? palette[0] : packed(OLD.map((from, part) => Math.round(from + (NEW[part] - from) * share)));
      } else this.colours[i] = palette[points[mode][i]];
    }
    this.plan();
  }

  size() {
    const ratio = Math.min(2, devicePixelRatio || 1);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const [w, h_] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
    if (this.canvas.width !== w || this.canvas.height !== h_) {
      Object.assign(this.canvas, { width: w, height: h_ });
      this.image = null;
    }
    this.ratio = ratio;
  }

  scale() { return Math.min(this.canvas.width, this.canvas.height) * 0.94 * this.zoom; }

  /** Return where a point is on the canvas, in its pixels. */
  at(place) {
    const scale = this.scale();
    return [this.canvas.width / 2 + (this.points.x[place] / 65535 - this.centre[0]) * scale, this.canvas.height / 2 + (this.centre[1] - this.points.y[place] / 65535) * scale];
  }

  plan() { if (!this.planned) this.planned = requestAnimationFrame(() => { this.planned = 0; this.draw(); }); }

  draw() {
    this.size();
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    this.image ??= context.createImageData(width, height);
    const pixels = new Uint32Array(this.image.data.buffer);
    pixels.fill(0);
    const { x, y, count } = this.points;
    const scale = this.scale();
    const [left, top] = [width / 2 - this.centre[0] * scale, height / 2 + this.centre[1] * scale];
    const each = scale / 65535;
    const crowd = Math.max(1, Math.sqrt(40000 / count));
    const dot = Math.round(Math.max(2, Math.min(9, 1.5 * this.ratio * crowd * Math.sqrt(this.zoom))));
    // A disc, row by row: how far each begins from the left.
    const inset = Array.from({ length: dot }, (_, row) => dot < 4 ? 0 : Math.round(dot / 2 - Math.sqrt(Math.max(0, (dot / 2) ** 2 - (row + 0.5 - dot / 2) ** 2))));
    // The most popular come first in the list, and are drawn last.
    for (let i = count - 1; i >= 0; i--) {
      const px = Math.round(left + x[i] * each) - (dot >> 1);
      const py = Math.round(top - y[i] * each) - (dot >> 1);
      if (px < 0 || py < 0 || px + dot > width || py + dot > height) continue;
      const colour = this.colours[i];
      for (let row = 0, start = py * width + px; row < dot; row++, start += width) {
        for (let column = inset[row]; column < dot - inset[row]; column++) pixels[start + column] = colour;
      }
    }
    context.putImageData(this.image, 0, 0);
    this.marks(context);
    this.onframe?.();
  }

  marks(context) {
    const ink = getComputedStyle(this.canvas).getPropertyValue("--ink");
    const ground = getComputedStyle(this.canvas).getPropertyValue("--surface");
    for (const { place, is_self: isSelf } of [...this.marked].reverse()) {
      const [px, py] = this.at(place);
      context.beginPath();
      context.arc(px, py, (isSelf ? 9 : 6) * this.ratio, 0, 7);
      context.lineWidth = 5 * this.ratio;
      context.strokeStyle = ground;
      context.stroke();
      context.lineWidth = (isSelf ? 3 : 1.75) * this.ratio;
      context.strokeStyle = ink;
      context.stroke();
    }
  }

  /** Return the places nearest to a point of the canvas, in its pixels. */
  nearest(px, py, n, within = Infinity) {
    const scale = this.scale();
    const [cx, cy] = [((px - this.canvas.width / 2) / scale + this.centre[0]) * 65535, ((this.canvas.height / 2 - py) / scale + this.centre[1]) * 65535];
    const best = [];
    const { x, y, count } = this.points;
    let worst = (within / scale * 65535) ** 2;
    for (let i = 0; i < count; i++) {
      const distance = (x[i] - cx) ** 2 + (y[i] - cy) ** 2;
      if (distance < worst) {
        best.push([distance, i]);
        best.sort((a, b) => a[0] - b[0]);
        if (best.length > n) best.pop();
        if (best.length === n) worst = best[n - 1][0];
      }
    }
    return best.map(([, place]) => place);
  }

  pan(dx, dy) {
    const scale = this.scale();
    this.centre = [this.centre[0] - dx / scale, this.centre[1] + dy / scale].map((value) => Math.max(-0.2, Math.min(1.2, value)));
    this.plan();
  }

  zoomBy(factor, px = this.canvas.width / 2, py = this.canvas.height / 2) {
    const before = this.scale();
    this.zoom = Math.max(0.8, Math.min(400, this.zoom * factor));
    const by = 1 / before - 1 / this.scale();
    this.centre = [this.centre[0] + (px - this.canvas.width / 2) * by, this.centre[1] - (py - this.canvas.height / 2) * by];
    this.plan();
  }

  reset() { Object.assign(this, { zoom: 1, centre: [0.5, 0.5] }); this.plan(); }
}

/** Put the map into a section. `video` is the one to mark, with its neighbours in `near`; or null. */
export async function map(holder, video, signal) {
  const points = unpacked(await readBytes("map", signal));
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": t("map.label", { n: number(points.count) }), "aria-describedby": "map-how" });
  const plane = new Plane(canvas, points);
  const [legend, tip, middle] = [h("ul", { class: "legend" }), h("div", { class: "tip", hidden: true }), h("div", {})];
  const titles = new Map();
  const about = async (place) => {
    const id = idOf(points, place);
    if (!titles.has(id)) titles.set(id, await read("video", { video_id: id }, signal));
    return titles.get(id);
  };
  const turn = turns();
  const listMiddle = debounced(async () => {
    const isLatest = turn();
    const rows = await Promise.all(plane.nearest(canvas.width / 2, canvas.height / 2, NEAREST).map(about));
    if (!isLatest()) return;
    put(middle, h("ol", { class: "plain" }, rows.map((row) => h("li", {}, videoLink(row), " ", h("small", {}, row.maker)))));
    say(t("map.middle.said", { title: rows[0]?.title ?? "" }));
  }, 350);
  const moved = () => { tip.hidden = true; listMiddle(); };
  handle(canvas, plane, moved, tip, about);
  const paint = (mode) => { plane.colour(mode); put(legend, legendOf(points, mode)); };
  const button = (name, text, act) => h("button", { class: "quiet square", "aria-label": t(name), title: t(name), onclick: () => { act(); moved(); } }, text);
  put(holder, h("div", { class: "row between" }, h("h2", {}, t("map")),
    h("div", { class: "tabs", role: "group", "aria-label": t("map.colour") }, MODES.map((mode) => h("button", { "aria-pressed": String(mode === plane.mode), onclick: (event) => {
      for (const other of event.target.parentElement.children) other.setAttribute("aria-pressed", String(other === event.target));
      paint(mode);
    } }, t(`map.by.${mode}`))))),
  h("p", { class: "note", id: "map-how" }, t("map.what", { n: number(points.count), share: percent(points.explained) }), " ", t("map.how")),
  h("div", { class: "mapped" }, h("div", { class: "plane" }, canvas, tip, h("div", { class: "zoom" },
    button("map.in", "+", () => plane.zoomBy(1.6)), button("map.out", "−", () => plane.zoomBy(1 / 1.6)), button("map.all", "⤢", () => plane.reset()))),
  h("div", { class: "beside" }, h("h3", {}, t("map.legend")), legend, h("h3", {}, t("map.middle")), middle)));
  paint(plane.mode);
  if (video) mark(plane, video);
  new ResizeObserver(() => plane.plan()).observe(canvas);
  listMiddle();
  holder.plane = plane;
}

function mark(plane, video) {
  const wanted = new Map([[video.video_id, true], ...video.near.map((one) => [one.video_id, false])]);
  for (let place = 0; place < plane.points.count && plane.marked.length < wanted.size; place++) {
    const id = idOf(plane.points, place);
    if (wanted.has(id)) plane.marked.push({ place, is_self: wanted.get(id) });
  }
  plane.marked.sort((a, b) => b.is_self - a.is_self);
  plane.plan();
}

function legendOf(points, mode) {
  const swatch = (colour, text) => h("li", {}, h("span", { class: "swatch", style: { background: colour }, "aria-hidden": "true" }), text);
  if (mode === "age") return [swatch(`rgb(${NEW.join(",")})`, t("map.new")), swatch(`rgb(${OLD.join(",")})`, t("map.old")), swatch(OTHER, t("map.undated"))];
  return [...points[`${mode}s`].map((name, place) => swatch(COLOURS[place], name)), swatch(OTHER, t("map.other"))];
}

/** Let mouse, fingers and keys move the plane. */
function handle(canvas, plane, moved, tip, about) {
  const held = new Map();
  let isDragged = false;
  const inside = (event) => { const box = canvas.getBoundingClientRect(); return [(event.clientX - box.left) * plane.ratio, (event.clientY - box.top) * plane.ratio]; };
  const span = () => { const [a, b] = [...held.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  const point = debounced(async ([px, py]) => {
    const [place] = plane.nearest(px, py, 1, 14 * plane.ratio);
    if (place === undefined) { tip.hidden = true; return; }
    const row = await about(place);
    const [x, y] = plane.at(place);
    put(tip, thumbnail(row), h("span", {}, row.title));
    tip.hidden = false;
    tip.style.setProperty("left", `${Math.max(0, Math.min(x / plane.ratio, canvas.clientWidth - 200))}px`);
    tip.style.setProperty("top", `${Math.max(0, y / plane.ratio - 160)}px`);
  }, 60);
  canvas.addEventListener("pointerdown", (event) => { held.set(event.pointerId, inside(event)); canvas.setPointerCapture(event.pointerId); isDragged = false; });
  canvas.addEventListener("pointermove", (event) => {
    const now = inside(event);
    if (!held.has(event.pointerId)) { point(now); return; }
    const [x, y] = held.get(event.pointerId);
    const before = held.size === 2 ? span() : 0;
    held.set(event.pointerId, now);
    if (Math.hypot(now[0] - x, now[1] - y) > 1) isDragged = true;
    if (held.size === 2 && before) plane.zoomBy(span() / before, now[0], now[1]);
    else plane.pan(now[0] - x, now[1] - y);
    moved();
  });
  const release = (event) => {
    if (!held.delete(event.pointerId) || isDragged || event.type !== "pointerup") return;
    const [place] = plane.nearest(...inside(event), 1, 14 * plane.ratio);
    if (place !== undefined) location.hash = `#/video/${idOf(plane.points, place)}`;
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); plane.zoomBy(Math.exp(-event.deltaY / 400), ...inside(event)); moved(); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = 60 * plane.ratio;
    const acts = { ArrowLeft: () => plane.pan(step, 0), ArrowRight: () => plane.pan(-step, 0), ArrowUp: () => plane.pan(0, step), ArrowDown: () => plane.pan(0, -step),
      "+": () => plane.zoomBy(1.6), "=": () => plane.zoomBy(1.6), "-": () => plane.zoomBy(1 / 1.6), 0: () => plane.reset(),
      Enter: () => { const [place] = plane.nearest(canvas.width / 2, canvas.height / 2, 1); if (place !== undefined) location.hash = `#/video/${idOf(plane.points, place)}`; } };
    if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    acts[event.key]();
    moved();
  });
}
