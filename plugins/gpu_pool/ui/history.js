// A node over time: what was leased, what memory was in use, how busy it was.

import { draw, make } from "./page.js";
import { call } from "./pool.js";
import { gib, gpus } from "./words.js";
import { t } from "./texts.js";
import { time } from "./language.js";

const HEIGHT = 210, LEFT = 44, RIGHT = 12, TOP = 12, BOTTOM = 26, KEPT_MS = 30e3;
const RANGES = [[1, t("r.1")], [24, t("r.24")], [168, t("r.168")]];
const share = (part, whole) => (whole ? (100 * part) / whole : null);
const CURVES = [
  { name: t("c.leased"), look: "leased", value: (point) => share(point.leased_milli, point.capacity_milli), words: (point) => t("c.leased.at", { a: gpus(point.leased_milli), b: gpus(point.capacity_milli) }) },
  { name: t("c.memory"), look: "memory", value: (point) => share(point.used_mib, point.memory_mib), words: (point) => t("in.use", { a: gib(point.used_mib), b: gib(point.memory_mib) }) },
  { name: t("c.foreign"), look: "alien", value: (point) => share(point.foreign_mib, point.memory_mib), words: (point) => t("c.foreign.at", { gib: gib(point.foreign_mib) }) },
  { name: t("busy"), look: "busy", value: (point) => point.utilisation_pct, words: (point) => (point.utilisation_pct === null ? "" : t("c.busy.at", { n: Math.round(point.utilisation_pct) })) },
];
const panels = new Map();

// The panel of a node stays the same while it is read, whatever is drawn anew around it.
export function history(node, hours, choose) {
  let known = panels.get(node);
  if (!known || known.hours !== hours) panels.set(node, known = { ...made(node, hours, choose), hours, at: 0 });
  if (Date.now() - known.at > KEPT_MS) {
    known.at = Date.now();
    call(`nodes/${encodeURIComponent(node)}/history`, { query: { hours } }).then(
      ({ points }) => known.chart.replaceChildren(points.length > 1 ? plot(node, points, hours, known.read) : make("p", { class: "soft" }, t("c.none"))),
      (error) => known.chart.replaceChildren(make("p", { class: "bad" }, error.message)));
  }
  return known.panel;
}

function made(node, hours, choose) {
  const buttons = RANGES.map(([length, words]) => {
    const button = make("button", { type: "button", "aria-pressed": String(length === hours), "data-id": `range-${node}-${length}` }, words);
    button.addEventListener("click", () => choose(length));
    return button;
  });
  const read = make("p", { class: "read soft" }, t("c.read"));
  const key = make("p", { class: "key" }, ...CURVES.map((curve) => make("b", { class: curve.look }, curve.name)), t("c.of"));
  const chart = make("div", { class: "chart", tabindex: "0", role: "application", "aria-label": t("c.label", { node }), "data-id": `chart-${node}` }, t("loading"));
  return { panel: make("div", { class: "history" }, make("p", { class: "buttons" }, ...buttons), key, chart, read), chart, read };
}

function plot(node, points, hours, read) {
  const WIDTH = document.documentElement.clientWidth < 640 ? 340 : 640; // letters keep their size on a phone
  const times = points.map((point) => new Date(point.at).getTime()), end = Date.now(), begin = Math.max(end - hours * 3600e3, times[0]);
  const x = (at) => LEFT + ((at - begin) / Math.max(end - begin, 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (Math.min(value, 100) / 100) * (HEIGHT - TOP - BOTTOM);
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img" });
  svg.append(draw("title", {}, t("c.title", { node, hours })));
  for (const tick of [0, 25, 50, 75, 100]) {
    svg.append(draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), class: "grid" }));
    svg.append(draw("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, `${tick} %`));
  }
  for (const [part, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
    const at = new Date(begin + part * (end - begin));
    const words = end - begin > 30 * 3600e3 ? time(at, { month: "short", day: "numeric" }) : time(at, { timeStyle: "short" });
    svg.append(draw("text", { x: x(at.getTime()), y: HEIGHT - 6, "text-anchor": anchor }, words));
  }
  for (const curve of CURVES) svg.append(draw("path", { class: `line ${curve.look}`, d: path(points, times, curve.value, x, y) }));
  const mark = svg.appendChild(draw("line", { class: "mark", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" }));
  let chosen = points.length - 1;
  const tell = (index) => {
    chosen = Math.min(Math.max(index, 0), points.length - 1);
    for (const side of ["x1", "x2"]) mark.setAttribute(side, x(times[chosen]));
    mark.setAttribute("visibility", "visible");
    const point = points[chosen], degrees = point.temperature_c === null ? "" : `${Math.round(point.temperature_c)} °C`, watts = point.power_w === null ? "" : `${Math.round(point.power_w)} W`;
    read.textContent = `${time(times[chosen])}: ${[...CURVES.map((curve) => curve.words(point)), degrees, watts].filter(Boolean).join(", ")}`;
  };
  const point = (event) => {
    const box = svg.getBoundingClientRect(), at = begin + (((event.clientX - box.left) * WIDTH / box.width - LEFT) / (WIDTH - LEFT - RIGHT)) * (end - begin);
    tell(times.reduce((best, time, index) => (Math.abs(time - at) < Math.abs(times[best] - at) ? index : best), 0));
  };
  for (const kind of ["pointermove", "pointerdown"]) svg.addEventListener(kind, point);
  svg.tell = (step) => tell(chosen + step);
  return svg;
}

document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key], svg = document.activeElement?.classList.contains("chart") ? document.activeElement.querySelector("svg") : null;
  if (!step || !svg) return;
  event.preventDefault();
  svg.tell(step);
});

// A gap of silence stays a gap.
function path(points, times, value, x, y) {
  const usual = Math.max(120e3, (3 * (times[times.length - 1] - times[0])) / times.length);
  let text = "", before = null;
  points.forEach((point, index) => {
    const now = value(point);
    if (now === null || now === undefined) { before = null; return; }
    text += `${before !== null && times[index] - before < usual ? "L" : "M"}${x(times[index]).toFixed(1)},${y(now).toFixed(1)}`;
    before = times[index];
  });
  return text;
}
