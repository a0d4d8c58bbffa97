import type { MetricsEvent } from '../../src/events.ts';

/** A metrics event with plausible numbers, for tests of sinks. */
export function metricsEvent(changes: Partial<MetricsEvent> = {}): MetricsEvent {
  return {
    type: 'metrics',
    step: 1,
    totalSteps: 1000,
    tokens: 200,
    loss: 1,
    reconstruction: 0.75,
    penalty: 2,
    auxLoss: 0,
    l0: 3.5,
    fvu: 0.25,
    deadFraction: 0,
    gradNorm: 1.5,
    learningRate: 0.001,
    penaltyCoefficient: 0.125,
    inputNorm: 4,
    path: 'dense',
    prefixes: [{ length: 4, weight: 1, reconstruction: 0.75, penalty: 2, fvu: 0.5 }],
    tokensPerSecond: 1000,
    stepsPerSecond: 5,
    ...changes,
  };
}
