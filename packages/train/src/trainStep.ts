/**
 * One training step: input → normaliser → gradients → auxiliary loss → clip → Adam → what follows an update.
 * `Trainer` and `TrainerGroup` feed it batches; it knows nothing of sources and checkpoints.
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
import type { Prefixes } from '@msae/sampler';
import * as tf from '@tensorflow/tfjs-core';
import { type AuxiliaryTask, auxiliaryLoss } from './auxiliaryLoss.ts';
import type { Batch } from './batchStream.ts';
import type { MetricsEvent, TrainerEvent } from './events.ts';
import { latentWorth } from './latentWorth.ts';
import { readTogether } from './readTogether.ts';
import { permuteLatents, rewriteLatents } from './rewriteLatents.ts';
import { annealedK } from './schedules.ts';
import { type Session, warning } from './session.ts';
import { type StepPath, stepGradients } from './stepGradients.ts';
import { initDecoderBias, normalizedInput } from './stepInput.ts';
import { planStep, type StepPlan } from './stepPlan.ts';
import { normalizeDecoder, projectDecoderGradient } from './unitNormDecoder.ts';

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
    if (plan.observeWorth) await observeWorth(session, x, gradients);
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

    const wantsMetrics = plan.report || plan.control || path.wantsDensity(session.step);
    const read = await readTogether({
      metrics: wantsMetrics ? gradients.metrics : null,
      firings: plan.refreshDead ? deadLatents?.pending() : null,
      norm: plan.report ? norm : null,
      auxLoss: plan.report ? auxLoss : null,
      threshold: plan.report ? session.threshold : null,
      inputNorm: plan.report ? session.normalizer?.tensor() : null,
    });
    const numbers = read.metrics === null ? null : parseMetrics(read.metrics, gradients.reported);
    if (numbers !== null) {
      if (!Number.isFinite(numbers.loss)) await explainNonFinite(session, numbers.loss, batch);
      if (plan.control) controller?.observe(numbers.l0, options.controlEvery);
      path.observe(session.step, numbers.l0);
    }
    if (read.firings !== null) deadLatents?.refresh(read.firings);
    if (read.threshold !== null) sae.inferenceThreshold = read.threshold[0] as number;
    if (plan.report && numbers !== null) {
      const inputNorm = read.inputNorm?.[0] ?? (await session.normalizer?.average()) ?? null;
      const values = { norm: read.norm?.[0] ?? null, auxLoss: read.auxLoss?.[0] ?? 0, inputNorm };
      events.push(metricsEvent(session, plan, numbers, { path: usedPath, ...values }));
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
    keepResidual: (dead && options.auxiliaryLoss !== false) || plan.resample || plan.observeWorth,
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

function metricsEvent(
  session: Session,
  plan: StepPlan,
  numbers: StepMetrics,
  extra: { path: StepPath; norm: number | null; auxLoss: number; inputNorm: number | null },
): MetricsEvent {
  const { clock, deadLatents, options, sae } = session;
  const now = performance.now();
  const seconds = Math.max(1e-9, (now - clock.time) / 1000);
  const tokensPerSecond = (session.tokens - clock.tokens) / seconds;
  const stepsPerSecond = (session.step - clock.steps) / seconds;
  Object.assign(clock, { time: now, tokens: session.tokens, steps: session.step });
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
    loss: numbers.loss + extra.auxLoss,
    reconstruction: full?.reconstruction ?? Number.NaN,
    penalty: full?.penalty ?? Number.NaN,
    auxLoss: extra.auxLoss,
    l0: numbers.l0,
    fvu: full?.fvu ?? Number.NaN,
    deadFraction: deadLatents === null ? null : deadLatents.dead().length / sae.config.nLatents,
    gradNorm: extra.norm,
    learningRate: plan.learningRate,
    penaltyCoefficient: plan.lambda,
    inputNorm: extra.inputNorm,
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
  const { deadLatents, options, sorter, worth } = session;
  if (options.resampling === false || gradients.residual === undefined) return [];
  const silent = deadLatents?.dead() ?? new Int32Array(0);
  const weak = worth?.weak(options.resampling.weak?.below ?? 0) ?? new Int32Array(0);
  worth?.reset();
  const dead = Int32Array.from(new Set([...silent, ...weak])).sort();
  if (dead.length === 0) return [];
  await rewriteLatents(session, { x, residual: gradients.residual }, dead, options.resampling, session.rng);
  deadLatents?.revive(dead);
  sorter?.reset(dead);
  const what = weak.length > 0 ? 'dead or weak' : 'dead';
  return [warning(session, 'dead-latents', `${dead.length} ${what} latents were resampled`)];
}

/** Adds this batch to the latents' worth, before the update changes what it was measured with. */
async function observeWorth(session: Session, x: tf.Tensor2D, gradients: MatryoshkaStep): Promise<void> {
  if (session.worth === null || gradients.residual === undefined) return;
  const worth = latentWorth(annealed(session), x, gradients.residual);
  session.worth.add(await worth.data());
  worth.dispose();
}

async function sortLatents(session: Session, gradients: MatryoshkaStep): Promise<void> {
  if (gradients.contributions === undefined) return;
  const order = session.sorter?.observe(await gradients.contributions.data()) ?? null;
  if (order === null) return;
  permuteLatents(session, order);
  session.deadLatents?.permute(order);
  session.worth?.permute(order);
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
