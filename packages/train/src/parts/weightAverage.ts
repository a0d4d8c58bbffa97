/** An exponential moving average of the weights: average ← decay · average + (1 − decay) · weights, from the first step on. */
import type { ParamName, Sae } from '@msae/core';
import { number, object, type Schema } from '@msae/schema';
import * as tf from '@tensorflow/tfjs-core';
import type { PartDefinition } from './definition.ts';
import { copyOf, entriesOf, gatherLatents, write } from './rewriteLatents.ts';

export interface WeightAverage {
  readonly variables: ReadonlyMap<ParamName, tf.Variable>;
  update(): void;
  dispose(): void;
}

export function createWeightAverage(sae: Sae, decay: number): WeightAverage {
  const params = Object.entries(sae.params) as [ParamName, tf.Variable][];
  const variables = new Map(
    // A copy: a variable made of a tensor shares its buffer, and the optimizer works in place.
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

export interface WeightAverageOptions {
  /** Share of the old average kept at each step. */
  readonly decay: number;
}

const schema: Schema<WeightAverageOptions> = object<WeightAverageOptions>(
  { decay: number({ min: 0, below: 1, help: 'share of the old average kept at each step' }) },
  { help: 'an exponential average of the weights, for `averagedSae`' },
);

export const weightAveragePart: PartDefinition<WeightAverageOptions> = {
  name: 'weightAverage',
  schema,
  start({ decay }, { sae }) {
    const average = createWeightAverage(sae, decay);
    return {
      updated: () => average.update(),
      async revive(latents) {
        for (const name of ['W_enc', 'b_enc', 'W_dec'] as const) {
          const variable = average.variables.get(name)!;
          const [source, values] = [await copyOf(sae.params[name]), await copyOf(variable)];
          for (const i of entriesOf(name, latents, sae)) values[i] = source[i]!;
          write(variable, values);
        }
      },
      permute: (order) => gatherLatents(average.variables, order),
      average: () => average.variables,
      save: () => ({ tensors: Object.fromEntries(average.variables) }),
      async restore(saved) {
        // An average switched on in the middle of a run starts from the weights of that moment.
        for (const [name, variable] of average.variables) {
          if (saved.has(name)) write(variable, await saved.float32(name, variable.shape));
        }
      },
      dispose: () => average.dispose(),
    };
  },
};
