// How the pool's figures are said.

const TASK = /^([^/]+)\/([^/]+)\/([^/]+)\/(-?\d+)$/;

export const gpus = (milli) => String(Math.round(milli / 10) / 100);
export const gib = (mib) => `${(mib / 1024).toFixed(mib < 10240 ? 1 : 0)} GiB`;

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min` : `${Math.round(s / 86400)} days`;
}

export function when(time) {
  const date = new Date(time), today = new Date().toDateString() === date.toDateString();
  return date.toLocaleString(undefined, today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" });
}

// `dag/run/task/map index`, if that is what the key of a request is.
export function taskOf(key) {
  const match = TASK.exec(key);
  return match ? { dag: match[1], run: match[2], task: match[3], map: Number(match[4]) } : null;
}

export const place = (grants) => grants.map((one) => `${one.milli < 1000 ? `${one.milli / 10} % of ` : ""}GPU ${one.indexes.join(", ")} of ${one.node}`).join("; ");
