// What the pages of figures have in common (Usage, Cost, Audit, New model). Data reaches a page only as text nodes and numbers.

import { make } from "./page.js";
import { call as ask, speak } from "./server.js";
import { language, texts } from "./language.js";

const PATIENCE_S = 20; // a month's cost of a large platform
const DAY_MS = 86400000;

// The texts of a page whose catalogue is <name>.<language>.js, and whose title is the text of that name.
export async function catalogue(name) {
  const t = await texts((tongue) => import(`./${name}.${tongue}.js`));
  // A word of a closed list that the server says; one that no catalogue has is shown as it came.
  t.word = (list, said) => (t.has(`${list}.${said}`) ? t(`${list}.${said}`) : said);
  speak(t);
  document.title = t(name);
  return t;
}

export const call = (url, options) => ask(url, { patienceS: PATIENCE_S, ...options });

export const count = (value) => Math.round(value).toLocaleString(language);

export const decimals = (value, most, least = most) => value.toLocaleString(language, { minimumFractionDigits: least, maximumFractionDigits: most });

// As fine as it takes to see small amounts; currency by its code (ISO 4217).
export function amount(value, currency = "USD") {
  const fine = value && value < 0.1 ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return value.toLocaleString(language, { style: "currency", currency, ...fine });
}

const calendar = (form) => new Intl.DateTimeFormat(language, { ...form, timeZone: "UTC" });
const days = calendar({ dateStyle: "medium" }), months = calendar({ year: "numeric", month: "long" });

// A day of UTC, "2026-12-01", and a month of it, "2026-12".
export const day = (text) => days.format(new Date(text));
export const month = (text) => months.format(new Date(text));

// Every day of UTC from the first to the last.
export function daysBetween(first, last) {
  const found = [];
  for (let at = Date.parse(first); at <= Date.parse(last); at += DAY_MS) found.push(new Date(at).toISOString().slice(0, 10));
  return found;
}

// What the server says in its own words, in English.
export const english = (words, of = "span", form = {}) => make(of, { lang: "en", ...form }, words);

export function cards(pairs) {
  return make("ul", { class: "sums" }, ...pairs.map(([name, value]) => make("li", {}, make("span", { class: "soft" }, name), make("b", {}, value))));
}

export function sheet(title, ...parts) {
  return make("section", { class: "sheet", "aria-label": title }, make("h2", {}, title), ...parts);
}

// Columns: [head, cell of a row, whether it is a figure]; the first column heads its row.
export function listed(columns, rows) {
  const heads = columns.map(([head, , figure]) => make("th", { scope: "col", class: figure ? "number" : null }, head));
  const line = (row) => make("tr", {}, ...columns.map(([head, cell, figure], index) =>
    make(index ? "td" : "th", { ...(index ? {} : { scope: "row" }), class: figure ? "number" : null, "data-head": figure ? head : null }, ...[cell(row)].flat())));
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows.map(line))));
}
