// Lists: conditions, columns, density, keyboard (j/k move, enter opens, x selects, / searches) and the bar for selected rows.
import {all, bind, element, on, one, send, typing, word} from "./dom";
import {failed} from "./toast";
import {sortable} from "./sortable";

const DENSE = "sn-dense";

document.documentElement.classList.toggle(DENSE, localStorage.getItem(DENSE) === "1");
bind("[data-density]", (button) => {
  const show = () => {
    const dense = document.documentElement.classList.contains(DENSE);
    const text = one("span", button);
    if (text) text.textContent = word(dense ? "roomy" : "dense");
    button.setAttribute("aria-pressed", String(dense));
  };
  button.addEventListener("click", () => {
    const dense = document.documentElement.classList.toggle(DENSE);
    localStorage.setItem(DENSE, dense ? "1" : "0");
    show();
  });
  show();
});

// empty conditions stay out of the address
document.addEventListener("htmx:configRequest", (event) => {
  const {elt, parameters} = (event as CustomEvent<{elt: HTMLElement; parameters: FormData | Record<string, unknown>}>).detail;
  if (!elt.matches("[data-drop-empty]")) return;
  const form = elt as HTMLFormElement;
  const names = new Set([...form.elements].map((control) => (control as HTMLInputElement).name).filter(Boolean));
  for (const name of names) {
    const values = (parameters instanceof FormData ? parameters.getAll(name) : [(parameters as Record<string, unknown>)[name]].flat()).filter((value) => value !== "" && value != null);
    if (values.length) continue;
    if (parameters instanceof FormData) parameters.delete(name);
    else delete (parameters as Record<string, unknown>)[name];
  }
});
on("click", "[data-show-filter]", (_, button) => {
  const menu = button.closest<HTMLDetailsElement>("details");
  const filter = one<HTMLDetailsElement>(`[data-filter="${CSS.escape(button.dataset.showFilter ?? "")}"]`, button.closest("form") ?? document);
  if (menu) menu.open = false;
  if (!filter) return;
  filter.hidden = false;
  filter.open = true;
  one<HTMLElement>("input:not([type=hidden]), select, .ts-control input", filter)?.focus();
});
// a picked person or record applies at once; the button is for the kinds one types or ticks
on("change", "[data-filter] select[data-lookup]", (_, control) => (control as HTMLSelectElement).form?.requestSubmit());
on("click", "a[data-with-query]", (_, link) => {
  (link as HTMLAnchorElement).search = location.search;
});
document.addEventListener("submit", (event) => {
  const field = one<HTMLInputElement>("[data-query]", event.target as HTMLElement);
  if (field) field.value = location.search.replace(/^\?/, "");
}, true);

bind("[data-columns]", (pop) => {
  const list = one("[data-sortable]", pop);
  if (list) sortable(list, "li:not(:has(:disabled))", "[data-grip]");
  one("[data-apply]", pop)?.addEventListener("click", async () => {
    const columns = all<HTMLInputElement>("input:checked", pop).map((box) => box.value).join(",");
    try {
      await send(pop.dataset.columns ?? "", {method: "POST", body: new URLSearchParams({columns})});
      location.reload();
    } catch (error) {
      failed(error);
    }
  });
});

const rows = () => all("[data-row]");
const boxes = () => all<HTMLInputElement>('[data-row] input[name="ids"]');
let last: HTMLInputElement | null = null;

function selection(): void {
  const chosen = boxes().filter((box) => box.checked);
  for (const box of boxes()) box.closest("tr")?.classList.toggle("sel", box.checked);
  const head = one<HTMLInputElement>("[data-all]");
  if (head) {
    head.checked = chosen.length > 0 && chosen.length === boxes().length;
    head.indeterminate = chosen.length > 0 && !head.checked;
  }
  const bar = one("[data-bulk]");
  if (!bar) return;
  bar.hidden = chosen.length === 0;
  const count = one("[data-bulk-count]", bar);
  if (count) count.textContent = word("selected", {n: chosen.length});
}

on("change", "[data-all]", (_, head) => {
  for (const box of boxes()) box.checked = (head as HTMLInputElement).checked;
  selection();
});
on("click", '[data-row] input[name="ids"]', (event, target) => {
  const box = target as HTMLInputElement;
  const every = boxes();
  if (event.shiftKey && last && every.includes(last)) {
    const [from, to] = [every.indexOf(last), every.indexOf(box)].sort((a, b) => a - b);
    for (const other of every.slice(from, to + 1)) other.checked = box.checked;
  }
  last = box;
  selection();
});
on("click", "[data-bulk-clear]", () => {
  for (const box of boxes()) box.checked = false;
  selection();
});
document.addEventListener("htmx:afterSettle", (event) => {
  if ((event.target as HTMLElement).id === "list-body") selection();
});

function addIds(form: HTMLFormElement): void {
  for (const old of all('input[name="ids"]', form)) old.remove();
  for (const box of boxes()) if (box.checked) form.append(element("input", {type: "hidden", name: "ids", value: box.value}));
}

on("click", "[data-bulk-url]", (_, button) => {
  const dialog = one<HTMLDialogElement>(button.dataset.bulkDialog ?? "#none");
  const form = dialog ? one<HTMLFormElement>("form", dialog) : one<HTMLFormElement>("#bulk-form");
  if (!form) return;
  addIds(form);
  if (dialog) dialog.showModal();
  else {
    form.action = button.dataset.bulkUrl ?? "";
    form.requestSubmit();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || one("dialog[open]")) return;
  const shortcut = `${event.ctrlKey || event.metaKey ? "ctrl+" : ""}${event.key}`;
  const target = all(`[data-key]`).find((item) => item.dataset.key === shortcut && item.tagName !== "LI");
  if (target && (shortcut.startsWith("ctrl+") || !typing(event.target))) {
    event.preventDefault();
    if (target.matches("input, textarea, select")) target.focus();
    else target.click();
    return;
  }
  if (typing(event.target) || event.ctrlKey || event.metaKey || !one("[data-list]")) return;
  const here = (document.activeElement as HTMLElement | null)?.closest<HTMLElement>("[data-row]");
  const every = rows();
  const at = here ? every.indexOf(here) : -1;
  if (event.key === "j" || event.key === "k") {
    const next = every[Math.max(0, Math.min(every.length - 1, event.key === "j" ? at + 1 : at - 1))];
    one("[data-open]", next)?.focus();
    next?.scrollIntoView({block: "nearest"});
    event.preventDefault();
  } else if (event.key === "x" && here) {
    one<HTMLInputElement>('input[name="ids"]', here)?.click();
    event.preventDefault();
  } else if (event.key === "Escape" && boxes().some((box) => box.checked)) one("[data-bulk-clear]")?.click();
});
