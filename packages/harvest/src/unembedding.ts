/** The matrix that turns the last residual stream into logits, read out of the graph: what "direct logit effects" need. */
import { float32Of } from './harvest.ts';
import type { TransformerModel } from './model.ts';
import { type Constant, constantOf } from './onnx/constants.ts';
import { fedName, withFedTensor } from './onnx/edit.ts';
import { elementType, elementTypes } from './onnx/elementType.ts';
import type { Graph } from './onnx/graph.ts';
import { attributeNumber, type Node } from './onnx/nodes.ts';
import { isProduct } from './onnx/ops.ts';

export interface Unembedding {
  /** [vocabulary, width] row-major, the gain of the final normalisation folded in where it was recognised. */
  readonly data: Float32Array;
  readonly vocabulary: number;
  readonly width: number;
  readonly foldedGain: boolean;
}

/**
 * The unembedding of a language model whose output `output` (default: its first) is a product with a weight matrix, tied or not, in
 * whatever form that is stored: transposed, float16, quantised, outside the file. A bias after the product is left out.
 * Undefined where the last product is none with weights.
 */
export async function unembedding(
  model: TransformerModel,
  output: string = model.graph.outputs[0]!,
): Promise<Unembedding | undefined> {
  const { graph } = model;
  const product = lastProduct(graph, output);
  if (product === undefined) return undefined;
  const input = floatInput(graph, product);
  const matrix = (await storedMatrix(model, product)) ?? (await measuredMatrix(model, product, input));
  if (matrix === undefined) return undefined;
  const scale = await scaleAfter(model, floatOutput(graph, product), output);
  const gain = await gainBefore(model, input, matrix.width);
  const data = matrix.data.map((value, at) => value * scale * (gain?.[at % matrix.width] ?? 1));
  return { ...matrix, data, foldedGain: gain !== undefined };
}

/** What the numbers between the product and the logits come to: a soft cap's cancel each other, be they folded into the product or not. */
async function scaleAfter(model: TransformerModel, product: string, output: string): Promise<number> {
  const { graph } = model;
  let scale = 1;
  for (let tensor = output; tensor !== product; ) {
    const node = nodeOf(graph, tensor);
    const data = node?.input.find((name) => graph.data.has(name));
    if (!node || data === undefined) break;
    if (node.opType === 'Mul' || node.opType === 'Div') {
      const weight = node.input.find((name) => !graph.data.has(name));
      const factor = weight === undefined ? undefined : await constantOf(graph, weight, model.open);
      if (factor?.data.length === 1) scale *= node.opType === 'Mul' ? factor.data[0]! : 1 / factor.data[0]!;
    }
    tensor = data;
  }
  return scale;
}

/** The last product that a tensor is computed through, when it is one of activations with weights, and nothing but elements are changed after. */
function lastProduct(graph: Graph, output: string): Node | undefined {
  const ancestors = new Set<number>();
  const queue = [graph.producer.get(output)];
  while (queue.length > 0) {
    const index = queue.pop();
    if (index === undefined || ancestors.has(index)) continue;
    ancestors.add(index);
    for (const name of graph.nodes[index]!.input)
      if (graph.data.has(name)) queue.push(graph.producer.get(name));
  }
  for (const index of [...ancestors].sort((a, b) => b - a)) {
    const node = graph.nodes[index]!;
    if (isProduct(node, graph.data)) {
      const weights = node.input.slice(1).some((name) => name !== '' && !graph.data.has(name));
      return weights && graph.data.has(node.input[0]!) ? node : undefined;
    }
    if (!keepsLogits.has(node.opType)) return undefined;
  }
  return undefined;
}

/** What may lie between the product and the logits: shapes, types, a bias, a scale, a soft cap, the two halves of a dequantisation. */
const keepsLogits = new Set(
  'Cast Identity Reshape Squeeze Unsqueeze Transpose Slice Gather Add Sub Mul Div Tanh Min Max Clip DynamicQuantizeLinear DequantizeLinear QuantizeLinear'.split(
    ' ',
  ),
);

/** The product's activations before they were quantised. */
function floatInput(graph: Graph, product: Node): string {
  const input = product.input[0]!;
  const node = nodeOf(graph, input);
  return node?.opType === 'DynamicQuantizeLinear' ? node.input[0]! : input;
}

type Matrix = Omit<Unembedding, 'foldedGain'>;

/** The second operand of a plain product as [vocabulary, width]. */
async function storedMatrix(model: TransformerModel, product: Node): Promise<Matrix | undefined> {
  if (!['MatMul', 'Gemm', 'FusedMatMul'].includes(product.opType)) return undefined;
  const tensor = await constantOf(model.graph, product.input[1]!, model.open);
  if (tensor?.dims.length !== 2) return undefined;
  const scale = attributeNumber(product, 'alpha') ?? 1;
  const [rows, columns] = tensor.dims as [number, number];
  if (attributeNumber(product, 'transB') === 1)
    return { data: tensor.data.map((value) => value * scale), vocabulary: rows, width: columns };
  return { data: turned(tensor, scale), vocabulary: columns, width: rows };
}

/** [columns, rows] */
function turned({ dims, data }: Constant, scale: number): Float32Array {
  const [rows, columns] = dims as [number, number];
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j * rows + i] = scale * data[i * columns + j]!;
  }
  return out;
}

/** What the product makes of each unit vector, less what it makes of zeros: the matrix, however it is quantised. */
async function measuredMatrix(
  model: TransformerModel,
  product: Node,
  input: string,
): Promise<Matrix | undefined> {
  const { graph } = model;
  const width = attributeNumber(product, 'K') ?? (await streamWidth(model));
  if (width === undefined) return undefined;
  const output = floatOutput(graph, product);
  const { session } = await model.open(withFedTensor(graph, input, [output]));
  try {
    if (session.inputNames.length > 1) return undefined;
    const run = async (rows: Float32Array, count: number): Promise<Float32Array> => {
      const feed = (dims: number[]) =>
        session.run({ [fedName(input)]: new model.runtime.Tensor('float32', rows, dims) });
      const found = await feed([1, count, width]).catch(() => feed([count, width]));
      return float32Of(found[output]!, output);
    };
    const zero = await run(new Float32Array(width), 1);
    const vocabulary = zero.length;
    const data = new Float32Array(vocabulary * width);
    for (let start = 0; start < width; start += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, width - start);
      const units = new Float32Array(count * width);
      for (let i = 0; i < count; i++) units[i * width + start + i] = 1;
      const made = await run(units, count);
      for (let i = 0; i < count; i++) {
        for (let v = 0; v < vocabulary; v++)
          data[v * width + start + i] = made[i * vocabulary + v]! - zero[v]!;
      }
    }
    return { data, vocabulary, width };
  } finally {
    await session.release();
  }
}

/** Unit vectors that are multiplied at once: memory is rows × vocabulary. */
const rowsAtOnce = 64;

async function streamWidth(model: TransformerModel): Promise<number | undefined> {
  const width = (await model.tapPoints()).at(-1)?.shape.at(-1);
  return typeof width === 'number' ? width : undefined;
}

/** The product's result as floats: behind the cast and the scales of one of whole numbers. */
function floatOutput(graph: Graph, product: Node): string {
  let tensor = product.output[0]!;
  if (elementType(graph, tensor) !== elementTypes.int32) return tensor;
  for (const opType of ['Cast', 'Mul']) {
    const next = (graph.consumers.get(tensor) ?? [])
      .map((at) => graph.nodes[at]!)
      .find((node) => node.opType === opType);
    if (!next) return tensor;
    tensor = next.output[0]!;
  }
  return tensor;
}

/** What only moves values: between a norm and the product. */
const moves = new Set(['Cast', 'Identity', 'Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Slice', 'Gather']);

/** The gain of the normalisation that ends in `tensor`: of a norm in one node, or of one spelled out as x̂ · gain (+ bias). */
async function gainBefore(
  model: TransformerModel,
  tensor: string,
  width: number,
): Promise<Float32Array | undefined> {
  const { graph } = model;
  const node = nodeOf(graph, tensor);
  if (node === undefined) return undefined;
  const vector = async (name: string | undefined): Promise<Float32Array | undefined> => {
    const found = name === undefined ? undefined : await constantOf(graph, name, model.open);
    return found?.data.length === width && found.dims.at(-1) === width ? found.data : undefined;
  };
  if (/(Simplified)?LayerNormalization$|^RMSNormalization$/.test(node.opType)) return vector(node.input[1]);
  if (moves.has(node.opType)) return gainBefore(model, node.input[0]!, width);
  const rest = node.input.find((name) => graph.data.has(name));
  const weight = node.input.find((name) => name !== '' && !graph.data.has(name));
  if (weight === undefined || rest === undefined) return undefined;
  if (node.opType === 'Mul') return vector(weight);
  if (node.opType === 'Add' && (await vector(weight))) return gainBefore(model, rest, width);
  return undefined;
}

function nodeOf(graph: Graph, tensor: string): Node | undefined {
  const index = graph.producer.get(tensor);
  return index === undefined ? undefined : graph.nodes[index];
}
