// Pickers that ask the server while one types: <select data-lookup="url">; answers {"items":[{"id","text","hint"}]}.
import {bind, send, word} from "./dom";

const clear = ({title}: {title: string}) => `<button type="button" class="clear-button" tabindex="-1" title="${title}" aria-label="${title}">×</button>`;

type Item = {id: string | number; text: string; hint?: string};

bind("select[data-lookup]", (control) => {
  void import("./picker").then(({default: TomSelect}) => {
    const select = control as HTMLSelectElement;
    const url = select.dataset.lookup ?? "";
    const picker = new TomSelect(select, {
      valueField: "id", labelField: "text", searchField: [], placeholder: select.dataset.placeholder ?? "", maxOptions: 50,
      plugins: select.multiple ? {remove_button: {title: word("clear")}} : select.required ? {} : {clear_button: {title: word("clear"), html: clear}},
      preload: "focus", closeAfterSelect: !select.multiple, hidePlaceholder: true, create: false, loadThrottle: 250,
      load: url ? (query: string, done: (items?: Item[]) => void) => {
        const full = `${url}${url.includes("?") ? "&" : "?"}q=${encodeURIComponent(query)}`;
        send(full).then((answer) => answer.json() as Promise<{items: Item[]}>).then(({items}) => {
          picker.clearOptions((option) => picker.items.includes(String(option.id)));
          done(items);
        }).catch(() => done());
      } : undefined,
      score: () => () => 1,
      shouldLoad: () => true,
      render: {
        option: (item: Item, escape: (text: string) => string) => `<div><span>${escape(item.text)}</span>${item.hint ? `<small>${escape(item.hint)}</small>` : ""}</div>`,
        item: (item: Item, escape: (text: string) => string) => `<div>${escape(item.text)}</div>`,
        no_results: () => `<div class="no-results">${word("no_match")}</div>`,
        loading: () => `<div class="sn-ts-hint">${word("searching")}</div>`,
      },
    } as never);
    select.setAttribute("aria-hidden", "true");
    const label = select.getAttribute("aria-label");
    if (label) picker.control_input.setAttribute("aria-label", label);
    for (const name of ["aria-describedby", "aria-invalid"]) {
      const value = select.getAttribute(name);
      if (value) picker.control_input.setAttribute(name, value);
    }
  });
});
