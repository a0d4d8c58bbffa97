/**
 * The training of one SAE, one batch at a time: input → normaliser → gradients → auxiliary loss → clip → Adam → what
 * follows an update. `Trainer` and `TrainerGroup` feed it batches; it knows nothing of sources and checkpoints.
 */
import {
  decodePrefixes,
  disposeStep,
  encode,
  type MatryoshkaStep,
  parseMetrics,
  type Sae,
  type StepMetrics,
} from '@msae/core';
import { checkFinite } from '@msae/data';
import { createRng, type Prefixes, type Rng } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { type AuxiliaryTask, auxiliaryLoss } from './auxiliaryLoss.ts';
import type { Batch } from './batchStream.ts';
import { createDeadLatentTracker, type DeadLatentTracker } from './deadLatents.ts';
import type { MetricsEvent, TrainerEvent, WarningCode } from './events.ts';
import { geometricMedian } from './geometricMedian.ts';
import { createNormalizer, meanRowNorm, type Normalizer } from './normalizer.ts';
import { createOptimizer, type Optimizer } from './optimizer.ts';
import { createPathChooser, type PathChooser } from './pathChooser.ts';
import { createLatentSorter, type LatentSorter } from './permutation.ts';
import { type Phase, phaseAt } from './phases.ts';
import { isResamplingStep } from './resampling.ts';
import type { ResolvedOptions } from './resolveOptions.ts';
import { permuteLatents, rewriteLatents } from './rewriteLatents.ts';
import { annealedK, scheduleFactor } from './schedules.ts';
import { createSparsityController, type SparsityController } from './sparsityController.ts';
import { type StepPath, stepGradients } from './stepGradients.ts';
import { normalizeDecoder, projectDecoderGradient } from './unitNormDecoder.ts';
import { createWeightAverage, type WeightAverage } from './weightAverage.ts';

/** All that changes while an SAE is trained, besides its parameters. */
export interface Session {
  readonly sae: Sae;
  readonly options: ResolvedOptions;
  readonly optimizer: Optimizer;
  readonly normalizer: Normalizer | null;
  readonly controller: SparsityController | null;
  readonly deadLatents: DeadLatentTracker | null;
  readonly sorter: LatentSorter | null;
  readonly weightAverage: WeightAverage | null;
  readonly path: PathChooser;
  rng: Rng;
  /** Steps done. */
  step: number;
  /** Rows seen. */
  tokens: number;
  /** batchtopk: running mean of the smallest kept value, [1]; null before the first batch. */
  threshold: tf.Tensor1D | null;
  /** Since the last report, for the rates; not part of a checkpoint. */
  readonly clock: { time: number; tokens: number; steps: number };
  dispose(): void;
}

export function createSession(sae: Sae, options: ResolvedOptions): Session {
  const { dModel, nLatents } = sae.config;
  const { deadLatents, normalizer, permutation, sparsityController, weightAverage } = options;
  const session: Session = {
    sae,
    options,
    optimizer: createOptimizer(sae, options.optimizer, options.parameterGroups),
    normalizer: normalizer === false ? null : createNormalizer(dModel, normalizer),
    controller: sparsityController === undefined ? null : createSparsityController(sparsityController),
    deadLatents:
      deadLatents === false ? null : createDeadLatentTracker(nLatents, deadLatents.afterTokens ?? 1_000_000),
    sorter: permutation === false ? null : createLatentSorter(permutation),
    weightAverage: weightAverage === false ? null : createWeightAverage(sae, weightAverage.decay),
    path: createPathChooser(sae.config, options.path),
    rng: createRng(options.seed),
    step: 0,
    tokens: 0,
    threshold: null,
    clock: { time: performance.now(), tokens: 0, steps: 0 },
    dispose() {
      session.optimizer.dispose();
      session.normalizer?.dispose();
      session.deadLatents?.dispose();
      session.weightAverage?.dispose();
      session.threshold?.dispose();
      session.threshold = null;
    },
  };
  return session;
}

/** What holds at one step. */
interface StepPlan {
  readonly phase: Phase | null;
  readonly prefixes: Prefixes;
  readonly decoderPrefixWeights: Float64Array | undefined;
  readonly lambda: number;
  readonly learningRate: number;
  readonly report: boolean;
  readonly control: boolean;
  readonly sort: boolean;
  readonly resample: boolean;
  readonly refreshDead: boolean;
}

function planStep(session: Session): StepPlan {
  const { options, controller, sae, rng } = session;
  const step = session.step;
  const done = step + 1;
  const phase = phaseAt(options.phases, step, options.totalSteps);
  const prefixes = (phase?.prefixes ?? options.prefixes).sample(sae.config.nLatents, rng);
  const decoder = phase?.decoderPrefixes ?? options.decoderPrefixes;
  const warmup = options.penaltyWarmupSteps;
  const constant = options.penaltyCoefficient * (warmup > 0 ? Math.min(1, done / warmup) : 1);
  const report = done % options.reportEvery === 0 || done === options.totalSteps;
  const refreshEvery =
    (options.deadLatents !== false && options.deadLatents.refreshEvery) || options.reportEvery;
  const resample =
    options.resampling !== false && isResamplingStep(options.resampling, done, options.totalSteps);
  return {
    phase,
    prefixes,
    decoderPrefixWeights: decoder === 'full' ? fullOnly(prefixes) : undefined,
    lambda: phase?.penaltyCoefficient ?? controller?.lambda() ?? constant,
    learningRate:
      options.learningRate *
      scheduleFactor(options.schedule, step, options.totalSteps) *
      (phase?.learningRateFactor ?? 1),
    report,
    control:
      controller !== null && phase?.penaltyCoefficient === undefined && done % options.controlEvery === 0,
    sort: session.sorter !== null && phase?.permutation !== false && done % session.sorter.every === 0,
    resample,
    refreshDead: done % refreshEvery === 0 || resample || report,
  };
}

function fullOnly({ weights }: Prefixes): Float64Array {
  const out = new Float64Array(weights.length);
  out[out.length - 1] = weights[weights.length - 1] as number;
  return out;
}

/** One step on one batch. The batch's tensor, if it is one, stays the caller's. Returns the events of this step. */
export async function trainStep(session: Session, batch: Batch): Promise<TrainerEvent[]> {
  const { options, optimizer, controller, deadLatents, path } = session;
  const { sae } = session;
  if (session.step === 0 && options.decoderBiasInit !== false) await initDecoderBias(session, batch);
  const plan = planStep(session);
  const events: TrainerEvent[] = [];
  const x = normalizedInput(session, batch);
  const usedPath = path.current();
  const gradients = computeGradients(session, plan, x);
  let auxLoss: tf.Tensor1D | null = null;
  let norm: tf.Tensor1D | null = null;
  try {
    auxLoss = addAuxiliaryGradients(session, plan, x, gradients);
    if (options.unitNormDecoder) {
      const raw = gradients.grads.W_dec as tf.Tensor2D;
      gradients.grads.W_dec = projectDecoderGradient(raw, sae.params.W_dec);
      raw.dispose();
    }
    const clip = plan.phase?.gradClipNorm === undefined ? options.gradClipNorm : plan.phase.gradClipNorm;
    norm = optimizer.update(gradients.grads, {
      learningRate: plan.learningRate,
      gradClipNorm: clip,
      needNorm: plan.report,
    });
    if (options.unitNormDecoder) normalizeDecoder(sae.params.W_dec);
    session.weightAverage?.update();
    if (gradients.smallestKept !== undefined) updateThreshold(session, gradients.smallestKept);
    deadLatents?.add(gradients.firings, batch.rows);
    session.step++;
    session.tokens += batch.rows;

    const values =
      plan.report || plan.control || path.wantsDensity(session.step) ? await gradients.metrics.data() : null;
    const numbers = values === null ? null : parseMetrics(values, gradients.reported);
    if (numbers !== null) {
      if (!Number.isFinite(numbers.loss)) await explainNonFinite(session, numbers.loss, batch);
      if (plan.control) controller?.observe(numbers.l0, options.controlEvery);
      path.observe(session.step, numbers.l0);
    }
    if (plan.refreshDead) await deadLatents?.refresh();
    if (plan.report && numbers !== null) {
      await syncThreshold(session);
      events.push(await metricsEvent(session, plan, numbers, { path: usedPath, norm, auxLoss }));
    }
    if (plan.resample) events.push(...(await resample(session, x, gradients)));
    if (plan.sort) await sortLatents(session, gradients);
    return events;
  } finally {
    disposeStep(gradients);
    for (const tensor of [x, auxLoss, norm]) tensor?.dispose();
  }
}

function computeGradients(session: Session, plan: StepPlan, x: tf.Tensor2D): MatryoshkaStep {
  const { options, deadLatents, path } = session;
  const { config } = session.sae;
  const dead = (deadLatents?.dead().length ?? 0) > 0;
  const byL0 = config.activation.kind === 'jumprelu' && config.penalty.kind === 'none';
  const l0Penalty =
    options.l0Penalty ?? (byL0 && session.controller ? { coefficient: plan.lambda } : undefined);
  return stepGradients(annealed(session), x, path.current(), {
    prefixes: plan.prefixes,
    ...(plan.decoderPrefixWeights && { decoderPrefixWeights: plan.decoderPrefixWeights }),
    penaltyCoefficient: plan.lambda,
    ...(l0Penalty && { l0Penalty }),
    keepResidual: (dead && options.auxiliaryLoss !== false) || plan.resample,
    keepContributions: plan.sort,
  });
}

/** The SAE with this step's k. */
function annealed({ sae, options, step }: Session): Sae {
  const { activation } = sae.config;
  if (options.kAnnealing === undefined || (activation.kind !== 'topk' && activation.kind !== 'batchtopk'))
    return sae;
  const k = annealedK(options.kAnnealing, step);
  return k === activation.k ? sae : { ...sae, config: { ...sae.config, activation: { ...activation, k } } };
}

function normalizedInput(session: Session, batch: Batch): tf.Tensor2D {
  const { normalizer } = session;
  const width = session.sae.config.dModel;
  if (batch.tensor !== undefined) {
    return normalizer === null ? tf.clone(batch.tensor) : normalizer.updateTensor(batch.tensor);
  }
  const data = batch.data as Float32Array;
  const norm = meanRowNorm(data, width);
  // Not finite when some value is not: one pass serves the normaliser and the check.
  if (!Number.isFinite(norm)) checkFinite(data, width, `source: batch at step ${session.step + 1}`);
  const scale = normalizer?.updateHost(norm) ?? 1;
  const scaled = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) scaled[i] = (data[i] as number) * scale;
  return tf.tensor2d(scaled, [batch.rows, width]);
}

async function initDecoderBias(session: Session, batch: Batch): Promise<void> {
  const { options, normalizer, sae } = session;
  const width = sae.config.dModel;
  const data = batch.data ?? ((await batch.tensor?.data()) as Float32Array);
  const rows = options.decoderBiasInit === false ? 0 : Math.min(batch.rows, options.decoderBiasInit.rows);
  const median = geometricMedian(data.subarray(0, rows * width), width);
  const average = (await normalizer?.average()) ?? meanRowNorm(data, width);
  const scale = normalizer === null || average === 0 ? 1 : Math.sqrt(width) / average;
  const start = tf.tensor1d(median.map((value) => value * scale));
  sae.params.b_dec.assign(start);
  start.dispose();
}

function addAuxiliaryGradients(
  session: Session,
  plan: StepPlan,
  x: tf.Tensor2D,
  gradients: MatryoshkaStep,
): tf.Tensor1D | null {
  const { options, sae, deadLatents } = session;
  const dead = deadLatents?.dead() ?? new Int32Array(0);
  if (options.auxiliaryLoss === false || dead.length === 0 || gradients.residual === undefined) return null;
  const residual = gradients.residual;
  const { perPrefix } = options.auxiliaryLoss;
  const input = sae.config.applyBDecToInput ? tf.sub(x, sae.params.b_dec) : tf.clone(x);
  const full: AuxiliaryTask = { length: sae.config.nLatents, residual, weight: 1 };
  const tasks = perPrefix ? prefixTasks(session, plan.prefixes, x) : [full];
  const added = auxiliaryLoss(sae.params, input as tf.Tensor2D, tasks, dead, options.auxiliaryLoss);
  input.dispose();
  for (const task of tasks) if (task !== full) task.residual.dispose();
  if (added === null) return null;
  const grads = gradients.grads;
  for (const name of ['W_enc', 'b_enc', 'W_dec'] as const) {
    const sum = tf.add(grads[name], added[name]);
    tf.dispose([grads[name], added[name]]);
    grads[name] = sum;
  }
  return added.loss;
}

function prefixTasks(session: Session, prefixes: Prefixes, x: tf.Tensor2D): AuxiliaryTask[] {
  const { sae } = session;
  const residuals = tf.tidy(() => {
    const f = encode(annealed(session), x, { training: true });
    return decodePrefixes(sae, f, prefixes.lengths).map((reconstruction) => tf.sub(x, reconstruction));
  });
  return residuals.map((residual, j) => ({
    length: prefixes.lengths[j] as number,
    residual: residual as tf.Tensor2D,
    weight: prefixes.weights[j] as number,
  }));
}

function updateThreshold(session: Session, smallestKept: tf.Tensor1D): void {
  const { thresholdDecay } = session.options;
  const old = session.threshold;
  session.threshold = tf.tidy(() =>
    tf.keep(
      old === null
        ? tf.mul(smallestKept, 1)
        : tf.add(tf.mul(old, thresholdDecay), tf.mul(smallestKept, 1 - thresholdDecay)),
    ),
  ) as tf.Tensor1D;
  old?.dispose();
}

/** Bring `sae.inferenceThreshold` up to date (one readback of one number). */
export async function syncThreshold(session: Session): Promise<void> {
  if (session.threshold !== null)
    session.sae.inferenceThreshold = (await session.threshold.data())[0] as number;
}

async function metricsEvent(
  session: Session,
  plan: StepPlan,
  numbers: StepMetrics,
  extra: { path: StepPath; norm: tf.Tensor1D | null; auxLoss: tf.Tensor1D | null },
): Promise<MetricsEvent> {
  const { clock, deadLatents, options, sae } = session;
  const now = performance.now();
  const seconds = Math.max(1e-9, (now - clock.time) / 1000);
  const tokensPerSecond = (session.tokens - clock.tokens) / seconds;
  const stepsPerSecond = (session.step - clock.steps) / seconds;
  Object.assign(clock, { time: now, tokens: session.tokens, steps: session.step });
  const auxLoss = extra.auxLoss === null ? 0 : ((await extra.auxLoss.data())[0] as number);
  const weightOf = new Map(
    Array.from(plan.prefixes.lengths, (length, j) => [length, plan.prefixes.weights[j]]),
  );
  const prefixes = numbers.prefixes.map((prefix) => ({
    length: prefix.length,
    weight: weightOf.get(prefix.length) ?? 0,
    reconstruction: prefix.recon,
    penalty: prefix.sparsity,
    fvu: prefix.fvu,
  }));
  const full = prefixes.at(-1);
  return {
    type: 'metrics',
    step: session.step,
    totalSteps: options.totalSteps,
    tokens: session.tokens,
    loss: numbers.loss + auxLoss,
    reconstruction: full?.reconstruction ?? Number.NaN,
    penalty: full?.penalty ?? Number.NaN,
    auxLoss,
    l0: numbers.l0,
    fvu: full?.fvu ?? Number.NaN,
    deadFraction: deadLatents === null ? null : deadLatents.dead().length / sae.config.nLatents,
    gradNorm: extra.norm === null ? null : ((await extra.norm.data())[0] as number),
    learningRate: plan.learningRate,
    penaltyCoefficient: plan.lambda,
    inputNorm: (await session.normalizer?.average()) ?? null,
    path: extra.path,
    prefixes,
    tokensPerSecond,
    stepsPerSecond,
  };
}

async function resample(
  session: Session,
  x: tf.Tensor2D,
  gradients: MatryoshkaStep,
): Promise<TrainerEvent[]> {
  const { deadLatents, options, sorter } = session;
  const dead = deadLatents?.dead() ?? new Int32Array(0);
  if (options.resampling === false || dead.length === 0 || gradients.residual === undefined) return [];
  await rewriteLatents(session, { x, residual: gradients.residual }, dead, options.resampling, session.rng);
  deadLatents?.revive(dead);
  sorter?.reset(dead);
  return [warning(session, 'dead-latents', `${dead.length} dead latents were resampled`)];
}

async function sortLatents(session: Session, gradients: MatryoshkaStep): Promise<void> {
  if (gradients.contributions === undefined) return;
  const order = session.sorter?.observe(await gradients.contributions.data()) ?? null;
  if (order === null) return;
  permuteLatents(session, order);
  session.deadLatents?.permute(order);
}

export function warning(session: Session, code: WarningCode, message: string): TrainerEvent {
  return { type: 'warning', step: session.step, code, message };
}

/** Names the culprit of a loss that is not finite: the batch, or a parameter, or an overflow. */
async function explainNonFinite(session: Session, loss: number, batch: Batch): Promise<never> {
  const where = `step ${session.step}: the loss is ${loss}`;
  const width = session.sae.config.dModel;
  const data = batch.data ?? ((await batch.tensor?.data()) as Float32Array);
  checkFinite(data, width, `${where}; the source's batch`);
  const { learningRate, gradClipNorm } = session.options;
  throw new Error(
    `${where} although the batch is finite: training diverged. Lower learningRate (now ${learningRate})${gradClipNorm === null ? ' or set gradClipNorm' : ''}; the last checkpoint was written before it happened`,
  );
}
