import type { OwnRecord } from '../ownRecord.ts';
import type { Exportable } from './exportable.ts';

/** What the format has no field for, for our own readers (see ownRecord.ts). */
export function ownRecordOf(source: Exportable, decoderNormsFolded: boolean): OwnRecord {
  const { config, prefixes, sae, inputScale } = source;
  return {
    version: 1,
    activation: config.activation,
    penalty: config.penalty,
    ...(prefixes ? { prefixes: prefixes.lengths, prefixWeights: prefixes.weights } : {}),
    ...(sae.inferenceThreshold === null ? {} : { inferenceThreshold: sae.inferenceThreshold }),
    ...(inputScale === 1 ? {} : { inputScale }),
    decoderNormsFolded,
  };
}
