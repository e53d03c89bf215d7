// The menu: which groups are open is remembered on this device, the phone drawer, and the search over its pages (Ctrl K).
import {all, bind, element, icon, on, one, word} from "./dom";

const KEY = "sn-menu";

bind("[data-menu]", (menu) => {
  const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Record<string, boolean>;
  for (const group of all<HTMLDetailsElement>("details[data-group]", menu)) {
    const name = group.dataset.group ?? "";
    if (name in stored && !one("[aria-current]", group)) group.open = stored[name];
    group.addEventListener("toggle", () => {
      stored[name] = group.open;
      localStorage.setItem(KEY, JSON.stringify(stored));
    });
  }
  one("[aria-current]", menu)?.scrollIntoView({block: "nearest"});
});

on("click", "[data-drawer]", () => {
  one("#sn-side")?.classList.add("open");
  one("[data-drawer-close]")?.focus();
});
const closeDrawer = () => {
  if (!one("#sn-side.open")) return;
  one("#sn-side")?.classList.remove("open");
  one("[data-drawer]")?.focus();
};
on("click", "[data-drawer-close]", closeDrawer);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeDrawer();
});

type Page = {label: string; group: string; url: string};

function pages(): Page[] {
  return all<HTMLAnchorElement>("[data-menu] a:not(.sn-brand)").map((link) => ({
    label: one(".sn-ell", link)?.textContent ?? "", url: link.getAttribute("href") ?? "#",
    group: one("summary .sn-ell", link.closest("details") ?? document.createElement("i"))?.textContent ?? "",
  }));
}

/** Pages whose name or group holds the letters of the query in order; earlier and closer hits first. */
function match(query: string): Page[] {
  const wanted = query.toLowerCase().replace(/\s+/g, "");
  const scored = pages().flatMap((page) => {
    const text = `${page.label} ${page.group}`.toLowerCase();
    const direct = text.indexOf(query.toLowerCase().trim());
    if (direct >= 0) return [{page, score: direct}];
    let at = -1;
    for (const letter of wanted) {
      at = text.indexOf(letter, at + 1);
      if (at < 0) return [];
    }
    return [{page, score: 100 + at}];
  });
  return scored.sort((a, b) => a.score - b.score).map((hit) => hit.page).slice(0, 12);
}

bind("#sn-palette", (box) => {
  const dialog = box as HTMLDialogElement;
  const input = one<HTMLInputElement>("[data-palette-input]", dialog)!;
  const list = one("#sn-palette-list", dialog)!;
  let chosen = 0;
  const mark = () => {
    all("[role=option]", list).forEach((option, index) => {
      option.setAttribute("aria-selected", String(index === chosen));
      if (index === chosen) {
        option.scrollIntoView({block: "nearest"});
        input.setAttribute("aria-activedescendant", option.id);
      }
    });
  };
  const draw = () => {
    const found = match(input.value);
    chosen = 0;
    list.replaceChildren(...found.map((page, index) => {
      const option = element("li", {role: "option", id: `pal-${index}`, "data-url": page.url});
      option.innerHTML = icon("arrow-right");
      option.append(element("span", {text: page.label}), element("small", {text: page.group}));
      return option;
    }));
    if (!found.length) list.append(element("li", {role: "option", "aria-disabled": "true", class: "sn-dim", text: word("menu_empty")}));
    mark();
  };
  const show = () => {
    if (dialog.open) return;
    input.value = "";
    draw();
    dialog.showModal();
    input.focus();
  };
  input.addEventListener("input", draw);
  dialog.addEventListener("keydown", (event) => {
    const count = all("[data-url]", list).length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      chosen = (chosen + (event.key === "ArrowDown" ? 1 : count - 1)) % Math.max(count, 1);
      mark();
    } else if (event.key === "Escape") {
      event.preventDefault();
      dialog.close();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const url = all("[data-url]", list)[chosen]?.dataset.url;
      if (url) location.assign(url);
    }
  });
  on("click", "#sn-palette-list [data-url]", (_, option) => location.assign(option.dataset.url ?? "#"));
  on("click", "[data-search-open]", show);
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      show();
    }
  });
});
