// A node over time: what was leased, what memory was in use, how busy it was.

import { draw, make } from "./page.js";
import { call } from "./server.js";

const WIDTH = 640, HEIGHT = 190, LEFT = 44, RIGHT = 12, TOP = 12, BOTTOM = 26;
const RANGES = [[1, "1 hour"], [24, "24 hours"], [168, "7 days"]];
const CURVES = [
  { name: "leased", class: "leased", value: (point) => (point.capacity_milli ? (100 * point.leased_milli) / point.capacity_milli : null) },
  { name: "memory in use", class: "memory", value: (point) => (point.memory_mib ? (100 * point.used_mib) / point.memory_mib : null) },
  { name: "busy", class: "busy", value: (point) => point.utilisation_pct },
];

const KEPT_MS = 30e3;
const panels = new Map();

// The panel of a node stays the same while it is read, whatever is drawn anew around it.
export function history(node, hours, choose) {
  const known = panels.get(node);
  if (known && known.hours === hours && Date.now() - known.at < KEPT_MS) return known.panel;
  const panel = made(node, hours, choose);
  panels.set(node, { hours, at: Date.now(), panel });
  return panel;
}

function made(node, hours, choose) {
  const buttons = RANGES.map(([length, words]) => {
    const button = make("button", { type: "button", "aria-pressed": String(length === hours), "data-id": `range-${node}-${length}` }, words);
    button.addEventListener("click", () => choose(length));
    return button;
  });
  const read = make("p", { class: "read soft", role: "status" }, "Point at the curves to read them.");
  const key = make("p", { class: "key" }, ...CURVES.map((curve) => make("b", { class: curve.class }, `— ${curve.name}  `)), "% of the node");
  const chart = make("div", { class: "chart" }, "Loading …");
  call(`nodes/${encodeURIComponent(node)}/history`, { query: { hours } }).then(
    ({ points }) => chart.replaceChildren(points.length > 1 ? plot(node, points, hours, read) : make("p", { class: "soft" }, "Nothing has been kept for that time yet: a figure is taken every 30 seconds.")),
    (error) => chart.replaceChildren(make("p", { class: "bad" }, error.message)));
  return make("div", { class: "history" }, make("p", { class: "buttons" }, ...buttons), key, chart, read);
}

function plot(node, points, hours, read) {
  const times = points.map((point) => new Date(point.at).getTime()), end = Date.now(), begin = Math.max(end - hours * 3600e3, times[0]);
  const x = (at) => LEFT + ((at - begin) / Math.max(end - begin, 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (Math.min(value, 100) / 100) * (HEIGHT - TOP - BOTTOM);
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img" });
  svg.append(draw("title", {}, `${node}, the last ${hours} hours`));
  for (const tick of [0, 50, 100]) {
    svg.append(draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), class: "grid" }));
    svg.append(draw("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, `${tick} %`));
  }
  for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
    const at = new Date(begin + share * (end - begin));
    const words = hours > 24 ? at.toLocaleDateString(undefined, { month: "short", day: "numeric" }) : at.toLocaleTimeString(undefined, { timeStyle: "short" });
    svg.append(draw("text", { x: x(at.getTime()), y: HEIGHT - 6, "text-anchor": anchor }, words));
  }
  for (const curve of CURVES) svg.append(draw("path", { class: `line ${curve.class}`, d: path(points, times, curve.value, x, y) }));
  const mark = svg.appendChild(draw("line", { class: "mark", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" }));
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect(), at = begin + (((event.clientX - box.left) * WIDTH / box.width - LEFT) / (WIDTH - LEFT - RIGHT)) * (end - begin);
    const nearest = times.reduce((best, time, index) => (Math.abs(time - at) < Math.abs(times[best] - at) ? index : best), 0);
    for (const side of ["x1", "x2"]) mark.setAttribute(side, x(times[nearest]));
    mark.setAttribute("visibility", "visible");
    const said = CURVES.map((curve) => [curve.name, curve.value(points[nearest])]).filter(([, value]) => value !== null && value !== undefined);
    read.textContent = `${new Date(times[nearest]).toLocaleString()}: ${said.map(([name, value]) => `${name} ${Math.round(value)} %`).join(", ")}`;
  });
  return svg;
}

// A gap of silence stays a gap.
function path(points, times, value, x, y) {
  const usual = Math.max(120e3, 3 * (times[times.length - 1] - times[0]) / times.length);
  let text = "", before = null;
  points.forEach((point, index) => {
    const now = value(point);
    if (now === null || now === undefined) { before = null; return; }
    text += `${before !== null && times[index] - before < usual ? "L" : "M"}${x(times[index]).toFixed(1)},${y(now).toFixed(1)}`;
    before = times[index];
  });
  return text;
}
