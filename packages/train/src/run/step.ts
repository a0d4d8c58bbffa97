/**
 * One training step: input → plan → gradients → update → readback → report → changes to the SAE as a whole. What happens at each
 * of these beyond the loss and the update is the parts' affair. It knows nothing of sources and checkpoints.
 */
import {
  applyTransform,
  disposeStep,
  type MatryoshkaStep,
  parseMetrics,
  type Sae,
  type StepMetrics,
} from '@msae/core';
import { checkFinite } from '@msae/data';
import type { Prefixes } from '@msae/sampler';
import { msaeError } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { MetricsEvent, TrainerEvent } from '../events.ts';
import type { PartStep, RunningPart, StepPlan } from '../parts/definition.ts';
import type { Batch } from './batchStream.ts';
import { planStep } from './plan.ts';
import { readTogether } from './readTogether.ts';
import { activeParts, type Session } from './session.ts';
import { type StepPath, stepGradients } from './stepGradients.ts';

/** One step on one batch. The batch's tensor, if it is one, stays the caller's. Returns the events of this step. */
export async function trainStep(session: Session, batch: Batch): Promise<TrainerEvent[]> {
  const { optimizer, parts, path, sae } = session;
  if (session.step === 0) checkVariety(session, batch);
  const z = stepInput(session, batch);
  let gradients: MatryoshkaStep | null = null;
  const losses: tf.Tensor1D[] = [];
  let norm: tf.Tensor1D | null = null;
  try {
    if (session.step === 0) for (const part of parts.values()) await part.begin?.(z);
    const plan = planStep(session);
    const prefixes = plan.scheme.sample(sae.config.nLatents, session.rng);
    const usedPath = path.current();
    const weights = weightsAlone(sae, plan);
    gradients = stepGradients(weights, z, usedPath, lossOptions(session, plan, prefixes));
    const step: PartStep = { plan, prefixes, z, rows: batch.rows, weights, gradients };
    for (const [, part] of activeParts(session, plan)) {
      const added = part.gradients?.(step);
      const loss = added instanceof Promise ? await added : added;
      if (loss) losses.push(loss);
    }
    norm = optimizer.update(gradients.grads, {
      learningRate: plan.learningRate,
      gradClipNorm: plan.gradClipNorm,
      needNorm: plan.report,
    });
    for (const [, part] of activeParts(session, plan)) part.updated?.(step);
    session.step++;
    session.tokens += batch.rows;

    const numbers = await readBack(session, step, { losses, norm }, batch, usedPath);
    const events: TrainerEvent[] = numbers === null ? [] : [numbers];
    for (const [, part] of activeParts(session, plan)) {
      for (const { code, message } of (await part.after?.(step)) ?? []) {
        events.push({ type: 'warning', step: session.step, code, message });
      }
    }
    return events;
  } finally {
    if (gradients !== null) disposeStep(gradients);
    tf.dispose([z, ...losses]);
    norm?.dispose();
  }
}

/** @throws MsaeError `value` when a run begins with rows that are all one: an empty file, a wrong column, padding */
function checkVariety({ sae }: Session, { data, rows }: Batch): void {
  const { width } = sae.config.input;
  if (data === undefined || rows < 2) return;
  for (let i = width; i < data.length; i++) if (data[i] !== data[i % width]) return;
  const what = data.every((value) => value === 0) ? 'are all 0' : 'are all the same row';
  throw msaeError(
    'value',
    `source: the ${rows} rows of the first batch ${what}: there is nothing to explain, and FVU would mean nothing; check the data (an empty file, a wrong column, padding?)`,
  );
}

/** [B, d]: the batch as the weights see it; the run's. @throws MsaeError `value` for a value that is not finite (arrays only) */
function stepInput({ sae, parts, initial, step }: Session, batch: Batch): tf.Tensor2D {
  const { width } = sae.config.input;
  let current = batch;
  const change = (next: Batch): void => {
    if (next.tensor !== current.tensor && current.tensor !== batch.tensor) current.tensor?.dispose();
    current = next;
  };
  if (initial.length > 0) {
    const tensor = tf.tidy(() => {
      const raw = batch.tensor ?? tf.tensor2d(checked(batch, width, step), [batch.rows, width]);
      return tf.clone(applyTransform(initial, raw).z);
    });
    change({ rows: batch.rows, tensor });
  }
  for (const part of parts.values()) if (part.input) change(part.input(current));
  if (current.tensor !== undefined) {
    return current.tensor === batch.tensor ? tf.clone(current.tensor) : current.tensor;
  }
  const values = current.data === batch.data ? checked(batch, width, step) : current.data!;
  return tf.tensor2d(values, [batch.rows, width]);
}

/** A copy of the values: a backend may keep what it is given, and the source may use its array again. */
function checked(batch: Batch, width: number, step: number): Float32Array {
  const data = batch.data!;
  checkFinite(data, width, `source: batch at step ${step + 1}`);
  return data.slice();
}

/** From z to ẑ: no transform, this step's k. */
function weightsAlone(sae: Sae, { activation }: StepPlan): Sae {
  const none = { input: [], output: [] };
  if (activation === sae.config.activation) return { ...sae, transform: none };
  return { ...sae, config: { ...sae.config, activation }, transform: none };
}

function lossOptions(
  { options, steers }: Session,
  plan: StepPlan,
  prefixes: Prefixes,
): Parameters<typeof stepGradients>[3] {
  const l0Penalty = options.l0Penalty ?? (steers === 'l0' ? { coefficient: plan.lambda } : undefined);
  return {
    prefixes,
    ...(plan.decoderPrefixes === 'full' && { decoderPrefixWeights: fullOnly(prefixes) }),
    penaltyCoefficient: plan.lambda,
    ...(l0Penalty && { l0Penalty }),
    keepResidual: plan.keepResidual,
    keepContributions: plan.keepContributions,
  };
}

function fullOnly({ weights }: Prefixes): Float64Array {
  const out = new Float64Array(weights.length);
  out[out.length - 1] = weights[weights.length - 1]!;
  return out;
}

/** Everything that someone wants to know of this step in one readback; a report's event where it is one. */
async function readBack(
  session: Session,
  step: PartStep,
  { losses, norm }: { losses: readonly tf.Tensor1D[]; norm: tf.Tensor1D | null },
  batch: Batch,
  usedPath: StepPath,
): Promise<MetricsEvent | null> {
  const { path } = session;
  const { plan, gradients } = step;
  const wanted: Record<string, tf.Tensor | null | undefined> = {
    metrics: plan.report || plan.readMetrics || path.wantsDensity(session.step) ? gradients.metrics : null,
    norm: plan.report ? norm : null,
  };
  if (plan.report) losses.forEach((loss, i) => (wanted[`loss ${i}`] = loss));
  const observers: [RunningPart, string, readonly string[]][] = [];
  for (const [name, part] of activeParts(session, plan)) {
    const own = part.read?.(plan);
    const keys = own === undefined ? [] : Object.keys(own);
    for (const key of keys) wanted[`${name} ${key}`] = own![key];
    if (part.observe) observers.push([part, name, keys]);
  }
  const read = await readTogether(wanted);
  const numbers = read.metrics ? parseMetrics(read.metrics, gradients.reported) : null;
  if (numbers !== null) {
    if (!Number.isFinite(numbers.loss)) await explainNonFinite(session, numbers.loss, batch);
    path.observe(session.step, numbers.l0);
  }
  for (const [part, name, keys] of observers) {
    const values: Record<string, Float32Array | null> = {};
    for (const key of keys) values[key] = read[`${name} ${key}`] ?? null;
    part.observe!({ numbers, values });
  }
  if (!plan.report || numbers === null) return null;
  const auxLoss = losses.reduce((sum, _, i) => sum + (read[`loss ${i}`]?.[0] ?? 0), 0);
  return metricsEvent(session, step, numbers, { path: usedPath, norm: read.norm?.[0] ?? null, auxLoss });
}

function metricsEvent(
  session: Session,
  { plan, prefixes: drawn }: PartStep,
  numbers: StepMetrics,
  extra: { path: StepPath; norm: number | null; auxLoss: number },
): MetricsEvent {
  const { clock, options, parts } = session;
  const now = performance.now();
  const seconds = Math.max(1e-9, (now - clock.time) / 1000);
  const tokensPerSecond = (session.tokens - clock.tokens) / seconds;
  const stepsPerSecond = (session.step - clock.steps) / seconds;
  Object.assign(clock, { time: now, tokens: session.tokens, steps: session.step });
  const weightOf = new Map(Array.from(drawn.lengths, (length, j) => [length, drawn.weights[j]]));
  const prefixes = numbers.prefixes.map((prefix) => ({
    length: prefix.length,
    weight: weightOf.get(prefix.length) ?? 0,
    reconstruction: prefix.recon,
    penalty: prefix.sparsity,
    fvu: prefix.fvu,
  }));
  const full = prefixes.at(-1);
  const ofParts = [...parts].map(([name, part]) => ({ name, ...part.metrics?.() }));
  const own = ofParts.flatMap(({ name, own: values }) => (values ? [[name, values] as const] : []));
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
    deadFraction: ofParts.find(({ deadFraction }) => deadFraction !== undefined)?.deadFraction ?? null,
    gradNorm: extra.norm,
    learningRate: plan.learningRate,
    penaltyCoefficient: plan.lambda,
    inputNorm: ofParts.find(({ inputNorm }) => inputNorm !== undefined)?.inputNorm ?? null,
    path: extra.path,
    prefixes,
    ...(own.length > 0 && { parts: Object.fromEntries(own) }),
    tokensPerSecond,
    stepsPerSecond,
  };
}

/** Names the culprit of a loss that is not finite: the batch, or a parameter, or an overflow. */
async function explainNonFinite(session: Session, loss: number, batch: Batch): Promise<never> {
  const where = `step ${session.step}: the loss is ${loss}`;
  const { width } = session.sae.config.input;
  const data = batch.data ?? ((await batch.tensor?.data()) as Float32Array);
  checkFinite(data, width, `${where}; the source's batch`);
  const { learningRate, gradClipNorm } = session.options;
  throw msaeError(
    'value',
    `${where} although the batch is finite: training diverged. Lower learningRate (now ${learningRate})${gradClipNorm === null ? ' or set gradClipNorm' : ''}; the last checkpoint was written before it happened`,
  );
}
