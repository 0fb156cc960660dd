// What every page of Updraft's plugins is made of. Data reaches a page only as text nodes and numbers, never as HTML.

const AIRFLOW = new URL("../../", import.meta.url); // wherever Airflow is mounted: each plugin serves this file as its own
const SVG = "http://www.w3.org/2000/svg";

export function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}

export function draw(name, attributes = {}, words = "") {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  if (words) node.textContent = words;
  return node;
}

// Airflow shows this page in a frame that may not move its surroundings: the link is followed in the surrounding page's name.
export function link(path, words, elsewhere = false) {
  const node = make("a", { href: new URL(path, AIRFLOW).href, target: elsewhere ? "_blank" : "_top", rel: "noopener" }, words);
  node.addEventListener("click", (event) => {
    const above = surroundings();
    if (!above || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const twin = above.createElement("a");
    twin.href = node.href;
    if (elsewhere) { twin.target = "_blank"; twin.rel = "noopener"; }
    twin.click();
  });
  return node;
}

function surroundings() {
  try {
    return window.parent !== window ? window.parent.document : null;
  } catch {
    return null;
  }
}

export function followTheme() {
  const root = surroundings()?.documentElement;
  if (!root) return;
  const take = () => {
    const theme = root.dataset.theme ?? ["dark", "light"].find((name) => root.classList.contains(name));
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  };
  take();
  new MutationObserver(take).observe(root, { attributes: true, attributeFilter: ["class", "data-theme"] });
}

export const clock = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

// Calls refresh now, every period while the page is looked at, and at once when it is looked at again.
export function keepFresh(refresh, periodMs) {
  const turn = async () => {
    if (!document.hidden) await refresh();
    setTimeout(turn, periodMs);
  };
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  turn();
}
