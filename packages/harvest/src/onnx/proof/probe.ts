/**
 * Asks the model itself whether what was recognised is so, on a few made-up tokens: streams plus branches are the next streams; a stream
 * is a cut (once it is zero, nothing that follows knows the tokens any more, everything that follows has changed, and nothing before
 * it has); attention carries between positions what an MLP does not.
 */
import { float16ToFloat32 } from '@msae/data';
import type { OnnxRuntime, OnnxTensor, OpenSession, TensorInfo } from '../../runtime.ts';
import type { ModelConfig } from '../agreement.ts';
import type { Graph } from '../graph.ts';
import { inputsBefore } from '../towerNames.ts';
import type { Tower } from '../towers.ts';
import { gateOf, withGates } from './gates.ts';
import { type ProbeFeeds, probeFeeds } from './probeFeeds.ts';

/** What a probe found: plain data, kept so that a model is asked once. */
export interface ProbeResult {
  /** Why the model is not what was recognised; absent when it is. */
  readonly objection?: string;
  /** Whether a position reads those before it only; absent when that could not be told. */
  readonly causal?: boolean;
  /** Types and shapes of all parts. */
  readonly infos: readonly TensorInfo[];
}

export interface ProbeContext {
  readonly graph: Graph;
  readonly runtime: OnnxRuntime;
  readonly config?: ModelConfig | undefined;
  /** Opens a session of a model. */
  open(model: ReturnType<typeof withGates>): Promise<OpenSession>;
}

/** Streams of a tower that are switched off, at most; the first and the last are among them. */
const mostStreams = 13;

type Values = ReadonlyMap<string, Tensor>;
interface Tensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
  readonly type: string;
}
interface Closed {
  readonly stream: string;
  /** Closed at this position alone, of so many. */
  readonly position?: number;
  readonly of?: number;
}
type Run = (closed?: Closed, varied?: ReadonlySet<string>) => Promise<Values>;

export async function probe(context: ProbeContext, towers: readonly Tower[]): Promise<ProbeResult> {
  const { graph } = context;
  const produced = (tensor: string): boolean => graph.producer.has(tensor);
  const streams = [...new Set(towers.flatMap(streamsOf))];
  const branches = towers.flatMap(({ stretches }) =>
    stretches.flatMap((stretch) => [
      stretch.sum,
      stretch.addsTo,
      ...stretch.branches.map(({ tensor }) => tensor),
    ]),
  );
  const wanted = [...new Set([...streams, ...branches])].filter(produced);
  const end = graph.outputs[0]!;
  const { session, inputs, outputs } = await context.open(
    withGates(graph, streams, wanted.includes(end) ? wanted : [...wanted, end]),
  );
  try {
    const gates = streams.map(gateOf);
    const candidates = probeFeeds(graph.name, inputs, context.runtime, context.config, gates);
    const run =
      (chosen: ProbeFeeds): Run =>
      async (closed, varied) => {
        const fed = streams
          .map((stream) => [gateOf(stream), gateValues(stream, closed)] as const)
          .filter(([name]) => session.inputNames.includes(name))
          .map(([name, values]): [string, OnnxTensor] => [
            name,
            new context.runtime.Tensor('float32', values, [values.length, 1]),
          ]);
        const found = await session.run(
          { ...chosen.feeds(varied), ...Object.fromEntries(fed) },
          { logSeverityLevel: 4 }, // a guess that fails is no error
        );
        return new Map(Object.entries(found).flatMap(([name, tensor]) => valuesOf(name, tensor)));
      };
    const { chosen, clean } = await firstThatRuns(candidates, (feeds) => run(feeds)());
    const infos = outputs
      .filter((info) => info.name !== end || wanted.includes(end))
      .map((info) => ({ ...info, shape: shapeOf(info, inputs[0]!, clean.get(info.name)) }));
    const examiner = new Examiner(graph, run(chosen), clean);
    let causal: boolean | undefined;
    for (const tower of towers) {
      const objection =
        (await examiner.sums(tower)) ?? (await examiner.cuts(tower)) ?? (await examiner.roles(tower));
      if (objection !== undefined) return { objection, infos };
      const one = await examiner.causal(tower);
      causal = causal === false ? false : one;
    }
    return { infos, ...(causal !== undefined && { causal }) };
  } finally {
    await session.release();
  }
}

async function firstThatRuns(
  candidates: readonly ProbeFeeds[],
  run: (feeds: ProbeFeeds) => Promise<Values>,
): Promise<{ chosen: ProbeFeeds; clean: Values }> {
  let failure: unknown;
  for (const chosen of candidates) {
    try {
      return { chosen, clean: await run(chosen) };
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

/** Dimensions as the session names them; the gates hide some names: those of the batch and of the positions are the first input's. */
function shapeOf(info: TensorInfo, input: TensorInfo, seen: Tensor | undefined): TensorInfo['shape'] {
  if (!seen) return info.shape;
  const named = info.shape.length === seen.dims.length ? info.shape : [];
  return seen.dims.map((size, axis) => {
    const name = named[axis];
    if (typeof name === 'number' || (name !== undefined && name !== '?')) return name;
    const own =
      axis < Math.min(2, seen.dims.length - 1) && input.shape.length === 2 ? input.shape[axis] : undefined;
    return axis === 0 && own === undefined ? (input.shape[0] ?? size) : (own ?? size);
  });
}

/** [positions or 1] of a stream: zero where it is closed. */
function gateValues(stream: string, closed: Closed | undefined): Float32Array {
  if (closed?.stream !== stream) return Float32Array.of(1);
  if (closed.of === undefined) return Float32Array.of(0);
  return Float32Array.from({ length: closed.of }, (_, i) => (i === closed.position ? 0 : 1));
}

const attendsOnly = ({ branches }: Tower['stretches'][number]): boolean =>
  branches.every(({ attends }) => attends.length > 0);

/** Streams in order: before the first stretch, and after each. */
const streamsOf = ({ stretches }: Tower): string[] => [
  stretches[0]!.stream,
  ...stretches.map((stretch) => stretch.after),
];

function valuesOf(name: string, tensor: OnnxTensor): [string, Tensor][] {
  const { data, dims, type } = tensor;
  if (data instanceof Float32Array) return [[name, { data, dims, type }]];
  if (type !== 'float16' || !ArrayBuffer.isView(data)) return [];
  const halves = new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
  return [[name, { data: float16ToFloat32(halves), dims, type }]];
}

class Examiner {
  private readonly graph: Graph;
  private readonly run: Run;
  private readonly clean: Values;

  constructor(graph: Graph, run: Run, clean: Values) {
    this.graph = graph;
    this.run = run;
    this.clean = clean;
  }

  /** Streams plus branches are sums. */
  async sums({ stretches }: Tower): Promise<string | undefined> {
    for (const { stream, branches, sum } of stretches) {
      const [start, total] = [this.clean.get(stream), this.clean.get(sum)];
      const added = branches.map(({ tensor }) => this.clean.get(tensor));
      if (!start || !total || added.includes(undefined)) continue; // the stream is fed from outside
      if ([start, ...added].some((one) => one!.data.length !== total.data.length)) {
        return `${sum} is no sum of a stream and its branches: their sizes differ`;
      }
      const expected = start.data.map((value, i) =>
        added.reduce((whole, one) => whole + one!.data[i]!, value),
      );
      if (difference(expected, total.data) > (total.type === 'float16' ? 1e-2 : 1e-4)) {
        return `${sum} is not ${stream} plus ${branches.map(({ tensor }) => tensor).join(' plus ')}`;
      }
    }
    return undefined;
  }

  /** A stream is all that is known of the tokens: what follows hangs on it and on nothing else. */
  async cuts(tower: Tower): Promise<string | undefined> {
    const order = events(tower);
    const varied = inputsBefore(this.graph, tower.stretches[0]!.stream);
    const other = await this.run(undefined, varied);
    const last = order.at(-1)!;
    if (this.same(other, this.clean, last)) return `${last} is the same whatever the model is fed`;
    for (const stream of spread(streamsOf(tower), mostStreams)) {
      const at = order.indexOf(stream);
      const [zeroed, again] = [await this.run({ stream }), await this.run({ stream }, varied)];
      const moved = order.slice(0, at).find((tensor) => !this.same(zeroed, this.clean, tensor));
      if (moved !== undefined) return `${moved}, taken to lie before ${stream}, changes with it`;
      const after = order.slice(at + 1);
      const deaf = after.find((tensor) => this.same(zeroed, this.clean, tensor, 1e-6));
      if (deaf !== undefined) return `${deaf}, taken to follow ${stream}, does not change with it`;
      const around = after.find((tensor) => !this.same(zeroed, again, tensor));
      if (around !== undefined) return `${around} knows the input by another way than ${stream}`;
    }
    return undefined;
  }

  /** Attention carries between positions, an MLP does not. */
  async roles({ stretches }: Tower): Promise<string | undefined> {
    for (const index of spread([...stretches.keys()], 6)) {
      const { stream, branches } = stretches[index]!;
      const of = this.positions(stream);
      if (of === undefined) return undefined;
      const crosses = attendsOnly(stretches[index]!) && index > 0 && attendsOnly(stretches[index - 1]!);
      const changed = await this.run({ stream, position: 0, of });
      for (const { tensor, attends } of branches) {
        const change = this.changeAt(changed, tensor, of, 0);
        if (!change) continue;
        if (attends.length > 0 && change.others < 1e-7 && !crosses) {
          return `${tensor}, taken for attention, carries nothing from one position to another`;
        }
        if (attends.length === 0 && change.others > 0.3 * change.own && change.others > 1e-4) {
          return `${tensor}, taken for an MLP, carries from one position to another`;
        }
      }
    }
    return undefined;
  }

  /** Whether the first position is deaf to the last. */
  async causal({ stretches }: Tower): Promise<boolean | undefined> {
    const { stream, branches } = stretches[0]!;
    const of = this.positions(stream);
    const attention = branches.find((branch) => branch.attends.length > 0);
    if (of === undefined || !attention) return undefined;
    const changed = await this.run({ stream, position: of - 1, of });
    const change = this.changeAt(changed, attention.tensor, of, of - 1);
    return change && change.others < 1e-4;
  }

  /** Positions of a stream [1, positions, width]; undefined for another layout, or when there are too few to tell. */
  private positions(stream: string): number | undefined {
    const dims = this.clean.get(stream)?.dims;
    return dims?.length === 3 && dims[0] === 1 && dims[1]! >= 3 ? dims[1] : undefined;
  }

  /** Relative change of a [1, positions, width] tensor at one position, and the largest at any other. */
  private changeAt(
    values: Values,
    tensor: string,
    positions: number,
    position: number,
  ): { own: number; others: number } | undefined {
    const [a, b] = [values.get(tensor), this.clean.get(tensor)];
    if (!a || !b || b.dims[1] !== positions || a.data.length !== b.data.length) return undefined;
    const width = b.data.length / positions;
    const scale = largest(b.data);
    const at = (row: number): number =>
      absolute(
        a.data.subarray(row * width, (row + 1) * width),
        b.data.subarray(row * width, (row + 1) * width),
      ) / scale;
    const others = Array.from({ length: positions }, (_, row) => (row === position ? 0 : at(row)));
    return { own: at(position), others: Math.max(...others) };
  }

  private same(a: Values, b: Values, tensor: string, tolerance = 1e-3): boolean {
    const [one, two] = [a.get(tensor), b.get(tensor)];
    return !one || !two || difference(one.data, two.data) <= tolerance;
  }
}

/** Streams and branches of a tower in the order they are computed in. */
function events({ stretches }: Tower): string[] {
  const list = [stretches[0]!.stream];
  for (const { branches, after } of stretches) list.push(...branches.map(({ tensor }) => tensor), after);
  return list;
}

/** At most `count` of a list, evenly, with its first and last. */
function spread<T>(list: readonly T[], count: number): T[] {
  if (list.length <= count) return [...list];
  return Array.from({ length: count }, (_, i) => list[Math.round((i * (list.length - 1)) / (count - 1))]!);
}

const largest = (values: Float32Array): number =>
  values.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-30);

const absolute = (a: Float32Array, b: Float32Array): number =>
  a.reduce(
    (most, value, i) =>
      Math.max(most, Number.isNaN(value) && Number.isNaN(b[i]!) ? 0 : Math.abs(value - b[i]!)),
    0,
  );

/** The largest difference, relative to the largest value; infinite for tensors of different sizes. */
function difference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return absolute(a, b) / Math.max(largest(a), largest(b));
}
