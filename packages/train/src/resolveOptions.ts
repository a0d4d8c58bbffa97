/** Defaults filled in and every option checked, one clear error each. */
import type { SaeConfig } from '@msae/core';
import { createRng, truncatedPareto } from '@msae/sampler';
import type { TrainerOptions } from './options.ts';
import { checkPhases } from './phases.ts';
import { checkResampling } from './resampling.ts';
import { checkSchedule, wsdSchedule } from './schedules.ts';

const defaults = {
  batchSize: 1024,
  decoderPrefixes: 'all',
  learningRate: 3e-4,
  gradClipNorm: 1,
  penaltyCoefficient: 0,
  penaltyWarmupSteps: 0,
  controlEvery: 1,
  normalizer: {},
  decoderBiasInit: false,
  unitNormDecoder: false,
  weightAverage: false,
  permutation: false,
  deadLatents: {},
  auxiliaryLoss: false,
  resampling: false,
  thresholdDecay: 0.99,
  path: 'auto',
  phases: [],
  reportEvery: 100,
  seed: 0,
  repeat: false,
  yieldEveryMs: 20,
} as const satisfies Partial<TrainerOptions>;

type Optional =
  | 'sparsityController'
  | 'l0Penalty'
  | 'kAnnealing'
  | 'checkpoints'
  | 'optimizer'
  | 'parameterGroups';

/** Options with every default filled in. */
export type ResolvedOptions = Required<Omit<TrainerOptions, Optional>> & Pick<TrainerOptions, Optional>;

/** @throws RangeError or TypeError that names the option, what was given and what would do. */
export function resolveOptions(config: SaeConfig, options: TrainerOptions): ResolvedOptions {
  const unknown = Object.keys(options).filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw new TypeError(
      `trainer: unknown option ${unknown.join(', ')}; known are ${[...known].sort().join(', ')}`,
    );
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved: ResolvedOptions = {
    ...defaults,
    prefixes: truncatedPareto({ count: Math.min(10, config.nLatents) }),
    schedule: wsdSchedule({ warmupSteps: 100 }),
    ...(given as unknown as TrainerOptions),
  };
  checkNumbers(resolved);
  checkSparsity(config, resolved);
  checkSchedule(resolved.schedule, 'schedule');
  checkPhases(resolved.phases);
  if (resolved.resampling !== false) checkResampling(resolved.resampling);
  for (const feature of ['auxiliaryLoss', 'resampling'] as const) {
    if (resolved[feature] !== false && resolved.deadLatents === false) {
      throw new RangeError(`${feature} needs to know the dead latents; leave deadLatents on`);
    }
  }
  if (!['auto', 'dense', 'sparse'].includes(resolved.path)) {
    throw new RangeError(`path must be auto, dense or sparse, got ${JSON.stringify(resolved.path)}`);
  }
  if (resolved.path === 'sparse' && config.activation.kind === 'identity') {
    throw new RangeError('path: the identity activation leaves nothing inactive; use path dense or auto');
  }
  for (const { prefixes } of [resolved, ...resolved.phases]) prefixes?.sample(config.nLatents, createRng(0));
  return resolved;
}

const known = new Set<string>([
  ...Object.keys(defaults),
  ...[
    'totalSteps',
    'prefixes',
    'schedule',
    'optimizer',
    'parameterGroups',
    'sparsityController',
    'l0Penalty',
  ],
  ...['kAnnealing', 'checkpoints'],
]);

function checkNumbers(options: ResolvedOptions): void {
  const whole = (name: string, value: number | undefined, least: number): void => {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= least)) {
      throw new RangeError(`${name} must be a whole number ≥ ${least}, got ${value}`);
    }
  };
  const atLeastZero = (name: string, value: number | null | undefined): void => {
    if (value !== undefined && value !== null && !(value >= 0 && Number.isFinite(value))) {
      throw new RangeError(`${name} must be a finite number ≥ 0, got ${value}`);
    }
  };
  whole('totalSteps', options.totalSteps ?? Number.NaN, 1);
  whole('batchSize', options.batchSize, 1);
  whole('reportEvery', options.reportEvery, 1);
  whole('controlEvery', options.controlEvery, 1);
  whole('penaltyWarmupSteps', options.penaltyWarmupSteps, 0);
  whole('checkpoints.everySteps', options.checkpoints?.everySteps, 1);
  whole('checkpoints.keep', options.checkpoints?.keep, 1);
  if (options.decoderBiasInit !== false) whole('decoderBiasInit.rows', options.decoderBiasInit.rows, 1);
  if (options.deadLatents !== false) {
    whole('deadLatents.afterTokens', options.deadLatents.afterTokens, 1);
    whole('deadLatents.refreshEvery', options.deadLatents.refreshEvery, 1);
  }
  if (options.auxiliaryLoss !== false) {
    whole('auxiliaryLoss.k', options.auxiliaryLoss.k, 1);
    atLeastZero('auxiliaryLoss.coefficient', options.auxiliaryLoss.coefficient);
  }
  if (!(options.learningRate > 0 && Number.isFinite(options.learningRate))) {
    throw new RangeError(`learningRate must be a finite number > 0, got ${options.learningRate}`);
  }
  atLeastZero('penaltyCoefficient', options.penaltyCoefficient);
  atLeastZero('yieldEveryMs', options.yieldEveryMs);
  if (options.gradClipNorm !== null && !(options.gradClipNorm > 0)) {
    throw new RangeError(`gradClipNorm must be > 0, or null for no clipping, got ${options.gradClipNorm}`);
  }
  if (!(options.thresholdDecay >= 0 && options.thresholdDecay < 1)) {
    throw new RangeError(`thresholdDecay must lie in [0, 1), got ${options.thresholdDecay}`);
  }
  if (
    options.weightAverage !== false &&
    !(options.weightAverage.decay >= 0 && options.weightAverage.decay < 1)
  ) {
    throw new RangeError(`weightAverage.decay must lie in [0, 1), got ${options.weightAverage.decay}`);
  }
  if (!Number.isSafeInteger(options.seed))
    throw new RangeError(`seed must be a whole number, got ${options.seed}`);
  if (options.decoderPrefixes !== 'all' && options.decoderPrefixes !== 'full') {
    throw new RangeError(
      `decoderPrefixes must be 'all' or 'full', got ${JSON.stringify(options.decoderPrefixes)}`,
    );
  }
}

function checkSparsity(config: SaeConfig, options: ResolvedOptions): void {
  const { activation, penalty, nLatents } = config;
  const { sparsityController, kAnnealing, l0Penalty } = options;
  if (sparsityController !== undefined) {
    if (sparsityController.targetL0 > nLatents) {
      throw new RangeError(
        `sparsityController.targetL0 is ${sparsityController.targetL0}, but the SAE has only ${nLatents} latents; lower the target or raise nLatents`,
      );
    }
    if (activation.kind === 'topk' || activation.kind === 'batchtopk') {
      throw new RangeError(
        `sparsityController: ${activation.kind} fixes L0 at k = ${activation.k}; leave the controller out, or change k`,
      );
    }
    if (penalty.kind === 'none' && activation.kind !== 'jumprelu') {
      throw new RangeError(
        'sparsityController: the SAE has no penalty to control; create it with a penalty, for example l1() or log()',
      );
    }
    if (options.penaltyCoefficient > 0 || options.penaltyWarmupSteps > 0) {
      throw new RangeError(
        'penaltyCoefficient and penaltyWarmupSteps do nothing beside a sparsityController; use its start and warmupSteps',
      );
    }
  }
  if (l0Penalty !== undefined) {
    if (activation.kind !== 'jumprelu') {
      throw new RangeError(
        `l0Penalty trains thresholds, which only jumprelu has; the activation is ${activation.kind}`,
      );
    }
    if (l0Penalty.target !== undefined && !(l0Penalty.target > 0 && l0Penalty.target <= nLatents)) {
      throw new RangeError(
        `l0Penalty.target must lie between 0 and the number of latents, ${nLatents}, got ${l0Penalty.target}`,
      );
    }
  }
  if (kAnnealing !== undefined) {
    if (activation.kind !== 'topk' && activation.kind !== 'batchtopk') {
      throw new RangeError(`kAnnealing needs a topk or batchtopk activation, got ${activation.kind}`);
    }
    for (const [name, k] of [
      ['from', kAnnealing.from],
      ['to', kAnnealing.to],
    ] as const) {
      if (!(Number.isInteger(k) && k >= 1 && k <= nLatents)) {
        throw new RangeError(`kAnnealing.${name} must be a whole number between 1 and ${nLatents}, got ${k}`);
      }
    }
  }
}
