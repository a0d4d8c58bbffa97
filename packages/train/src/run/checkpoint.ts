/**
 * Everything a run needs to go on as if it had never stopped, in one checkpoint: `<prefix>weights.safetensors` (parameters,
 * moments, what parts keep in tensors) and `<prefix>state.json` (SAE, options, step, random stream, source position, parts …).
 */
import { type ParamName, type SaeConfig, type SaeRecord, stepArrays, type TransformStep } from '@msae/core';
import {
  readSafetensors,
  type Safetensors,
  type SourcePosition,
  type TensorToWrite,
  toRandomAccess,
  writeSafetensors,
} from '@msae/data';
import { createRng, type RngState } from '@msae/sampler';
import { msaeError } from '@msae/schema';
import type * as tf from '@tensorflow/tfjs-core';
import type { CheckpointFile, CheckpointStorage } from '../checkpointStorage.ts';
import type { SavedPart } from '../parts/definition.ts';
import { write } from '../parts/rewriteLatents.ts';
import { upgraded } from './checkpointV1.ts';
import { type Session, settle } from './session.ts';
import type { StepPath } from './stepGradients.ts';

export const FORMAT = 'msae-training-checkpoint';
const VERSION = 2;

/** Where a source stands. */
export interface SourceState {
  readonly position: SourcePosition | null;
  readonly batches: number;
}

/** The JSON half of a checkpoint. */
export interface CheckpointState {
  readonly format: typeof FORMAT;
  readonly version: number;
  readonly sae: SaeConfig;
  /** The rest of the whole SAE. Arrays of transform steps are in the tensors `transform.input.<i>.<name>`. */
  readonly state: {
    readonly transform: { readonly input: readonly TransformStep[] };
    readonly inferenceThreshold: number | null;
    readonly prefixes: { readonly lengths: readonly number[]; readonly weights: readonly number[] } | null;
    readonly record: SaeRecord;
  };
  /** How many of the transform's steps were there before training. */
  readonly initialSteps: number;
  readonly step: number;
  readonly tokens: number;
  readonly iterations: number;
  readonly rng: RngState;
  readonly path: StepPath;
  readonly source: SourceState;
  readonly options: Readonly<Record<string, unknown>>;
  /** Each part's JSON, by its name. */
  readonly parts: Readonly<Record<string, unknown>>;
}

/** What is in a checkpoint, with the names that its version gives to tensors. */
export interface OpenedCheckpoint {
  readonly name: string;
  readonly prefix: string;
  readonly state: CheckpointState;
  /** The name of a part's tensor in the file. */
  tensorName(part: string, tensor: string): string;
  /** What the options of this version cannot say. */
  readonly version1: boolean;
}

/** The name of the checkpoint after `step` steps: sorts by step. */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(10, '0')}`;
}

const partTensor = (part: string, tensor: string): string => `parts.${part}.${tensor}`;
const stepTensor = (i: number, name: string): string => `transform.input.${i}.${name}`;

/** The two files of a session's checkpoint. Device tensors are read one at a time while they are written. */
export async function checkpointFiles(
  session: Session,
  source: SourceState,
  prefix = '',
): Promise<CheckpointFile[]> {
  await settle(session);
  const { sae, optimizer, path } = session;
  const tensors: TensorToWrite[] = [];
  for (const [name, { param, m, v }] of optimizer.slots) {
    tensors.push(onDevice(name, param, true), onDevice(`adam.m.${name}`, m), onDevice(`adam.v.${name}`, v));
  }
  const parts: Record<string, unknown> = {};
  for (const [part, running] of session.parts) {
    const saved = (await running.save?.()) ?? {};
    parts[part] = saved.json ?? null;
    for (const [name, value] of Object.entries(saved.tensors ?? {})) {
      const stored = partTensor(part, name);
      if (value instanceof Float64Array) tensors.push({ name: stored, shape: [value.length], data: value });
      else if (value) tensors.push(onDevice(stored, value));
    }
  }
  const { width } = sae.config.input;
  const input = sae.transform.input.map((step, i) => {
    const plain: Record<string, unknown> = { ...step };
    for (const [name, shape] of Object.entries(stepArrays(step, width))) {
      tensors.push({ name: stepTensor(i, name), shape: [...shape], data: plain[name] as Float32Array });
      delete plain[name];
    }
    return plain as TransformStep & Record<string, unknown>;
  });
  const { inferenceThreshold, prefixes, record } = sae;
  const state: CheckpointState = {
    format: FORMAT,
    version: VERSION,
    sae: sae.config,
    state: { transform: { input }, inferenceThreshold, prefixes, record },
    initialSteps: session.initial.length,
    step: session.step,
    tokens: session.tokens,
    iterations: optimizer.iterations,
    rng: session.rng.state(),
    path: path.current(),
    source,
    options: session.recorded,
    parts,
  };
  return [
    {
      name: `${prefix}weights.safetensors`,
      write: async (sink) => {
        await writeSafetensors(sink, tensors, { metadata: { format: FORMAT, version: String(VERSION) } });
      },
    },
    jsonFile(`${prefix}state.json`, state),
  ];
}

/** A small JSON file of a checkpoint. */
export function jsonFile(name: string, value: unknown): CheckpointFile {
  return {
    name,
    write: async (sink) => {
      await sink.write(new TextEncoder().encode(`${JSON.stringify(value, null, 1)}\n`));
    },
  };
}

function onDevice(name: string, tensor: tf.Tensor, mustBeFinite = false): TensorToWrite {
  return {
    name,
    shape: tensor.shape,
    dtype: 'F32',
    data: async function* () {
      const values = (await tensor.data()) as Float32Array;
      if (mustBeFinite && !values.every(Number.isFinite)) {
        throw msaeError(
          'value',
          `checkpoint: ${name} holds values that are not finite, so training has diverged; this checkpoint is not written, the one before is kept`,
        );
      }
      yield values;
    },
  };
}

/** A small JSON file of a checkpoint, read. @throws MsaeError `file` when it is damaged */
export async function readJsonFile(storage: CheckpointStorage, name: string, file: string): Promise<unknown> {
  const source = toRandomAccess(await storage.read(name, file));
  try {
    return JSON.parse(new TextDecoder().decode(await source.read(0, source.size)));
  } catch (cause) {
    throw msaeError(
      'file',
      `checkpoint ${name}: ${file} is not complete JSON; the checkpoint is damaged, use an older one`,
      { cause, file },
    );
  } finally {
    await source.close?.();
  }
}

/** Reads and checks the JSON half of a checkpoint. */
export async function openCheckpoint(
  storage: CheckpointStorage,
  name: string,
  prefix = '',
): Promise<OpenedCheckpoint> {
  const file = `${prefix}state.json`;
  const state = (await readJsonFile(storage, name, file)) as CheckpointState;
  if (state?.format !== FORMAT) {
    throw msaeError(
      'file',
      `checkpoint ${name}: ${file} is not a training checkpoint (format ${JSON.stringify(state?.format)})`,
      { file },
    );
  }
  if (state.version === 1) return { name, prefix, ...upgraded(state), version1: true };
  if (state.version !== VERSION) {
    throw msaeError(
      'file',
      `checkpoint ${name}: it has version ${state.version}, this release reads versions 1 and ${VERSION}; resume with the release that wrote it`,
      { file },
    );
  }
  return { name, prefix, state, tensorName: partTensor, version1: false };
}

/** The tensors of a checkpoint, read one at a time. */
export interface CheckpointTensors {
  has(tensor: string): boolean;
  float32(tensor: string, shape: readonly number[]): Promise<Float32Array>;
  float64(tensor: string, shape: readonly number[]): Promise<Float64Array>;
  close(): Promise<void>;
}

export async function openTensors(
  storage: CheckpointStorage,
  { name, prefix }: OpenedCheckpoint,
): Promise<CheckpointTensors> {
  const file = `${prefix}weights.safetensors`;
  const opened: Safetensors = await readSafetensors(await storage.read(name, file), {
    name: `checkpoint ${name}, ${file}`,
  });
  const check = (tensor: string, shape: readonly number[]): void => {
    const found = opened.info(tensor).shape;
    if (found.length === shape.length && found.every((size, i) => size === shape[i])) return;
    throw msaeError(
      'file',
      `checkpoint ${name}: tensor ${tensor} has shape [${found.join(', ')}], expected [${shape.join(', ')}]`,
      { file, tensor },
    );
  };
  return {
    has: (tensor) => opened.tensors.has(tensor),
    async float32(tensor, shape) {
      check(tensor, shape);
      return opened.read(tensor);
    },
    async float64(tensor, shape) {
      check(tensor, shape);
      return Float64Array.from((await opened.readTyped(tensor)) as Float64Array);
    },
    close: async () => opened.close(),
  };
}

/** The steps of the checkpoint's transform that were there before training, with their arrays. */
export async function initialTransform(
  { state }: OpenedCheckpoint,
  tensors: CheckpointTensors,
): Promise<TransformStep[]> {
  const width = state.sae.input.width;
  const steps: TransformStep[] = [];
  for (const [i, step] of state.state.transform.input.slice(0, state.initialSteps).entries()) {
    const whole: Record<string, unknown> = { ...step };
    for (const [name, shape] of Object.entries(stepArrays(step, width))) {
      whole[name] = await tensors.float32(stepTensor(i, name), shape);
    }
    steps.push(whole as TransformStep & Record<string, unknown>);
  }
  return steps;
}

/** Fills a fresh session from a checkpoint. On an error the session is of no use: dispose it. */
export async function restoreSession(
  session: Session,
  opened: OpenedCheckpoint,
  tensors: CheckpointTensors,
): Promise<void> {
  const { state } = opened;
  for (const [parameter, { param, m, v }] of session.optimizer.slots) {
    const load = async (variable: tf.Variable, tensor: string): Promise<void> =>
      write(variable, await tensors.float32(tensor, variable.shape));
    await load(param, parameter);
    await load(m, `adam.m.${parameter}`);
    await load(v, `adam.v.${parameter}`);
  }
  session.step = state.step;
  session.tokens = state.tokens;
  session.rng = createRng(state.rng);
  session.optimizer.setIterations(state.iterations);
  session.path.restore(state.path);
  session.sae.inferenceThreshold = state.state.inferenceThreshold;
  for (const [part, running] of session.parts) {
    const stored = (tensor: string): string => opened.tensorName(part, tensor);
    const saved: SavedPart = {
      json: state.parts[part] ?? null,
      has: (tensor) => tensors.has(stored(tensor)),
      float32: (tensor, shape) => tensors.float32(stored(tensor), shape),
      float64: (tensor, shape) => tensors.float64(stored(tensor), shape),
    };
    if (part in state.parts) await running.restore?.(saved);
  }
  // An average of the weights that was not there begins with them.
  for (const [part, running] of session.parts) {
    if (part in state.parts) continue;
    for (const [name, average] of running.average?.() ?? []) {
      const slots = session.optimizer.slots.get(name as ParamName);
      if (slots !== undefined) (average as tf.Variable).assign(slots.param);
    }
  }
  Object.assign(session.clock, { time: performance.now(), tokens: session.tokens, steps: session.step });
  await settle(session);
}
