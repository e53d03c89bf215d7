// Theme: "auto" follows the device. The page arrives with the stored choice; a switch shows at once and is stored behind it.
import {on, one, send} from "./dom";

const root = document.documentElement;
const dark = window.matchMedia("(prefers-color-scheme: dark)");

export function paint(): void {
  const choice = root.dataset.theme ?? "auto";
  const now = choice === "dark" || (choice === "auto" && dark.matches) ? "dark" : "light";
  if (root.dataset.bsTheme === now) return;
  root.dataset.bsTheme = now;
  document.dispatchEvent(new Event("sn:theme"));
}

function choose(theme: string): void {
  root.dataset.theme = theme;
  const auto = one("[data-theme-auto]");
  if (auto) auto.hidden = theme === "auto";
  paint();
  send("/preferences/theme", {method: "POST", body: new URLSearchParams({theme})}).catch(() => undefined);
}

paint();
dark.addEventListener("change", paint);
on("click", "[data-theme-switch]", () => choose(root.dataset.bsTheme === "dark" ? "light" : "dark"));
on("click", "[data-theme-auto]", () => choose("auto"));
