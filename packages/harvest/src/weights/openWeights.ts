/** Opens a model from its weights: a GGUF file, or a Hugging Face folder with safetensors. */
import { type ByteInput, fromBlob, fromBytes, fromUrl, type HttpOptions } from '@msae/data';
import { check, flag, givenBy, object, optional, type Schema, text } from '@msae/schema';
import type { OnnxRuntime, SessionOptions } from '../runtime.ts';
import { openFolder, type WeightFolder } from './folder/folderSource.ts';
import { openGguf } from './gguf/ggufSource.ts';
import { type WeightsModel, weightsModel } from './weightsModel.ts';

export interface OpenWeightsOptions {
  /** onnxruntime-node or onnxruntime-web. */
  runtime: OnnxRuntime;
  /** What error messages call the model. Default: the name of the file or folder. */
  name?: string;
  /** Passed to onnxruntime: execution providers, threads. */
  sessionOptions?: SessionOptions;
  /** Unpacks quantised weights to float32 when a session opens: more memory, faster single tokens at 8 bits. Default false. */
  dequantised?: boolean;
}

export const openWeightsSchema: Schema<OpenWeightsOptions> = object<OpenWeightsOptions>({
  runtime: givenBy<OnnxRuntime>(
    'onnxruntime-node or onnxruntime-web',
    (value) => typeof (value as Partial<OnnxRuntime> | null)?.InferenceSession?.create === 'function',
    { help: 'what runs the model' },
  ),
  name: optional(text({ help: 'what messages call the model' })),
  sessionOptions: optional(
    givenBy<SessionOptions>(
      'options of onnxruntime',
      (value) => typeof value === 'object' && value !== null,
      {
        help: 'execution providers, threads',
      },
    ),
  ),
  dequantised: optional(flag({ help: 'unpack quantised weights to float32 when a session opens' }), false),
});

/**
 * Reads a model's weights and builds its graph: Llama (SmolLM, Mistral, Qwen 2 and 3, Phi-3), Gemma 2 and 3, GPT-2 and
 * GPT-NeoX. Opening reads headers; a session reads the weights it needs.
 *
 * @param place a GGUF file (bytes, a File or Blob, any `RandomAccess`), or a folder of files by name
 * @throws MsaeError `option`; `file`, `missing` or `unsupported` naming the file, field, tensor or byte
 */
export async function openWeights(
  place: ByteInput | WeightFolder,
  options: OpenWeightsOptions,
): Promise<WeightsModel> {
  const {
    runtime,
    name,
    sessionOptions = {},
    dequantised = false,
  } = check(openWeightsSchema, options, 'openWeights');
  const source = isFolder(place) ? await openFolder(named(place, name)) : await openGguf(place, name);
  try {
    return await weightsModel(source, { runtime, sessionOptions, dequantised });
  } catch (cause) {
    await source.close();
    throw cause;
  }
}

const isFolder = (place: ByteInput | WeightFolder): place is WeightFolder =>
  typeof (place as Partial<WeightFolder>).open === 'function';

const named = (folder: WeightFolder, name: string | undefined): WeightFolder =>
  name === undefined ? folder : { name, open: (path) => folder.open(path) };

/** The files below a URL, read by ranges: a folder for {@link openWeights}. */
export function urlFolder(url: string | URL, options: HttpOptions = {}): WeightFolder {
  const base = new URL(String(url).replace(/\/*$/, '/'), globalThis.location?.href);
  const send = options.fetch ?? fetch;
  return {
    name: String(url),
    async open(path) {
      const address = new URL(path, base);
      const head = await send(address, {
        method: 'HEAD',
        ...(options.headers && { headers: options.headers }),
      });
      if (head.status === 404) return undefined;
      return fromUrl(address, options);
    },
  };
}

/** Files in memory by name: a folder for {@link openWeights}. */
export function filesFolder(
  files: Readonly<Record<string, Uint8Array | Blob>>,
  name = 'model',
): WeightFolder {
  return {
    name,
    async open(path) {
      const file = files[path];
      if (file === undefined) return undefined;
      const label = `${name}/${path}`;
      return file instanceof Uint8Array ? fromBytes(file, label) : fromBlob(file, label);
    },
  };
}
