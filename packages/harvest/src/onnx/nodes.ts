/** Nodes read, made and renamed: what every rewriting of a graph needs. */
import type { onnx } from 'onnx-proto';

export type Node = onnx.INodeProto & { opType: string; input: string[]; output: string[] };

/** What a node reads, the names its subgraphs take from outside included. */
export function inputsOf(node: Node): string[] {
  const names = node.input.filter((name) => name !== '');
  for (const sub of subgraphsOf(node)) names.push(...capturedBy(sub));
  return names;
}

/** Graphs among a node's attributes: branches of an If, the body of a Loop or a Scan. */
export function subgraphsOf(node: Node): onnx.IGraphProto[] {
  return (node.attribute ?? []).flatMap(({ g, graphs }) => [...(g ? [g] : []), ...(graphs ?? [])]);
}

function capturedBy(sub: onnx.IGraphProto): string[] {
  const own = new Set<string>();
  for (const { name } of [...(sub.input ?? []), ...(sub.initializer ?? [])]) own.add(name ?? '');
  const captured: string[] = [];
  for (const node of (sub.node ?? []) as Node[]) {
    for (const name of inputsOf(node)) if (!own.has(name)) captured.push(name);
    for (const name of node.output) own.add(name);
  }
  for (const { name } of sub.output ?? []) if (name && !own.has(name)) captured.push(name);
  return captured;
}

/** The node with what it reads renamed, within its subgraphs too (ONNX forbids these to shadow names). */
export function withInputs(node: Node, rename: (name: string) => string): Node {
  return renamed(node, rename, (name) => name);
}

/** The node with all its tensors renamed, those that its subgraphs make too. */
export function withTensors(node: Node, rename: (name: string) => string): Node {
  return renamed(node, rename, rename);
}

function renamed(node: Node, read: (name: string) => string, made: (name: string) => string): Node {
  const within = (sub: onnx.IGraphProto): onnx.IGraphProto => ({
    ...sub,
    node: ((sub.node ?? []) as Node[]).map((inner) => renamed(inner, read, made)),
    output: (sub.output ?? []).map((output) => ({ ...output, name: read(output.name ?? '') })),
    input: (sub.input ?? []).map((input) => ({ ...input, name: made(input.name ?? '') })),
    initializer: (sub.initializer ?? []).map((tensor) => ({ ...tensor, name: made(tensor.name ?? '') })),
  });
  const attribute = (node.attribute ?? []).map((one) => ({
    ...one,
    ...(one.g && { g: within(one.g) }),
    ...(one.graphs?.length && { graphs: one.graphs.map(within) }),
  }));
  return {
    ...node,
    input: node.input.map((name) => (name === '' ? '' : read(name))),
    output: node.output.map((name) => (name === '' ? '' : made(name))),
    ...(subgraphsOf(node).length > 0 && { attribute }),
  };
}

/** A new node. */
export function makeNode(
  opType: string,
  input: string[],
  output: string[],
  attribute: onnx.IAttributeProto[] = [],
  domain = '',
): Node {
  return { opType, domain, name: `${output[0]}::node`, input, output, attribute };
}

/** `AttributeProto.AttributeType`. */
const types = { float: 1, int: 2, ints: 7 };

export const intAttribute = (name: string, i: number): onnx.IAttributeProto => ({ name, type: types.int, i });

/** A number an attribute holds, whole or not. */
export function attributeNumber(node: Node, name: string): number | undefined {
  const found = node.attribute?.find((one) => one.name === name);
  if (!found) return undefined;
  return found.type === types.float ? Number(found.f) : Number(found.i);
}
