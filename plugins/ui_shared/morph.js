// Brings what a page shows to what it shall show, and touches only what differs: focus, selection, scroll and what is opened stay.

export function show(place, ...children) {
  const wanted = document.createElement("div");
  wanted.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  inside(place, wanted);
}

// Children that carry data-key are known by it wherever they move to; others by their place.
function inside(old, wanted) {
  const keyed = new Map([...old.children].filter((child) => child.dataset?.key).map((child) => [child.dataset.key, child]));
  let at = old.firstChild;
  for (const next of [...wanted.childNodes]) {
    const key = next.dataset?.key, known = key ? keyed.get(key) : undefined;
    if (known && known.tagName === next.tagName) {
      if (known === at) at = at.nextSibling;
      else old.insertBefore(known, at);
      same(known, next);
    } else if (!key && at && !at.dataset?.key && alike(at, next)) {
      const after = at.nextSibling;
      same(at, next);
      at = after;
    } else {
      old.insertBefore(next, at);
    }
  }
  while (at) {
    const after = at.nextSibling;
    at.remove();
    at = after;
  }
}

const alike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName;

function same(old, wanted) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  if (old.isEqualNode(wanted)) return;
  const kept = KEPT[old.nodeName] ?? [];
  for (const { name } of [...old.attributes]) if (!wanted.hasAttribute(name) && !kept.includes(name) && name !== "style") old.removeAttribute(name);
  for (const { name, value } of [...wanted.attributes]) if (name !== "style" && old.getAttribute(name) !== value && !kept.includes(name)) old.setAttribute(name, value);
  // Through the style object: the page's policy lets no script write a style attribute.
  if (wanted.style && old.style.cssText !== wanted.style.cssText) old.style.cssText = wanted.style.cssText;
  if (!EDITED.includes(old.nodeName)) inside(old, wanted);
}

// What a reader has done himself: opened, chosen, written.
const KEPT = { DETAILS: ["open"], DIALOG: ["open"], INPUT: ["value", "checked"] };
const EDITED = ["TEXTAREA"];
