// Where the steps of a flow stand in its drawing, and how the lines between them run. Dagre lays out; the drawing is ours.
import { Graph, layout } from "@dagrejs/dagre";
import type { FlowGraph, GraphEdge, GraphNode } from "./contract.ts";

export interface PlacedNode extends GraphNode {
  x: number; // of its middle
  y: number;
  width: number;
  height: number;
  lines: [string, string]; // title and detail as they fit
}

export interface PlacedEdge extends GraphEdge {
  key: string;
  path: string; // for an SVG path's `d`
  at: { x: number; y: number } | null; // the middle of its label
}

export interface Chart {
  width: number;
  height: number;
  nodes: PlacedNode[];
  edges: PlacedEdge[];
}

const LETTER = { title: 7.1, detail: 5.9, label: 5.9 }; // mean width in pixels at the sizes that page.css gives them
const WIDEST = 196;
const NARROWEST = 64;
const PADDING = 14;
const MARGIN = 12;

/** The chart of a graph. The same graph always gives the same chart. */
export function chart(graph: FlowGraph): Chart {
  const plan = new Graph({ multigraph: false });
  plan.setGraph({ rankdir: "TB", nodesep: 22, ranksep: 34, edgesep: 14, marginx: MARGIN, marginy: MARGIN });
  plan.setDefaultEdgeLabel(() => ({}));
  const sized = graph.nodes.map((node) => ({ ...node, ...size(node) }));
  for (const { id, width, height } of sized) plan.setNode(id, { width, height });
  for (const edge of graph.edges) {
    const label = labelOf(edge);
    const room = label ? { width: label.length * LETTER.label + 10, height: 16, labelpos: "c" } : {};
    plan.setEdge(edge.source, edge.target, room);
  }
  layout(plan);
  const nodes = sized.map((node) => {
    const { x, y } = plan.node(node.id) as { x: number; y: number };
    return { ...node, x, y };
  });
  const edges = graph.edges.map((edge) => {
    const way = plan.edge(edge.source, edge.target) as { points: Point[]; x?: number; y?: number };
    const at = labelOf(edge) && way.x !== undefined && way.y !== undefined ? { x: way.x, y: way.y } : null;
    return { ...edge, key: edgeKey(edge.source, edge.target), path: curve(way.points), at };
  });
  const { width = 0, height = 0 } = plan.graph() as { width?: number; height?: number };
  return { width, height, nodes, edges };
}

export function labelOf(edge: GraphEdge): string {
  const label = edge.labels.join(", ");
  return label.length > 34 ? `${label.slice(0, 33)}…` : label;
}

/** What names the line between two steps. */
export function edgeKey(source: string, target: string): string {
  return `${source} → ${target}`;
}

function size(node: GraphNode): Pick<PlacedNode, "width" | "height" | "lines"> {
  const lines: [string, string] = [fit(node.title, LETTER.title), fit(node.detail, LETTER.detail)];
  const widest = Math.max(lines[0].length * LETTER.title, lines[1].length * LETTER.detail);
  const width = Math.min(WIDEST, Math.max(NARROWEST, widest + 2 * PADDING));
  return { width, height: lines[1] ? 44 : 30, lines };
}

function fit(text: string, letter: number): string {
  const most = Math.floor((WIDEST - 2 * PADDING) / letter);
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

interface Point {
  x: number;
  y: number;
}

/** A smooth line: through the middles between the points, bent at the points. */
function curve(points: readonly Point[]): string {
  const [first, ...rest] = points;
  const last = rest.at(-1);
  if (!first || !last) return "";
  const parts = [`M${round(first)}`];
  rest.slice(0, -1).forEach((point, index) => {
    const next = rest[index + 1]!;
    const isLast = index === rest.length - 2;
    const to = isLast ? next : { x: (point.x + next.x) / 2, y: (point.y + next.y) / 2 };
    parts.push(`Q${round(point)} ${round(to)}`);
  });
  if (rest.length === 1) parts.push(`L${round(last)}`);
  return parts.join("");
}

function round({ x, y }: Point): string {
  return `${Math.round(x * 10) / 10},${Math.round(y * 10) / 10}`;
}
