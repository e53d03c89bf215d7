// Forms: unsaved-changes guard, growing text, steppers, money while typing, autosave, choosing between two versions.
import {all, bind, later, on, one, send, word} from "./dom";
import {ask} from "./popover";

const state = (form: HTMLFormElement) => new URLSearchParams([...new FormData(form)].filter(([name, value]) => name !== "csrf_token" && name !== "version" && typeof value === "string") as [string, string][]).toString();
const first = new WeakMap<HTMLFormElement, string>();
const guarded = () => all<HTMLFormElement>("form[data-guard]");
const dirty = () => guarded().some((form) => first.has(form) && first.get(form) !== state(form) && !form.dataset.leaving);

bind("form[data-guard]", (element) => {
  const form = element as HTMLFormElement;
  // pickers and prefilled lines settle first; a form shown again with errors is unsaved from the start
  window.setTimeout(() => first.set(form, one("[data-errors], .sn-conflict", document) ? "" : state(form)), 300);
  form.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    form.dataset.leaving = "1";
  });
  form.addEventListener("sn:saved", () => first.set(form, state(form)));
});
window.addEventListener("beforeunload", (event) => {
  if (dirty()) event.preventDefault();
});
on("click", "a[href]", (event, link) => {
  const href = link.getAttribute("href") ?? "";
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || href.startsWith("#") || link.getAttribute("target") || link.hasAttribute("download") || link.hasAttribute("hx-get") || !dirty()) return;
  event.preventDefault();
  void ask(word("unsaved")).then((yes) => {
    if (!yes) return;
    for (const form of guarded()) form.dataset.leaving = "1";
    location.assign((link as HTMLAnchorElement).href);
  });
});

// browsers without field-sizing let the text area grow by script
if (!CSS.supports("field-sizing", "content")) {
  bind("textarea[data-grow], textarea.what", (area) => {
    const grow = () => {
      area.style.height = "auto";
      area.style.height = `${area.scrollHeight + 2}px`;
    };
    area.addEventListener("input", grow);
    grow();
  });
}

on("click", "[data-step]", (_, button) => {
  const input = one<HTMLInputElement>("input", button.parentElement!);
  if (!input) return;
  const [low, high] = [Number(input.min || 0), Number(input.max || Infinity)];
  const next = Math.min(high, Math.max(low, Number(input.value || 0) + Number(button.dataset.step)));
  input.value = next.toFixed(1);
  input.dispatchEvent(new Event("input", {bubbles: true}));
});

/** Thousands separators while not being edited; the form sends the plain digits. */
const group = (text: string) => text.replace(/^(-?)(\d+)/, (_, sign: string, digits: string) => sign + digits.replace(/\B(?=(\d{3})+$)/g, ","));
const plain = (text: string) => text.replace(/[,，\s]/g, "");
bind("input[data-money]", (element) => {
  const input = element as HTMLInputElement;
  const show = () => { if (/^-?\d+(\.\d+)?$/.test(plain(input.value))) input.value = group(plain(input.value)); };
  input.addEventListener("focus", () => { input.value = plain(input.value); });
  input.addEventListener("blur", show);
  input.form?.addEventListener("formdata", (event) => event.formData.set(input.name, plain(input.value)));
  show();
});

bind("form[data-autosave]", (element) => {
  const form = element as HTMLFormElement;
  const note = one("[data-saved-at]", form) ?? one("[data-saved-at]");
  let sent = state(form);
  const save = later(async () => {
    const now = state(form);
    if (now === sent || form.dataset.leaving) return;
    try {
      const answer = await send(form.dataset.autosave ?? "", {method: "POST", body: new FormData(form)});
      const {saved_at, version, ids} = (await answer.json()) as {saved_at: string; version?: number; ids?: number[]};
      sent = now;
      if (note) note.textContent = word("saved_at", {t: saved_at});
      const field = one<HTMLInputElement>('input[name="version"]', form);
      if (field && version !== undefined) field.value = String(version);
      if (ids) form.dispatchEvent(new CustomEvent("sn:ids", {detail: ids}));
      form.dispatchEvent(new Event("sn:saved"));
    } catch (error) {
      if (note) note.textContent = `${word("not_saved")} · ${error instanceof Error ? error.message : ""}`;
    }
  }, 3000);
  form.addEventListener("input", save);
  form.addEventListener("change", save);
});

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;
const mine = new WeakMap<Control, string>();

/** Puts their value into a control, or with null back what was typed before. */
function take(control: Control, theirs: string | null, text: string): void {
  const box = control instanceof HTMLInputElement && control.type === "checkbox" ? control : null;
  if (!mine.has(control)) mine.set(control, box ? String(box.checked) : control.value);
  const value = theirs ?? mine.get(control) ?? "";
  if (box) box.checked = ["1", "true", "True"].includes(value);
  else if ("tomselect" in control && control.tomselect) {
    const picker = control.tomselect as {addOption(item: object): void; setValue(value: string): void};
    if (value && theirs !== null) picker.addOption({id: value, text});
    picker.setValue(value);
  } else control.value = value;
  control.closest("[data-field]")?.classList.toggle("sn-changed-now", theirs !== null);
}

// two versions: "theirs" copies the saved value into the control, "mine" brings back what was typed; a label has a control per language
on("change", "[data-keep]", (_, target) => {
  const radio = target as HTMLInputElement;
  const name = radio.dataset.keep ?? "";
  const source = one<HTMLInputElement>(`[data-keep="${CSS.escape(name)}"][value="theirs"]`)!;
  const theirs = radio.value === "theirs";
  const parts = source.dataset.theirsParts ? JSON.parse(source.dataset.theirsParts) as Record<string, string> : null;
  const wanted: Array<[string, string]> = parts ? Object.entries(parts).map(([language, text]) => [`${name}.${language}`, text]) : [[name, source.dataset.theirs ?? ""]];
  for (const [field, value] of wanted) {
    const control = one<Control>(`#record-form [name="${CSS.escape(field)}"]:not([type="hidden"])`);
    if (control) take(control, theirs ? value : null, source.dataset.text ?? value);
  }
});

// the first marked field takes the focus
bind("[data-errors]", () => one<HTMLElement>(".bad input:not([type=hidden]), .bad select, .bad textarea")?.focus());

// error pages that try again by themselves
bind("[data-retry]", (box) => {
  let left = Number(box.dataset.retry);
  const text = one("[data-retry-text]", box);
  const pattern = text?.textContent ?? "";
  const number = String(left);
  const timer = window.setInterval(() => {
    left -= 1;
    if (text) text.textContent = pattern.replace(number, String(Math.max(left, 0)));
    if (left > 0) return;
    window.clearInterval(timer);
    one("[data-retry-link]", box)?.click();
  }, 1000);
});
