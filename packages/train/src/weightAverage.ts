/** An exponential moving average of the weights: average ← decay · average + (1 − decay) · weights, from the first step on. */
import type { Sae } from '@msae/core';
import * as tf from '@tensorflow/tfjs-core';
import type { ParameterName } from './options.ts';

export interface WeightAverage {
  readonly variables: ReadonlyMap<ParameterName, tf.Variable>;
  update(): void;
  dispose(): void;
}

export function createWeightAverage(sae: Sae, decay: number): WeightAverage {
  if (!(decay >= 0 && decay < 1))
    throw new RangeError(`weightAverage.decay must lie in [0, 1), got ${decay}`);
  const params = Object.entries(sae.params) as [ParameterName, tf.Variable][];
  const variables = new Map(
    // A copy: a variable made of a tensor shares its buffer, and the optimiser works in place.
    params.map(([name, param]) => [name, tf.tidy(() => tf.variable(tf.mul(param, 1), false))] as const),
  );
  return {
    variables,
    update() {
      for (const [name, param] of params) {
        const variable = variables.get(name) as tf.Variable;
        const next = tf.tidy(() => tf.add(variable, tf.mul(tf.sub(param, variable), 1 - decay)));
        variable.assign(next);
        next.dispose();
      }
    },
    dispose() {
      for (const variable of variables.values()) variable.dispose();
    },
  };
}
