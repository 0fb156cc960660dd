// The GPU pool's page: asks the plugin's JSON API every three seconds and shows what it says. A part is drawn anew only when it has changed.

import { followTheme, link, make } from "./page.js";
import { ask } from "./act.js";
import { hue, nodes } from "./nodes.js";
import { call } from "./server.js";
import { hide } from "./tip.js";
import { whatIf } from "./what_if.js";
import { gpus, place, span, taskOf, when } from "./words.js";

const PERIOD_MS = 3000, EVENTS = 60;
const STOPS = new Set(["noticed", "withdrawn", "device_failed", "node_lost"]), ENDS = /(preempt|reclaim|overdue|lost|priority|guaranteed|grace|silent|failed|forced)/;
const NODES = new Set(["node_new", "node_lost", "node_back", "cordoned", "uncordoned", "removed", "device_failed"]);
const open = new Map(), shown = new Map();
let good = 0;

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

function figures({ nodes: all }, waiting) {
  const devices = all.flatMap((node) => (node.lost || node.cordoned ? [] : node.devices)).filter((device) => !device.failed);
  const leased = devices.reduce((sum, device) => sum + device.leased_milli, 0), free = devices.reduce((sum, device) => sum + device.free_milli, 0);
  const cards = [["GPUs in service", devices.length], ["leased", gpus(leased)], ["free", gpus(free)], ["waiting", waiting.length]];
  return cards.map(([words, number]) => make("li", {}, make("b", {}, String(number)), make("span", { class: "soft" }, words)));
}

function line(request) {
  const ask_ = request.ask;
  return make("li", { class: "request" },
    make("p", { class: "head" }, make("b", {}, `${request.position ?? "–"}. ${request.size}`), make("span", { class: "key" }, holder(request.key)),
      make("span", { class: "soft" }, `${request.holder}, team ${ask_.team}, priority ${ask_.priority}`), make("span", { class: "soft" }, "waits ", ago(request.submitted_at)),
      request.preemptions ? make("span", { class: "warn" }, `stopped ${request.preemptions}×`) : ""),
    make("ul", { class: "why" }, ...request.reasons.map((reason) => make("li", {}, reason))),
    make("p", { class: "soft" }, request.starts_at ? `Expected to start about ${when(request.starts_at)}.` : "When it will start can't be said."));
}

function lease(one, again) {
  const button = make("button", { type: "button", class: "quiet", "data-id": `force-${one.id}` }, "End");
  button.addEventListener("click", () => ask({
    title: "End this lease at once?", words: `${one.key} holds ${place(one.grants)}. Its work is told to stop and its GPU goes to the next in line.`,
    verb: "End the lease", path: `leases/${encodeURIComponent(one.id)}/force-release`, needsReason: true, after: again,
  }));
  const notice = one.notice ? make("span", { class: "warn" }, `! must stop by ${when(one.notice.deadline)} (${one.notice.kind}): ${one.notice.reason}`) : one.ends_by ? `let in before its turn until ${when(one.ends_by)}` : "";
  return make("tr", {}, make("th", { scope: "row" }, make("span", { class: `dot ${hue(one.team)}`, "aria-hidden": "true" }), holder(one.key)), make("td", {}, place(one.grants)),
    make("td", { class: "soft" }, `${one.holder}, team ${one.team}`), make("td", { class: "soft" }, `priority ${one.priority}${one.preemptible ? "" : ", not preemptible"}`),
    make("td", { class: "soft" }, "for ", ago(one.granted_at)), make("td", {}, notice), make("td", {}, button));
}

function table(heads, rows) {
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads.map((words) => make("th", { scope: "col" }, words)))), make("tbody", {}, ...rows)));
}

function team(row) {
  const most = Math.max(row.limit ?? 0, row.guaranteed, row.used, 1);
  const part = (name, value) => { const node = make("span", { class: name }); node.style.width = `${(100 * value) / most}%`; return node; };
  const mark = (name, value) => { const node = make("i", { class: name }); node.style.left = `${(100 * value) / most}%`; return node; };
  const own = Math.min(row.used, row.guaranteed || row.used);
  const bar = make("div", { class: "quota", role: "img", "aria-label": `${row.used} used` }, part(`own ${hue(row.team)}`, own), part(`lent ${hue(row.team)}`, Math.max(row.used - own, 0)),
    row.guaranteed ? mark("guarantee", row.guaranteed) : "", row.limit !== null ? mark("limit", row.limit) : "");
  const words = [`uses ${row.used}`, row.guaranteed ? `guaranteed ${row.guaranteed}` : row.declared ? "nothing guaranteed" : "no quota", row.limit === null ? "" : `at most ${row.limit}`, row.guaranteed && row.borrowed ? `borrows ${row.borrowed}` : "", row.weight !== undefined && row.weight !== 1 ? `weight ${row.weight}` : ""];
  return make("li", {}, make("p", {}, make("span", { class: `dot ${hue(row.team)}`, "aria-hidden": "true" }), make("b", {}, row.team), make("span", { class: "soft" }, ` ${words.filter(Boolean).join(", ")}`)), bar);
}

function event(one) {
  const stop = STOPS.has(one.kind) || (one.kind === "ended" && ENDS.test(one.text));
  return make("li", { class: stop ? "stop" : "" }, make("time", { class: "soft", datetime: one.at }, when(one.at)), " ", one.text);
}

function kept(one, filter) {
  if (filter === "nodes") return NODES.has(one.kind);
  return filter !== "stops" || STOPS.has(one.kind) || (one.kind === "ended" && ENDS.test(one.text));
}

// Draws a part if its data have changed, and gives the focus back to what had it.
function part(id, data, make_) {
  const text = JSON.stringify(data);
  if (shown.get(id) === text) return;
  shown.set(id, text);
  const box = document.getElementById(id), focused = box.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  hide();
  box.replaceChildren(...make_());
  if (focused) box.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
}

const none = (words) => [make("p", { class: "soft" }, words)];

async function refresh() {
  const problem = document.getElementById("problem"), pulse = document.getElementById("pulse");
  try {
    const [inventory, waiting, leases, quotas, events] = await Promise.all([
      call("inventory"), call("requests", { query: { state: "waiting", limit: 200 } }), call("leases", { query: { live: true, limit: 500 } }),
      call("quotas"), call("events", { query: { limit: EVENTS } })]);
    draw(inventory, waiting, leases, quotas, events);
    good = Date.now();
    problem.hidden = true;
    document.body.classList.remove("stale");
    pulse.textContent = `As of ${new Date().toLocaleTimeString()}`;
  } catch (error) {
    problem.textContent = good ? `${error.message} What you see is ${span((Date.now() - good) / 1000)} old.` : error.message;
    problem.hidden = false;
    document.body.classList.toggle("stale", good > 0);
  }
}

function draw(inventory, waiting, leases, quotas, events) {
  const simulated = inventory.nodes.filter((node) => node.simulated).map((node) => node.name), banner = document.getElementById("simulated");
  banner.hidden = !simulated.length;
  banner.textContent = `Simulated inventory: ${simulated.join(", ")} ${simulated.length > 1 ? "are" : "is"} declared in a file. There is no such GPU; what runs there runs without one.`;
  waiting.sort((a, b) => (a.position ?? 1e9) - (b.position ?? 1e9));
  const byId = new Map(leases.map((one) => [one.id, one])), quiet = inventory.nodes.map(({ reported_at, clock_skew_s, ...rest }) => ({ ...rest, off: Math.abs(clock_skew_s) > 5, at: rest.lost ? reported_at : "" }));
  const notices = leases.map((one) => [one.id, one.notice]), again = () => { refresh(); };
  part("figures", [quiet.map((node) => [node.lost, node.cordoned, node.devices]), waiting.length], () => figures(inventory, waiting));
  part("nodes", [quiet, notices, [...open]], () => nodes(inventory.nodes, byId, open, () => refresh()));
  part("waiting", waiting.map(({ seen_at, ...rest }) => rest), () => (waiting.length ? [make("ol", { class: "requests" }, ...waiting.map(line))] : none("Nobody waits.")));
  part("leases", leases.map(({ expires_at, ...rest }) => rest), () => (leases.length ? [table(["Holder", "Devices", "Who", "Priority", "Since", "Notice", ""], leases.map((one) => lease(one, again)))] : none("Nothing is leased.")));
  part("quotas", quotas, () => (quotas.length ? [make("ul", { class: "teams" }, ...quotas.map(team))] : none("No team uses or is promised anything. Without quotas there are no limits.")));
  const filter = document.getElementById("filter").value, some = events.filter((one) => kept(one, filter));
  part("events", [some, filter], () => (some.length ? [make("ul", { class: "events" }, ...some.map(event))] : none("Nothing of the kind among the latest.")));
  for (const time of document.querySelectorAll("[data-since]")) time.textContent = span((Date.now() - new Date(time.dataset.since)) / 1000);
}

async function live() {
  if (!document.hidden) await refresh();
  setTimeout(live, PERIOD_MS);
}

followTheme();
whatIf();
document.getElementById("filter").addEventListener("change", refresh);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
live();
