/**
 * Everything a run needs to go on as if it had never stopped, in one checkpoint: `<prefix>weights.safetensors` (parameters,
 * moments, averages, counters) and `<prefix>state.json` (step, random stream, controller, normaliser, source position …).
 */
import type { SaeConfig } from '@msae/core';
import {
  readSafetensors,
  type SourcePosition,
  type TensorToWrite,
  toRandomAccess,
  writeSafetensors,
} from '@msae/data';
import { createRng, type RngState } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import type { CheckpointFile, CheckpointStorage } from './checkpointStorage.ts';
import type { ParameterName } from './options.ts';
import { optionsSummary } from './optionsSummary.ts';
import { type Session, syncThreshold } from './session.ts';
import type { SparsityControllerState } from './sparsityController.ts';
import type { StepPath } from './stepGradients.ts';

const FORMAT = 'msae-training-checkpoint';
const VERSION = 1;

/** The JSON half of a checkpoint. */
export interface CheckpointState {
  readonly format: typeof FORMAT;
  readonly version: number;
  readonly sae: SaeConfig;
  readonly inferenceThreshold: number | null;
  readonly step: number;
  readonly tokens: number;
  readonly iterations: number;
  readonly rng: RngState;
  readonly normalizer: number | null;
  readonly controller: SparsityControllerState | null;
  readonly pendingTokens: number | null;
  readonly path: StepPath;
  readonly source: { readonly position: SourcePosition | null; readonly batches: number };
  readonly options: Readonly<Record<string, unknown>>;
}

/** The name of the checkpoint after `step` steps: sorts by step. */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(10, '0')}`;
}

/** The two files of a session's checkpoint. Device tensors are read one at a time while they are written. */
export async function checkpointFiles(
  session: Session,
  source: CheckpointState['source'],
  prefix = '',
): Promise<CheckpointFile[]> {
  await syncThreshold(session);
  const { deadLatents, sae, normalizer, controller, optimizer, path } = session;
  const state: CheckpointState = {
    format: FORMAT,
    version: VERSION,
    sae: sae.config,
    inferenceThreshold: sae.inferenceThreshold,
    step: session.step,
    tokens: session.tokens,
    iterations: optimizer.iterations,
    rng: session.rng.state(),
    normalizer: (await normalizer?.average()) ?? null,
    controller: controller?.state() ?? null,
    pendingTokens: deadLatents?.state().pendingTokens ?? null,
    path: path.current(),
    source,
    options: optionsSummary(session.options, sae.config.nLatents),
  };
  const tensors = sessionTensors(session);
  return [
    {
      name: `${prefix}weights.safetensors`,
      write: async (sink) => {
        await writeSafetensors(sink, tensors, { metadata: { format: FORMAT, version: String(VERSION) } });
      },
    },
    {
      name: `${prefix}state.json`,
      write: async (sink) => {
        await sink.write(new TextEncoder().encode(`${JSON.stringify(state, null, 1)}\n`));
      },
    },
  ];
}

function sessionTensors(session: Session): TensorToWrite[] {
  const tensors: TensorToWrite[] = [];
  const device = (name: string, tensor: tf.Tensor, mustBeFinite = false): void => {
    tensors.push({
      name,
      shape: tensor.shape,
      dtype: 'F32',
      data: async function* () {
        const values = (await tensor.data()) as Float32Array;
        if (mustBeFinite && !values.every(Number.isFinite)) {
          throw new Error(
            `checkpoint: ${name} holds values that are not finite, so training has diverged; this checkpoint is not written, the one before is kept`,
          );
        }
        yield values;
      },
    });
  };
  for (const [name, { param, m, v }] of session.optimizer.slots) {
    device(name, param, true);
    device(`adam.m.${name}`, m);
    device(`adam.v.${name}`, v);
  }
  for (const [name, variable] of session.weightAverage?.variables ?? []) device(`average.${name}`, variable);
  if (session.threshold !== null) device('threshold.average', session.threshold);
  const pending = session.deadLatents?.pending() ?? null;
  if (pending !== null) device('latents.firings', pending);
  const host = (name: string, data: Float64Array | null | undefined): void => {
    if (data) tensors.push({ name, shape: [data.length], data });
  };
  host('latents.silent_for', session.deadLatents?.state().silentFor);
  host('latents.contribution', session.sorter?.state().average);
  host('latents.sorted_by', session.sorter?.state().sortedBy);
  host('latents.worth', session.worth?.state());
  return tensors;
}

/** Reads and checks the JSON half of a checkpoint. */
export async function readCheckpointState(
  storage: CheckpointStorage,
  name: string,
  prefix = '',
): Promise<CheckpointState> {
  const file = `${prefix}state.json`;
  const source = toRandomAccess(await storage.read(name, file));
  let state: CheckpointState;
  try {
    state = JSON.parse(new TextDecoder().decode(await source.read(0, source.size))) as CheckpointState;
  } catch (cause) {
    throw new Error(
      `checkpoint ${name}: ${file} is not complete JSON; the checkpoint is damaged, use an older one`,
      {
        cause,
      },
    );
  } finally {
    await source.close?.();
  }
  if (state?.format !== FORMAT) {
    throw new Error(
      `checkpoint ${name}: ${file} is not a training checkpoint (format ${JSON.stringify(state?.format)})`,
    );
  }
  if (state.version !== VERSION) {
    throw new Error(
      `checkpoint ${name}: it has version ${state.version}, this release reads version ${VERSION}; resume with the release that wrote it`,
    );
  }
  return state;
}

/** Fills a fresh session from a checkpoint; the session is untouched when something does not fit. */
export async function restoreSession(
  session: Session,
  state: CheckpointState,
  storage: CheckpointStorage,
  name: string,
  prefix = '',
): Promise<void> {
  checkSameSae(state.sae, session.sae.config, name);
  const file = await readSafetensors(await storage.read(name, `${prefix}weights.safetensors`), {
    name: `checkpoint ${name}, ${prefix}weights.safetensors`,
  });
  try {
    const read = async (tensor: string, shape: readonly number[]): Promise<Float32Array> => {
      const found = file.info(tensor).shape;
      if (found.length !== shape.length || found.some((size, i) => size !== shape[i])) {
        throw new Error(
          `checkpoint ${name}: tensor ${tensor} has shape [${found.join(', ')}], expected [${shape.join(', ')}]`,
        );
      }
      return file.read(tensor);
    };
    const float64 = async (tensor: string): Promise<Float64Array | null> =>
      file.tensors.has(tensor) ? ((await file.readTyped(tensor)) as Float64Array) : null;
    const writes: { variable: tf.Variable; values: Float32Array }[] = [];
    const load = async (variable: tf.Variable, tensor: string): Promise<void> => {
      writes.push({ variable, values: await read(tensor, variable.shape) });
    };
    for (const [parameter, { param, m, v }] of session.optimizer.slots) {
      await load(param, parameter);
      await load(m, `adam.m.${parameter}`);
      await load(v, `adam.v.${parameter}`);
    }
    for (const [parameter, variable] of session.weightAverage?.variables ??
      new Map<ParameterName, tf.Variable>()) {
      // An average switched on in the middle of a run starts from the weights of that moment.
      await load(variable, file.tensors.has(`average.${parameter}`) ? `average.${parameter}` : parameter);
    }
    const n = session.sae.config.nLatents;
    const threshold = file.tensors.has('threshold.average') ? await read('threshold.average', [1]) : null;
    const pending = file.tensors.has('latents.firings') ? await read('latents.firings', [n]) : null;
    const silentFor = await float64('latents.silent_for');
    const average = await float64('latents.contribution');
    const sortedBy = await float64('latents.sorted_by');
    const worth = await float64('latents.worth');

    for (const { variable, values } of writes) {
      const tensor = tf.tensor(values, variable.shape, 'float32');
      variable.assign(tensor);
      tensor.dispose();
    }
    session.step = state.step;
    session.tokens = state.tokens;
    session.rng = createRng(state.rng);
    session.optimizer.setIterations(state.iterations);
    session.normalizer?.restore(state.normalizer);
    if (state.controller !== null) session.controller?.restore(state.controller);
    if (silentFor !== null) {
      session.deadLatents?.restore({ silentFor, pendingTokens: state.pendingTokens ?? 0 }, pending);
    }
    session.sorter?.restore({ average, sortedBy });
    session.worth?.restore(worth);
    session.path.restore(state.path);
    session.sae.inferenceThreshold = state.inferenceThreshold;
    session.threshold?.dispose();
    session.threshold = threshold === null ? null : tf.tensor1d(threshold);
    Object.assign(session.clock, { time: performance.now(), tokens: session.tokens, steps: session.step });
  } finally {
    await file.close();
  }
}

function checkSameSae(saved: SaeConfig, current: SaeConfig, name: string): void {
  const describe = (config: SaeConfig): string =>
    `dModel ${config.dModel}, nLatents ${config.nLatents}, activation ${config.activation.kind}, penalty ${config.penalty.kind}, applyBDecToInput ${config.applyBDecToInput}`;
  if (describe(saved) !== describe(current)) {
    throw new Error(
      `checkpoint ${name}: it holds another SAE (${describe(saved)}) than this one (${describe(current)}); resume with the SAE it was written for`,
    );
  }
}
