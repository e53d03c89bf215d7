// The team board: a cell opens its report in a row below; arrow keys move between cells, Escape closes.
import htmx from "htmx.org";
import {all, element, one, word} from "./dom";

// older markup names the address in hx-get: the row below loads it, the button itself must not
document.addEventListener("htmx:beforeRequest", (event) => {
  const {elt} = (event as CustomEvent<{elt: HTMLElement}>).detail;
  if (elt.matches("[data-cell]")) event.preventDefault();
});

export default function board(table: HTMLElement): void {
  // person, day and what a colour means stand once, in row, column and table: hundreds of copies would make the page slow
  const heads = all<HTMLTableCellElement>("thead th", table);
  const words = JSON.parse(table.dataset.words ?? "{}") as Record<string, string>;
  for (const cell of all("button.sn-c", table)) {
    const head = heads[cell.closest("td")!.cellIndex];
    const row = cell.closest("tr")!;
    const tone = Object.keys(words).find((name) => cell.classList.contains(name)) ?? "";
    const text = (place: Node | null) => place?.textContent?.replace(/\s+/g, " ").trim() ?? "";
    cell.dataset.cell ||= `${table.dataset.url}?person=${row.dataset.person}&day=${head.dataset.day}`;
    cell.setAttribute("aria-label", [text(one(".sn-ell", row)), text(head), words[tone], ...Array.from(cell.childNodes, text)].join(" "));
    cell.setAttribute("aria-expanded", "false");
  }
  const close = (back = false) => {
    one("tr.x", table)?.remove();
    const open = one("[aria-expanded=true]", table);
    open?.setAttribute("aria-expanded", "false");
    if (back) open?.focus();
  };
  table.addEventListener("click", async (event) => {
    const cell = (event.target as Element).closest<HTMLElement>("[data-cell]");
    if (!cell) return;
    event.preventDefault();
    const again = cell.getAttribute("aria-expanded") === "true";
    close();
    if (again) return;
    cell.setAttribute("aria-expanded", "true");
    const row = cell.closest("tr")!;
    const place = element("td", {colspan: String(row.cells.length)});
    place.append(element("div", {class: "sn-loading", role: "status"}, element("span", {class: "visually-hidden", text: word("loading")})));
    row.after(element("tr", {class: "x"}, place));
    await htmx.ajax("get", cell.dataset.cell || (cell.getAttribute("hx-get") ?? ""), {target: place, swap: "innerHTML"});
  });
  table.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      close(true);
      return;
    }
    const td = (event.target as Element).closest("[data-cell]")?.closest("td");
    if (!td) return;
    const row = td.parentElement as HTMLTableRowElement;
    const column = td.cellIndex;
    const lines = all<HTMLTableRowElement>("tbody tr:not(.grp):not(.x)", table);
    const at = lines.indexOf(row);
    const seek = (next: (i: number) => HTMLTableCellElement | undefined) => {
      for (let i = 1; ; i += 1) {
        const candidate = next(i);
        if (!candidate) return;
        const cell = one("[data-cell]", candidate);
        if (cell) {
          event.preventDefault();
          cell.focus();
          return;
        }
      }
    };
    if (event.key === "ArrowRight") seek((i) => row.cells[column + i]);
    if (event.key === "ArrowLeft") seek((i) => row.cells[column - i]);
    if (event.key === "ArrowDown") seek((i) => lines[at + i]?.cells[column]);
    if (event.key === "ArrowUp") seek((i) => lines[at - i]?.cells[column]);
  });
}
