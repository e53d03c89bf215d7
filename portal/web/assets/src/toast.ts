import {bind, element, icon, on, one, send, word} from "./dom";

export type Tone = "ok" | "info" | "warn" | "risk";
const ICONS: Record<Tone, string> = {ok: "circle-check", info: "info-circle", warn: "alert-triangle", risk: "alert-circle"};

/** Shows a message at the corner; errors stay until closed, the rest goes by itself unless the pointer is on it. */
export function toast(text: string, tone: Tone = "info", undo?: string): void {
  const box = element("div", {class: `sn-toast ${tone}`, "data-toast": ""});
  box.innerHTML = icon(ICONS[tone], false);
  box.append(element("span", {text}));
  if (undo) box.append(element("button", {class: "btn btn-sm", type: "button", "data-undo": undo, text: word("undo")}));
  const close = element("button", {class: "sn-ib", type: "button", "data-dismiss": "", "aria-label": word("close")});
  close.innerHTML = icon("x");
  box.append(close);
  one("#sn-toasts")?.append(box);
  expire(box);
}

function expire(box: HTMLElement): void {
  if (box.classList.contains("risk")) return;
  let timer = window.setTimeout(() => box.remove(), 8000);
  box.addEventListener("pointerenter", () => window.clearTimeout(timer));
  box.addEventListener("pointerleave", () => { timer = window.setTimeout(() => box.remove(), 3000); });
}

export function failed(error: unknown): void {
  toast(error instanceof Error && error.message ? error.message : word("failed"), "risk");
}

bind("[data-toast]", expire);
on("click", "[data-dismiss]", (_, button) => button.closest("[data-toast]")?.remove());
on("click", "[data-undo]", async (_, button) => {
  button.closest("[data-toast]")?.remove();
  try {
    await send(button.dataset.undo ?? "", {method: "POST"});
    location.reload();
  } catch (error) {
    failed(error);
  }
});
document.addEventListener("sn:toast", (event) => {
  const detail = (event as CustomEvent<{text: string; tone?: Tone; undo_url?: string}>).detail;
  toast(detail.text, detail.tone ?? "ok", detail.undo_url);
});
