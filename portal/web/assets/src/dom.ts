// Small ground under all scripts: finding elements, binding by data- attributes, requests with the CSRF token, words.

export const one = <T extends Element = HTMLElement>(selector: string, from: ParentNode = document): T | null => from.querySelector<T>(selector);
export const all = <T extends Element = HTMLElement>(selector: string, from: ParentNode = document): T[] => [...from.querySelectorAll<T>(selector)];

type Setup = (element: HTMLElement) => void;
const setups: Array<[string, Setup]> = [];
const done = new WeakMap<Element, Set<Setup>>();

/** Calls `setup` once for every element that matches, now and in parts loaded later. */
export function bind(selector: string, setup: Setup): void {
  setups.push([selector, setup]);
}

export function mount(root: ParentNode): void {
  for (const [selector, setup] of setups) {
    const found = all(selector, root);
    if (root instanceof HTMLElement && root.matches(selector)) found.unshift(root);
    for (const element of found) {
      const seen = done.get(element) ?? new Set();
      if (seen.has(setup)) continue;
      done.set(element, seen.add(setup));
      setup(element);
    }
  }
}

/** One listener on the document for all present and later elements. */
export function on<K extends keyof DocumentEventMap>(event: K, selector: string, handler: (event: DocumentEventMap[K], element: HTMLElement) => void): void {
  document.addEventListener(event, (e) => {
    const element = (e.target as Element | null)?.closest?.<HTMLElement>(selector);
    if (element) handler(e, element);
  });
}

export const token = (): string => one<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";

let words: Record<string, string> | null = null;

/** A word of the page's language; {name} parts are filled in. */
export function word(key: string, values: Record<string, string | number> = {}): string {
  words ??= JSON.parse(one("#sn-words")?.textContent ?? "{}") as Record<string, string>;
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export class Refused extends Error {
  constructor(message: string, readonly status: number, readonly fields: Record<string, string> = {}) { super(message); }
}

/** fetch with CSRF token; errors of the server become Refused with its own sentence. */
export async function send(url: string, options: RequestInit & {json?: unknown} = {}): Promise<Response> {
  const headers = new Headers(options.headers);
  headers.set("Accept", "application/json");
  headers.set("X-Requested-With", "fetch");
  if (options.method && options.method !== "GET") headers.set("X-CSRFToken", token());
  let body = options.body;
  if (options.json !== undefined) {
    headers.set("Content-Type", "application/json");
    body = JSON.stringify(options.json);
  }
  let answer: Response;
  try {
    answer = await fetch(url, {credentials: "same-origin", ...options, headers, body});
  } catch {
    throw new Refused(word("offline"), 0);
  }
  if (answer.ok || answer.status === 304) return answer;
  throw new Refused(...(await reason(answer)));
}

async function reason(answer: Response): Promise<[string, number, Record<string, string>]> {
  try {
    const {error} = (await answer.json()) as {error?: {message?: string; fields?: Record<string, string>}};
    return [error?.message ?? word("failed"), answer.status, error?.fields ?? {}];
  } catch {
    return [word("failed"), answer.status, {}];
  }
}

export function icon(name: string, small = true): string {
  const sprite = one<SVGUseElement>("svg.sn-ic use")?.getAttribute("href")?.split("#")[0] ?? "";
  return `<svg class="sn-ic${small ? " sn-ic-s" : ""}" aria-hidden="true"><use href="${sprite}#${name}"/></svg>`;
}

export function element<K extends keyof HTMLElementTagNameMap>(tag: K, props: Record<string, string> = {}, ...children: Array<Node | string>): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "text") made.textContent = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function later(fn: () => void, ms: number): () => void {
  let timer = 0;
  return () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(fn, ms);
  };
}

export const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)) &&
  !(target instanceof HTMLInputElement && ["checkbox", "radio", "button"].includes(target.type));
