// Nodes, each with its devices as bars: leased, foreign, free.

import { make } from "./page.js";
import { ask } from "./act.js";
import { history } from "./history.js";
import { tells } from "./tip.js";
import { gib, gpus, span, when } from "./words.js";

const HUES = 6, ROUNDING = 5, hues = new Map();
const READINGS = [["utilisation_pct", "%", "busy"], ["temperature_c", "°C", ""], ["power_w", "W", ""]];

// A team keeps its hue, and takes one that no other has as long as there is one.
export function hue(team) {
  if (!hues.has(team)) {
    let sum = 0;
    for (const letter of team) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
    const taken = new Set(hues.values()), tries = Array.from({ length: HUES }, (_, step) => `t${(sum + step) % HUES}`);
    hues.set(team, tries.find((one) => !taken.has(one)) ?? tries[0]);
  }
  return hues.get(team);
}

// `leases()` are the latest, by id, and say more of a device's holders; `open` maps a node to the hours of history it shows.
export function nodes(all, leases, open, rules, again) {
  if (!all.length) return [make("p", { class: "empty" }, "No node has reported yet. Start an agent on a machine with GPUs: python -m gpu_pool.agent. On this machine `make up` does it.")];
  return all.map((node) => card(node, leases, open, rules, again));
}

function card(node, leases, open, rules, again) {
  const title = make("button", { type: "button", class: "name", "aria-expanded": String(open.has(node.name)), "data-id": `node-${node.name}` }, node.name);
  title.addEventListener("click", () => { open.has(node.name) ? open.delete(node.name) : open.set(node.name, 1); again(); });
  const labels = Object.entries(node.labels).map(([key, value]) => `${key}=${value}`);
  const head = make("div", { class: "head" }, make("h3", {}, title), node.simulated ? make("span", { class: "chip" }, "simulated") : "",
    node.lost ? make("span", { class: "state bad" }, "✗ silent") : node.cordoned ? make("span", { class: "state warn" }, "! cordoned")
      : serves(node) ? make("span", { class: "state good" }, "✓ in service") : make("span", { class: "state soft" }, phase(node.burst)),
    labels.length ? make("span", { class: "soft labels" }, labels.slice(0, 4).join(" ") + (labels.length > 4 ? " …" : "")) : "", rules ? manage(node, again) : "");
  const why = node.cordoned ? make("p", { class: "warn" }, `Nothing new is placed here: ${node.cordoned}`) : "";
  const lost = node.lost ? make("p", { class: "bad" }, `Last heard of ${when(node.reported_at)}.`) : "";
  const price = node.burst ? make("p", { class: "soft" }, hourly(node.burst)) : "", ends = node.burst?.closing ? make("p", { class: "warn" }, `Its work stops: ${node.burst.closing}.`) : "";
  const failed = node.burst?.failed ? make("p", { class: "bad" }, node.burst.failed) : "";
  const skew = Math.abs(node.clock_skew_s) > 5 ? make("p", { class: "soft" }, `Its clock is ${Math.round(node.clock_skew_s)} s off.`) : "";
  const rows = node.devices.map((device) => bar(node, device, leases));
  const past = open.has(node.name) ? history(node.name, open.get(node.name), (hours) => { open.set(node.name, hours); again(); }) : "";
  return make("article", { class: `node${node.lost ? " lost" : ""}${open.has(node.name) ? " opened" : ""}`, "aria-label": node.name }, head, why, lost, price, ends, failed, skew, make("div", { class: "inside" }, make("ul", { class: "devices" }, ...rows), past));
}

// Whether anything new may be placed on it.
export function serves(node) {
  return !node.lost && !node.cordoned && (!node.burst || (node.burst.wanted && !node.burst.closing && node.burst.state === "on"));
}

function phase({ state, wanted, closing }) {
  if (wanted && state !== "on") return "… booting";
  return closing ? "! ending" : state === "off" ? "off, can be taken" : state;
}

function hourly(burst) {
  return `${burst.price_per_hour} an hour${burst.spot ? ", spot: its provider may take it back" : ""}; boots in ${span(burst.boot_s)}; ${burst.spent} spent in 24 h`;
}

function manage(node, again) {
  const button = make("button", { type: "button", class: "quiet", "data-id": `cordon-${node.name}` }, node.cordoned ? "Return to service" : "Cordon");
  const path = `nodes/${encodeURIComponent(node.name)}`;
  if (node.lost) {
    const forget = make("button", { type: "button", class: "quiet", "data-id": `forget-${node.name}` }, "Forget");
    forget.addEventListener("click", () => ask({ title: `Forget ${node.name}?`, words: "Its leases are lost. It comes back with its next report.", verb: "Forget", path, method: "DELETE", after: again }));
    return forget;
  }
  button.addEventListener("click", () => ask(node.cordoned
    ? { title: `Return ${node.name} to service?`, words: "New leases may be placed on it again.", verb: "Return to service", path: `${path}/uncordon`, after: again }
    : { title: `Cordon ${node.name}?`, words: "Nothing new will be placed on it. What runs goes on.", verb: "Cordon", path: `${path}/cordon`, needsReason: true, after: again }));
  return button;
}

function bar(node, device, leases) {
  const sim = node.simulated ? "simulated" : "";
  const held = device.leases.map((one) => {
    const part = make("li", { class: `leased ${hue(one.team)}${one.state === "NOTICED" ? " noticed" : ""}`, "data-id": `seg-${device.uuid}-${one.lease_id}` }, make("span", {}, (one.overused_mib ? "! " : "") + (one.milli < 1000 ? `${one.milli / 10} % ${one.team}` : one.team)));
    part.style.flexGrow = one.milli;
    return tells(part, () => {
      const lease = leases().get(one.lease_id);
      return [one.key, `${one.holder}, team ${one.team}, priority ${one.priority}`, `${one.milli < 1000 ? `${one.milli / 10} % of the` : "the whole"} ${sim} GPU`.replace("  ", " "),
        one.overused_mib ? `uses ${gib(one.overused_mib)} more than it was granted: that much less is offered to others` : "",
        lease ? `since ${when(lease.granted_at)}` : "", lease ? `expires ${when(lease.expires_at)} unless its holder is heard of` : "",
        lease?.notice ? `must stop by ${when(lease.notice.deadline)}: ${lease.notice.reason}` : ""];
    });
  });
  const foreign = device.memory_mib && device.foreign_mib ? Math.min(1000, Math.round(1000 * device.foreign_mib / device.memory_mib)) : 0;
  if (foreign) {
    const part = make("li", { class: "foreign", "data-id": `foreign-${device.uuid}` }, make("span", {}, "foreign"));
    part.style.flexGrow = foreign;
    const who = device.processes.filter((one) => !leases().has(one.lease)).slice(0, 5).map((one) => `${one.name || "?"} (${one.pid}): ${one.memory_mib === null ? "memory unknown" : gib(one.memory_mib)}`);
    held.push(tells(part, () => ["Not the pool's", `${gib(device.foreign_mib)} is held by processes without a lease: it is not offered`, ...who]));
  }
  if (device.free_milli) {
    const part = make("li", { class: "free", "data-id": `free-${device.uuid}` }, make("span", {}, device.free_milli === 1000 ? "free" : `${device.free_milli / 10} % free`));
    part.style.flexGrow = device.free_milli;
    held.push(tells(part, () => [`${gpus(device.free_milli)} ${sim} GPU free`.replace("  ", " "), device.sharing ? `may be shared (${device.sharing})` : "given out whole only"]));
  }
  const rest = 1000 - device.leased_milli - device.free_milli - foreign;
  if (device.failed || rest > ROUNDING) {
    const why = device.failed ? `failed: ${device.failed}` : node.lost ? "not offered: silent" : node.cordoned ? "not offered: cordoned" : !serves(node) ? phase(node.burst) : "not offered";
    const part = make("li", { class: `out${device.failed ? " failed" : ""}`, "data-id": `out-${device.uuid}` }, make("span", {}, why));
    part.style.flexGrow = Math.max(rest, device.failed ? 200 : 0);
    held.push(tells(part, () => [why, device.failed ? "Nothing is placed on it until it is well again" : node.cordoned || ""]));
  }
  const readings = READINGS.filter(([key]) => device.readings[key] !== undefined).map(([key, unit, words]) => `${Math.round(device.readings[key])} ${unit} ${words}`.trim());
  const memory = device.unknown.includes("memory") ? "" : device.memory_mib ? `${gib(device.used_mib)} of ${gib(device.memory_mib)} in use` : "";
  const near = [device.island && `NVLink island ${device.island}`, device.numa >= 0 && `NUMA node ${device.numa}`].filter(Boolean);
  const unknown = device.unknown.length ? `unknown: ${device.unknown.join(", ")}` : "";
  return make("li", { class: "device" },
    make("p", { class: "what" }, make("b", {}, `GPU ${device.index}`), ` ${device.model}${device.mig ? ` ${device.mig}` : ""}`),
    make("ul", { class: "bar", "aria-label": `GPU ${device.index}` }, ...held),
    make("p", { class: "soft readings" }, [memory, unknown, ...readings, ...near].filter(Boolean).join(" · ")));
}
