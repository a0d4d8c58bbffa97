import { type MsaeConfig, msaeConfigFile, msaeWeightsFile } from '../msae.ts';
import { type Exportable, values } from './exportable.ts';
import { jsonFile, lazyTensor, type SaeFile, safetensorsFile, type WeightDtype } from './saeFile.ts';

/** The native format: the parameters as they are, nothing folded. */
export function msaeFiles(source: Exportable, dtype: WeightDtype): SaeFile[] {
  const { config, sae, skip, prefixes } = source;
  const { dModel: d, nLatents: n } = config;
  const shapes = { W_enc: [d, n], b_enc: [n], W_dec: [n, d], b_dec: [d], threshold: [n] };
  const tensors = (Object.keys(shapes) as (keyof typeof shapes)[]).flatMap((name) => {
    const param = sae.params[name];
    return param ? [lazyTensor(name, shapes[name], dtype, () => values(param))] : [];
  });
  if (skip) tensors.push(lazyTensor('skip', [d, d], dtype, () => values(skip)));
  const json: MsaeConfig = {
    format: 'msae',
    version: 1,
    ...config,
    inferenceThreshold: sae.inferenceThreshold,
    inputScale: source.inputScale,
    normalize: source.preprocessing.normalize,
    reshape: source.preprocessing.reshape,
    prefixes: prefixes && { lengths: [...prefixes.lengths], weights: [...prefixes.weights] },
    training: source.training,
    metadata: source.metadata,
  };
  return [safetensorsFile(msaeWeightsFile, tensors), jsonFile(msaeConfigFile, json)];
}
