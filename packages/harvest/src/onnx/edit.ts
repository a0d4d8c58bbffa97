/**
 * Changes to a graph that need no re-export: other outputs, and a tensor that is fed instead of computed. Whatever the
 * wanted outputs do not need is left out, so that nothing is computed in vain.
 */
import { msaeError, nearestNames } from '@msae/schema';
import type { onnx } from 'onnx-proto';
import { elementType, elementTypes } from './elementType.ts';
import type { Graph } from './graph.ts';
import { inputsOf, intAttribute, makeNode, type Node, withInputs } from './nodes.ts';

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
 * The model in which `tensor` is fed, as float32 (as input `fedName(tensor)`; a Cast follows where the tensor is of another type), and
 * `outputs` are computed from it. Inputs that are still needed besides (an attention mask, the tokens when the cut leaves a way around it)
 * remain.
 *
 * @throws when no output depends on the tensor
 */
export function withFedTensor(graph: Graph, tensor: string, outputs: readonly string[]): onnx.IModelProto {
  for (const name of [tensor, ...outputs]) checkTensor(graph, name);
  const fed = fedName(tensor);
  if (outputs.includes(tensor))
    throw msaeError('option', `${graph.name}: ${tensor} cannot be both fed and an output`);
  const type = elementType(graph, tensor);
  const plain = type === elementTypes.float32;
  const read = plain ? fed : `${fed}::cast`;
  const nodes = graph.nodes.map((node) => readingInstead(node, tensor, read));
  if (!plain) nodes.unshift(makeNode('Cast', [fed], [read], [intAttribute('to', type)]));
  const input = { name: fed, type: { tensorType: { elemType: elementTypes.float32 } } };
  const model = assemble(graph, nodes, [...graph.inputs, input], outputs);
  if (!model.graph!.input!.some(({ name }) => name === fed)) {
    throw msaeError(
      'option',
      `${graph.name}: ${outputs.join(', ')} does not depend on ${tensor}; tap an earlier tensor`,
    );
  }
  return model;
}

/** The node reading one tensor in place of another, within its subgraphs too. */
export function readingInstead(node: Node, from: string, to: string): Node {
  if (!inputsOf(node).includes(from)) return node;
  return withInputs(node, (name) => (name === from ? to : name));
}

/** A model of `nodes` that computes `outputs`, without what they do not need. */
export function assemble(
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
  const made = new Set(kept.flatMap((node) => node.output));
  for (const name of outputs) made.delete(name);
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
      // some operations' shapes are known from here alone
      valueInfo: (source.valueInfo ?? []).filter(({ name }) => made.has(name ?? '')),
    },
  };
}
