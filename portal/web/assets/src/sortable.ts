// Puts children of a list into another order, by dragging a handle or with the arrow keys while the handle has the focus.
import {all} from "./dom";

export function sortable(list: HTMLElement, item: string, handle: string, moved: (element: HTMLElement) => void = () => undefined): void {
  list.addEventListener("keydown", (event) => {
    const grip = (event.target as Element).closest<HTMLElement>(handle);
    const row = grip?.closest<HTMLElement>(item);
    if (!grip || !row || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    const other = event.key === "ArrowUp" ? row.previousElementSibling : row.nextElementSibling;
    if (!other?.matches(item)) return;
    if (event.key === "ArrowUp") other.before(row);
    else other.after(row);
    grip.focus();
    moved(row);
  });
  list.addEventListener("pointerdown", (event) => {
    const grip = (event.target as Element).closest<HTMLElement>(handle);
    const row = grip?.closest<HTMLElement>(item);
    if (!grip || !row || event.button !== 0 || (event.target as Element).closest("a, button:not(" + handle + ")")) return;
    event.preventDefault();
    row.classList.add("sn-dragging");
    const move = (e: PointerEvent) => {
      const under = document.elementFromPoint(e.clientX, e.clientY)?.closest<HTMLElement>(item);
      if (!under || under === row || !all(item, list).includes(under)) return;
      const box = under.getBoundingClientRect();
      if (e.clientY < box.top + box.height / 2) under.before(row);
      else under.after(row);
    };
    const drop = () => {
      row.classList.remove("sn-dragging");
      document.removeEventListener("pointermove", move);
      moved(row);
    };
    document.addEventListener("pointermove", move);
    document.addEventListener("pointerup", drop, {once: true});
  });
}
