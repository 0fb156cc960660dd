// Nodes, each with its devices as bars: leased, foreign, free.

import { make } from "./page.js";
import { ask } from "./act.js";
import { history } from "./history.js";
import { tells } from "./tip.js";
import { gib, gpus, span, when } from "./words.js";
import { t } from "./texts.js";

const HUES = 6, ROUNDING = 5, hues = new Map();
const READINGS = [["utilisation_pct", "%", t("busy")], ["temperature_c", "°C", ""], ["power_w", "W", ""]];

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
  if (!all.length) return [make("p", { class: "empty" }, t("none.nodes"))];
  return all.map((node) => card(node, leases, open, rules, again));
}

function card(node, leases, open, rules, again) {
  const title = make("button", { type: "button", class: "name", "aria-expanded": String(open.has(node.name)), "data-id": `node-${node.name}` }, node.name);
  title.addEventListener("click", () => { open.has(node.name) ? open.delete(node.name) : open.set(node.name, 1); again(); });
  const labels = Object.entries(node.labels).map(([key, value]) => `${key}=${value}`);
  const head = make("div", { class: "head" }, make("h3", {}, title), node.simulated ? make("span", { class: "chip" }, t("sim.chip")) : "",
    node.lost ? make("span", { class: "state bad" }, t("n.silent")) : node.cordoned ? make("span", { class: "state warn" }, t("n.cordoned"))
      : serves(node) ? make("span", { class: "state good" }, t("n.service")) : make("span", { class: "state soft" }, phase(node.burst)),
    labels.length ? make("span", { class: "soft labels" }, labels.slice(0, 4).join(" ") + (labels.length > 4 ? " …" : "")) : "", rules ? manage(node, again) : "");
  const why = node.cordoned ? make("p", { class: "warn" }, t("n.nothing", { why: node.cordoned })) : "";
  const lost = node.lost ? make("p", { class: "bad" }, t("n.last", { at: when(node.reported_at) })) : "";
  const price = node.burst ? make("p", { class: "soft" }, hourly(node.burst)) : "", ends = node.burst?.closing ? make("p", { class: "warn" }, t("n.stops", { why: node.burst.closing })) : "";
  const failed = node.burst?.failed ? make("p", { class: "bad" }, node.burst.failed) : "";
  const skew = Math.abs(node.clock_skew_s) > 5 ? make("p", { class: "soft" }, t("n.clock", { s: Math.round(node.clock_skew_s) })) : "";
  const rows = node.devices.map((device) => bar(node, device, leases));
  const past = open.has(node.name) ? history(node.name, open.get(node.name), (hours) => { open.set(node.name, hours); again(); }) : "";
  return make("article", { class: `node${node.lost ? " lost" : ""}${open.has(node.name) ? " opened" : ""}`, "aria-label": node.name }, head, why, lost, price, ends, failed, skew, make("div", { class: "inside" }, make("ul", { class: "devices" }, ...rows), past));
}

// Whether anything new may be placed on it.
export function serves(node) {
  return !node.lost && !node.cordoned && (!node.burst || (node.burst.wanted && !node.burst.closing && node.burst.state === "on"));
}

function phase({ state, wanted, closing }) {
  if (wanted && state !== "on") return t("n.booting");
  return closing ? t("n.ending") : state === "off" ? t("n.off") : state;
}

function hourly(burst) {
  return t(burst.spot ? "n.hourly.spot" : "n.hourly", { price: burst.price_per_hour, boot: span(burst.boot_s), spent: burst.spent });
}

function manage(node, again) {
  const button = make("button", { type: "button", class: "quiet", "data-id": `cordon-${node.name}` }, t(node.cordoned ? "n.return" : "n.cordon"));
  const path = `nodes/${encodeURIComponent(node.name)}`;
  if (node.lost) {
    const forget = make("button", { type: "button", class: "quiet", "data-id": `forget-${node.name}` }, t("n.forget"));
    forget.addEventListener("click", () => ask({ title: t("n.forget.title", { name: node.name }), words: t("n.forget.words"), verb: t("n.forget"), path, method: "DELETE", after: again }));
    return forget;
  }
  button.addEventListener("click", () => ask(node.cordoned
    ? { title: t("n.return.title", { name: node.name }), words: t("n.return.words"), verb: t("n.return"), path: `${path}/uncordon`, after: again }
    : { title: t("n.cordon.title", { name: node.name }), words: t("n.cordon.words"), verb: t("n.cordon"), path: `${path}/cordon`, needsReason: true, after: again }));
  return button;
}

function bar(node, device, leases) {
  const sim = node.simulated ? t("sim.chip") : "";
  const held = device.leases.map((one) => {
    const part = make("li", { class: `leased ${hue(one.team)}${one.state === "NOTICED" ? " noticed" : ""}`, "data-id": `seg-${device.uuid}-${one.lease_id}` }, make("span", {}, (one.overused_mib ? "! " : "") + (one.milli < 1000 ? `${one.milli / 10} % ${one.team}` : one.team)));
    part.style.flexGrow = one.milli;
    return tells(part, () => {
      const lease = leases().get(one.lease_id);
      return [one.key, t("who", { holder: one.holder, team: one.team, priority: one.priority }), t(one.milli < 1000 ? "d.share" : "d.whole", { percent: one.milli / 10, sim }).replace("  ", " "),
        one.overused_mib ? t("d.over", { gib: gib(one.overused_mib) }) : "",
        lease ? t("d.since", { at: when(lease.granted_at) }) : "", lease ? t("d.expires", { at: when(lease.expires_at) }) : "",
        lease?.notice ? t("d.stop", { at: when(lease.notice.deadline), why: lease.notice.reason }) : ""];
    });
  });
  const foreign = device.memory_mib && device.foreign_mib ? Math.min(1000, Math.round(1000 * device.foreign_mib / device.memory_mib)) : 0;
  if (foreign) {
    const part = make("li", { class: "foreign", "data-id": `foreign-${device.uuid}` }, make("span", {}, t("d.foreign")));
    part.style.flexGrow = foreign;
    const who = device.processes.filter((one) => !leases().has(one.lease)).slice(0, 5).map((one) => `${one.name || "?"} (${one.pid}): ${one.memory_mib === null ? t("d.memory.unknown") : gib(one.memory_mib)}`);
    held.push(tells(part, () => [t("d.foreign.title"), t("d.foreign.words", { gib: gib(device.foreign_mib) }), ...who]));
  }
  if (device.free_milli) {
    const part = make("li", { class: "free", "data-id": `free-${device.uuid}` }, make("span", {}, device.free_milli === 1000 ? t("d.free") : t("d.free.part", { percent: device.free_milli / 10 })));
    part.style.flexGrow = device.free_milli;
    held.push(tells(part, () => [t("d.free.gpu", { n: gpus(device.free_milli), sim }).replace("  ", " "), device.sharing ? t("d.shared", { how: device.sharing }) : t("d.unshared")]));
  }
  const rest = 1000 - device.leased_milli - device.free_milli - foreign;
  if (device.failed || rest > ROUNDING) {
    const why = device.failed ? t("d.failed", { why: device.failed }) : node.lost ? t("d.out.silent") : node.cordoned ? t("d.out.cordoned") : !serves(node) ? phase(node.burst) : t("d.out");
    const part = make("li", { class: `out${device.failed ? " failed" : ""}`, "data-id": `out-${device.uuid}` }, make("span", {}, why));
    part.style.flexGrow = Math.max(rest, device.failed ? 200 : 0);
    held.push(tells(part, () => [why, device.failed ? t("d.until.well") : node.cordoned || ""]));
  }
  const readings = READINGS.filter(([key]) => device.readings[key] !== undefined).map(([key, unit, words]) => `${Math.round(device.readings[key])} ${unit} ${words}`.trim());
  const memory = device.unknown.includes("memory") ? "" : device.memory_mib ? t("in.use", { a: gib(device.used_mib), b: gib(device.memory_mib) }) : "";
  const near = [device.island && t("d.island", { n: device.island }), device.numa >= 0 && t("d.numa", { n: device.numa })].filter(Boolean);
  const unknown = device.unknown.length ? t("d.unknown", { what: device.unknown.join(", ") }) : "";
  return make("li", { class: "device" },
    make("p", { class: "what" }, make("b", {}, `GPU ${device.index}`), ` ${device.model}${device.mig ? ` ${device.mig}` : ""}`),
    make("ul", { class: "bar", "aria-label": `GPU ${device.index}` }, ...held),
    make("p", { class: "soft readings" }, [memory, unknown, ...readings, ...near].filter(Boolean).join(" · ")));
}
