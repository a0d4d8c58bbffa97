/** One name a value: what reads a copy (an identity, a second cast or dequantisation of the same tensor) reads the first instead. */
import { type Node, withInputs } from '../nodes.ts';
import type { Draft } from './normalise.ts';

const copies = new Set(['Identity', 'Dropout']);
/** Operations that converters repeat for every reader of a tensor. */
const repeated = new Set(['Cast', 'DequantizeLinear', 'QuantizeLinear']);

export function withoutDuplicates(draft: Draft): void {
  const same = new Map<string, string>();
  const first = new Map<string, Node>();
  const rename = (name: string): string => same.get(name) ?? name;
  draft.nodes = draft.nodes.map((given) => {
    const node = withInputs(given, rename);
    const [output] = node.output;
    if (output === undefined || output === '') return node;
    if (copies.has(node.opType) && (node.opType === 'Identity' || isInference(node))) {
      if (node.input[0]) same.set(output, node.input[0]);
    } else if (repeated.has(node.opType)) {
      const key = JSON.stringify([node.opType, node.domain ?? '', node.input, node.attribute ?? []]);
      const before = first.get(key);
      if (before) same.set(output, before.output[0]!);
      else first.set(key, node);
    }
    return node;
  });
}

/** A Dropout that was not told to train and whose mask nobody asks for. */
const isInference = (node: Node): boolean => !node.input[2] && !node.output[1];
