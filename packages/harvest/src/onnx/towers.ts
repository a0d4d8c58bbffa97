/**
 * Transformers in a graph: chains of residual steps, each adding to what the one before left. In a pre-norm model the sum is the
 * residual stream; in a post-norm model (BERT) the stream is what the next step adds to: the sum after its layer norm.
 */
import type { Graph } from './graph.ts';
import { isProduct } from './ops.ts';
import { leadsTo, type ResidualStep, StepFinder } from './residualSteps.ts';
import { follow, waysBetween } from './ways.ts';

export type TapRole =
  | 'resid_pre'
  | 'attn_out'
  | 'resid_mid'
  | 'cross_attn_out'
  | 'resid_mid_cross'
  | 'mlp_out'
  | 'resid_post';

/** A stretch of a layer: what it reads, adds, and leaves. */
export interface Stretch extends ResidualStep {
  /** The stream after it: the sum, or the sum's norm. */
  readonly after: string;
}

export interface Part {
  readonly role: TapRole;
  readonly layer: number;
  readonly tensor: string;
  /** Index of the tower it belongs to. */
  readonly tower: number;
}

export interface Tower {
  /** Steps from the first that attends. */
  readonly stretches: readonly Stretch[];
  readonly parts: readonly Part[];
  readonly layers: number;
  /** Nodes that attend, in the order of the branches they are in. */
  readonly attends: readonly number[];
}

export interface Towers {
  readonly towers: readonly Tower[];
  /** All nodes that attend. */
  readonly attentions: ReadonlySet<number>;
}

/** The transformers of a graph, the one with most steps first; none when the graph has no attention in a residual step. */
export function findTowers(graph: Graph): Towers {
  const finder = new StepFinder(graph);
  let steps = finder.steps();
  const towers: Tower[] = [];
  const claimed = new Set<number>();
  while (steps.length > 0) {
    const chain = longestChain(graph, steps);
    steps = steps.filter((step) => !chain.includes(step));
    const first = chain.findIndex(attendsIn);
    if (first < 0) continue;
    const body = joined(chain.slice(first));
    const attends = body.flatMap(({ branches }) => branches.flatMap((branch) => branch.attends));
    // a mask added to the scores of a layer looks like a step over the layers before: their attentions have a tower
    if (attends.some((index) => claimed.has(index))) continue;
    if (!body.some(({ branches }) => branches.some((branch) => branch.attends.length === 0))) continue;
    for (const index of attends) claimed.add(index);
    towers.push(towerOf(graph, body, attends, towers.length));
  }
  return { towers, attentions: finder.attentions };
}

const attendsIn = ({ branches }: ResidualStep): boolean =>
  branches.some((branch) => branch.attends.length > 0);

/** The longest sequence of steps in which each adds to what the one before left. */
function longestChain(graph: Graph, steps: readonly ResidualStep[]): ResidualStep[] {
  const bySum = new Map(steps.map((step, index) => [step.sum, index]));
  const previous: number[] = [];
  const lengths: number[] = [];
  let best = -1;
  steps.forEach((step, j) => {
    previous[j] = -1;
    lengths[j] = 1;
    for (const k of stepsBefore(graph, step.addsTo, bySum)) {
      if (k < j && lengths[k]! + 1 > lengths[j]! && leadsTo(graph, steps[k]!.sum, step.addsTo)) {
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

/** Steps whose sum `tensor` is, or is made of without a product: by a norm. */
function stepsBefore(graph: Graph, tensor: string, bySum: ReadonlyMap<string, number>): number[] {
  const found: number[] = [];
  const met = new Set<string>();
  const queue = [tensor];
  while (queue.length > 0) {
    const name = queue.pop()!;
    if (met.has(name) || !graph.data.has(name)) continue;
    met.add(name);
    const step = bySum.get(name);
    const node = graph.nodes[graph.producer.get(name) ?? -1];
    if (step !== undefined) found.push(step);
    else if (node && !isProduct(node, graph.data)) queue.push(...node.input);
  }
  return found;
}

/** Steps that start at the same stream as one. */
function joined(chain: readonly ResidualStep[]): ResidualStep[] {
  const steps: ResidualStep[] = [];
  for (const step of chain) {
    const before = steps.at(-1);
    if (before && step.addsTo !== step.stream && before.stream === step.stream) {
      steps[steps.length - 1] = {
        ...before,
        branches: [...before.branches, ...step.branches],
        sum: step.sum,
      };
    } else steps.push(step);
  }
  return steps;
}

function towerOf(graph: Graph, body: readonly ResidualStep[], attends: number[], tower: number): Tower {
  const streams = streamsAfter(graph, body);
  const stretches = body.map((step, index) => ({ ...step, after: streams[index]! }));
  const parts: Part[] = [];
  let layer = -1;
  let attended = 0; // attentions of the layer so far; 0 = a new layer begins with the next one
  const add = (role: TapRole, tensor: string): void => void parts.push({ role, layer, tensor, tower });
  for (const { stream, branches, after } of stretches) {
    const attention = branches.filter((branch) => branch.attends.length > 0);
    const rest = branches.filter((branch) => branch.attends.length === 0);
    if (attention.length > 0 && attended === 0) {
      layer += 1;
      add('resid_pre', stream);
    }
    for (const { tensor } of attention) {
      add(attended === 0 ? 'attn_out' : 'cross_attn_out', tensor);
      attended += 1;
    }
    for (const { tensor } of rest) add('mlp_out', tensor);
    if (rest.length === 0) add(attended === 1 ? 'resid_mid' : 'resid_mid_cross', after);
    else {
      add('resid_post', after);
      attended = 0;
    }
  }
  return { stretches, parts, layers: layer + 1, attends };
}

/** The stream after each step: the sum, or in a post-norm model what the following step adds to. */
function streamsAfter(graph: Graph, steps: readonly ResidualStep[]): string[] {
  const streams = steps.map((step) => step.sum);
  let norm: string[] = []; // operations of the norm between one step and the next
  steps.forEach((step, index) => {
    const next = steps[index + 1];
    if (next && next.stream !== step.sum) {
      norm = waysBetween(graph, step.sum, next.stream).map((at) => graph.nodes[at]!.opType);
      streams[index] = next.stream;
    } else if (!next && norm.length > 0) {
      streams[index] = follow(graph, step.sum, norm) ?? step.sum;
    }
  });
  return streams;
}
