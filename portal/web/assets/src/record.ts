// Tabs of a record: arrow keys, the open one is kept in the address, parts with data-lazy load when first shown.
import htmx from "htmx.org";
import {all, bind, one} from "./dom";

bind("[data-tabs]", (box) => {
  const tabs = all("[role=tab]", box);
  const show = (tab: HTMLElement, focus: boolean, remember = true) => {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      const panel = one(`#${CSS.escape(other.getAttribute("aria-controls") ?? "")}`);
      if (panel) panel.hidden = !chosen;
      if (chosen && panel) load(panel);
    }
    if (focus) tab.focus();
    if (remember) history.replaceState(history.state, "", `#${tab.id.slice(2)}`);
  };
  for (const tab of tabs) tab.addEventListener("click", () => show(tab, false));
  box.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(event.target as HTMLElement);
    if (at < 0) return;
    const next = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1}[event.key];
    if (next === undefined) return;
    event.preventDefault();
    show(tabs[(next + tabs.length) % tabs.length], true);
  });
  const wanted = location.hash && one(`#t-${CSS.escape(location.hash.slice(1))}`, box);
  if (wanted) show(wanted, false, false);
  else for (const panel of all("[role=tabpanel]:not([hidden])", box)) load(panel);
});

// the step it is at comes into view where the track is wider than the page
bind(".sn-track", (track) => {
  const here = one("[aria-current]", track);
  if (here) track.scrollLeft = here.offsetLeft - track.offsetLeft - 24;
});

function load(panel: HTMLElement): void {
  const url = panel.dataset.lazy;
  if (!url || panel.dataset.loaded) return;
  panel.dataset.loaded = "1";
  htmx.ajax("get", url, {target: panel, swap: "innerHTML"}).catch(() => { delete panel.dataset.loaded; });
}
