// The launcher: finds tiles while typing; arrow keys walk through them, Enter in the search box opens the first.
import {all, one} from "./dom";

export default function launcher(box: HTMLElement): void {
  const find = one<HTMLInputElement>("[data-find]", box);
  const tiles = () => all<HTMLAnchorElement>("[data-tile]", box).filter((tile) => !tile.closest("[hidden]"));

  const narrow = () => {
    if (!find) return;
    const wanted = find.value.trim().toLowerCase();
    for (const tile of all("[data-tile]", box)) {
      const item = tile.closest<HTMLElement>("li");
      if (item) item.hidden = !(tile.dataset.tile ?? "").toLowerCase().includes(wanted);
    }
    for (const group of all("section", box)) group.hidden = all("li:not([hidden])", group).length === 0;
    const left = tiles().length;
    const none = one("[data-none]", box);
    if (none) none.hidden = left > 0;
  };
  find?.addEventListener("input", narrow);
  if (find?.value) narrow(); // typed before this script was there, or kept by the browser

  box.addEventListener("keydown", (event) => {
    const shown = tiles();
    const at = shown.indexOf(document.activeElement as HTMLAnchorElement);
    if (event.target === find) {
      if (event.key === "Enter") shown[0]?.click();
      else if (event.key === "ArrowDown") shown[0]?.focus();
      else return;
      event.preventDefault();
      return;
    }
    if (at < 0) return;
    const column = (tile: HTMLElement) => tile.getBoundingClientRect().left;
    const line = (tile: HTMLElement) => tile.getBoundingClientRect().top;
    let next: HTMLElement | undefined;
    if (event.key === "ArrowRight") next = shown[at + 1];
    else if (event.key === "ArrowLeft") next = shown[at - 1];
    else if (event.key === "ArrowDown") next = shown.slice(at + 1).find((t) => line(t) > line(shown[at]!) && column(t) >= column(shown[at]!)) ?? shown.slice(at + 1).find((t) => line(t) > line(shown[at]!));
    else if (event.key === "ArrowUp") next = shown.slice(0, at).reverse().find((t) => line(t) < line(shown[at]!) && column(t) <= column(shown[at]!)) ?? find ?? undefined;
    else return;
    event.preventDefault();
    next?.focus();
  });
}
