// What the page knows of the calls, from the engine's events. Pure: a board and an event in, the next board out.
import type { CallDetail, CallSummary, EngineHealth, Entry, Events } from "./contract.ts";

export interface Board {
  calls: ReadonlyMap<string, CallSummary>; // live ones, oldest first, and those that ended a moment ago
  engine: EngineHealth | null;
  detail: CallDetail | null; // of the call that is looked at
  ahead: number; // ms that the engine's clock is ahead of this one
}

export const EMPTY: Board = { calls: new Map(), engine: null, detail: null, ahead: 0 };
const STAYS = 4_000; // ms for which a call that ended is still listed

type Name = keyof Events;

/** The board after an event; one of a kind that is not known changes nothing. */
export function after(board: Board, type: string, data: unknown, now = Date.now()): Board {
  if (!Object.hasOwn(CHANGES, type)) return board;
  return (CHANGES[type as Name] as (board: Board, data: unknown, now: number) => Board)(board, data, now);
}

/** Without the calls that ended a while ago. */
export function swept(board: Board, now = Date.now()): Board {
  const left = [...board.calls.values()].filter(({ ended }) => !ended || now + board.ahead - Date.parse(ended) < STAYS);
  return left.length === board.calls.size ? board : { ...board, calls: byId(left) };
}

const CHANGES: { [K in Name]: (board: Board, data: Events[K], now: number) => Board } = {
  reset: (board, { now: theirs, engine, calls, detail }, now) => ({
    calls: byId(calls),
    engine,
    detail: detail ?? (board.detail && ended(board.detail, calls, theirs)),
    ahead: Date.parse(theirs) - now,
  }),
  call(board, call) {
    const calls = new Map(board.calls).set(call.id, call);
    const isShown = board.detail?.call.id === call.id;
    const live = call.state !== "ended";
    return { ...board, calls, detail: isShown ? { ...board.detail!, call, live } : board.detail };
  },
  engine: (board, engine) => ({ ...board, engine }),
  entry: (board, { call, entry }) => detailed(board, call, (detail) => ({ entries: placed(detail.entries, entry) })),
  interim: (board, { call, caller, voice }) => detailed(board, call, () => ({ interim: { caller, voice } })),
  variables: (board, { call, variables }) => detailed(board, call, () => ({ variables })),
  recordings: (board, { call, recordings }) => detailed(board, call, () => ({ recordings })),
  heartbeat: (board, { now: theirs }, now) => ({ ...board, ahead: Date.parse(theirs) - now }),
};

/** The call that is looked at, of which a reset tells nothing: it ended while nobody told, unless it is listed. */
function ended(detail: CallDetail, calls: readonly CallSummary[], now: string): CallDetail {
  const { call } = detail;
  if (!detail.live || calls.some(({ id }) => id === call.id)) return detail;
  return { ...detail, live: false, interim: { caller: "", voice: "" }, call: { ...call, state: "ended", ended: call.ended ?? now } };
}

function detailed(board: Board, call: string, change: (detail: CallDetail) => Partial<CallDetail>): Board {
  const { detail } = board;
  return detail?.call.id === call ? { ...board, detail: { ...detail, ...change(detail) } } : board;
}

/** An entry in its place: that of its older self, else by its time. */
export function placed(entries: readonly Entry[], entry: Entry): Entry[] {
  const known = entries.findIndex(({ id }) => id === entry.id);
  if (known >= 0) return entries.with(known, entry);
  const behind = entries.findLastIndex(({ at }) => at <= entry.at);
  return entries.toSpliced(behind + 1, 0, entry);
}

function byId(calls: readonly CallSummary[]): Map<string, CallSummary> {
  return new Map(calls.map((call) => [call.id, call]));
}

/** How long a call has taken, or took, in ms. */
export function lasted(call: CallSummary, now: number): number {
  return (call.ended ? Date.parse(call.ended) : now) - Date.parse(call.started);
}

export interface Filter {
  text: string;
  group: string; // "" or one of GROUPS
  flow: string;
}

export const GROUPS: Record<string, { label: string; states: readonly string[] }> = {
  ai: { label: "With the AI", states: ["listening", "caller_speaking", "thinking", "ai_speaking"] },
  flow: { label: "In the flow", states: ["starting", "in_flow"] },
  ring: { label: "Ringing a target", states: ["ringing_target"] },
  person: { label: "With a person", states: ["with_person"] },
};

/** Whether a call is among those that are asked for. */
export function matches(call: CallSummary, { text, group, flow }: Filter): boolean {
  if (group && !GROUPS[group]?.states.includes(call.state)) return false;
  if (flow && call.flow !== flow) return false;
  const { caller, caller_name, did, step, voice, target, trunk } = call;
  const all = [caller, caller_name, did, call.flow, step, voice, target, trunk].join("\n").toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => all.includes(word));
}
