/**
 * Finds the parts of a transformer in the structure of its graph, whatever its tensors are called.
 *
 * A residual step is an addition a + f(a): both operands are data, one (a) is an ancestor of the other (the branch),
 * and a multiplication by weights lies between them. The branch is attention when there is a softmax, and a product of
 * two data tensors, between a and it; else it is an MLP. In a pre-norm model the sum is the residual stream; in a
 * post-norm model (BERT) the stream is what the next step adds to: the sum after its layer norm.
 */
import type { Graph, Node } from './graph.ts';

export type TapRole = 'resid_pre' | 'resid_mid' | 'resid_post' | 'attn_out' | 'mlp_out';

export interface Part {
  role: TapRole;
  layer: number;
  tensor: string;
}

/** An addition of a branch to the stream. */
interface ResidualStep {
  node: number;
  /** What the branch was computed from and is added to. */
  stream: string;
  branches: { tensor: string; attention: boolean }[];
  sum: string;
}

const products = new Set([
  'MatMul',
  'Gemm',
  'Conv',
  'Einsum',
  'FusedMatMul',
  'FusedConv',
  'MatMulInteger',
  'MatMulNBits',
  'MatMulIntegerToFloat',
  'QLinearMatMul',
]);
const attentionOps = new Set([
  'Attention',
  'MultiHeadAttention',
  'GroupQueryAttention',
  'DecoderMaskedMultiHeadAttention',
]);
/** Additions; those of onnxruntime's fused nodes are additions followed by a norm. */
const additions = new Set(['Add', 'Sum']);
const fusedAdditions = new Set(['SkipLayerNormalization', 'SkipSimplifiedLayerNormalization']);

/** The residual stream and its branches, in order; empty when the graph has no attention. */
export function transformerParts(graph: Graph): Part[] {
  const steps = longestChain(graph, residualSteps(graph));
  const first = steps.findIndex((step) => step.branches.some((branch) => branch.attention));
  if (first < 0) return [];
  const body = steps.slice(first);
  const streams = streamAfter(graph, body);
  const parts: Part[] = [];
  let layer = -1;
  let inAttention = false;
  body.forEach((step, index) => {
    const attends = step.branches.some((branch) => branch.attention);
    const transforms = step.branches.some((branch) => !branch.attention);
    if (attends && !inAttention) {
      layer += 1;
      parts.push({ role: 'resid_pre', layer, tensor: step.stream });
    }
    for (const { tensor, attention } of step.branches) {
      parts.push({ role: attention ? 'attn_out' : 'mlp_out', layer, tensor });
    }
    parts.push({ role: transforms ? 'resid_post' : 'resid_mid', layer, tensor: streams[index]! });
    inAttention = !transforms;
  });
  return parts;
}

function residualSteps(graph: Graph): ResidualStep[] {
  const steps: ResidualStep[] = [];
  const streams = new Map<string, string>(); // sum → the stream its branch was computed from
  graph.nodes.forEach((node, index) => {
    const fused = fusedAdditions.has(node.opType);
    if (!fused && !additions.has(node.opType)) return;
    const operands = (fused ? node.input.slice(0, 2) : node.input).filter((name) => graph.data.has(name));
    const [a, b] = operands;
    if (operands.length !== 2 || a === undefined || b === undefined) return;
    const sum = fused ? node.output[3] || node.output[0]! : node.output[0]!;
    const step = stepOf(graph, index, a, b, sum, streams) ?? stepOf(graph, index, b, a, sum, streams);
    if (!step) return;
    steps.push(step);
    streams.set(sum, step.stream);
  });
  return steps;
}

/** How many steps back the one before is looked for: steps of something else may lie between. */
const linkReach = 8;

/**
 * The longest sequence of steps in which each adds to what the one before left. What looks like a step and is none
 * (an attention mask, which every later layer descends from, added to the scores) is part of no chain.
 */
function longestChain(graph: Graph, steps: readonly ResidualStep[]): ResidualStep[] {
  const previous: number[] = [];
  const lengths: number[] = [];
  let best = -1;
  steps.forEach((step, j) => {
    previous[j] = -1;
    lengths[j] = 1;
    for (let k = j - 1; k >= Math.max(0, j - linkReach); k--) {
      if (lengths[k]! + 1 > lengths[j]! && follows(graph, steps[k]!, step)) {
        previous[j] = k;
        lengths[j] = lengths[k]! + 1;
      }
    }
    if (best < 0 || lengths[j]! > lengths[best]!) best = j;
  });
  const chain: ResidualStep[] = [];
  for (let j = best; j >= 0; j = previous[j]!) chain.push(steps[j]!);
  return chain.reverse();
}

/** Whether a step adds to the sum of another, directly or after a norm. */
function follows(graph: Graph, step: ResidualStep, next: ResidualStep): boolean {
  if (next.stream === step.sum) return true;
  const between = nodesBetween(graph, step.sum, next.stream);
  return between.length > 0 && !between.some((node) => products.has(node.opType));
}

function stepOf(
  graph: Graph,
  node: number,
  stream: string,
  branch: string,
  sum: string,
  streams: ReadonlyMap<string, string>,
): ResidualStep | undefined {
  const direct = branchesFrom(graph, stream, branch);
  if (direct) return { node, stream, branches: direct, sum };
  // parallel attention and MLP (GPT-J): (x + attention(x)) + mlp(x): the branch starts where the last one did
  const shared = streams.get(stream);
  const parallel = shared === undefined ? undefined : branchesFrom(graph, shared, branch);
  return parallel && { node, stream, branches: parallel, sum };
}

/** The branches that `tensor` is the sum of, when it is computed from `stream` through weights. */
function branchesFrom(graph: Graph, stream: string, tensor: string): ResidualStep['branches'] | undefined {
  const between = nodesBetween(graph, stream, tensor);
  if (!between.some((node) => products.has(node.opType) || attentionOps.has(node.opType))) return undefined;
  const last = graph.nodes[graph.producer.get(tensor) ?? -1];
  if (last && additions.has(last.opType) && last.input.every((name) => graph.data.has(name))) {
    const parts = last.input.map((name) => branchesFrom(graph, stream, name));
    if (parts.length === 2 && parts.every((part) => part !== undefined)) return parts.flat();
  }
  return [{ tensor, attention: attends(graph, between) }];
}

function attends(graph: Graph, nodes: readonly Node[]): boolean {
  if (nodes.some((node) => attentionOps.has(node.opType))) return true;
  const mixes = (node: Node) =>
    products.has(node.opType) && node.input.filter((name) => graph.data.has(name)).length >= 2;
  return nodes.some((node) => node.opType === 'Softmax') && nodes.some(mixes);
}

/** Nodes on a way from one tensor to another, in order; empty when there is none. */
function nodesBetween(graph: Graph, from: string, to: string): Node[] {
  const start = graph.producer.get(from) ?? -1;
  const ancestors = new Set<number>();
  const queue = [graph.producer.get(to)];
  for (let index = queue.pop(); index !== undefined || queue.length > 0; index = queue.pop()) {
    if (index === undefined || index <= start || ancestors.has(index)) continue;
    ancestors.add(index);
    for (const name of graph.nodes[index]!.input)
      if (graph.data.has(name)) queue.push(graph.producer.get(name));
  }
  const reached = new Set([from]);
  const between: Node[] = [];
  for (const index of [...ancestors].sort((a, b) => a - b)) {
    const node = graph.nodes[index]!;
    if (!node.input.some((name) => reached.has(name))) continue;
    between.push(node);
    for (const output of node.output) reached.add(output);
  }
  return between;
}

/** The stream after each step: the sum, or in a post-norm model what the following step adds to. */
function streamAfter(graph: Graph, steps: readonly ResidualStep[]): string[] {
  const streams = steps.map((step) => step.sum);
  let norm: string[] = []; // operations of the norm between one step and the next
  steps.forEach((step, index) => {
    const next = steps[index + 1];
    if (next && next.stream !== step.sum) {
      const between = nodesBetween(graph, step.sum, next.stream);
      if (between.length === 0 || between.some((node) => products.has(node.opType))) return;
      norm = between.map((node) => node.opType);
      streams[index] = next.stream;
    } else if (!next && norm.length > 0) {
      streams[index] = follow(graph, step.sum, norm) ?? step.sum;
    }
  });
  return streams;
}

/** The tensor that the operations `ops` make of `tensor`, when they are what follows it. */
function follow(graph: Graph, tensor: string, ops: readonly string[]): string | undefined {
  const reached = new Set([tensor]);
  let last: string | undefined;
  let done = 0;
  for (let i = (graph.producer.get(tensor) ?? -1) + 1; i < graph.nodes.length && done < ops.length; i++) {
    const node = graph.nodes[i]!;
    if (!node.input.some((name) => reached.has(name))) continue;
    if (node.opType !== ops[done]) continue;
    done += 1;
    last = node.output[0];
    for (const output of node.output) reached.add(output);
  }
  return done === ops.length ? last : undefined;
}
