/** Logistic probes on the model's own activations: what there is to find about a label, and the direction that absorption needs. */
import { fitLogistic, type LogisticModel, logisticScores } from './logistic.ts';
import { gatherRows, type ProbeSample, probeTasks, scoreQuality, type TaskOptions } from './probeSample.ts';

export interface DenseProbe {
  readonly model: LogisticModel;
  /** On held-out tokens. */
  readonly accuracy: number;
  readonly f1: number;
  /** Tokens of the task, training and test, that have the label and that the probe finds. */
  readonly truePositives: Int32Array;
}

/** One probe for every label with enough tokens. They depend on x and the labels alone: fit once, use for every SAE. */
export function denseProbes(sample: ProbeSample, options: TaskOptions = {}): Map<number, DenseProbe> {
  const probes = new Map<number, DenseProbe>();
  for (const { label, train, test } of probeTasks(sample, options)) {
    const trainX = gatherRows(sample.x, train.rows);
    const model = fitLogistic(trainX, train.positive, { tolerance: 1e-5 });
    const [trainScores, testScores] = [
      logisticScores(model, trainX),
      logisticScores(model, gatherRows(sample.x, test.rows)),
    ];
    probes.set(label, {
      model,
      ...scoreQuality(testScores, test.positive),
      truePositives: Int32Array.from([
        ...train.rows.filter((_, s) => train.positive[s] === 1 && trainScores[s]! > 0),
        ...test.rows.filter((_, s) => test.positive[s] === 1 && testScores[s]! > 0),
      ]),
    });
  }
  return probes;
}
