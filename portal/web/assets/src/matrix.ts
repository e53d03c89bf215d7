// The permission matrix: counts and marks what was changed, sends only that, finds rows, moves by arrow keys.
import {all, later, one, send, word} from "./dom";
import {failed, toast} from "./toast";

type Change = {role: string; permission: string; on: boolean};

export default function matrix(box: HTMLElement): void {
  const before = new Map<HTMLInputElement, boolean>();
  const cells = all<HTMLInputElement>("td input", box);
  const text = (place: Element | null | undefined) => place?.querySelector("span")?.textContent?.trim() ?? place?.textContent?.trim() ?? "";
  const heads = all<HTMLTableCellElement>("thead th", box);
  for (const cell of cells) {
    // role and name of a cell stand once, in its column, group and row: thousands of copies would make the page slow
    const head = heads[cell.closest("td")!.cellIndex];
    cell.dataset.role = head.dataset.role;
    cell.setAttribute("aria-label", `${text(head)}: ${text(one(".grp th", cell.closest("tbody")!))} · ${text(one("th.what", cell.closest("tr")!))}`);
    before.set(cell, cell.defaultChecked);
    cell.checked = cell.defaultChecked;
  }
  const save = one<HTMLButtonElement>("[data-matrix-save]", box);
  const undo = one<HTMLButtonElement>("[data-matrix-undo]", box);
  const count = one("[data-matrix-count]", box);

  const changes = (): Change[] => cells.filter((cell) => cell.checked !== before.get(cell)).map((cell) => ({
    role: cell.dataset.role ?? "", permission: cell.closest<HTMLElement>("[data-pm-row]")?.dataset.pmRow ?? "", on: cell.checked,
  }));
  const mark = () => {
    for (const cell of cells) cell.closest("td")?.classList.toggle("changed", cell.checked !== before.get(cell));
    const n = changes().length;
    if (count) count.textContent = n ? word("changes", {n}) : word("no_changes");
    for (const button of [save, undo]) if (button) button.disabled = n === 0;
  };
  box.addEventListener("change", (event) => { if ((event.target as Element).matches("td input")) mark(); });
  undo?.addEventListener("click", () => {
    for (const [cell, was] of before) cell.checked = was;
    mark();
  });
  save?.addEventListener("click", async () => {
    save.disabled = true;
    try {
      await send(box.dataset.matrix ?? "", {method: "POST", json: {module: box.dataset.module, version: box.dataset.version, changes: changes()}});
      for (const cell of cells) before.set(cell, cell.checked);
      toast(word("saved"), "ok");
      window.setTimeout(() => location.reload(), 600);
    } catch (error) {
      failed(error);
    }
    mark();
  });
  window.addEventListener("beforeunload", (event) => { if (changes().length) event.preventDefault(); });

  box.addEventListener("keydown", (event) => {
    const cell = (event.target as Element).closest("td input")?.closest("td");
    if (!cell) return;
    const row = cell.parentElement as HTMLTableRowElement;
    const column = cell.cellIndex;
    const lines = all<HTMLTableRowElement>("[data-pm-row]:not([hidden])", box);
    const at = lines.indexOf(row);
    const target = {ArrowLeft: row.cells[column - 1], ArrowRight: row.cells[column + 1], ArrowUp: lines[at - 1]?.cells[column], ArrowDown: lines[at + 1]?.cells[column]}[event.key];
    if (target === undefined) return;
    event.preventDefault();
    one<HTMLInputElement>("td input", target)?.focus();
  });

  const find = one<HTMLInputElement>("[data-matrix-find]", box);
  const only = one<HTMLInputElement>("[data-matrix-only]", box);
  const filter = () => {
    const query = find?.value.trim().toLowerCase() ?? "";
    for (const row of all("[data-pm-row]", box)) {
      row.hidden = !(row.dataset.find ?? "").includes(query) || Boolean(only?.checked && !one(".differs, .changed", row));
    }
    for (const group of all("[data-pm-group]", box)) group.hidden = !one("[data-pm-row]:not([hidden])", group);
  };
  find?.addEventListener("input", later(filter, 120));
  only?.addEventListener("change", filter);
}
