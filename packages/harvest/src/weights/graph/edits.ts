/** Places where a run is changed: a tensor that is fed instead of computed, or to which something is added. */
import { msaeError } from '@msae/schema';
import type { onnx } from 'onnx-proto';
import { fedName } from '../../onnx/edit.ts';
import { type Graph, indexGraph } from '../../onnx/graph.ts';
import { valueInfo } from './builder.ts';

/** Input whose values [batch, sequence, width] are added to a tensor before anything else reads it. */
export const addedName = (tensor: string): string => `${tensor}::added`;

export interface Edits {
  /** Tensors that are fed as `fedName(tensor)`. */
  readonly fed?: readonly string[];
  /** Tensors to which the input `addedName(tensor)` is added. Asked for as outputs, they are what was computed, before the addition. */
  readonly added?: readonly string[];
}

/** The graph with its edits. Widths of the edited tensors are known from its value infos. */
export function edited(graph: Graph, { fed = [], added = [] }: Edits): Graph {
  if (fed.length === 0 && added.length === 0) return graph;
  const both = fed.find((tensor) => added.includes(tensor));
  if (both !== undefined) {
    throw msaeError('option', `${graph.name}: ${both} cannot be both fed and added to`);
  }
  const source = graph.proto.graph!;
  const replaced = new Map<string, string>();
  const inputs: onnx.IValueInfoProto[] = [...(source.input ?? [])];
  const shapes = new Map((source.valueInfo ?? []).map((info) => [info.name, info]));
  const feed = (tensor: string, name: string): void => {
    const dim = shapes.get(tensor)?.type?.tensorType?.shape?.dim;
    const width = Number(dim?.at(-1)?.dimValue ?? 0);
    if (dim?.length !== 3 || width < 1) {
      throw msaeError('option', `${graph.name}: ${tensor} is no tap: only taps are fed and added to`);
    }
    inputs.push(valueInfo(name, 'float32', ['batch', 'sequence', width]));
  };
  for (const tensor of fed) {
    feed(tensor, fedName(tensor));
    replaced.set(tensor, fedName(tensor));
  }
  for (const tensor of added) {
    feed(tensor, addedName(tensor));
    replaced.set(tensor, `${tensor}::edited`);
  }
  const nodes: Graph['nodes'][number][] = [];
  for (const node of graph.nodes) {
    const changed = node.input.some((name) => replaced.has(name));
    nodes.push(changed ? { ...node, input: node.input.map((name) => replaced.get(name) ?? name) } : node);
    for (const tensor of node.output) {
      if (!added.includes(tensor)) continue;
      const input = [tensor, addedName(tensor)];
      nodes.push({
        opType: 'Add',
        name: `${tensor}::edited`,
        input,
        output: [`${tensor}::edited`],
        attribute: [],
      });
    }
  }
  return indexGraph({ ...graph.proto, graph: { ...source, node: nodes, input: inputs } }, graph.name);
}
