import assert from "node:assert/strict";
import { test } from "node:test";
import { chart, edgeKey } from "../src/chart.ts";
import type { FlowGraph } from "../src/contract.ts";
import { wayOf } from "../src/way.ts";

const GRAPH: FlowGraph = {
  name: "reception", version: 1, revision: "1", current: true,
  nodes: [
    { id: "start", kind: "start", title: "reception", detail: "", line: 0 },
    { id: "steps/0", kind: "wait", title: "talk: converse", detail: "A greeting that is far longer than any box could be wide", line: 4 },
    { id: "steps/0/outcomes/person/0", kind: "leave", title: "goto", detail: "person", line: 8 },
    { id: "steps/1", kind: "leave", title: "hangup", detail: "", line: 9 },
    { id: "sections/person", kind: "section", title: "person", detail: "", line: 0 },
    { id: "sections/person/0", kind: "wait", title: "transfer", detail: "", line: 12 },
    { id: "handlers/0", kind: "handler", title: "dtmf 0", detail: "", line: 2 },
    { id: "over", kind: "over", title: "end", detail: "", line: 0 },
  ],
  edges: [
    { source: "start", target: "steps/0", labels: [], is_call: false },
    { source: "steps/0", target: "steps/1", labels: [], is_call: false },
    { source: "steps/0", target: "steps/0/outcomes/person/0", labels: ["person"], is_call: false },
    { source: "steps/0/outcomes/person/0", target: "sections/person", labels: [], is_call: false },
    { source: "sections/person", target: "sections/person/0", labels: [], is_call: false },
    { source: "handlers/0", target: "sections/person", labels: [], is_call: false },
    { source: "sections/person/0", target: "over", labels: [], is_call: false },
  ],
}; // prettier-ignore

test("every step has a place of its own, every line a way, and the drawing holds them", () => {
  const drawn = chart(GRAPH);
  assert.equal(drawn.nodes.length, GRAPH.nodes.length);
  for (const one of drawn.nodes) {
    assert.ok(one.x - one.width / 2 >= 0 && one.x + one.width / 2 <= drawn.width, one.id);
    assert.ok(one.y - one.height / 2 >= 0 && one.y + one.height / 2 <= drawn.height, one.id);
    for (const other of drawn.nodes) {
      const apart = Math.abs(one.x - other.x) >= (one.width + other.width) / 2 || Math.abs(one.y - other.y) >= (one.height + other.height) / 2;
      assert.ok(one === other || apart, `${one.id} and ${other.id} stand on each other`);
    }
  }
  for (const edge of drawn.edges) assert.match(edge.path, /^M[\d.]+,[\d.]+/, edge.key);
  assert.ok(drawn.edges.find(({ labels }) => labels.includes("person"))!.at);
  assert.ok(drawn.nodes[1]!.lines[1].endsWith("…"));
  assert.deepEqual(chart(GRAPH), drawn, "the same every time");
});

test("the way goes through what stands between two steps", () => {
  const way = wayOf(GRAPH, [
    { path: "steps/0", over: true, detail: "" },
    { path: "steps/0/outcomes/person/0", over: true, detail: "" },
    { path: "sections/person/0", over: false, detail: "" },
  ]);
  assert.ok(way.taken.has("sections/person") && way.taken.has("start"));
  assert.ok(way.edges.has(edgeKey("start", "steps/0")));
  assert.ok(way.edges.has(edgeKey("steps/0/outcomes/person/0", "sections/person")));
  assert.ok(way.edges.has(edgeKey("sections/person", "sections/person/0")));
  assert.ok(!way.taken.has("steps/1"));
  assert.equal(way.live, "sections/person/0");
});

test("a handler leads where no step does", () => {
  const way = wayOf(GRAPH, [{ path: "steps/0", over: true, detail: "" }, { path: "sections/person/0", over: true, detail: "" }]);
  assert.ok(way.taken.has("handlers/0") && way.taken.has("sections/person"));
  assert.equal(way.live, null);
});

test("of several handlers the one whose event cut the step short, or what they have in common", () => {
  const error = { id: "handlers/1", kind: "handler", title: "error", detail: "", line: 3 } as const;
  const both = {
    ...GRAPH,
    nodes: [...GRAPH.nodes, error],
    edges: [...GRAPH.edges, { source: "handlers/1", target: "sections/person", labels: [], is_call: false }],
  };
  const steps = (detail: string) => [{ path: "steps/0", over: true, detail }, { path: "sections/person/0", over: true, detail: "" }];
  const known = wayOf(both, steps("dtmf"));
  assert.ok(known.taken.has("handlers/0") && !known.taken.has("handlers/1"));
  assert.ok(known.edges.has(edgeKey("handlers/0", "sections/person")));
  const unknown = wayOf(both, steps(""));
  assert.ok(!unknown.taken.has("handlers/0") && !unknown.taken.has("handlers/1") && unknown.taken.has("sections/person"));
});

test("steps of other flows are passed over", () => {
  const way = wayOf(GRAPH, [{ path: "steps/7", over: false, detail: "" }]);
  assert.deepEqual([way.taken.size, way.live], [0, null]);
});
