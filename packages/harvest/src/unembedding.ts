/** The matrix that turns the last residual stream into logits, read out of the graph: what "direct logit effects" need. */
import { bytesToFloat32 } from '@msae/data';
import type { onnx } from 'onnx-proto';
import type { TransformerModel } from './model.ts';
import type { Graph, Node } from './onnx/graph.ts';

export interface Unembedding {
  /** [vocabulary, width] row-major, the gain of the final normalisation folded in where it was recognised. */
  readonly data: Float32Array;
  readonly vocabulary: number;
  readonly width: number;
  readonly foldedGain: boolean;
}

/**
 * The unembedding of a language model whose output `output` (default: its first) is a product with a weight matrix, tied or not.
 * Undefined where the graph has none that can be read: another last operation, weights in another file or quantised.
 */
export function unembedding(
  model: TransformerModel,
  output: string = model.graph.outputs[0]!,
): Unembedding | undefined {
  const { graph } = model;
  const product = nodeOf(graph, output);
  if (product === undefined || (product.opType !== 'MatMul' && product.opType !== 'Gemm')) return undefined;
  const matrix = weightMatrix(graph, product);
  if (matrix === undefined) return undefined;
  const gain = gainBefore(graph, product.input[0]!, matrix.width);
  if (gain === undefined) return { ...matrix, foldedGain: false };
  const data = matrix.data.map((value, at) => value * gain[at % matrix.width]!);
  return { ...matrix, data, foldedGain: true };
}

/** The second operand as [vocabulary, width], whether it is stored so or transposed. */
function weightMatrix(graph: Graph, product: Node): Omit<Unembedding, 'foldedGain'> | undefined {
  const operand = product.input[1]!;
  const transpose = nodeOf(graph, operand);
  const turnedInGemm =
    product.opType === 'Gemm' && product.attribute?.some((a) => a.name === 'transB' && Number(a.i) === 1);
  const turned = transpose?.opType === 'Transpose' || turnedInGemm === true;
  const tensor = floats(graph, transpose?.opType === 'Transpose' ? transpose.input[0]! : operand);
  if (tensor === undefined || tensor.dims.length !== 2) return undefined;
  const [rows, columns] = tensor.dims as [number, number];
  if (turned) return { data: tensor.data, vocabulary: rows, width: columns };
  const data = new Float32Array(tensor.data.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) data[j * rows + i] = tensor.data[i * columns + j]!;
  }
  return { data, vocabulary: columns, width: rows };
}

/** The gain of the normalisation that ends in `tensor`: of a fused node, or of one spelled out as x̂ · gain (+ bias). */
function gainBefore(graph: Graph, tensor: string, width: number): Float32Array | undefined {
  const node = nodeOf(graph, tensor);
  if (node === undefined) return undefined;
  const vector = (name: string | undefined) => {
    const found = name === undefined ? undefined : floats(graph, name);
    return found?.dims.length === 1 && found.dims[0] === width ? found.data : undefined;
  };
  if (/^(Simplified)?LayerNormalization$/.test(node.opType)) return vector(node.input[1]);
  if (/^Skip(Simplified)?LayerNormalization$/.test(node.opType)) return vector(node.input[2]);
  if (node.opType === 'Mul') return vector(node.input[0]) ?? vector(node.input[1]);
  if (node.opType === 'Add' && node.input.some((name) => vector(name) !== undefined)) {
    const rest = node.input.find((name) => vector(name) === undefined);
    return rest === undefined ? undefined : gainBefore(graph, rest, width);
  }
  return undefined;
}

function nodeOf(graph: Graph, tensor: string): Node | undefined {
  const index = graph.producer.get(tensor);
  return index === undefined ? undefined : graph.nodes[index];
}

/** ONNX's numbers for element types. */
const dtypes: Readonly<Record<number, 'F32' | 'F16' | 'BF16'>> = { 1: 'F32', 10: 'F16', 16: 'BF16' };

/** An initializer as floats; undefined for other types, and for weights outside the file. */
function floats(graph: Graph, name: string): { dims: number[]; data: Float32Array } | undefined {
  const tensor: onnx.ITensorProto | undefined = graph.proto.graph?.initializer?.find((t) => t.name === name);
  const dtype = dtypes[tensor?.dataType ?? 0];
  if (tensor === undefined || dtype === undefined) return undefined;
  const dims = (tensor.dims ?? []).map(Number);
  const size = dims.reduce((product, n) => product * n, 1);
  const data = tensor.floatData?.length
    ? Float32Array.from(tensor.floatData)
    : tensor.rawData?.length
      ? bytesToFloat32(tensor.rawData.slice(), dtype)
      : undefined;
  return data?.length === size ? { dims, data } : undefined;
}
