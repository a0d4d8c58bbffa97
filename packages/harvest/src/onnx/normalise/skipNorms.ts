/**
 * Skip[Simplified]LayerNormalization of onnxruntime is (input + skip + bias), its norm, and four outputs, in one node: a tap or a cut at
 * the sum would leave the norm on the old values. Expanded into additions and a norm.
 */
import type { onnx } from 'onnx-proto';
import { attributeNumber, makeNode, type Node } from '../nodes.ts';
import type { Draft } from './normalise.ts';

export function withSkipNormsExpanded(draft: Draft): void {
  const ancestry = new Ancestry(draft.nodes);
  draft.nodes = draft.nodes.flatMap((node) => expanded(node, ancestry) ?? [node]);
}

function expanded(node: Node, ancestry: Ancestry): Node[] | undefined {
  const simplified = node.opType === 'SkipSimplifiedLayerNormalization';
  if (!simplified && node.opType !== 'SkipLayerNormalization') return undefined;
  const [input, skip, gain] = node.input as [string, string, string];
  const offset = simplified ? undefined : node.input[3];
  const bias = node.input[simplified ? 3 : 4];
  const [normed, mean, deviation, sum] = node.output;
  if (!normed || mean || deviation) return undefined; // outputs of training
  const made: Node[] = [];
  let [stream, branch] = ancestry.isAncestor(skip, input) ? [skip, input] : [input, skip];
  if (bias) {
    const biased = `${normed}::branch`;
    made.push(makeNode('Add', [branch, bias], [biased]));
    branch = biased;
  }
  const total = sum || `${normed}::sum`;
  made.push(makeNode('Add', [stream, branch], [total]));
  const epsilon = attributeNumber(node, 'epsilon') ?? 1e-12;
  made.push(
    makeNode(
      simplified ? 'SimplifiedLayerNormalization' : 'LayerNormalization',
      offset ? [total, gain, offset] : [total, gain],
      [normed],
      normAttributes(epsilon),
    ),
  );
  return made;
}

export const normAttributes = (epsilon: number): onnx.IAttributeProto[] => [
  { name: 'axis', type: 2, i: -1 },
  { name: 'epsilon', type: 1, f: epsilon },
];

/** Answers whether one tensor is computed from another. */
class Ancestry {
  private readonly producer = new Map<string, number>();
  private readonly nodes: readonly Node[];

  constructor(nodes: readonly Node[]) {
    this.nodes = nodes;
    nodes.forEach((node, index) => {
      for (const output of node.output) if (output) this.producer.set(output, index);
    });
  }

  isAncestor(ancestor: string, of: string): boolean {
    const target = this.producer.get(ancestor);
    if (target === undefined) return false;
    const met = new Set<number>();
    const queue = [this.producer.get(of)];
    while (queue.length > 0) {
      const index = queue.pop();
      if (index === undefined || index < target || met.has(index)) continue;
      if (index === target) return true;
      met.add(index);
      for (const name of this.nodes[index]!.input) queue.push(this.producer.get(name));
    }
    return false;
  }
}
