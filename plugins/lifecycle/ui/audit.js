// Who did what, the newest first.

import { call, listed } from "./figures.js";
import { clock, followTheme, keepFresh, make } from "./page.js";

const PERIOD_MS = 15000, MOST = 500, DAY_MS = 86400000, TYPED_MS = 300;
const API = new URL("../v1/audit", import.meta.url);
const filter = document.getElementById("filter");
let shown = "", asked = 0, typing = 0;

function address(more) {
  const url = new URL(API);
  for (const [name, value] of new FormData(filter)) {
    if (!value) continue;
    // A day from its first to its last moment, as the reader's clock has it.
    const day = name === "since" ? new Date(`${value}T00:00`) : name === "until" ? new Date(new Date(`${value}T00:00`).getTime() + DAY_MS) : null;
    url.searchParams.set(name, day ? day.toISOString() : value);
  }
  for (const [name, value] of Object.entries(more)) url.searchParams.set(name, value);
  return url;
}

const soft = (words) => make("span", { class: "soft" }, words);

function about(line) {
  const parts = [line.why];
  if (line.detail) parts.push(soft(`${line.why ? " " : ""}${line.detail}`));
  return parts;
}

const COLUMNS = [
  ["When", (line) => make("time", { datetime: line.at }, clock(line.at))],
  ["Who", (line) => line.who],
  ["Did", (line) => line.act],
  ["To", (line) => [line.name || line.kind, line.name ? soft(` ${line.kind}`) : ""]],
  ["Why, and what", about],
  ["Entry", (line) => (line.entry === null ? soft("–") : String(line.entry)), true],
];

async function refresh() {
  const problem = document.getElementById("problem"), turn = ++asked;
  for (const format of ["csv", "jsonl"]) document.getElementById(format).href = address({ format }).href;
  try {
    const lines = await call(address({ limit: MOST }));
    if (turn !== asked) return;
    const text = JSON.stringify(lines);
    const place = document.getElementById("audit");
    if (text !== shown) place.replaceChildren(lines.length ? listed(COLUMNS, lines) : make("p", { class: "empty" }, "Nobody did anything of that kind."));
    if (text !== shown && lines.length === MOST) place.append(soft(`The newest ${MOST} are shown; the exports have more.`));
    shown = text;
    problem.textContent = "";
    document.getElementById("pulse").textContent = `As of ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    if (turn === asked) problem.textContent = error.message;
  }
  problem.hidden = !problem.textContent;
}

followTheme();
filter.addEventListener("submit", (event) => event.preventDefault());
filter.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(refresh, TYPED_MS); });
keepFresh(refresh, PERIOD_MS);
