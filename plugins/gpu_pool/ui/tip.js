// One panel that says more about whatever is pointed at or focused: elements made by `tells`.

const panel = document.getElementById("tip");
const told = new WeakMap();
let about = "";

// `lines` is asked each time the panel opens: what it says is as fresh as the latest answer.
export function tells(node, lines) {
  const said = () => lines().filter(Boolean);
  told.set(node, said);
  node.tabIndex = 0;
  if (node.tagName !== "LI") node.setAttribute("role", "group"); // an item of a list stays one
  node.setAttribute("aria-label", said().join(". "));
  for (const event of ["pointerenter", "focus"]) node.addEventListener(event, () => show(node));
  for (const event of ["pointerleave", "blur"]) node.addEventListener(event, hide);
  return node;
}

function show(node) {
  panel.replaceChildren(...told.get(node)().map((line, index) => {
    const row = document.createElement(index ? "p" : "b");
    row.textContent = line;
    return row;
  }));
  panel.hidden = false;
  about = node.dataset.id;
  const at = node.getBoundingClientRect(), room = document.documentElement.clientWidth - panel.offsetWidth - 8;
  panel.style.left = `${Math.max(8, Math.min(at.left, room)) + window.scrollX}px`;
  panel.style.top = `${at.bottom + 6 + window.scrollY}px`;
}

export function hide() {
  panel.hidden = true;
  about = "";
}

// What it was about may have been drawn anew, or be gone.
export function follow(draw) {
  const before = about;
  draw();
  if (!before) return;
  const node = document.querySelector(`[data-id="${CSS.escape(before)}"]`);
  if (node && told.has(node)) show(node);
  else hide();
}

document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
