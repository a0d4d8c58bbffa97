/** A model whose graph was built from weights: tapped, spliced and edited like any other, with a cache besides. */
import { isMsaeError, msaeError, nearestNames } from '@msae/schema';
import type { onnx } from 'onnx-proto';
import type { TapPoint, TransformerModel } from '../model.ts';
import { fedName, withOutputs } from '../onnx/edit.ts';
import { encodeModel, type Graph, indexGraph } from '../onnx/graph.ts';
import { type OnnxRuntime, type OpenSession, type SessionOptions, tensorInfos } from '../runtime.ts';
import type { TextTokenizer } from '../tokenizer.ts';
import type { Unembedding } from '../unembedding.ts';
import { type Architecture, checkArchitecture } from './architecture.ts';
import type { WeightGroup } from './graph/builder.ts';
import { type Edits, edited } from './graph/edits.ts';
import { type TransformerOptions, transformerGraph, weightTaps } from './graph/transformer.ts';
import { loadFloats } from './storedTensor.ts';
import { need, type WeightSource } from './weightSource.ts';

export interface WeightsSessionOptions extends Edits {
  /**
   * Keys and values of earlier tokens come in (`past_key_values.N.key` and `.value` [batch, keyHeads, past, headWidth],
   * empty ones at first) and go out (`present.N.key`, `present.N.value`). Default: whether an output is one of the latter.
   */
  readonly cache?: boolean;
}

export interface WeightsModel extends TransformerModel {
  readonly architecture: Architecture;
  /** Its tokenizer; absent where the files hold none, or one of a kind that is not read (see `notes`). */
  readonly tokenizer?: TextTokenizer;
  /** What a user should know: parts that were left out, and why. */
  readonly notes: readonly string[];
  /**
   * A session that computes `outputs` and no more than they need. Beside taps there are `logits`
   * [batch, sequence, vocabulary], `last_logits` [batch, 1, vocabulary] and `final_norm`. Inputs are `input_ids`,
   * `attention_mask` [batch, past + sequence] and `position_ids`, all int64, and those of the options.
   */
  session(outputs: readonly string[], options?: WeightsSessionOptions): Promise<OpenSession>;
  /** The matrix of the head, the gain of the last norm folded in; undefined for a model without one. */
  unembedding(): Promise<Unembedding | undefined>;
  /** Closes the files of the weights. Sessions that are open stay so. */
  close(): Promise<void>;
}

export interface WeightsModelOptions {
  readonly runtime: OnnxRuntime;
  readonly sessionOptions: SessionOptions;
  readonly dequantised: boolean;
}

interface Built {
  readonly graph: Graph;
  readonly groups: readonly WeightGroup[];
}

/** @throws MsaeError `file` when a weight is missing or has another shape; `unsupported` for its type */
export async function weightsModel(
  source: WeightSource,
  options: WeightsModelOptions,
): Promise<WeightsModel> {
  const { name } = source;
  const architecture = checkArchitecture(name, source.architecture);
  const { runtime, sessionOptions, dequantised } = options;
  const built = new Map<boolean, Built>();
  const build = (past: boolean): Built => {
    const known = built.get(past);
    if (known) return known;
    const form: TransformerOptions = {
      past,
      dequantised,
      form: past ? 'steps' : 'throughput',
      ...(!exact(sessionOptions) && { tabled: Math.max(4096, 2 * architecture.positions) }),
    };
    const { proto, groups } = transformerGraph(source, form);
    const made = { graph: indexGraph(proto, name), groups };
    built.set(past, made);
    return made;
  };
  const { graph } = build(false);
  const taps = new Map(weightTaps(architecture).map((tap) => [tap.name, tap]));

  const resolve = (tap: string): string => {
    const tensor = taps.get(tap)?.tensor ?? tap;
    if (graph.producer.has(tensor)) return tensor;
    const known = [...taps.keys(), ...graph.outputs, 'final_norm', 'last_logits'];
    throw msaeError(
      'option',
      `${name}: there is no tap point or tensor named ${tap}; the nearest names are ${nearestNames(tap, known).join(', ')}`,
    );
  };

  const opened = async (model: onnx.IModelProto, { groups }: Built): Promise<OpenSession> => {
    const session = await create(runtime, model, groups, sessionOptions, name);
    return {
      session,
      inputs: tensorInfos(session.inputMetadata),
      outputs: tensorInfos(session.outputMetadata),
    };
  };

  const openEdited = (whole: Built, outputs: readonly string[], edits: Edits): Promise<OpenSession> => {
    const model = withOutputs(edited(whole.graph, edits), outputs);
    const inputs = new Set(model.graph!.input!.map((info) => info.name));
    const missing = (edits.fed ?? []).find((tensor) => !inputs.has(fedName(tensor)));
    if (missing !== undefined) {
      throw msaeError(
        'option',
        `${name}: ${outputs.join(', ')} does not depend on ${missing}; tap an earlier tensor`,
      );
    }
    return opened(model, whole);
  };

  const fingerprint = await source.fingerprint();
  const notes: string[] = [];
  if (!graph.producer.has('logits')) notes.push(`${name}: it has no matrix for logits (lm_head): taps only`);
  const tokenizer = await source.tokenizer().catch((error: unknown) => {
    if (!isMsaeError(error, 'unsupported')) throw error;
    notes.push(error.message);
    return undefined;
  });
  return {
    name,
    architecture,
    graph,
    runtime,
    parts: [],
    causal: true,
    config: {
      model_type: architecture.family,
      num_hidden_layers: architecture.layers,
      hidden_size: architecture.width,
      max_position_embeddings: architecture.positions,
    },
    fingerprint,
    ...(tokenizer && { tokenizer }),
    notes,
    resolve,
    open: (model) => opened(model, build(false)),
    async tapPoints(): Promise<TapPoint[]> {
      return [...taps.values()].map(({ width, ...tap }) => ({
        ...tap,
        shape: ['batch', 'sequence', width],
        dtype: 'float32',
      }));
    },
    async session(outputs, { cache, ...edits } = {}) {
      const wanted = outputs.map(resolve);
      const past = cache ?? wanted.some((output) => output.startsWith('present.'));
      const { fed = [], added = [] } = edits;
      return openEdited(build(past), wanted, { fed: fed.map(resolve), added: added.map(resolve) });
    },
    async splicedSession(tap, outputs) {
      const tensor = resolve(tap);
      const wanted = outputs.map(resolve);
      if (wanted.includes(tensor)) {
        throw msaeError('option', `${name}: ${tensor} cannot be both fed and an output`);
      }
      const past = wanted.some((output) => output.startsWith('present.'));
      return { ...(await openEdited(build(past), wanted, { fed: [tensor] })), fedInput: fedName(tensor) };
    },
    async unembedding() {
      const { width } = architecture;
      const embedding = source.tied ? need(source, 'token_embd.weight', [undefined, width]) : undefined;
      const head = source.find('output.weight') ?? embedding;
      if (head === undefined) return undefined;
      const gain = await loadFloats(need(source, 'output_norm.weight', [width]));
      const data = await loadFloats(head);
      for (let i = 0; i < data.length; i++) data[i]! *= gain[i % width]!;
      return { data, vocabulary: head.shape[0]!, width, foldedGain: true };
    },
    close: () => source.close(),
  };
}

/** Whether sines and cosines that a session computes are right to the last bit or so: not on GPUs. */
const exact = ({ executionProviders = [] }: SessionOptions): boolean =>
  executionProviders.every((one) => ['cpu', 'wasm'].includes(typeof one === 'string' ? one : one.name));

/** Reads the weights that the graph needs, one group after another, and hands them over beside it. */
async function create(
  runtime: OnnxRuntime,
  model: onnx.IModelProto,
  groups: readonly WeightGroup[],
  options: SessionOptions,
  name: string,
) {
  const needed = new Set(
    (model.graph!.initializer ?? []).filter((t) => t.dataLocation === 1).map((t) => t.name ?? ''),
  );
  const externalData: { path: string; data: Uint8Array }[] = [];
  for (const group of groups) {
    if (!group.names.some((part) => needed.has(part))) continue;
    for (const [path, data] of await group.load()) if (needed.has(path)) externalData.push({ path, data });
  }
  const settings = { logSeverityLevel: 3 as const, ...options, externalData };
  return runtime.InferenceSession.create(encodeModel(model), settings).catch((cause: Error) => {
    throw msaeError('file', `${name}: onnxruntime does not load the graph built from it: ${cause.message}`, {
      cause,
    });
  });
}
