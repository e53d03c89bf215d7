// The bell: asks every 15 s with the ETag of the last answer, rests while the page is hidden, slows down while the server is away.
import {bind, element, one, send, Refused, word} from "./dom";
import {failed} from "./toast";

type Notice = {title: string; url: string; at: string; kind?: string; tone?: string; read?: boolean};
type Answer = {unread: number; items: Notice[]};
const EVERY = 15_000;

bind("[data-notices]", (bell) => {
  const url = bell.dataset.poll ?? "";
  const list = one("[data-notice-list]", bell)!;
  const badge = one("[data-unread]", bell)!;
  const title = document.title;
  let etag = "";
  let wait = EVERY;
  let timer = 0;

  const draw = ({unread, items}: Answer) => {
    badge.textContent = unread > 99 ? "99+" : String(unread);
    badge.hidden = unread === 0;
    one("summary", bell)?.setAttribute("aria-label", unread ? word("unread", {n: unread}) : word("notices"));
    document.title = unread ? `(${unread}) ${title}` : title;
    list.replaceChildren(...items.map((notice) => {
      const link = element("a", {href: notice.url}, element("span", {class: `sn-dot ${notice.tone ?? "info"}`, "aria-hidden": "true"}),
        element("span", {text: notice.title}), element("time", {text: notice.at}));
      if (notice.kind) link.append(element("small", {text: notice.kind}));
      return element("li", notice.read ? {class: "read"} : {}, link);
    }));
    if (!items.length) list.append(element("li", {class: "sn-none sn-dim", text: word("no_notices")}));
  };

  const poll = async () => {
    window.clearTimeout(timer);
    if (!document.hidden) {
      try {
        const answer = await send(url, {headers: etag ? {"If-None-Match": etag} : {}, cache: "no-store"});
        if (answer.status === 200) {
          etag = answer.headers.get("ETag") ?? "";
          draw((await answer.json()) as Answer);
        }
        wait = EVERY;
      } catch (error) {
        if (error instanceof Refused && (error.status === 401 || error.status === 404)) return;
        wait = Math.min(wait * 2, 240_000);
      }
    }
    timer = window.setTimeout(poll, wait);
  };

  one("[data-read-all]", bell)?.addEventListener("click", async () => {
    try {
      await send(bell.dataset.read ?? "", {method: "POST"});
      etag = "";
      await poll();
    } catch (error) {
      failed(error);
    }
  });
  bell.addEventListener("toggle", () => { if ((bell as HTMLDetailsElement).open) void poll(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) void poll(); });
  timer = window.setTimeout(poll, 1500);
});
