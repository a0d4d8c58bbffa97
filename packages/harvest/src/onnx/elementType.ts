/** Element types of tensors, as far as a graph tells them without being run. */
import type { Graph } from './graph.ts';
import { attributeNumber, type Node } from './nodes.ts';

/** `TensorProto.DataType` */
export const elementTypes = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
} as const;

/** Which input a node's first output takes its type from; what is not here takes that of the first. */
const typedBy: Readonly<Record<string, number>> = {
  DequantizeLinear: 1, // the scale
  QuantizeLinear: 2, // the zero point
  Where: 1,
  EmbedLayerNormalization: 2,
  DynamicQuantizeMatMul: 2,
  MatMulIntegerToFloat: 2,
};

const fixed: Readonly<Record<string, number>> = {
  Shape: elementTypes.int64,
  Size: elementTypes.int64,
  ArgMax: elementTypes.int64,
  MatMulInteger: elementTypes.int32,
  ConvInteger: elementTypes.int32,
};

/** The `TensorProto.DataType` of a tensor; float32 where nothing says. */
export function elementType(graph: Graph, tensor: string): number {
  const source = graph.proto.graph!;
  const declared = new Map<string, number>();
  for (const info of [...(source.input ?? []), ...(source.output ?? []), ...(source.valueInfo ?? [])]) {
    const type = info.type?.tensorType?.elemType;
    if (type) declared.set(info.name ?? '', type);
  }
  const weights = new Map((source.initializer ?? []).map((t) => [t.name ?? '', t.dataType ?? 0]));
  let name = tensor;
  for (let steps = 0; steps < graph.nodes.length; steps++) {
    const known = declared.get(name) ?? weights.get(name);
    if (known) return known;
    const node = graph.nodes[graph.producer.get(name) ?? -1];
    if (!node) break;
    const own = ownType(node, name);
    if (own) return own;
    const from = node.input[node.opType === 'Gather' ? 0 : (typedBy[node.opType] ?? 0)];
    if (!from) break;
    name = from;
  }
  return elementTypes.float32;
}

function ownType(node: Node, output: string): number | undefined {
  if (node.opType === 'Cast') return attributeNumber(node, 'to');
  if (node.opType === 'DynamicQuantizeLinear')
    return node.output[1] === output ? elementTypes.float32 : elementTypes.uint8;
  if (node.opType === 'Constant') return node.attribute?.[0]?.t?.dataType ?? undefined;
  return fixed[node.opType];
}
