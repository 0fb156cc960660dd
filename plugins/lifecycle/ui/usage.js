// Tokens of language models, and what they cost, by key and model and day. Data reaches the page only as text nodes and numbers.

import { amount as dollars, call, cards, catalogue, count, day, daysBetween, decimals, sheet } from "./figures.js";
import { hour, language } from "./language.js";
import { draw, followTheme, keepFresh, make } from "./page.js";

const t = await catalogue("usage");

const PERIOD_MS = 10000;
const API = new URL("../v1/usage", import.meta.url);
const HEIGHT = 220, TOP = 14, BOTTOM = 24, LEFT = 58, RIGHT = 6;
const opened = { days: false };
let shown = "", latest = null;

const brief = new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });

async function ask() {
  const url = new URL(API);
  url.searchParams.set("days", document.getElementById("days").value);
  const instance = document.getElementById("instance").value;
  if (instance) url.searchParams.set("priced_as", instance);
  return call(url);
}

function sum(rows) {
  const total = { requests: 0, prompt_tokens: 0, completion_tokens: 0, untold: 0, seconds: 0, usd: 0 };
  for (const row of rows) for (const key of Object.keys(total)) total[key] += row[key];
  return total;
}

function grouped(rows, keyOf) {
  const found = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(row);
  }
  return found;
}

function sums(total) {
  return cards([[t("answers"), count(total.requests)], [t("tokens.prompts"), count(total.prompt_tokens)], [t("tokens.answers"), count(total.completion_tokens)], [t("cost"), dollars(total.usd)]]);
}

// One bar a day from the first to the last, those without an answer included.
function bars(usage, width) {
  const days = daysBetween(usage.since, usage.until), of = grouped(usage.rows, (row) => row.day);
  const totals = days.map((day) => sum(of.get(day) ?? []));
  const high = Math.max(1, ...totals.map((one) => one.prompt_tokens + one.completion_tokens));
  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, class: "bars", role: "img" });
  svg.append(draw("title", {}, t("by_day.tokens")));
  const floor = HEIGHT - BOTTOM, y = (value) => floor - (value / high) * (floor - TOP), step = (width - LEFT - RIGHT) / days.length;
  for (const part of [0, 0.5, 1]) {
    svg.append(draw("line", { x1: LEFT, x2: width - RIGHT, y1: y(part * high), y2: y(part * high), class: "grid" }));
    svg.append(draw("text", { x: LEFT - 6, y: y(part * high) + 4, "text-anchor": "end" }, brief.format(part * high)));
  }
  totals.forEach((one, index) => {
    const x = LEFT + index * step + step * 0.1, wide = Math.max(step * 0.8, 0.5);
    const told = t("bar", { day: day(days[index]), prompts: count(one.prompt_tokens), answers: count(one.completion_tokens), cost: dollars(one.usd) });
    for (const [kind, from, to] of [["prompt", 0, one.prompt_tokens], ["completion", one.prompt_tokens, one.prompt_tokens + one.completion_tokens]]) {
      if (to <= from) continue;
      const bar = draw("rect", { x, width: wide, y: y(to), height: y(from) - y(to), class: kind });
      bar.append(draw("title", {}, told));
      svg.append(bar);
    }
  });
  svg.append(draw("text", { x: LEFT, y: HEIGHT - 6 }, day(days[0])));
  svg.append(draw("text", { x: width - RIGHT, y: HEIGHT - 6, "text-anchor": "end" }, day(days[days.length - 1])));
  return svg;
}

const FIGURES = [[t("answers"), (row) => count(row.requests)], [t("prompt"), (row) => count(row.prompt_tokens)], [t("answer"), (row) => count(row.completion_tokens)],
  [t("untold"), (row) => count(row.untold)], [t("seconds"), (row) => decimals(row.seconds, 1)], [t("cost"), (row) => dollars(row.usd)]];

// Rows: [[names …], totals]. The last row adds up.
function table(names, rows, more = []) {
  const heads = [...names.map((name) => make("th", { scope: "col" }, name)), ...FIGURES.map(([name]) => make("th", { scope: "col", class: "number" }, name)), ...more.map((name) => make("th", { scope: "col" }, name))];
  const cells = (row) => FIGURES.map(([name, show]) => make("td", { class: "number", "data-head": name }, show(row)));
  const lines = rows.map(([[first, ...others], row, ...extra]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...others.map((name) => make("td", {}, name)), ...cells(row), ...extra.map((words) => make("td", { class: "soft" }, words))));
  const all = sum(rows.map(([, row]) => row));
  const foot = make("tr", {}, make("th", { scope: "row", colspan: names.length }, t("all")), ...cells(all), ...more.map(() => make("td", {})));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...lines), make("tfoot", {}, foot)));
}

function limitOf(usage, client) {
  const limit = usage.limits[client] ?? (client === "updraft" ? null : usage.limits["*"]);
  const kinds = ["requests", "tokens"].filter((kind) => limit?.[kind]);
  return t(`limit.${kinds.join("_") || "none"}`, Object.fromEntries(kinds.map((kind) => [kind, count(limit[kind])])));
}

function draft(usage) {
  if (!usage.rows.length) return [make("p", { class: "empty" }, t("none", { day: day(usage.since) }))];
  const pairs = grouped(usage.rows, (row) => JSON.stringify([row.client, row.model]));
  const byKey = [...pairs.values()].map((rows) => [[rows[0].client || "–", rows[0].model], sum(rows), limitOf(usage, rows[0].client)]).sort((a, b) => b[1].usd - a[1].usd);
  const byDay = [...usage.rows].reverse().map((row) => [[day(row.day), row.client || "–", row.model], row]);
  const days = make("details", {}, make("summary", { class: "soft" }, t("rows", { count: count(byDay.length) })), table([t("day"), t("key"), t("model")], byDay));
  days.open = opened.days;
  days.addEventListener("toggle", () => { opened.days = days.open; });
  const { name, gpus, usd_per_hour } = usage.instance;
  return [
    sums(sum(usage.rows)),
    sheet(t("by_day.tokens"), make("p", { class: "key" }, make("b", { class: "prompt" }, `■ ${t("of.prompts")} `), make("b", { class: "completion" }, `■ ${t("of.answers")}`)), bars(usage, Math.max(280, document.body.clientWidth - 90))),
    sheet(t("by_key"), table([t("key"), t("model")], byKey, [t("limit")]),
      make("p", { class: "soft" }, t("priced", { name, gpus, hour: dollars(usd_per_hour) }))),
    sheet(t("by_day"), days),
  ];
}

function show() {
  if (latest) document.getElementById("usage").replaceChildren(...draft(latest));
}

async function refresh() {
  const problem = document.getElementById("problem");
  try {
    latest = await ask();
    const instances = document.getElementById("instance");
    if (!instances.options.length) {
      instances.append(...latest.instances.map((name) => make("option", {}, name)));
      instances.value = latest.instance.name;
    }
    const text = JSON.stringify(latest);
    // Only when something is new: what a reader has selected or opened stays.
    if (text !== shown) show();
    shown = text;
    problem.textContent = "";
    document.getElementById("pulse").textContent = t("pulse", { at: hour(new Date()) });
  } catch (error) {
    problem.textContent = error.message;
  }
  problem.hidden = !problem.textContent;
}

followTheme();
for (const id of ["days", "instance"]) document.getElementById(id).addEventListener("change", refresh);
window.addEventListener("resize", show);
keepFresh(refresh, PERIOD_MS);
