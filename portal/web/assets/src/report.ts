// The daily report: lines are added, removed and filled in; the sum and its bar follow while typing.
import {all, element, mount, one, send, word} from "./dom";
import {failed} from "./toast";

type Line = {target?: string; task?: string; hours?: string; done?: string};
type Fill = {lines: Line[]; plan?: string; message?: string};

export default function report(form: HTMLFormElement): void {
  const lines = one("[data-lines]", form)!;
  const template = one<HTMLTemplateElement>("template[data-line-template]", form);
  const total = one<HTMLOutputElement>("[data-total]", form);
  const day = Number(form.dataset.dayHours ?? 8);
  const locked = Number(form.dataset.lockedHours ?? 0);
  const restDay = "restDay" in form.dataset;
  let undo: {html: HTMLElement[]; plan: string} | null = null;
  let next = all("[data-line]", lines).length;

  // tenths as whole numbers: hours have one decimal and must not gather rounding errors
  const sum = () => locked + all<HTMLInputElement>('[name$="-hours"]', lines).reduce((a, input) => a + Math.round(Number(input.value || 0) * 100), 0) / 100;
  const show = () => {
    const hours = sum();
    if (total) total.value = hours.toFixed(1);
    const bar = one("[data-total-bar] i", form);
    bar?.style.setProperty("--v", String(Math.min(100, (hours / day) * 100)));
    bar?.classList.toggle("ok", hours <= day);
    bar?.classList.toggle("warn", hours > day);
    const overtime = one("[data-overtime]", form);
    if (overtime) {
      const box = one<HTMLInputElement>("input", overtime);
      overtime.hidden = hours <= day && !restDay && !box?.checked;
    }
    const hint = one("[data-total-hint]", form);
    if (hint) {
      hint.textContent = hours > 24 ? hint.dataset.limit ?? "" : hours > day ? hint.dataset.over ?? "" : hint.dataset.normal ?? "";
      hint.classList.toggle("sn-t-warn", hours > day && hours <= 24);
      hint.classList.toggle("sn-t-risk", hours > 24);
    }
    const problems = one<HTMLTextAreaElement>("[data-when-problems]", form);
    if (problems) problems.hidden = one<HTMLInputElement>('[name="has_problems"]:checked', form)?.value !== "1";
    all("[data-line]", lines).forEach((line, index) => {
      const legend = one("legend", line);
      if (legend) legend.textContent = word("line", {n: index + 1});
    });
  };
  const add = (values: Line = {}, focus = true): HTMLElement | null => {
    if (!template) return null;
    const holder = element("div");
    holder.innerHTML = template.innerHTML.replaceAll("__i__", String(next++)).replaceAll("__n__", String(all("[data-line]", lines).length + 1));
    const line = one("[data-line]", holder)!;
    for (const [name, value] of Object.entries(values)) {
      const control = one<HTMLInputElement>(`[name$="-${name}"]`, line);
      if (control && value !== undefined) control.value = value;
    }
    lines.append(line);
    mount(line);
    if (focus) one<HTMLElement>("select, input:not([type=hidden]), textarea", line)?.focus();
    form.dispatchEvent(new Event("input", {bubbles: true}));
    return line;
  };

  form.addEventListener("input", show);
  form.addEventListener("change", (event) => {
    show();
    const radio = event.target as HTMLInputElement;
    if (radio.name === "has_problems" && radio.value === "1") one<HTMLTextAreaElement>("[data-when-problems]", form)?.focus();
  });
  form.addEventListener("click", async (event) => {
    const target = event.target as Element;
    if (target.closest("[data-add-line]")) add();
    const del = target.closest("[data-del-line]");
    if (del) {
      const line = del.closest<HTMLElement>("[data-line]")!;
      const other = (line.nextElementSibling ?? line.previousElementSibling) as HTMLElement | null;
      line.remove();
      one<HTMLElement>("select", other ?? form)?.focus();
      form.dispatchEvent(new Event("input", {bubbles: true}));
    }
    const fill = target.closest<HTMLElement>("[data-fill]");
    if (fill) {
      try {
        const answer = (await (await send(fill.dataset.fill ?? "")).json()) as Fill;
        take(answer);
      } catch (error) {
        failed(error);
      }
    }
    if (target.closest("[data-undo-fill]") && undo) {
      lines.replaceChildren(...undo.html);
      const plan = one<HTMLTextAreaElement>('[name="plan"]', form);
      if (plan) plan.value = undo.plan;
      undo = null;
      note("");
      form.dispatchEvent(new Event("input", {bubbles: true}));
    }
    const insert = target.closest<HTMLElement>("[data-insert]");
    if (insert) {
      const area = one<HTMLTextAreaElement>(insert.dataset.into ?? '[name="plan"]', form);
      if (area) {
        area.value = [area.value.trim(), insert.dataset.insert].filter(Boolean).join("；");
        area.dispatchEvent(new Event("input", {bubbles: true}));
        insert.hidden = true;
      }
    }
  });
  form.addEventListener("sn:ids", (event) => {
    const ids = (event as CustomEvent<number[]>).detail;
    all<HTMLInputElement>('[name$="-id"]', lines).forEach((input, index) => { if (ids[index]) input.value = String(ids[index]); });
  });

  const note = (text: string) => {
    const box = one("[data-fill-note]", form);
    if (!box) return;
    const place = one("[data-text]", box);
    if (place) place.textContent = text;
    box.hidden = !text;
  };
  const take = ({lines: wanted, plan, message}: Fill) => {
    const area = one<HTMLTextAreaElement>('[name="plan"]', form);
    const old = all("[data-line]", lines);
    undo = {html: old, plan: area?.value ?? ""};
    // untouched empty lines make room; what was written stays
    for (const line of old) {
      const written = all<HTMLInputElement>("input:not([type=hidden]), textarea", line).some((control) => control.value && control.value !== control.dataset.empty);
      if (!written) line.remove();
    }
    for (const line of wanted) add(line, false);
    if (plan && area && !area.value) area.value = plan;
    note(message ?? word("filled"));
    show();
  };

  keepHere(form, lines, add);

  // the hint's normal sentence is the one the page came with
  const hint = one("[data-total-hint]", form);
  if (hint) hint.dataset.normal ??= hint.textContent ?? "";
  show();
  // until here a tap would have been lost
  for (const button of all<HTMLButtonElement>("[data-needs-script]", form)) button.disabled = false;
}

/** What could not be saved stays in the browser and is offered again: without a connection nothing typed is lost. */
function keepHere(form: HTMLFormElement, lines: HTMLElement, add: (values: Line, focus?: boolean) => HTMLElement | null): void {
  const key = `report:${location.pathname}${form.getAttribute("action") ?? ""}`;
  const value = (name: string) => one<HTMLTextAreaElement>(`[name="${name}"]`, form)?.value ?? "";
  const typed = () => ({
    plan: value("plan"), problems: value("problems"),
    lines: all("[data-line]", lines).map((line) => Object.fromEntries(["target", "hours", "done", "id"].map((name) => [name, one<HTMLInputElement>(`[name$="-${name}"]`, line)?.value ?? ""]))),
  });
  type Typed = ReturnType<typeof typed>;
  const stored = (): Typed | null => {
    try {
      return JSON.parse(localStorage.getItem(key) ?? "null") as Typed | null;
    } catch {
      return null;
    }
  };
  const note = one("[data-kept-note]", form);
  const before = stored();
  if (note && before && JSON.stringify(before) !== JSON.stringify(typed())) note.hidden = false;
  else localStorage.removeItem(key);
  one("[data-kept-take]", form)?.addEventListener("click", () => {
    if (!before) return;
    lines.replaceChildren();
    for (const line of before.lines) add(line as Line, false);
    for (const name of ["plan", "problems"] as const) {
      const area = one<HTMLTextAreaElement>(`[name="${name}"]`, form);
      if (area) area.value = before[name];
    }
    if (before.problems) one<HTMLInputElement>('[name="has_problems"][value="1"]', form)?.click();
    if (note) note.hidden = true;
    form.dispatchEvent(new Event("input", {bubbles: true}));
  });
  form.addEventListener("input", () => {
    try {
      localStorage.setItem(key, JSON.stringify(typed()));
    } catch { /* no room or no storage: the server has the draft */ }
  });
  for (const event of ["sn:saved", "submit"]) form.addEventListener(event, () => localStorage.removeItem(key));
}
