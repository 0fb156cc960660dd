// One panel that says more about whatever is pointed at or focused: elements made by `tells`.

const panel = document.getElementById("tip");

export function tells(node, lines) {
  const text = lines.filter(Boolean);
  node.tabIndex = 0;
  node.setAttribute("aria-label", text.join(". "));
  const show = () => {
    panel.replaceChildren(...text.map((line, index) => {
      const row = document.createElement(index ? "p" : "b");
      row.textContent = line;
      return row;
    }));
    panel.hidden = false;
    const at = node.getBoundingClientRect(), room = document.documentElement.clientWidth - panel.offsetWidth - 8;
    panel.style.left = `${Math.max(8, Math.min(at.left, room)) + window.scrollX}px`;
    panel.style.top = `${at.bottom + 6 + window.scrollY}px`;
  };
  for (const event of ["pointerenter", "focus"]) node.addEventListener(event, show);
  for (const event of ["pointerleave", "blur"]) node.addEventListener(event, hide);
  return node;
}

export const hide = () => { panel.hidden = true; };

document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
