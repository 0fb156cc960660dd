// Who did what, the newest first.

import { call, catalogue, count, english, listed } from "./figures.js";
import { hour, time } from "./language.js";
import { followTheme, keepFresh, make } from "./page.js";

const t = await catalogue("audit");

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
  if (line.detail) parts.push(english(`${line.why ? " " : ""}${line.detail}`, "span", { class: "soft" }));
  return parts;
}

// An alert's act is one of three, and what became of it; every other act is one word of the list.
function act(line) {
  if (line.kind !== "alert") return t.word("act", line.act);
  const [what, ...became] = line.act.split(" ");
  return t("alert", { act: t.word("alert", what), state: t.word("alert", became.join(" ")) });
}

// A budget's name begins with what it is of.
function name(line) {
  const [scope, ...rest] = line.name.split(" ");
  return line.kind === "budget" && rest.length ? `${t.word("kind", scope)} ${rest.join(" ")}` : line.name;
}

const COLUMNS = [
  [t("when"), (line) => make("time", { datetime: line.at }, time(line.at))],
  [t("who"), (line) => line.who],
  [t("did"), act],
  [t("to"), (line) => [name(line) || t.word("kind", line.kind), line.name ? soft(` ${t.word("kind", line.kind)}`) : ""]],
  [t("why"), about],
  [t("entry"), (line) => (line.entry === null ? soft("–") : String(line.entry)), true],
];

async function refresh() {
  const problem = document.getElementById("problem"), turn = ++asked;
  for (const format of ["csv", "jsonl"]) document.getElementById(format).href = address({ format }).href;
  try {
    const lines = await call(address({ limit: MOST }));
    if (turn !== asked) return;
    const text = JSON.stringify(lines);
    const place = document.getElementById("audit");
    if (text !== shown) place.replaceChildren(lines.length ? listed(COLUMNS, lines) : make("p", { class: "empty" }, t("none")));
    if (text !== shown && lines.length === MOST) place.append(soft(t("newest", { count: count(MOST) })));
    shown = text;
    problem.textContent = "";
    document.getElementById("pulse").textContent = t("pulse", { at: hour(new Date()) });
  } catch (error) {
    if (turn === asked) problem.textContent = error.message;
  }
  problem.hidden = !problem.textContent;
}

followTheme();
filter.addEventListener("submit", (event) => event.preventDefault());
filter.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(refresh, TYPED_MS); });
keepFresh(refresh, PERIOD_MS);
