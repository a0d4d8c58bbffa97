/** Ways through a graph. */
import type { Graph } from './graph.ts';

/** Indices of the nodes on a way from one tensor to another, in order; empty when there is none. */
export function waysBetween(graph: Graph, from: string, to: string): number[] {
  const start = graph.producer.get(from) ?? -1;
  const ancestors = new Set<number>();
  const queue = [graph.producer.get(to)];
  while (queue.length > 0) {
    const index = queue.pop();
    if (index === undefined || index <= start || ancestors.has(index)) continue;
    ancestors.add(index);
    for (const name of graph.nodes[index]!.input)
      if (graph.data.has(name)) queue.push(graph.producer.get(name));
  }
  const reached = new Set([from]);
  const between: number[] = [];
  for (const index of [...ancestors].sort((a, b) => a - b)) {
    const node = graph.nodes[index]!;
    if (!node.input.some((name) => reached.has(name))) continue;
    between.push(index);
    for (const output of node.output) if (output) reached.add(output);
  }
  return between;
}

/** The tensor that the operations `ops` make of `tensor`, when they are what follows it. */
export function follow(graph: Graph, tensor: string, ops: readonly string[]): string | undefined {
  const reached = new Set([tensor]);
  let last: string | undefined;
  let done = 0;
  for (let i = (graph.producer.get(tensor) ?? -1) + 1; i < graph.nodes.length && done < ops.length; i++) {
    const node = graph.nodes[i]!;
    if (!node.input.some((name) => reached.has(name)) || node.opType !== ops[done]) continue;
    done += 1;
    last = node.output[0];
    for (const output of node.output) if (output) reached.add(output);
  }
  return done === ops.length ? last : undefined;
}
