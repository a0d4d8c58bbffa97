/** What towers are called where a graph has several: after their place, or after what they read. */
import type { Graph } from './graph.ts';
import type { Tower } from './towers.ts';

/** One name a tower; an empty one where there is only one. */
export function towerNames(graph: Graph, towers: readonly Tower[]): string[] {
  if (towers.length < 2) return towers.map(() => '');
  const crossed = towers.map(({ parts }) => parts.some(({ role }) => role === 'cross_attn_out'));
  const names = towers.map((tower, index) => {
    if (crossed.includes(true)) return crossed[index] ? 'decoder' : 'encoder';
    return modality(inputsBefore(graph, tower.stretches[0]!.stream));
  });
  const seen = new Map<string, number>();
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name}${count}`;
  });
}

function modality(inputs: ReadonlySet<string>): string {
  const any = (pattern: RegExp) => [...inputs].some((name) => pattern.test(name));
  if (any(/ids|tokens/)) return 'text';
  if (any(/pixel|image/)) return 'vision';
  if (any(/feature|audio|input_values/)) return 'audio';
  return 'tower';
}

/** Inputs of the model that a tensor's values depend on. */
export function inputsBefore(graph: Graph, tensor: string): Set<string> {
  const found = new Set<string>();
  const met = new Set<string>();
  const queue = [tensor];
  while (queue.length > 0) {
    const name = queue.pop()!;
    if (met.has(name) || !graph.data.has(name)) continue;
    met.add(name);
    const index = graph.producer.get(name);
    if (index === undefined) found.add(name);
    else queue.push(...graph.nodes[index]!.input);
  }
  return found;
}
