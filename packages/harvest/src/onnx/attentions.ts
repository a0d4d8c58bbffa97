/** Where a graph attends: one node for each attention. */
import type { Graph } from './graph.ts';
import { isFusedAttention, isProduct, isSoftmax, mixes } from './ops.ts';

/**
 * Indices of the fused attentions, and of the softmaxes whose result multiplies another activation (a router's softmax and that over a
 * vocabulary do not).
 */
export function attentions(graph: Graph): Set<number> {
  const found = new Set<number>();
  graph.nodes.forEach((node, index) => {
    if (!node.input.some((name) => graph.data.has(name))) return;
    if (isFusedAttention(node) || (isSoftmax(node) && weighs(graph, node.output[0]!))) found.add(index);
  });
  return found;
}

function weighs(graph: Graph, tensor: string): boolean {
  const met = new Set<string>();
  const queue = [tensor];
  while (queue.length > 0) {
    const name = queue.pop()!;
    if (met.has(name)) continue;
    met.add(name);
    for (const index of graph.consumers.get(name) ?? []) {
      const node = graph.nodes[index]!;
      if (mixes(node, graph.data)) return true;
      if (!isProduct(node, graph.data)) queue.push(...node.output.filter((output) => output !== ''));
    }
  }
  return false;
}
