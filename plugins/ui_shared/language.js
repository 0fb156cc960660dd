// The page's texts in Airflow's language. A catalogue is a module that exports key → text; {name} stands for what the caller gives.

import { fill } from "./fill.js";

const KNOWN = { "zh-CN": /^zh(-(cn|hans|sg))?(-|$)/i };
const KEPT = "i18nextLng"; // where Airflow keeps what its user has chosen

export const language = pick();
document.documentElement.lang = language;
// Chosen in another document of this origin: Airflow's own.
window.addEventListener("storage", (event) => event.key === KEPT && pick() !== language && location.reload());

function pick() {
  let chosen = "";
  try {
    chosen = localStorage.getItem(KEPT) ?? "";
  } catch {
    // No storage in this frame: the browser's language counts.
  }
  const wanted = chosen || navigator.language || "en";
  return Object.keys(KNOWN).find((name) => KNOWN[name].test(wanted)) ?? "en";
}

// loader: language → promise of the catalogue's module. Fills every element of the page that names a text, and returns t(key, facts).
export async function texts(loader) {
  const [shared, own] = await Promise.all([import(`./shared.${language}.js`), loader(language)]);
  const catalogue = { ...shared.default, ...own.default };
  const t = (key, facts = {}) => {
    const text = catalogue[key];
    if (text === undefined) throw new Error(`There is no text ${key} in ${language}.`);
    return fill(text, facts);
  };
  t.has = (key) => key in catalogue;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of document.querySelectorAll("[data-t-hint]")) node.setAttribute("placeholder", t(node.dataset.tHint));
  return t;
}

const numbers = new Intl.NumberFormat(language, { maximumSignificantDigits: 3, signDisplay: "negative" });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export const figure = (value) => numbers.format(value);
export const percent = (share) => `${numbers.format(100 * share)} %`;
export const milliseconds = (value) => (value >= 1000 ? `${numbers.format(value / 1000)} s` : `${numbers.format(value)} ms`);
export const time = (at, form = { dateStyle: "medium", timeStyle: "medium" }) => new Date(at).toLocaleString(language, { ...form, timeZone: zone() });
export const hour = (at) => time(at, { timeStyle: "medium" });

// The time zone that is chosen in Airflow, so that a page and Airflow beside it tell the same time; else the browser's.
function zone() {
  try {
    const chosen = JSON.parse(localStorage.getItem("timezone") ?? '""');
    new Intl.DateTimeFormat("en", { timeZone: chosen || undefined });
    return chosen || undefined;
  } catch {
    return undefined; // no storage in this frame, or a zone that this browser does not know
  }
}

// "3 minutes ago".
export function ago(at, now = Date.now()) {
  const seconds = (new Date(at).getTime() - now) / 1000;
  const [unit, size] = STEPS.find(([, long]) => Math.abs(seconds) >= long) ?? STEPS[3];
  return relative.format(Math.round(seconds / size), unit);
}

// 95 → "1:35", for a clock that counts down.
export function countdown(seconds) {
  const whole = Math.max(0, Math.round(seconds)), parts = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return (parts[0] ? parts : parts.slice(1)).map((part, place) => (place ? String(part).padStart(2, "0") : String(part))).join(":");
}
