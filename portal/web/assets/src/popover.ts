// <details class="sn-pop">: closes on a click outside, on Escape and when another opens. Dialogs: [data-dialog], [data-close].
// [data-confirm] asks first; [data-once] sends a form only once; disabled actions say their reason.
import {all, bind, on, one, word} from "./dom";
import {toast} from "./toast";

const open = () => all<HTMLDetailsElement>("details.sn-pop[open]");

document.addEventListener("click", (event) => {
  // the path, not contains(): a picker may have redrawn the clicked option away by now
  for (const pop of open()) if (!event.composedPath().includes(pop)) pop.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const pop = open().pop();
  if (!pop) return;
  event.preventDefault();
  pop.open = false;
  one("summary", pop)?.focus();
});
document.addEventListener("toggle", (event) => {
  const pop = event.target;
  if (!(pop instanceof HTMLDetailsElement) || !pop.matches("details.sn-pop") || !pop.open) return;
  for (const other of open()) if (other !== pop && !other.contains(pop)) other.open = false;
  keepInside(pop);
}, true);

/** Turns a menu to the other side when it would leave the window. */
function keepInside(pop: HTMLElement): void {
  const menu = one(".sn-menu", pop);
  if (!menu || getComputedStyle(menu).position === "fixed") return;
  menu.style.removeProperty("left");
  menu.style.removeProperty("right");
  const box = menu.getBoundingClientRect();
  if (box.right > innerWidth - 4) Object.assign(menu.style, {left: "auto", right: "0"});
  else if (box.left < 4) Object.assign(menu.style, {left: "0", right: "auto"});
}

on("click", "[data-dialog]", (_, button) => {
  one<HTMLDialogElement>(button.dataset.dialog ?? "")?.showModal();
});
on("click", "[data-close]", (_, button) => button.closest("dialog")?.close());
document.addEventListener("click", (event) => {
  if (event.target instanceof HTMLDialogElement) event.target.close();
});

/** Asks with a dialog of the page, never with the browser's. */
export function ask(text: string, yes?: string): Promise<boolean> {
  const dialog = one<HTMLDialogElement>("#sn-ask");
  const line = one("#sn-ask-text");
  if (!dialog || !line) return Promise.resolve(true);
  line.textContent = text;
  const button = one("[data-yes]", dialog);
  if (button) button.textContent = yes ?? word("go_on");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), {once: true}));
}

document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  const button = (event as SubmitEvent).submitter;
  const text = button?.dataset.confirm ?? form.dataset.confirm;
  if (!text || form.dataset.confirmed) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  void ask(text, button?.textContent?.trim() || undefined).then((yes) => {
    if (!yes) return;
    form.dataset.confirmed = "1";
    form.requestSubmit(button as HTMLButtonElement | null);
  });
}, true);
document.addEventListener("submit", (event) => {
  const form = event.target as HTMLFormElement;
  if (!form.matches("[data-once]") || event.defaultPrevented) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "1";
  (event as SubmitEvent).submitter?.classList.add("sn-busy");
});
window.addEventListener("pageshow", () => {
  for (const form of all<HTMLFormElement>("form[data-sent], form[data-leaving], form[data-confirmed]")) {
    delete form.dataset.sent;
    delete form.dataset.leaving;
    delete form.dataset.confirmed;
    for (const button of all(".sn-busy", form)) button.classList.remove("sn-busy");
  }
});
on("click", "[aria-disabled=true]", (event, button) => {
  event.preventDefault();
  if (button.dataset.reason) toast(button.dataset.reason, "warn");
});
bind("[data-submit-on-change]", (control) => control.addEventListener("change", () => (control as HTMLSelectElement).form?.requestSubmit()));
