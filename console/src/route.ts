// Where on the page one is, as the browser's address: every view can be kept and sent on.
import { signal } from "@preact/signals";

export type Route =
  | { page: "live" }
  | { page: "call"; id: string }
  | { page: "past"; query: Record<string, string> };

const BASE = "/console/";
export const LIVE = BASE;

export const route = signal<Route>({ page: "live" });

/** The view that an address names; one that names none is the live list. */
export function parse(path: string, query = ""): Route {
  const [page, id] = path.replace(BASE, "").split("/");
  if (page === "calls" && id) return { page: "call", id: decoded(id) };
  if (page === "past") return { page: "past", query: Object.fromEntries(new URLSearchParams(query)) };
  return { page: "live" };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // an address that somebody typed; no call has it
  }
}

export function callPath(id: string): string {
  return `${BASE}calls/${encodeURIComponent(id)}`;
}

export function pastPath(query: Record<string, string> = {}): string {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return `${BASE}past${given.size ? `?${given}` : ""}`;
}

export function go(path: string): void {
  if (path !== location.pathname + location.search) history.pushState(null, "", path);
  read();
}

/** Follow the address, and the page's own links without loading the page again. */
export function start(): void {
  addEventListener("popstate", read);
  addEventListener("click", (event) => {
    const link = (event.target as Element).closest?.("a");
    const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || event.defaultPrevented || link.target || link.origin !== location.origin) return;
    if (!link.pathname.startsWith(BASE) || link.hash) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
  read();
}

function read(): void {
  route.value = parse(location.pathname, location.search);
}
