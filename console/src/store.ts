// What all views share: who looks, what the engine told, and whether that is still so.
import { batch, computed, effect, signal, untracked } from "@preact/signals";
import * as api from "./api.ts";
import { EMPTY, after, swept, type Board, type Filter } from "./board.ts";
import type { CallDetail, Right, Session } from "./contract.ts";
import { route } from "./route.ts";
import { follow, type Connection } from "./stream.ts";

export const session = signal<Session | null | undefined>(undefined); // undefined: not known yet
export const board = signal<Board>(EMPTY);
export const connection = signal<Connection>("connecting");
export const lostAt = signal<number | null>(null);
export const paused = signal<Board | null>(null); // what is shown while updates are paused
export const filter = signal<Filter>({ text: "", group: "", flow: "" });
export const now = signal(Date.now()); // the engine's clock, once a second
export const told = signal<{ text: string; bad: boolean } | null>(null); // the latest word to the supervisor
export const missing = signal<string>(""); // why the call that is looked at cannot be shown
export const lastSearch = signal(""); // the address of the search for past calls that was made last

let loadedFrom = ""; // the engine's version when this page came from it
/** The engine was changed since: its page may be another one, too. */
export const isOutdated = computed(() => {
  const version = board.value.engine?.version ?? "";
  loadedFrom ||= version;
  return version !== "" && version !== loadedFrom;
});

export const shownBoard = computed(() => paused.value ?? board.value);
/** The call that is looked at, or null while it is fetched. */
export const detail = computed<CallDetail | null>(() => {
  const at = route.value;
  const known = [paused.value?.detail, board.value.detail];
  return (at.page === "call" && known.find((each) => each?.call.id === at.id)) || null;
});

export function may(right: Right): boolean {
  return session.value?.may.includes(right) ?? false;
}

/** Say something to the supervisor, to the eye and to a screen reader. */
export function tell(text: string, bad = false): void {
  told.value = { text, bad };
}

const TICK = 500; // ms; the timers show whole seconds
const SETTLES = 1_200; // ms in which a new stream may open before the page calls itself not live

/** Ask who looks, and follow the engine as long as somebody may. */
export async function start(): Promise<void> {
  setInterval(tick, TICK);
  api.onRefused(() => (session.value = null));
  effect(() => {
    const id = lookedAt.value;
    if (session.value) return untracked(() => watch(id));
    // Whoever logs in next sees nothing that this one saw.
    board.value = EMPTY;
    paused.value = null;
  });
  try {
    session.value = await api.whoAmI();
  } catch (error) {
    tell((error as Error).message, true);
    connection.value = "lost";
    setTimeout(() => location.reload(), 3_000);
  }
}

const lookedAt = computed(() => (route.value.page === "call" ? route.value.id : null));

function tick(): void {
  now.value = Date.now() + board.value.ahead;
  board.value = swept(board.value);
}

/** Follow all calls, and one of them in detail; gives what stops that. */
function watch(id: string | null): () => void {
  const stop = new AbortController();
  missing.value = "";
  void (id === null ? stream(null, stop.signal) : open(id, stop.signal));
  return () => stop.abort();
}

async function open(id: string, signal: AbortSignal): Promise<void> {
  let isLive = false;
  try {
    const found = await api.get<CallDetail>(api.callUrl(id));
    if (signal.aborted) return;
    board.value = { ...board.value, detail: found };
    isLive = found.live;
  } catch (error) {
    if (signal.aborted) return;
    const { status, message } = error as api.ApiError;
    missing.value = status === 404 ? "There is no such call: it may have been removed." : message;
    isLive = status === 0;
  }
  await stream(isLive ? id : null, signal);
}

async function stream(id: string | null, signal: AbortSignal): Promise<void> {
  const settling = setTimeout(() => connected("connecting"), SETTLES);
  await follow(
    api.eventsUrl(id),
    {
      event: ({ type, data }) => batch(() => heard(type, JSON.parse(data))),
      connection(state) {
        if (state === "connecting") return;
        clearTimeout(settling);
        connected(state);
      },
      refused: () => (session.value = null),
      gone: () => void open(id!, signal),
    },
    signal,
  );
  clearTimeout(settling);
}

function heard(type: string, data: unknown): void {
  const before = board.value.detail;
  board.value = after(board.value, type, data);
  now.value = Date.now() + board.value.ahead;
  const { detail } = board.value;
  const isOver = before?.live && detail?.call.id === before.call.id && !detail.live;
  if (isOver && detail.call.id === lookedAt.value && may("history")) void complete(detail.call.id);
}

/** A call that was looked at is over: what is kept of it, such as its recording, is known a moment later. */
async function complete(id: string): Promise<void> {
  for (const wait of [500, 1_500, 4_000]) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (lookedAt.value !== id) return;
    const found = await api.get<CallDetail>(api.callUrl(id)).catch(() => null);
    if (!found || found.live || board.value.detail?.call.id !== id) continue;
    board.value = { ...board.value, detail: found };
    if (found.recordings.every((recording) => recording.complete)) return;
  }
}

function connected(state: Connection): void {
  if (state === "lost" && connection.value !== "lost") lostAt.value = Date.now();
  if (state === "live" && connection.value === "lost" && lostAt.value !== null) tell("Connected again.");
  if (state === "live") lostAt.value = null;
  connection.value = state;
}

export async function logOut(): Promise<void> {
  await api.logOut().catch(() => undefined);
  session.value = null;
}
