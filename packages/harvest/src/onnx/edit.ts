/**
 * Changes to a graph that need no re-export: other outputs, and a tensor that is fed instead of computed. Whatever the
 * wanted outputs do not need is left out, so that nothing is computed in vain.
 */
import { msaeError, nearestNames } from '@msae/schema';
import type { onnx } from 'onnx-proto';
import { type Graph, inputsOf, type Node } from './graph.ts';

/** Throws unless `tensor` is made by a node of the graph; the error lists the nearest names. */
export function checkTensor(graph: Graph, tensor: string, candidates?: Iterable<string>): void {
  if (graph.producer.has(tensor)) return;
  if (graph.inputs.some((input) => input.name === tensor)) {
    throw msaeError('option', `${graph.name}: ${tensor} is an input of the model, not something it computes`);
  }
  const nearest = nearestNames(tensor, candidates ?? graph.producer.keys());
  throw msaeError(
    'option',
    `${graph.name}: no tensor is named ${tensor}; the nearest names are ${nearest.join(', ')}. List the tap points to choose one`,
  );
}

/** The model with `tensors` as its outputs, and nothing in it that they do not need. */
export function withOutputs(graph: Graph, tensors: readonly string[]): onnx.IModelProto {
  for (const tensor of tensors) checkTensor(graph, tensor);
  return assemble(graph, graph.nodes, graph.inputs, tensors);
}

/** Name under which a cut tensor is fed. */
export const fedName = (tensor: string): string => `${tensor}::fed`;

/**
 * The model in which `tensor` is fed (as input `fedName(tensor)`) and `outputs` are computed from it. Inputs that are
 * still needed besides (an attention mask, the tokens when the cut leaves a way around it) remain.
 *
 * @throws when no output depends on the tensor
 */
export function withFedTensor(graph: Graph, tensor: string, outputs: readonly string[]): onnx.IModelProto {
  for (const name of [tensor, ...outputs]) checkTensor(graph, name);
  const fed = fedName(tensor);
  if (outputs.includes(tensor))
    throw msaeError('option', `${graph.name}: ${tensor} cannot be both fed and an output`);
  const nodes = graph.nodes.map((node) =>
    inputsOf(node).includes(tensor) ? renamed(node, tensor, fed) : node,
  );
  const known = [...(graph.proto.graph?.valueInfo ?? []), ...(graph.proto.graph?.output ?? [])];
  const type = known.find((info) => info.name === tensor)?.type ?? floatType;
  const model = assemble(graph, nodes, [...graph.inputs, { name: fed, type: withoutShape(type) }], outputs);
  if (!model.graph!.input!.some((input) => input.name === fed)) {
    throw msaeError(
      'option',
      `${graph.name}: ${outputs.join(', ')} does not depend on ${tensor}; tap an earlier tensor`,
    );
  }
  return model;
}

const floatType: onnx.ITypeProto = { tensorType: { elemType: 1 } };

/** The element type alone: a fed tensor may have any batch and length. */
function withoutShape(type: onnx.ITypeProto): onnx.ITypeProto {
  return { tensorType: { elemType: type.tensorType?.elemType ?? 1 } };
}

function renamed(node: Node, from: string, to: string): Node {
  if (!node.input.includes(from)) {
    throw msaeError(
      'unsupported',
      `${from} is read inside a subgraph of ${node.opType}; splicing there is not supported`,
    );
  }
  return { ...node, input: node.input.map((name) => (name === from ? to : name)) };
}

function assemble(
  graph: Graph,
  nodes: readonly Node[],
  inputs: readonly onnx.IValueInfoProto[],
  outputs: readonly string[],
): onnx.IModelProto {
  const needed = new Set(outputs);
  const kept: Node[] = [];
  // backwards over an order of execution: when a node is met, everything that reads it has been
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    if (!node.output.some((name) => needed.has(name))) continue;
    kept.push(node);
    for (const name of inputsOf(node)) needed.add(name);
  }
  const source = graph.proto.graph!;
  const types = new Map<string, onnx.IValueInfoProto>();
  for (const info of [...(source.valueInfo ?? []), ...(source.output ?? [])])
    types.set(info.name ?? '', info);
  return {
    ...graph.proto,
    graph: {
      ...source,
      node: kept.reverse(),
      initializer: (source.initializer ?? []).filter((tensor) => needed.has(tensor.name ?? '')),
      sparseInitializer: (source.sparseInitializer ?? []).filter((t) => needed.has(t.values?.name ?? '')),
      input: inputs.filter((input) => needed.has(input.name ?? '')),
      output: outputs.map((name) => types.get(name) ?? { name }),
      valueInfo: [],
    },
  };
}
