/** A graph whose streams can be switched off, all of them in one session. */
import type { onnx } from 'onnx-proto';
import { assemble } from '../edit.ts';
import { elementType, elementTypes } from '../elementType.ts';
import type { Graph } from '../graph.ts';
import { intAttribute, makeNode, type Node, withInputs } from '../nodes.ts';

/** Input [positions or 1, 1] float32: what a stream is multiplied by before anything reads it. */
export const gateOf = (stream: string): string => `${stream}::gate`;

/** The model that computes `outputs`, every one of `streams` (themselves not switched) multiplied by its gate for all that reads it. */
export function withGates(
  graph: Graph,
  streams: readonly string[],
  outputs: readonly string[],
): onnx.IModelProto {
  const gated = new Map(streams.map((stream) => [stream, `${stream}::gated`]));
  const nodes: Node[] = [];
  const addGates = (tensors: readonly string[]): void => {
    for (const tensor of tensors) if (gated.has(tensor)) nodes.push(...gate(graph, tensor));
  };
  addGates(graph.inputs.map((input) => input.name ?? ''));
  for (const node of graph.nodes) {
    nodes.push(withInputs(node, (name) => gated.get(name) ?? name));
    addGates(node.output);
  }
  const gates = streams.map((stream) => ({
    name: gateOf(stream),
    type: { tensorType: { elemType: elementTypes.float32, shape: { dim: [{}, { dimValue: 1 }] } } },
  }));
  return assemble(graph, nodes, [...graph.inputs, ...gates], outputs);
}

function gate(graph: Graph, stream: string): Node[] {
  const factor = `${stream}::factor`;
  return [
    makeNode('Cast', [gateOf(stream)], [factor], [intAttribute('to', elementType(graph, stream))]),
    makeNode('Mul', [stream, factor], [`${stream}::gated`]),
  ];
}
