/** A transformer in ONNX, opened to be tapped and spliced. */
import { check, givenBy, msaeError, nearestNames, object, optional, type Schema, text } from '@msae/schema';
import { fedName, withFedTensor, withOutputs } from './onnx/edit.ts';
import { encodeModel, type Graph, parseGraph } from './onnx/graph.ts';
import { type Part, type TapRole, transformerParts } from './onnx/transformerParts.ts';
import {
  type OnnxRuntime,
  type Session,
  type SessionOptions,
  type TensorInfo,
  tensorInfos,
} from './runtime.ts';

export interface OpenModelOptions {
  /** onnxruntime-node or onnxruntime-web: `import * as ort from 'onnxruntime-web'`. */
  runtime: OnnxRuntime;
  /** What error messages call the model. Default "model". */
  name?: string;
  /** Passed to onnxruntime: execution providers, threads, and in the browser `externalData`. */
  sessionOptions?: SessionOptions;
  /** Folder of the model's external data (Node only). */
  externalDataFolder?: string;
}

/** Entries of {@link openModelSchema}, for the options of files too. */
export const openModelEntries: {
  readonly runtime: Schema<OnnxRuntime>;
  readonly name: Schema<string>;
  readonly sessionOptions: Schema<SessionOptions>;
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
};

const openModelSchema: Schema<OpenModelOptions> = object<OpenModelOptions>({
  ...openModelEntries,
  externalDataFolder: optional(text({ help: 'folder of the external data' })),
});

/** A tensor worth reading. */
export interface TapPoint {
  /** Name that holds for every model, e.g. `blocks.2.resid_post`. */
  name: string;
  /** Name of the tensor in this model's graph. */
  tensor: string;
  role: TapRole;
  layer: number;
  /** e.g. ['batch', 'sequence', 128]; a string is a dimension that varies */
  shape: readonly (number | string)[];
  dtype: string;
}

export interface TransformerModel {
  readonly name: string;
  readonly graph: Graph;
  readonly runtime: OnnxRuntime;
  /** Parts found in the structure of the graph; their shapes are what `tapPoints` adds. */
  readonly parts: readonly Part[];
  /** SHA-256 of the file, hexadecimal: a resumed harvest insists on the same one. */
  readonly fingerprint: string;
  /** Residual stream, attention and MLP outputs of every layer, with their shapes. */
  tapPoints(): Promise<TapPoint[]>;
  /** The tensor that a tap name means: a tap point's name, or any tensor of the graph. Throws with the nearest names. */
  resolve(tap: string): string;
  /** A session that computes `outputs` (tap names) and no more than they need. */
  session(outputs: readonly string[]): Promise<OpenSession>;
  /** A session in which the tapped tensor is fed, as input `fedInput`, and `outputs` are computed from it. */
  splicedSession(tap: string, outputs: readonly string[]): Promise<OpenSession & { fedInput: string }>;
}

export interface OpenSession {
  session: Session;
  inputs: TensorInfo[];
  outputs: TensorInfo[];
}

const tapName = (part: Part): string => `blocks.${part.layer}.${part.role}`;

/**
 * Opens an ONNX model from its bytes. For a file or a Hugging Face repo see `openModelFile` of `@msae/harvest/node`.
 *
 * @throws MsaeError `option`; `file` when the bytes are no ONNX model
 */
export async function openModel(bytes: Uint8Array, options: OpenModelOptions): Promise<TransformerModel> {
  const {
    runtime,
    name = 'model',
    sessionOptions = {},
    externalDataFolder,
  } = check(openModelSchema, options, 'openModel');
  const graph = parseGraph(bytes, name);
  const parts = transformerParts(graph);
  const tensors = new Map<string, string>();
  for (const part of parts) if (!tensors.has(tapName(part))) tensors.set(tapName(part), part.tensor);
  const fingerprint = await sha256(bytes);

  const resolve = (tap: string): string => {
    if (graph.producer.has(tap)) return tap;
    const tensor = tensors.get(tap);
    if (tensor !== undefined) return tensor;
    const nearest = nearestNames(tap, [...tensors.keys(), ...graph.producer.keys()]);
    throw msaeError(
      'option',
      `${name}: there is no tap point or tensor named ${tap}; the nearest names are ${nearest.join(', ')}`,
    );
  };

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

  return {
    name,
    graph,
    runtime,
    parts,
    fingerprint,
    resolve,
    async tapPoints() {
      if (parts.length === 0) return [];
      const unique = [...new Set(parts.map((part) => part.tensor))];
      const { session, outputs } = await open(withOutputs(graph, unique));
      await session.release();
      const infos = new Map(outputs.map((info) => [info.name, info]));
      return parts.map((part) => {
        const { dtype, shape } = infos.get(part.tensor)!;
        return { name: tapName(part), ...part, shape, dtype };
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

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
