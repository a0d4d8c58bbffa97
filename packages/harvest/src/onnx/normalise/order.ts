/** Nodes in an order of execution. */
import { msaeError } from '@msae/schema';
import { inputsOf, type Node } from '../nodes.ts';

/**
 * The nodes so that each comes after what it reads, otherwise in the order they were in: converters append casts at the end of the
 * list, which ONNX forbids and onnxruntime forgives.
 *
 * @throws MsaeError `file` when nodes depend on each other in a circle
 */
export function inOrder(nodes: readonly Node[]): Node[] {
  const producer = new Map<string, number>();
  nodes.forEach((node, index) => {
    for (const output of node.output) if (output) producer.set(output, index);
  });
  const ordered: Node[] = [];
  const state = new Uint8Array(nodes.length); // 0 = not met, 1 = waits for what it reads, 2 = placed
  const needs = (index: number): number[] =>
    inputsOf(nodes[index]!).flatMap((name) => producer.get(name) ?? []);
  for (let first = 0; first < nodes.length; first++) {
    const stack = [first];
    while (stack.length > 0) {
      const index = stack.at(-1)!;
      const open = state[index] === 2 ? [] : needs(index).filter((needed) => state[needed] !== 2);
      if (open.length === 0) {
        stack.pop();
        if (state[index] !== 2) ordered.push(nodes[index]!);
        state[index] = 2;
        continue;
      }
      state[index] = 1;
      const circle = open.find((needed) => state[needed] === 1);
      if (circle !== undefined) {
        throw msaeError(
          'file',
          `the graph is no order of execution: ${nodes[circle]!.output[0]} depends on itself`,
        );
      }
      stack.push(...open.reverse());
    }
  }
  return ordered;
}
