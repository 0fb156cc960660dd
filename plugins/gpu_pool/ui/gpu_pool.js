// The GPU pool's page: asks the plugin's JSON API every three seconds and shows what it says. A part is drawn anew only when it has changed.

import { ask } from "./act.js";
import { hue, nodes, serves } from "./nodes.js";
import { followTheme, keepFresh, link, make } from "./page.js";
import { edit } from "./quota.js";
import { call } from "./pool.js";
import { follow } from "./tip.js";
import { offer, whatIf } from "./what_if.js";
import { gib, gpus, place, simulated, span, taskOf, told, when } from "./words.js";
import { t } from "./texts.js";
import { hour } from "./language.js";

const PERIOD_MS = 3000, EVENTS = 300, ROUND_MS = 30000;
const STOPS = new Set(["noticed", "withdrawn", "device_failed", "node_lost"]), ENDS = / no longer has .*: (its grace|its holder fell silent|a GPU of|no report|ended by|.*(silent|lost|failed|gone))/;
const NODES = new Set(["node_new", "node_lost", "node_back", "cordoned", "uncordoned", "removed", "device_failed", "burst"]);
const open = new Map(), shown = new Map();
const FILTERS = { stops: stops, nodes: (one) => NODES.has(one.kind), all: () => true };
let good = 0, rules = null, latest = new Map(), past = [], used = [], sized = 0, filter = "stops";

function holder(key) {
  const task = taskOf(key);
  if (!task) return document.createTextNode(key);
  const path = `dags/${encodeURIComponent(task.dag)}/runs/${encodeURIComponent(task.run)}/tasks/${encodeURIComponent(task.task)}${task.map >= 0 ? `/mapped/${task.map}` : ""}`;
  return link(path, key);
}

// Time that passes is written in place: it is no change of what is shown.
function ago(time) {
  return make("time", { datetime: time, "data-since": time }, span((Date.now() - new Date(time)) / 1000));
}

function figures({ nodes, burst_budget: budget, burst_spent: spent }, waiting) {
  const all = nodes.filter((node) => !node.burst || serves(node));  // what could be taken by the hour isn't there
  const every = all.flatMap((node) => node.devices), serving = all.flatMap((node) => (serves(node) ? node.devices : [])).filter((device) => !device.failed);
  const count = (devices) => new Set(devices.map((device) => device.parent || device.uuid)).size, sum = (name) => gpus(every.reduce((total, device) => total + device[name], 0));
  const out = count(every) - count(serving), mig = every.some((device) => device.mig) ? t("mig") : "";
  const cards = [[out ? t("fig.of", { count: count(every) }) : t("fig.in"), count(serving)], [t("fig.leased", { mig }), sum("leased_milli")], [t("fig.free", { mig }), sum("free_milli")], [t("fig.waiting"), waiting.length]];
  if (nodes.some((node) => node.burst)) cards.push([t("fig.spent", { budget }), spent]);
  return cards.map(([words, number]) => make("li", {}, make("b", {}, String(number)), make("span", { class: "soft" }, words)));
}

function line(request) {
  const ask_ = request.ask;
  return make("li", { class: "request" },
    make("p", { class: "head" }, make("b", {}, `${request.position ?? "–"}. ${request.size}`), make("span", { class: "key" }, holder(request.key)),
      make("span", { class: "soft" }, t("who", { holder: request.holder, team: ask_.team, priority: ask_.priority })), make("span", { class: "soft" }, t("waits"), ago(request.submitted_at)),
      request.preemptions ? make("span", { class: "warn" }, t("stopped", { times: request.preemptions })) : ""),
    make("ul", { class: "why" }, ...request.reasons.map((reason) => make("li", {}, ...told(reason)))),
    make("p", { class: "soft" }, request.starts_at ? t("starts", { at: when(request.starts_at) }) : t("starts.unknown")));
}

function lease(one, again) {
  const button = make("button", { type: "button", class: "quiet", "data-id": `force-${one.id}` }, t("end"));
  button.addEventListener("click", () => ask({
    title: t("end.title"), words: t("end.words", { key: one.key, place: place(one.grants) }),
    verb: t("end.verb"), path: `leases/${encodeURIComponent(one.id)}/force-release`, needsReason: true, after: again,
  }));
  const expires = make("span", {}, t("expires"), make("time", { "data-expires": one.id }, span((new Date(one.expires_at) - Date.now()) / 1000)), t("expires.unless"));
  const notice = one.notice ? make("span", { class: "warn" }, t("notice", { at: when(one.notice.deadline), kind: one.notice.kind, reason: one.notice.reason })) : one.lent_by ? (one.ends_by ? t("lent.until", { at: when(one.ends_by) }) : t("lent")) : "";
  return make("tr", {}, make("th", { scope: "row" }, holder(one.key)), make("td", {}, ...told(place(one.grants))),
    make("td", {}, make("span", { class: `dot ${hue(one.team)}`, "aria-hidden": "true" }), `${one.team} `, make("span", { class: "soft" }, t("by", { holder: one.holder }))),
    make("td", { class: "soft" }, t(one.preemptible ? "priority" : "priority.firm", { priority: one.priority })),
    make("td", { class: "soft" }, t("for"), ago(one.granted_at), ", ", expires), make("td", {}, notice), make("td", { class: "end" }, rules?.admin ? button : ""));
}

function table(heads, rows) {
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((words) => make("th", { scope: "col" }, words)))), make("tbody", {}, ...rows)));
}

// `most` GPUs are the whole width, the same for every team.
function team(row, most, again) {
  const button = make("button", { type: "button", class: "quiet", "data-id": `quota-${row.team}`, "aria-label": t("edit.label", { team: row.team }) }, t("edit"));
  button.addEventListener("click", () => edit(row, again));
  const part = (name, value) => { const node = make("span", { class: name }); node.style.width = `${(100 * value) / most}%`; return node; };
  const mark = (name, value) => { const node = make("i", { class: name }); node.style.left = `${(100 * value) / most}%`; return node; };
  const own = Math.min(row.used, row.guaranteed || row.used);
  const bar = make("div", { class: "quota", role: "img", "aria-label": t("used.label", { used: row.used }) }, part(`own ${hue(row.team)}`, own), part(`lent ${hue(row.team)}`, Math.max(row.used - own, 0)),
    row.guaranteed ? mark("guarantee", row.guaranteed) : "", row.limit !== null && row.limit <= most ? mark("limit", row.limit) : "");
  const words = [t("uses", { n: row.used }), row.guaranteed ? t("guaranteed", { n: row.guaranteed }) : row.declared ? t("none.guaranteed") : t("none.quota"), row.limit === null ? "" : t("atmost", { n: row.limit }), row.guaranteed && row.borrowed ? t("borrows", { n: row.borrowed }) : "", row.weight !== undefined && row.weight !== 1 ? t("weight", { n: row.weight }) : "", row.past_gpu_hours ? t("late", { n: row.past_gpu_hours.toFixed(1) }) : ""];
  return make("li", {}, make("p", {}, make("span", { class: `dot ${hue(row.team)}`, "aria-hidden": "true" }), make("b", {}, row.team), make("span", { class: "soft" }, ` ${words.filter(Boolean).join(", ")} `), rules?.admin ? button : ""), bar);
}

// Memory of one device: what was granted is the whole width.
function size(row) {
  const share = Math.min(row.peak_mib / Math.max(row.granted_mib, 1), 1), used = make("span", { class: `own ${hue(row.team)}` });
  used.style.width = `${100 * share}%`;
  const bar = make("div", { class: "quota", role: "img", "aria-label": t("of.used", { a: gib(row.peak_mib), b: gib(row.granted_mib) }) }, used);
  return make("tr", {}, make("th", { scope: "row" }, row.work), make("td", {}, row.size),
    make("td", { class: "used" }, bar, make("span", { class: "soft" }, t("of", { a: gib(row.peak_mib), b: gib(row.granted_mib) }))),
    make("td", { class: "soft" }, t(row.leases > 1 ? "leases.many" : "leases.one", { n: row.leases })), make("td", { class: row.proposed_mib ? "" : "soft" }, row.proposal));
}

function event(one) {
  return make("li", { class: stops(one) ? "stop" : "" }, make("time", { class: "soft", datetime: one.at }, when(one.at)), " ", ...told(one.text));
}

// Someone had to stop, or lost what it held.
function stops(one) {
  return STOPS.has(one.kind) || (one.kind === "ended" && ENDS.test(one.text));
}

// Draws a part if its data have changed, and gives the focus back to what had it.
function part(id, data, make_) {
  const text = JSON.stringify(data);
  if (shown.get(id) === text) return;
  shown.set(id, text);
  const box = document.getElementById(id), focused = box.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  follow(() => box.replaceChildren(...make_()));
  if (focused) box.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
}

const none = (words) => [make("p", { class: "soft" }, words)];

async function refresh() {
  const problem = document.getElementById("problem"), pulse = document.getElementById("pulse");
  try {
    rules ??= await call("me");
    const known = past.length ? { after: past[0].id } : {};
    if (Date.now() - sized >= ROUND_MS) [used, sized] = [await call("sizes"), Date.now()];
    const [inventory, waiting, leases, quotas, events] = await Promise.all([
      call("inventory"), call("requests", { query: { state: "waiting", limit: 200 } }), call("leases", { query: { live: true, limit: 500 } }),
      call("quotas"), call("events", { query: { limit: EVENTS, ...known } })]);
    const met = new Set(past.map((one) => one.id));
    past = [...events.filter((one) => !met.has(one.id)), ...past].slice(0, EVENTS);
    draw(inventory, waiting, leases, quotas);
    good = Date.now();
    problem.hidden = true;
    document.body.classList.remove("stale");
    pulse.textContent = t("pulse", { at: hour(new Date()) });
  } catch (error) {
    if (problem.hidden || problem.textContent !== error.message) problem.textContent = error.message;
    problem.hidden = false;
    rules = good ? rules : null;
    pulse.textContent = good ? t("since.old", { span: span((Date.now() - good) / 1000) }) : "";
    document.body.classList.toggle("stale", good > 0);
  }
}

function draw(inventory, waiting, leases, quotas) {
  const declared = inventory.nodes.filter((node) => node.simulated).map((node) => node.name), banner = document.getElementById("simulated");
  const models = [...new Set(inventory.nodes.flatMap((node) => node.devices.map((device) => device.model)))].sort();
  simulated(declared);
  banner.hidden = !declared.length;
  banner.textContent = t(declared.length > 1 ? "simulated.many" : "simulated.one", { names: declared.join(", ") });
  waiting.sort((a, b) => (a.position ?? 1e9) - (b.position ?? 1e9));
  latest = new Map(leases.map((one) => [one.id, one]));
  const quiet = inventory.nodes.map(({ reported_at, clock_skew_s, ...rest }) => ({ ...rest, off: Math.abs(clock_skew_s) > 5, at: rest.lost ? reported_at : "" }));
  const notices = leases.map((one) => [one.id, one.notice]), again = () => { refresh(); };
  part("figures", [quiet.map((node) => [node.lost, node.cordoned, node.devices, node.burst]), inventory.burst_spent, waiting.length], () => figures(inventory, waiting));
  const curves = open.size ? Math.floor(Date.now() / ROUND_MS) : 0; // curves are read anew now and then
  for (const one of [...quotas, ...leases]) hue(one.team);
  part("nodes", [quiet, notices, [...open], rules, curves], () => nodes(inventory.nodes, () => latest, open, rules?.admin, again));
  if (JSON.stringify(models) !== shown.get("models")) offer(models);
  shown.set("models", JSON.stringify(models));
  part("waiting", waiting.map(({ seen_at, ...rest }) => rest), () => (waiting.length ? [make("ol", { class: "requests" }, ...waiting.map(line))] : none(t("none.waiting"))));
  part("leases", [leases.map(({ expires_at, ...rest }) => rest), declared, rules], () => (leases.length ? [table(["h.holder", "h.devices", "h.team", "h.priority", "h.held", "h.notice"].map((key) => t(key)).concat(""), leases.map((one) => lease(one, again)))] : none(t("none.leases"))));
  const capacity = inventory.nodes.reduce((sum, node) => sum + node.devices.length, 0);
  const most = Math.max(1, ...quotas.map((row) => Math.max(row.used, row.guaranteed, Math.min(row.limit ?? 0, capacity))));
  const add = make("button", { type: "button", class: "quiet", "data-id": "quota-new" }, t("share.set"));
  add.addEventListener("click", () => edit(null, again));
  part("quotas", [quotas, most, rules], () => [...(quotas.length ? [make("ul", { class: "teams" }, ...quotas.map((row) => team(row, most, again)))] : none(t("none.teams"))), rules?.admin ? add : ""]);
  part("sizes", used, () => (used.length ? [table(["h.work", "h.asked", "h.most", "h.seen", "h.proposal"].map((key) => t(key)), used.map(size))]
    : none(t("none.sizes"))));
  events();
  for (const time of document.querySelectorAll("[data-since]")) time.textContent = span((Date.now() - new Date(time.dataset.since)) / 1000);
  for (const time of document.querySelectorAll("[data-expires]")) time.textContent = span((new Date(latest.get(time.dataset.expires).expires_at) - Date.now()) / 1000);
}

function events() {
  const some = past.filter(FILTERS[filter]);
  part("events", [some.map((one) => one.id), filter], () => (some.length ? [make("ul", { class: "events" }, ...some.slice(0, 100).map(event))]
    : none(filter === "stops" ? t("none.stops") : t("none.kind"))));
  for (const button of document.querySelectorAll("#filter button")) {
    button.setAttribute("aria-pressed", String(button.value === filter));
    button.querySelector(".many").textContent = past.filter(FILTERS[button.value]).length;
  }
}

followTheme();
whatIf();
document.getElementById("filter").addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  filter = button.value;
  events();
});
keepFresh(refresh, PERIOD_MS);
