// The way that a call took through its flow's graph.
import { edgeKey } from "./chart.ts";
import type { FlowGraph } from "./contract.ts";

/** A step that ran, as far as the way through the graph needs to know. */
export interface Ran {
  path: string;
  over: boolean;
  detail: string; // of a step that a handler cut short: the handler's event
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
  const mayPass = (id: string) => !isStep(known.get(id)!.kind);
  let before: Ran | null = null;
  for (const step of steps) {
    if (!known.has(step.path)) continue; // of another flow that was called
    const from = before?.path ?? start;
    if (from === step.path) continue; // once more
    const direct = from === undefined ? null : shortest(next, from, step.path, mayPass);
    const between = direct ?? byHandler(graph, before?.detail ?? "", (id) => shortest(next, id, step.path, mayPass));
    for (const [one, other] of pairs(between)) way.edges.add(edgeKey(one, other));
    for (const id of [...between, step.path]) way.taken.add(id);
    before = step;
  }
  if (start !== undefined && way.taken.size) way.taken.add(start);
  way.live = steps.findLast((step) => !step.over && known.has(step.path))?.path ?? null;
  return way;
}

function isStep(kind: string): boolean {
  return !["start", "over", "section", "handler"].includes(kind);
}

/** The way to a step that no line leads to from the step before: a handler's, as far as all that it may have been agree. */
function byHandler(graph: FlowGraph, event: string, way: (handler: string) => string[] | null): string[] {
  const handlers = graph.nodes.filter(({ kind }) => kind === "handler");
  const named = handlers.filter(({ title }) => event && title.split(" ")[0] === event.split(" ")[0]);
  const ways = (named.length ? named : handlers).map(({ id }) => way(id)).filter((each) => each !== null);
  const [first, ...others] = ways;
  return first?.filter((id) => others.every((other) => other.includes(id))) ?? [];
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
