// What a month has cost: by team, by model, by run; tokens by key.

import { budgets } from "./budgets.js";
import { amount, call, cards, catalogue, count, decimals, listed, month as monthName, sheet } from "./figures.js";
import { time } from "./language.js";
import { followTheme, keepFresh, link, make } from "./page.js";
import { prices } from "./prices.js";

const t = await catalogue("cost");

const PERIOD_MS = 30000, FIRST = 20;
const API = new URL("../v1/cost", import.meta.url);
const month = document.getElementById("month");
const opened = new Set();
let shown = "", asked = 0;

const hours = (value) => decimals(value, 2);
const soft = (words) => make("span", { class: "soft" }, words);

function address(format) {
  const url = new URL(API);
  if (month.value) url.searchParams.set("month", month.value);
  if (format) url.searchParams.set("format", format);
  return url;
}

function price(cost, currency) {
  return cost === null ? soft(t("no_price")) : amount(cost, currency);
}

function sums(rows, what, currency) {
  const most = Math.max(...rows.map((row) => row.cost), 0);
  const bar = (row) => { const part = make("span", { class: "share", "aria-hidden": "true" }); part.style.width = `${most ? (100 * row.cost) / most : 0}%`; return part; };
  return listed([[what, (row) => [row.name || "–", bar(row)]], [t("gpu_hours"), (row) => hours(row.gpu_hours), true], [t("tokens"), (row) => count(row.tokens), true],
    [t("cost"), (row) => [amount(row.cost, currency), row.unpriced ? soft(` ${t("unpriced")}`) : ""], true]], rows);
}

function run(line) {
  const [dag, ...rest] = line.run.split("/");
  return line.run ? link(`dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(rest.join("/"))}`, line.run) : served(line.what);
}

// What a lease without a run did: served a version, or several models; else what its caller calls it.
function served(what) {
  const version = /^serving, version (\d+)$/.exec(what)?.[1];
  return version ? t("work.serving", { version }) : t.word("work", what);
}

function gpu(line) {
  const rate = line.simulated ? ` ${t("simulated")}` : line.spot ? ` ${t("spot")}` : "";
  return [line.gpu, rate ? soft(rate) : ""];
}

// The first lines; all of them once somebody has asked for that.
function long(name, columns, rows) {
  if (rows.length <= FIRST || opened.has(name)) return [listed(columns, rows)];
  const more = make("button", { type: "button", class: "quiet" }, t("all_lines", { count: count(rows.length) }));
  more.addEventListener("click", () => { opened.add(name); shown = ""; refresh(); });
  return [listed(columns, rows.slice(0, FIRST)), more];
}

function draft(bill) {
  const { currency, total } = bill;
  if (!bill.gpus.length && !bill.tokens.length) return [make("p", { class: "empty" }, t("nothing", { month: monthName(bill.month) }))];
  const parts = [cards([[t("cost"), amount(total.cost, currency)], [t("gpu_hours"), hours(total.gpu_hours)], [t("tokens"), count(total.tokens)]])];
  if (total.unpriced) parts.push(make("p", { class: "soft" }, t("unpriced.some")));
  parts.push(sheet(t("by_team"), sums(bill.by_team, t("team"), currency)), sheet(t("by_model"), sums(bill.by_model, t("model"), currency)));
  if (bill.gpus.length) {
    parts.push(sheet(t("by_run"), ...long("gpus", [[t("run"), run], [t("work"), (line) => (line.run ? line.what : "")], [t("model"), (line) => line.model], [t("team"), (line) => line.team], [t("gpu"), gpu],
      [t("leases"), (line) => [count(line.leases), line.running ? soft(` ${t("running", { count: count(line.running) })}`) : ""], true], [t("gpu_hours"), (line) => hours(line.gpu_hours), true], [t("cost"), (line) => price(line.cost, currency), true]], bill.gpus)));
  }
  if (bill.tokens.length) {
    parts.push(sheet(t("by_key"), ...long("tokens", [[t("key"), (line) => line.client || "–"], [t("model"), (line) => line.model], [t("team"), (line) => line.team], [t("answers"), (line) => count(line.requests), true],
      [t("prompt"), (line) => count(line.prompt_tokens), true], [t("answer"), (line) => count(line.completion_tokens), true], [t("cost"), (line) => price(line.cost, currency), true]], bill.tokens),
      make("p", { class: "soft" }, t("counts"))));
  }
  if (bill.left_out) parts.push(make("p", { class: "soft" }, t("left_out", { count: count(bill.left_out) })));
  return parts;
}

async function refresh() {
  const problem = document.getElementById("problem"), turn = ++asked;
  try {
    const bill = await call(address());
    if (turn !== asked) return; // another month was chosen meanwhile
    if (!month.value) month.value = bill.month;
    document.getElementById("csv").href = address("csv").href;
    const text = JSON.stringify({ ...bill, until: 0 });
    // Only when something is new: what a reader has selected or opened stays.
    if (text !== shown) document.getElementById("cost").replaceChildren(...draft(bill));
    shown = text;
    problem.textContent = "";
    document.getElementById("pulse").textContent = t("pulse", { at: time(bill.until * 1000) });
  } catch (error) {
    if (turn === asked) problem.textContent = error.message;
  }
  problem.hidden = !problem.textContent;
}

followTheme();
month.addEventListener("change", () => { if (month.validity.valid) { opened.clear(); refresh(); } });
prices(t, document.getElementById("prices"), () => { shown = ""; refresh(); });
const again = budgets(t, document.getElementById("budgets"));
keepFresh(() => Promise.all([refresh(), again.then((draw) => draw())]), PERIOD_MS);
