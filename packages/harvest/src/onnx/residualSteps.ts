/**
 * Residual steps of a graph, whatever its tensors are called. A step is an addition a + f(a): both operands are data, one (a) is an
 * ancestor of the other (the branch), and a multiplication by weights lies between them. The branch is attention when the model attends
 * between a and it.
 */
import { attentions } from './attentions.ts';
import type { Graph } from './graph.ts';
import { isAddition, isProduct } from './ops.ts';
import { waysBetween } from './ways.ts';

export interface Branch {
  readonly tensor: string;
  /** Nodes that attend between the stream and it; none in an MLP. */
  readonly attends: readonly number[];
}

/** An addition of a branch to the stream; of two branches that start at the same stream, when they run in parallel. */
export interface ResidualStep {
  /** What the branches were computed from. */
  readonly stream: string;
  readonly branches: readonly Branch[];
  /** Stream plus branches. */
  readonly sum: string;
  /** The stream it adds to, when that is not what the branch was computed from: an earlier step's, in parallel. */
  readonly addsTo: string;
}

export class StepFinder {
  readonly attentions: ReadonlySet<number>;
  private readonly graph: Graph;

  constructor(graph: Graph) {
    this.graph = graph;
    this.attentions = attentions(graph);
  }

  steps(): ResidualStep[] {
    const steps: ResidualStep[] = [];
    const origins = new Map<string, string>(); // sum → the stream its branch was computed from
    for (const node of this.graph.nodes) {
      if (!isAddition(node)) continue;
      const [a, b, ...more] = node.input.filter((name) => this.graph.data.has(name));
      if (a === undefined || b === undefined || more.length > 0) continue;
      const sum = node.output[0]!;
      const step =
        this.step(this.uncast(a), b, sum, origins) ??
        this.step(this.uncast(b), a, sum, origins) ??
        this.step(a, b, sum, origins) ??
        this.step(b, a, sum, origins);
      if (!step) continue;
      steps.push(step);
      origins.set(sum, step.stream);
    }
    return steps;
  }

  /** What a tensor is in another type: mixed precision adds a stream that was cast, and computes its branch from the stream. */
  private uncast(tensor: string): string {
    let name = tensor;
    for (;;) {
      const node = this.graph.nodes[this.graph.producer.get(name) ?? -1];
      if (node?.opType !== 'Cast') return name;
      name = node.input[0]!;
    }
  }

  private step(
    stream: string,
    branch: string,
    sum: string,
    origins: ReadonlyMap<string, string>,
  ): ResidualStep | undefined {
    // parallel attention and MLP (GPT-J): (x + attention(x)) + mlp(x): the branch starts where the last one did, and no later
    const shared = origins.get(stream);
    const direct = this.branches(stream, branch);
    if (direct) return { stream, branches: direct, sum, addsTo: stream };
    const parallel = shared === undefined ? undefined : this.branches(shared, branch);
    return parallel && { stream: shared!, branches: parallel, sum, addsTo: stream };
  }

  /** The branches that `tensor` is the sum of, when it is computed from `stream` through weights. */
  private branches(stream: string, tensor: string): Branch[] | undefined {
    const { graph } = this;
    const between = waysBetween(graph, stream, tensor);
    if (!between.some((index) => isProduct(graph.nodes[index]!, graph.data))) return undefined;
    const whole = [{ tensor, attends: between.filter((index) => this.attentions.has(index)) }];
    const last = graph.nodes[graph.producer.get(tensor) ?? -1];
    if (!last || !isAddition(last) || !last.input.every((name) => graph.data.has(name))) return whole;
    const parts = last.input.map((name) => this.branches(stream, name));
    if (parts.length !== 2 || parts.some((part) => part === undefined)) return whole;
    const both = parts.flat() as Branch[];
    // attention beside an MLP; experts that are added up are one MLP
    const kinds = new Set(both.map(({ attends }) => attends.length > 0));
    return kinds.size === 2 ? both : whole;
  }
}

/** Whether `tensor` is `from`, or what a norm made of it. */
export function leadsTo(graph: Graph, from: string, tensor: string): boolean {
  if (from === tensor) return true;
  const between = waysBetween(graph, from, tensor);
  return between.length > 0 && !between.some((index) => isProduct(graph.nodes[index]!, graph.data));
}
