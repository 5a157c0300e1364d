import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY, after, lasted, matches, placed, swept } from "../src/board.ts";
import type { CallDetail, CallSummary, Entry } from "../src/contract.ts";

const AT = "2026-03-04T09:30:00.000Z";

function call(id: string, more: Partial<CallSummary> = {}): CallSummary {
  return {
    id, flow: "reception", direction: "inbound", caller: "+14155550199", caller_name: "", did: "+14155550100", trunk: "carrier",
    state: "ai_speaking", step: "talk", verb: "converse", step_flow: "reception", step_path: "steps/1", voice: "openai", target: null,
    started: AT, answered: AT, ended: null, outcome: "live", hangup_by: "", error: "", response_ms: 640, cost: null, currency: "USD", listeners: 0, ...more,
  }; // prettier-ignore
}

function said(id: string, at: string, text = ""): Entry {
  return { id, at, kind: "said", role: "caller", text, interrupted: false, step_flow: null, step_path: null };
}

function detailOf(summary: CallSummary): CallDetail {
  return {
    call: summary, live: true, result: "", entries: [], interim: { caller: "", voice: "" }, variables: [], recordings: [], tokens: [],
    timings: {},
  }; // prettier-ignore
}

const reset = (detail: CallDetail | null, ...calls: CallSummary[]) => ({ reason: "start", now: AT, engine: { name: "a" }, calls, detail });

test("a reset forgets calls that nobody tells of any more", () => {
  const before = after(EMPTY, "reset", reset(null, call("1"), call("2")));
  const now = after(before, "reset", reset(null, call("2")));
  assert.deepEqual([...now.calls.keys()], ["2"]);
});

test("a call that is looked at and ended while the line was lost is live no more", () => {
  const before = after(EMPTY, "reset", reset(detailOf(call("1")), call("1"), call("2")));
  const now = after(before, "reset", reset(null, call("2")));
  assert.equal(now.detail!.live, false);
  assert.deepEqual([now.detail!.call.state, now.detail!.call.ended], ["ended", AT]);
  const listed = after(before, "reset", reset(null, call("1")));
  assert.equal(listed.detail!.live, true);
});

test("the engine's clock counts, not the browser's", () => {
  const board = after(EMPTY, "reset", reset(null), Date.parse(AT) - 5_000);
  assert.equal(board.ahead, 5_000);
});

test("a call that changes keeps its place, a new one comes last", () => {
  let board = after(EMPTY, "reset", reset(null, call("1"), call("2")));
  board = after(board, "call", call("3"));
  board = after(board, "call", call("1", { state: "thinking" }));
  assert.deepEqual([...board.calls.values()].map(({ id, state }) => [id, state]), [["1", "thinking"], ["2", "ai_speaking"], ["3", "ai_speaking"]]);
});

test("a call that is over stays for a moment", () => {
  const board = after(after(EMPTY, "reset", reset(null), Date.parse(AT)), "call", call("1", { state: "ended", ended: AT }));
  assert.equal(swept(board, Date.parse(AT) + 1_000), board);
  assert.equal(swept(board, Date.parse(AT) + 5_000).calls.size, 0);
});

test("the call that is looked at follows its summary, entries and variables; those of others do not touch it", () => {
  let board = after(EMPTY, "reset", reset(detailOf(call("1")), call("1"), call("2")));
  board = after(board, "entry", { call: "1", entry: said("said-0", AT, "Hello") });
  board = after(board, "entry", { call: "2", entry: said("said-0", AT, "Other") });
  board = after(board, "interim", { call: "1", caller: "I would", voice: "" });
  board = after(board, "call", call("1", { state: "ended", ended: AT }));
  assert.deepEqual(board.detail!.entries.map((entry) => entry.kind === "said" && entry.text), ["Hello"]);
  assert.equal(board.detail!.interim.caller, "I would");
  assert.equal(board.detail!.live, false);
});

test("an entry that is known is replaced, another stands where its time is", () => {
  const entries = [said("a", "2026-03-04T09:30:01Z"), said("c", "2026-03-04T09:30:03Z")];
  assert.deepEqual(placed(entries, said("b", "2026-03-04T09:30:02Z")).map(({ id }) => id), ["a", "b", "c"]);
  assert.deepEqual(placed(entries, said("a", "2026-03-04T09:30:01Z", "more")).length, 2);
  assert.deepEqual(placed(entries, said("0", "2026-03-04T09:30:00Z")).map(({ id }) => id), ["0", "a", "c"]);
  assert.deepEqual(placed(entries, said("d", "2026-03-04T09:30:03Z")).map(({ id }) => id), ["a", "c", "d"]);
});

test("an event of a newer engine changes nothing", () => {
  assert.equal(after(EMPTY, "weather", { rain: true }), EMPTY);
  assert.equal(after(EMPTY, "constructor", {}), EMPTY);
});

test("filters", () => {
  const one = call("1", { caller_name: "Ada", state: "with_person", target: "front-desk" });
  const all = { text: "", group: "", flow: "" };
  assert.ok(matches(one, all));
  assert.ok(matches(one, { ...all, text: "ada FRONT" }));
  assert.ok(!matches(one, { ...all, text: "ada back" }));
  assert.ok(matches(one, { ...all, group: "person" }));
  assert.ok(!matches(one, { ...all, group: "ai" }));
  assert.ok(!matches(one, { ...all, flow: "sales" }));
});

test("how long a call takes, and took", () => {
  assert.equal(lasted(call("1"), Date.parse(AT) + 7_000), 7_000);
  assert.equal(lasted(call("1", { ended: "2026-03-04T09:30:02.500Z" }), 0), 2_500);
});
