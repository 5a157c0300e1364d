import assert from "node:assert/strict";
import { test } from "node:test";
import { brief, clock, money, pace, percentile, spokenClock } from "../src/format.ts";
import { JitterBuffer } from "../src/jitter.ts";
import { callPath, parse, pastPath } from "../src/route.ts";
import { EventParser } from "../src/stream.ts";

test("lengths of time", () => {
  assert.deepEqual([0, 42_900, 725_000, 3_727_000].map(clock), ["0:00", "0:42", "12:05", "1:02:07"]);
  assert.equal(spokenClock(61_000), "1 minute 1 second");
  assert.equal(clock(-300), "0:00");
  assert.deepEqual([840, 1_340].map(brief), ["840 ms", "1.3 s"]);
  assert.deepEqual([799, 800, 1_500].map(pace), ["good", "fair", "slow"]);
});

test("money", () => {
  assert.match(money(0.0312, "USD"), /0[.,]0312/);
  assert.match(money(12.5, "EUR"), /12[.,]50/);
  assert.equal(money(0.5, ""), "0.5000");
  assert.equal(money(1, "credits of ours"), "1.00 credits of ours");
});

test("a share of figures", () => {
  assert.equal(percentile([], 0.5), null);
  assert.equal(percentile([3, 1, 2], 0.5), 2);
  assert.equal(percentile([1, 2, 3, 4], 0.95), 4);
});

test("events arrive in pieces of any size", () => {
  const text = 'id: a-1\r\nevent: call\r\ndata: {"id":\r\ndata: "ä"}\r\n\r\n: nothing\n\nevent:engine\ndata:{}\n\n';
  const wanted = [
    { id: "a-1", type: "call", data: '{"id":\n"ä"}' },
    { id: "a-1", type: "engine", data: "{}" },
  ];
  for (const size of [1, 2, 3, 7, text.length]) {
    const parser = new EventParser();
    const found = [];
    for (let at = 0; at < text.length; at += size) found.push(...parser.feed(text.slice(at, at + size)));
    assert.deepEqual(found, wanted, `in pieces of ${size}`);
  }
});

test("addresses lead to views and back", () => {
  assert.deepEqual(parse(callPath("1772616600.4/ü")), { page: "call", id: "1772616600.4/ü" });
  assert.deepEqual(parse("/console/past", "?number=0199&flow=a%2Fb"), { page: "past", query: { number: "0199", flow: "a/b" } });
  assert.equal(pastPath({ number: "+1", flow: "" }), "/console/past?number=%2B1");
  assert.deepEqual(parse("/console/"), { page: "live" });
  assert.deepEqual(parse("/console/nonsense/x"), { page: "live" });
  assert.deepEqual(parse("/console/calls/%E0%A4%A"), { page: "call", id: "%E0%A4%A" });
});

function pulled(buffer: JitterBuffer, pairs: number): number[][] {
  const [left, right] = [new Float32Array(pairs), new Float32Array(pairs)];
  buffer.pull(left, right);
  return [[...left], [...right]].map((side) => side.map((sample) => Math.round(sample * 32768)));
}

test("sound waits until enough is there, then plays both sides, then is silent", () => {
  const buffer = new JitterBuffer(3, 100);
  buffer.push(Int16Array.of(1, -1, 2, -2));
  assert.deepEqual(pulled(buffer, 2), [[0, 0], [0, 0]]);
  buffer.push(Int16Array.of(3, -3));
  assert.deepEqual(pulled(buffer, 2), [[1, 2], [-1, -2]]);
  assert.deepEqual(pulled(buffer, 2), [[3, 0], [-3, 0]]);
  buffer.push(Int16Array.of(4, -4));
  assert.deepEqual(pulled(buffer, 1), [[0], [0]], "after a gap it waits again");
});

test("who listens rather misses something than hears it late", () => {
  const buffer = new JitterBuffer(1, 4);
  for (let number = 1; number <= 10; number++) buffer.push(Int16Array.of(number, 0));
  assert.deepEqual(pulled(buffer, 5)[0], [7, 8, 9, 10, 0]);
});
