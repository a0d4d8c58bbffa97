/** A transformer in ONNX, opened to be tapped and spliced. */
import {
  check,
  flag,
  givenBy,
  list,
  msaeError,
  nearestNames,
  object,
  optional,
  type Schema,
  text,
  whole,
} from '@msae/schema';
import { type ExternalFile, fingerprintOf, sha256 } from './fingerprint.ts';
import type { ModelConfig } from './onnx/agreement.ts';
import { fedName, withFedTensor, withOutputs } from './onnx/edit.ts';
import { encodeModel, type Graph, parseGraph } from './onnx/graph.ts';
import { type NamedPart, type ProofCache, type Recognition, recognise } from './onnx/recognise.ts';
import type { TapRole } from './onnx/towers.ts';
import {
  type OnnxRuntime,
  type OpenSession,
  type SessionOptions,
  type TensorInfo,
  tensorInfos,
} from './runtime.ts';
import { isGguf } from './weights/gguf/readGguf.ts';
import { openWeights } from './weights/openWeights.ts';

export interface OpenModelOptions {
  /** onnxruntime-node or onnxruntime-web: `import * as ort from 'onnxruntime-web'`. */
  runtime: OnnxRuntime;
  /** What error messages call the model. Default "model". */
  name?: string;
  /** Passed to onnxruntime: execution providers, threads, and in the browser `externalData`. */
  sessionOptions?: SessionOptions;
  /** Folder of the model's external data (Node only). */
  externalDataFolder?: string;
  /** Files of the external data, for the fingerprint; those given as bytes in `sessionOptions.externalData` are hashed here. */
  externalFiles?: readonly ExternalFile[];
  /** The model's config.json: what is recognised has to agree with it. */
  config?: ModelConfig;
  /** Try what was recognised on a few tokens before any of it is named. Default true. */
  probe?: boolean;
  /** Where the outcome of that is kept, by fingerprint. Default: nowhere (`openModelFile`: the cache folder). */
  proofs?: ProofCache;
}

export type { OpenSession } from './runtime.ts';

/** Entries of {@link openModelSchema}, for the options of files too. */
export const openModelEntries: {
  readonly runtime: Schema<OnnxRuntime>;
  readonly name: Schema<string>;
  readonly sessionOptions: Schema<SessionOptions>;
  readonly config: Schema<ModelConfig>;
  readonly probe: Schema<boolean>;
  readonly proofs: Schema<ProofCache>;
} = {
  runtime: givenBy<OnnxRuntime>(
    'onnxruntime-node or onnxruntime-web',
    (value) => typeof (value as Partial<OnnxRuntime> | null)?.InferenceSession?.create === 'function',
    { help: 'what runs the model' },
  ),
  name: optional(text({ help: 'what messages call the model' })),
  sessionOptions: optional(
    givenBy<SessionOptions>('options of onnxruntime', (value) => typeof value === 'object' && value !== null),
  ),
  config: optional(
    givenBy<ModelConfig>('an object', (value) => typeof value === 'object' && value !== null, {
      help: 'the model’s config.json',
    }),
  ),
  probe: optional(flag({ help: 'try what was recognised on a few tokens' }), true),
  proofs: optional(
    givenBy<ProofCache>(
      'a cache: { get, set }',
      (value) => typeof (value as Partial<ProofCache> | null)?.get === 'function',
      { help: 'where outcomes are kept' },
    ),
  ),
};

const openModelSchema: Schema<OpenModelOptions> = object<OpenModelOptions>({
  ...openModelEntries,
  externalDataFolder: optional(text({ help: 'folder of the external data' })),
  externalFiles: optional(
    list(
      object<ExternalFile>({
        name: text({ help: 'name in the model' }),
        size: whole({ min: 0, help: 'bytes' }),
        sha256: text({ help: 'hash of the content' }),
      }),
    ),
  ),
});

/** A tensor worth reading. */
export interface TapPoint {
  /** Name that holds for every model, e.g. `blocks.2.resid_post`; `encoder.blocks.2.resid_post` where there are several towers. */
  name: string;
  /** Name of the tensor in this model's graph. */
  tensor: string;
  /** `mlp_in` and `z` (heads' outputs) are taps of graphs built from weights alone. */
  role: TapRole | 'mlp_in' | 'z';
  layer: number;
  /** Of a file with several: encoder, decoder, text, vision, audio. */
  tower?: string;
  /** e.g. ['batch', 'sequence', 128]; a string is a dimension that varies */
  shape: readonly (number | string)[];
  dtype: string;
}

export interface TransformerModel {
  readonly name: string;
  readonly graph: Graph;
  readonly runtime: OnnxRuntime;
  /** Parts found in the structure of the graph and proven; their shapes are what `tapPoints` adds. */
  readonly parts: readonly NamedPart[];
  /** Why there are no parts: what was seen, and what can be tapped. */
  readonly refusal?: string;
  /** Whether a position reads those before it only; absent when that is not known. */
  readonly causal?: boolean;
  /** The config.json that it was opened with. */
  readonly config?: ModelConfig;
  /** SHA-256 of the file (and of its external data), hexadecimal: a resumed harvest insists on the same one. */
  readonly fingerprint: string;
  /** Residual stream, attention and MLP outputs of every layer, with their shapes. */
  tapPoints(): Promise<TapPoint[]>;
  /** The tensor that a tap name means: a tap point's name, or any tensor of the graph. Throws with the nearest names. */
  resolve(tap: string): string;
  /** A session of a graph made of this one, with the model's options and external data. */
  open(model: ReturnType<typeof withOutputs>): Promise<OpenSession>;
  /** A session that computes `outputs` (tap names) and no more than they need. */
  session(outputs: readonly string[]): Promise<OpenSession>;
  /** A session in which the tapped tensor is fed, as input `fedInput`, and `outputs` are computed from it. */
  splicedSession(tap: string, outputs: readonly string[]): Promise<OpenSession & { fedInput: string }>;
}

/**
 * Opens an ONNX model, or a GGUF file ({@link openWeights}), from its bytes. For a file or a Hugging Face repo see `openModelFile` of `@msae/harvest/node`.
 *
 * A model whose layers are not recognised for certain opens all the same: it has a `refusal` in place of tap points, and its tensors can
 * be tapped by their own names.
 *
 * @throws MsaeError `option`; `file` when the bytes are no ONNX model
 */
export async function openModel(bytes: Uint8Array, options: OpenModelOptions): Promise<TransformerModel> {
  const given = check(openModelSchema, options, 'openModel');
  if (isGguf(bytes)) {
    const { runtime, name = 'model', sessionOptions = {} } = given;
    return openWeights(bytes, { runtime, name, sessionOptions });
  }
  const graph = parseGraph(bytes, given.name ?? 'model');
  return openGraph(graph, { ...given, fingerprint: await modelFingerprint(bytes, given) });
}

/** Everything {@link openGraph} needs besides the graph. */
export interface OpenGraphOptions extends OpenModelOptions {
  fingerprint: string;
  /** Parts that are known by construction: nothing is looked for. */
  parts?: readonly NamedPart[];
}

async function modelFingerprint(bytes: Uint8Array, options: OpenModelOptions): Promise<string> {
  const external = [...(options.externalFiles ?? [])];
  for (const file of options.sessionOptions?.externalData ?? []) {
    if (typeof file === 'string' || !(file.data instanceof Uint8Array)) continue;
    const { path, data } = file;
    external.push({ name: path, size: data.byteLength, sha256: await sha256(data) });
  }
  return fingerprintOf(bytes, external);
}

/** {@link openModel} of a graph that is decoded, with options that are checked. */
export async function openGraph(graph: Graph, options: OpenGraphOptions): Promise<TransformerModel> {
  const { runtime, sessionOptions = {}, externalDataFolder, config, fingerprint } = options;
  const { name } = graph;

  const open = async (model: Parameters<typeof encodeModel>[0]): Promise<OpenSession> => {
    const folder = graph.externalFiles.length > 0 ? externalDataFolder : undefined;
    const extra = folder ? { session: { model_external_initializers_file_folder_path: folder } } : {};
    const settings = { logSeverityLevel: 3 as const, ...sessionOptions };
    const merged = folder ? { ...settings, extra: { ...settings.extra, ...extra } } : settings;
    const session = await runtime.InferenceSession.create(encodeModel(model), merged).catch(
      (cause: Error) => {
        throw msaeError('file', `${name}: onnxruntime does not load it: ${cause.message}`, { cause });
      },
    );
    return {
      session,
      inputs: tensorInfos(session.inputMetadata),
      outputs: tensorInfos(session.outputMetadata),
    };
  };

  const found: Recognition = options.parts
    ? { parts: options.parts }
    : await recognise(graph, {
        runtime,
        open,
        config,
        fingerprint,
        probe: options.probe !== false,
        cache: options.proofs,
      });
  const { parts, refusal, causal, infos } = found;
  const tensors = new Map<string, string>();
  for (const part of parts) if (!tensors.has(part.name)) tensors.set(part.name, part.tensor);

  const resolve = (tap: string): string => {
    if (graph.producer.has(tap)) return tap;
    const tensor = tensors.get(tap);
    if (tensor !== undefined) return tensor;
    if (refusal !== undefined && /^([a-z0-9]+\.)?blocks\.\d+\.\w+$/.test(tap)) {
      throw msaeError('unsupported', `there is no tap ${tap}: ${refusal}`);
    }
    const nearest = nearestNames(tap, [...tensors.keys(), ...graph.producer.keys()]);
    throw msaeError(
      'option',
      `${name}: there is no tap point or tensor named ${tap}; the nearest names are ${nearest.join(', ')}`,
    );
  };

  const infosOf = async (wanted: readonly NamedPart[]): Promise<readonly TensorInfo[]> => {
    if (wanted.length === 0) return [];
    const { session, outputs } = await open(
      withOutputs(graph, [...new Set(wanted.map((part) => part.tensor))]),
    );
    await session.release();
    return outputs;
  };

  return {
    name,
    graph,
    runtime,
    parts,
    fingerprint,
    open,
    ...(refusal !== undefined && { refusal }),
    ...(causal !== undefined && { causal }),
    ...(config && { config }),
    resolve,
    async tapPoints() {
      const known = new Map((infos ?? (await infosOf(parts))).map((info) => [info.name, info]));
      return parts.map((part) => {
        const { dtype, shape } = known.get(part.tensor)!;
        const { tower, ...rest } = part;
        return { ...rest, ...(tower !== '' && { tower }), shape, dtype };
      });
    },
    session: (outputs) => open(withOutputs(graph, outputs.map(resolve))),
    async splicedSession(tap, outputs) {
      const tensor = resolve(tap);
      const opened = await open(withFedTensor(graph, tensor, outputs.map(resolve)));
      return { ...opened, fedInput: fedName(tensor) };
    },
  };
}
