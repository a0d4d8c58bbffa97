/**
 * One form for graphs that tools have rewritten: an order of execution, no branch that is never taken, no node that is several
 * operations at once where a tap may lie between them, no value under several names. What a graph computes stays the same, and every
 * tensor of the file keeps its name (what became superfluous stays in the graph, read by nobody).
 */
import type { onnx } from 'onnx-proto';
import type { Node } from '../nodes.ts';
import { withoutUntakenBranches } from './branches.ts';
import { withoutDuplicates } from './duplicates.ts';
import { withEmbeddingsExpanded } from './embeddings.ts';
import { inOrder } from './order.ts';
import { withSkipNormsExpanded } from './skipNorms.ts';

/** A graph that is being rewritten. */
export interface Draft {
  nodes: Node[];
  initializers: onnx.ITensorProto[];
  valueInfo: onnx.IValueInfoProto[];
  readonly inputs: readonly string[];
  readonly outputs: ReadonlySet<string>;
}

const passes: readonly ((draft: Draft) => void)[] = [
  withoutUntakenBranches,
  (draft) => {
    draft.nodes = inOrder(draft.nodes);
  },
  withoutDuplicates,
  withEmbeddingsExpanded,
  withSkipNormsExpanded,
];

/** @throws MsaeError `file` when the nodes depend on each other in a circle */
export function normalised(proto: onnx.IModelProto): onnx.IModelProto {
  const graph = proto.graph!;
  const draft: Draft = {
    nodes: [...((graph.node ?? []) as Node[])],
    initializers: [...(graph.initializer ?? [])],
    valueInfo: [...(graph.valueInfo ?? [])],
    inputs: (graph.input ?? []).map((input) => input.name ?? ''),
    outputs: new Set((graph.output ?? []).map((output) => output.name ?? '')),
  };
  for (const pass of passes) pass(draft);
  const { nodes: node, initializers: initializer, valueInfo } = draft;
  return { ...proto, graph: { ...graph, node, initializer, valueInfo } };
}
