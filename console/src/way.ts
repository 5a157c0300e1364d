// The way that a call took through its flow's graph.
import { edgeKey } from "./chart.ts";
import type { FlowGraph } from "./contract.ts";

/** A step that ran, as far as the way through the graph needs to know. */
export interface Ran {
  path: string;
  over: boolean;
}

export interface Way {
  taken: Set<string>; // ids of nodes
  edges: Set<string>; // see `edgeKey`
  live: string | null; // the step that the call is in now
}

const HOPS = 4; // a section's or handler's beginning may stand between two steps; more than this is no way that was taken

/** What of the graph a call has seen, from the steps that ran, in their order. */
export function wayOf(graph: FlowGraph, steps: readonly Ran[]): Way {
  const known = new Map(graph.nodes.map((node) => [node.id, node]));
  const next = new Map<string, string[]>();
  for (const { source, target } of graph.edges) next.set(source, [...(next.get(source) ?? []), target]);
  const way: Way = { taken: new Set(), edges: new Set(), live: null };
  const start = graph.nodes.find((node) => node.kind === "start")?.id;
  let before = start;
  for (const { path } of steps) {
    if (!known.has(path)) continue; // of another flow that was called
    const between = before === undefined ? null : shortest(next, before, path, (id) => !isStep(known.get(id)!.kind));
    for (const [from, to] of pairs(between ?? [])) way.edges.add(edgeKey(from, to));
    for (const id of between ?? entry(graph, next, path, known)) way.taken.add(id);
    way.taken.add(path);
    before = path;
  }
  if (start !== undefined && way.taken.size) way.taken.add(start);
  way.live = steps.findLast((step) => !step.over && known.has(step.path))?.path ?? null;
  return way;
}

function isStep(kind: string): boolean {
  return !["start", "over", "section", "handler"].includes(kind);
}

/** A step that no line leads to from the step before: a handler began it, unless one cannot tell which. */
function entry(graph: FlowGraph, next: Map<string, string[]>, path: string, known: Map<string, { kind: string }>): string[] {
  const handlers = graph.nodes.filter((node) => node.kind === "handler");
  const ways = handlers.map(({ id }) => shortest(next, id, path, (hop) => !isStep(known.get(hop)!.kind))).filter((way) => way);
  return ways.length === 1 ? ways[0]! : [path];
}

function shortest(
  next: Map<string, string[]>,
  from: string,
  to: string,
  mayPass: (id: string) => boolean,
): string[] | null {
  let ends: string[][] = [[from]];
  for (let hop = 0; hop < HOPS && ends.length; hop++) {
    const further = ends.flatMap((way) => (next.get(way.at(-1)!) ?? []).map((id) => [...way, id]));
    const found = further.find((way) => way.at(-1) === to);
    if (found) return found;
    ends = further.filter((way) => mayPass(way.at(-1)!) && new Set(way).size === way.length);
  }
  return null;
}

function pairs(way: readonly string[]): [string, string][] {
  return way.slice(1).map((id, index) => [way[index]!, id]);
}
