// Small curves of a running canary. Every text goes in as text, every number as a number.

import { draw } from "./page.js";
import { figure as short } from "./language.js";

const WIDTH = 330, HEIGHT = 180, TOP = 16, RIGHT = 8, BOTTOM = 22;

// curves: [{key, class}] of the series; levels: [{value, words, class}]; band: {lower, upper} keys; show: number to words; ends: what stands below the first and the last point.
export function chart({ title, series, curves, levels = [], band = null, steps = [], show, fromZero = false, ends = null }) {
  const left = 52, last = series[series.length - 1].at_s, half = series.slice(Math.floor(series.length / 2));
  const values = curves.flatMap(({ key }) => series.map((point) => point[key]));
  // The first looks' bounds are as wide as ignorance: the later half's decide how much of them is shown.
  const bounds = band ? half.flatMap((point) => [point[band.lower], point[band.upper]]) : [];
  const known = [...values, ...bounds, ...levels.map((level) => level.value), ...(fromZero ? [0] : [])].filter(Number.isFinite);
  let low = Math.min(...known), high = Math.max(...known);
  const room = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
  low = fromZero && low >= 0 ? 0 : low - room;
  high += room;
  const floor = HEIGHT - BOTTOM;
  const x = (at) => left + (at / last) * (WIDTH - RIGHT - left);
  const y = (value) => Math.min(Math.max(floor - ((value - low) / (high - low)) * (floor - TOP), TOP), floor);
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img" });
  svg.append(draw("title", {}, title));
  for (const tick of ticks(low, high)) {
    svg.append(draw("line", { x1: left, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), class: "grid" }));
    svg.append(draw("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, show(tick)));
  }
  for (const { at, words } of steps.filter((step) => step.at <= last)) {
    svg.append(draw("line", { x1: x(at), x2: x(at), y1: TOP, y2: floor, class: "step" }));
    svg.append(draw("text", { x: x(at) + 3, y: TOP - 4 }, words));
  }
  svg.append(draw("text", { x: left, y: HEIGHT - 5 }, ends?.[0] ?? "0"));
  svg.append(draw("text", { x: WIDTH - RIGHT, y: HEIGHT - 5, "text-anchor": "end" }, ends?.[1] ?? `${short(last)} s`));
  if (band) svg.append(draw("path", { d: area(series, band, x, y, floor), class: "band" }));
  for (const level of levels) svg.append(draw("line", { x1: left, x2: WIDTH - RIGHT, y1: y(level.value), y2: y(level.value), class: `level ${level.class}` }));
  for (const curve of curves) line(svg, series, curve, x, y);
  let taken = [];
  for (const level of [...levels].sort((a, b) => b.value - a.value)) {
    const above = y(level.value) - 4, place = taken.some((other) => Math.abs(other - above) < 13) ? y(level.value) + 13 : above;
    taken.push(place);
    svg.append(draw("text", { x: WIDTH - RIGHT - 3, y: place, "text-anchor": "end", class: "over" }, level.words));
  }
  return svg;
}

function line(svg, series, { key, class: look }, x, y) {
  let path = "", end = null;
  for (const point of series) {
    const value = point[key];
    if (!Number.isFinite(value)) { end = null; continue; }
    path += `${end ? "L" : "M"}${x(point.at_s).toFixed(1)},${y(value).toFixed(1)}`;
    end = point;
  }
  svg.append(draw("path", { d: path, class: `line ${look}` }));
  if (end) svg.append(draw("circle", { cx: x(end.at_s), cy: y(end[key]), r: 3, class: look }));
}

function area(series, { lower, upper }, x, y, floor) {
  const shown = series.filter((point) => Number.isFinite(point[lower]) || Number.isFinite(point[upper]));
  if (shown.length < 2) return "";
  const top = shown.map((point) => `${x(point.at_s).toFixed(1)},${(Number.isFinite(point[upper]) ? y(point[upper]) : TOP).toFixed(1)}`);
  const under = shown.map((point) => `${x(point.at_s).toFixed(1)},${(Number.isFinite(point[lower]) ? y(point[lower]) : floor).toFixed(1)}`);
  return `M${top.join("L")}L${under.reverse().join("L")}Z`;
}

function ticks(low, high) {
  const raw = (high - low) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((part) => part * power).find((part) => part >= raw * 0.999);
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + 1e-9 * step; index += 1) found.push(index * step);
  return found;
}
