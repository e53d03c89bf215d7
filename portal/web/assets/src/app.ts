// The one script of every page. Parts that only some pages need load by themselves when their data- attribute is there.
import htmx from "htmx.org";
import "./theme";
import "./toast";
import "./popover";
import "./menu";
import "./notices";
import "./lookup";
import "./list";
import "./form";
import "./record";
import {bind, mount, token, word} from "./dom";
import {toast} from "./toast";

Object.assign(htmx.config, {
  allowEval: false, includeIndicatorStyles: false, selfRequestsOnly: true, historyCacheSize: 0, refreshOnHistoryMiss: true,
  defaultSwapStyle: "innerHTML", scrollBehavior: "auto",
});

document.addEventListener("htmx:configRequest", (event) => {
  const detail = (event as CustomEvent).detail as {verb: string; headers: Record<string, string>};
  if (detail.verb !== "get") detail.headers["X-CSRFToken"] = token();
});
document.addEventListener("htmx:load", (event) => mount((event as CustomEvent<{elt: HTMLElement}>).detail.elt));
document.addEventListener("htmx:sendError", () => toast(word("offline"), "risk"));
document.addEventListener("htmx:responseError", (event) => {
  const {xhr} = (event as CustomEvent<{xhr: XMLHttpRequest}>).detail;
  if (xhr.status === 401) {
    location.reload();
    return;
  }
  let text = word("failed");
  try {
    text = (JSON.parse(xhr.responseText) as {error?: {message?: string}}).error?.message ?? text;
  } catch { /* an HTML page: the general sentence has to do */ }
  toast(text, "risk");
});

bind("[data-home]", (home) => void import("./home").then((part) => part.default(home)));
bind("[data-matrix]", (matrix) => void import("./matrix").then((part) => part.default(matrix)));
bind("[data-board]", (board) => void import("./board").then((part) => part.default(board)));
bind("[data-report]", (form) => void import("./report").then((part) => part.default(form as HTMLFormElement)));
bind("[data-launcher]", (launcher) => void import("./launcher").then((part) => part.default(launcher)));
bind("[data-chart]", (box) => void import("./charts").then((part) => part.default(box)));

const start = () => mount(document);
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
