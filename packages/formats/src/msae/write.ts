/** The native format: the parameters as they are, nothing folded. */
import { isAutoencoder, type ParamName, stepArrays } from '@msae/core';
import { jsonFile, lazyTensor, safetensorsFile, valuesOf } from '../containers/saeFile.ts';
import type { Writer } from '../formats/definition.ts';
import { plainStep, widthsOf } from '../ownRecord.ts';
import { configFile, type MsaeJson, stepTensor, weightsFile } from './file.ts';

export const writeMsae: Writer = {
  files: [configFile, weightsFile],
  async write(sae, { dtype }) {
    const { config, params, skip, transform, inferenceThreshold, prefixes, record } = sae;
    const [d, , e] = widthsOf(sae);
    const tensors = (Object.keys(params) as ParamName[]).map((name) =>
      lazyTensor(name, params[name]!.shape, dtype, () => valuesOf(params[name]!)),
    );
    if (skip) tensors.push(lazyTensor('skip', [d, e], dtype, () => valuesOf(skip)));
    const steps = (side: 'input' | 'output', width: number): object[] =>
      transform[side].map((step, i) => {
        for (const [name, shape] of Object.entries(stepArrays(step, width))) {
          const array = async () => new Map(Object.entries(step)).get(name) as Float32Array;
          tensors.push(lazyTensor(stepTensor(side, i, name), shape, 'F32', array));
        }
        return plainStep(step, width);
      });
    const json: MsaeJson = {
      format: 'msae',
      version: 2,
      config,
      transform: { input: steps('input', d), ...(!isAutoencoder(config) && { output: steps('output', e) }) },
      inferenceThreshold,
      prefixes: prefixes && { lengths: [...prefixes.lengths], weights: [...prefixes.weights] },
      record,
    };
    return [safetensorsFile(weightsFile, tensors), jsonFile(configFile, json)];
  },
};
