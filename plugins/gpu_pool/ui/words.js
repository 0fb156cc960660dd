// How the pool's figures are said.

import { make } from "./page.js";
import { t } from "./texts.js";
import { time } from "./language.js";

const TASK = /^([^/]+)\/([^/]+)\/([^/]+)(?:\/(-?\d+))?$/;

export const gpus = (milli) => String(Math.round(milli / 10) / 100);
export const gib = (mib) => `${(mib / 1024).toFixed(mib && mib < 10240 ? 1 : 0)} GiB`;

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return t("sec", { n: s });
  if (s < 5400) return t("min", { n: Math.round(s / 60) });
  return s < 172800 ? t("hm", { h: Math.floor(s / 3600), m: Math.floor((s % 3600) / 60) }) : t("days", { n: Math.round(s / 86400) });
}

export function when(at) {
  const date = new Date(at), today = new Date().toDateString() === date.toDateString();
  return time(date, today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" });
}

// `dag/run/task`, maybe with a map index, if that is what the key of a request is.
export function taskOf(key) {
  const match = TASK.exec(key);
  return match ? { dag: match[1], run: match[2], task: match[3], map: Number(match[4] ?? -1) } : null;
}

export const place = (grants) => grants.map((one) => `${one.milli < 1000 ? `${one.milli / 10} % of ` : ""}GPU ${one.indexes.join(", ")} of ${one.node}`).join("; ");

// As include/pool/ask.py says the size of an ask.
export function size(ask) {
  const one = ask.mig ? `${ask.gpus} x ${ask.mig}` : ask.fraction ? `${Number((ask.fraction * 100).toFixed(1))} % of a GPU`
    : ask.memory_mib ? `${Number((ask.memory_mib / 1024).toFixed(1))} GiB of a GPU` : `${ask.gpus} GPU${ask.gpus > 1 ? "s" : ""}`;
  return one + (ask.nodes > 1 ? ` on each of ${ask.nodes} nodes` : "") + (ask.models?.length ? ` (${ask.models.join(" or ")})` : "");
}

let names = null;

// The simulated nodes: wherever `told` meets one of them, it says so.
export function simulated(nodes) {
  const found = [...nodes].sort((a, b) => b.length - a.length).map((name) => name.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&"));
  names = found.length ? new RegExp(`(?<![\\w./-])(${found.join("|")})(?![\\w/-]|\\.\\w)`, "g") : null;
}

export function told(text) {
  if (!names) return [document.createTextNode(text)];
  const parts = text.split(names).map((part, index) => (index % 2 ? [part, make("small", { class: "sim", title: t("sim.title") }, t("sim"))] : [part]));
  return parts.flat().filter(Boolean);
}
