// Arranging the cards of the home page: move by arrows or by dragging the title, to the other column, hide, bring back.
import {all, on, one, send, word} from "./dom";
import {sortable} from "./sortable";
import {failed} from "./toast";

export default function home(box: HTMLElement): void {
  const said = one("[data-said]");
  const bar = one("[data-adjust-bar]");
  const button = one("[data-adjust]");
  const title = (card: HTMLElement) => card.getAttribute("aria-label") ?? "";

  const save = async () => {
    const cards = all("[data-column]", box).flatMap((column) => all("[data-card]", column).map((card) => ({key: card.dataset.card, size: column.dataset.column, hidden: card.hidden})));
    try {
      await send(box.dataset.home ?? "", {method: "POST", json: {cards}});
    } catch (error) {
      failed(error);
    }
  };
  const moved = (card: HTMLElement) => {
    const place = all("[data-card]:not([hidden])", card.parentElement!).indexOf(card) + 1;
    if (said) said.textContent = word("moved", {name: title(card), n: place});
    void save();
  };
  const adjust = (active: boolean) => {
    document.body.classList.toggle("sn-adjusting", active);
    button?.setAttribute("aria-pressed", String(active));
    if (bar) bar.hidden = !active;
    for (const tools of all(".sn-card-tools", box)) tools.hidden = !active;
  };
  button?.addEventListener("click", () => adjust(!document.body.classList.contains("sn-adjusting")));
  one("[data-adjust-done]")?.addEventListener("click", () => {
    adjust(false);
    button?.focus();
  });

  on("click", "[data-move]", (_, control) => {
    const card = control.closest<HTMLElement>("[data-card]");
    const column = card?.parentElement;
    if (!card || !column) return;
    const shown = all("[data-card]:not([hidden])", column);
    const at = shown.indexOf(card);
    switch (control.dataset.move) {
      case "up": if (at > 0) shown[at - 1].before(card); break;
      case "down": if (at < shown.length - 1) shown[at + 1].after(card); break;
      case "across": all("[data-column]", box).find((other) => other !== column)?.append(card); break;
      case "hide": {
        card.hidden = true;
        const back = one(`[data-show-card="${CSS.escape(card.dataset.card ?? "")}"]`);
        if (back) back.hidden = false;
        back?.focus();
      }
    }
    if (!card.hidden) control.focus();
    moved(card);
  });
  on("click", "[data-show-card]", async (_, control) => {
    const card = one(`[data-card="${CSS.escape(control.dataset.showCard ?? "")}"]`, box);
    if (!card) return;
    card.hidden = false;
    control.hidden = true;
    await save();
    // the body of a hidden card was not rendered
    if (card.children.length < 2) location.reload();
    else card.scrollIntoView({block: "center"});
  });
  for (const column of all("[data-column]", box)) {
    sortable(column, "[data-card]", ".sn-adjusting .sn-ch", moved);
  }
}
