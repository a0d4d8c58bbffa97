/** What operations are to a transformer: products with weights, attentions, additions, or neither. */
import { type Node, subgraphsOf } from './nodes.ts';

/**
 * Operations that read weights (or tables) and yet mix nothing across the width of a row: arithmetic, norms, shapes, casts. Any other
 * operation with a weight among its operands counts as a product, whether it is known or not: MatMulNBits, MatMulBnb4, QAttention,
 * DynamicQuantizeMatMul, MoE, and what comes next.
 */
const elementwise = new Set(
  `Add Sub Mul Div Pow Sqrt Sum Mean Max Min Mod Neg Abs Exp Log Erf Tanh Sigmoid Relu PRelu LeakyRelu Elu Gelu Clip Where Equal Greater Less
  GreaterOrEqual LessOrEqual And Or Not Xor IsNaN IsInf Sign Floor Ceil Round Cast CastLike Identity Dropout
  LayerNormalization SimplifiedLayerNormalization RMSNormalization GroupNorm GroupNormalization InstanceNormalization BatchNormalization
  SkipLayerNormalization SkipSimplifiedLayerNormalization SkipGroupNorm EmbedLayerNormalization QEmbedLayerNormalization LpNormalization
  BiasGelu FastGelu QuickGelu BiasSplitGelu BiasDropout BiasAdd BiasSoftmax BitmaskBiasDropout RotaryEmbedding GemmaRotaryEmbedding
  QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearAdd QLinearMul QLinearSigmoid QLinearLeakyRelu QLinearConcat QLinearSoftmax
  QLinearReduceMean QLinearWhere Reshape Transpose Squeeze Unsqueeze Flatten Expand Tile Concat Split Slice Gather GatherElements GatherND
  ScatterND ScatterElements Pad Resize Upsample DepthToSpace SpaceToDepth Range Trilu OneHot TopK CumSum NonZero Compress Shape Size
  ConstantOfShape Constant Softmax LogSoftmax ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL2 ReduceSumSquare ReduceLogSumExp
  ArgMax ArgMin GroupQueryCausalMask`.split(/\s+/),
);

/** Products whether or not an operand is a weight. */
const products = new Set([
  'MatMul',
  'Gemm',
  'Einsum',
  'FusedMatMul',
  'MatMulInteger',
  'QLinearMatMul',
  'TransposeMatMul',
]);

/** Attention in one node: Attention, MultiHeadAttention, GroupQueryAttention, QAttention, PackedAttention, … */
export const isFusedAttention = ({ opType }: Node): boolean => opType.endsWith('Attention');

export const isSoftmax = ({ opType }: Node): boolean => opType.endsWith('Softmax') && opType !== 'LogSoftmax';

export const isAddition = ({ opType }: Node): boolean => opType === 'Add' || opType === 'Sum';

/** Whether a node multiplies by weights, or (a MatMul of two activations) may be part of an attention. */
export function isProduct(node: Node, data: ReadonlySet<string>): boolean {
  if (products.has(node.opType) || isFusedAttention(node)) return true;
  const bodies = subgraphsOf(node);
  if (bodies.length > 0) {
    return bodies.some((body) => ((body.node ?? []) as Node[]).some((inner) => isProduct(inner, data)));
  }
  if (elementwise.has(node.opType)) return false;
  return node.input.some((name) => name !== '' && !data.has(name));
}

/** Whether a node is a product of two tensors that both depend on what is fed. */
export function mixes(node: Node, data: ReadonlySet<string>): boolean {
  if (!products.has(node.opType)) return false;
  const [a, b] = node.opType === 'QLinearMatMul' ? [node.input[0], node.input[3]] : node.input;
  return a !== undefined && b !== undefined && data.has(a) && data.has(b);
}
