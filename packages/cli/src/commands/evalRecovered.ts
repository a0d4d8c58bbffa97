/** Cross-entropy recovered, overall and by prefix, with the SAE's reconstructions spliced into the model. */
import { decodeActive, type LatentSource } from '@msae/eval';
import { evaluateSplice, textDocuments } from '@msae/harvest';
import { brownTokens, type OpenedModel, readBrown, readTextFiles } from '@msae/harvest/node';
import type { RecoveredInput } from '@msae/report';

export async function measureRecovered(options: {
  readonly opened: OpenedModel;
  readonly tap: string | undefined;
  readonly source: LatentSource;
  readonly prefixes: readonly number[];
  /** A file or folder; undefined: the held-out documents of Brown. */
  readonly text: string | undefined;
  readonly maxTokens: number;
}): Promise<RecoveredInput> {
  const { opened, tap, source, prefixes, text, maxTokens } = options;
  if (tap === undefined)
    throw new Error('--tap: name the tap the activations are of (msae harvest --list-taps lists them)');
  if (!opened.tokenizer)
    throw new Error(`${opened.path}: there is no tokenizer.json beside it; put the model's own there`);
  const documents =
    text === undefined
      ? [
          ...brownTokens(
            (await readBrown()).filter((document) => document.heldOut),
            opened.tokenizer,
          ),
        ]
      : [...textDocuments((await readTextFiles(text, 'file')).texts, opened.tokenizer)];
  const report = await evaluateSplice(opened.model, documents, {
    tap,
    maxTokens,
    reconstructions: Object.fromEntries(
      prefixes.map((length) => [
        String(length),
        async (data: Float32Array, rows: number) => {
          const width = data.length / rows;
          if (width !== source.dModel) {
            throw new Error(
              `--tap: ${tap} is ${width} wide in this model, but the SAE was made for ${source.dModel}; name the tap it was trained on`,
            );
          }
          const active = await source.encode({ data, rows, width });
          const [rebuilt] = decodeActive({
            active,
            decoder: source.decoder,
            bias: source.bias,
            prefixes: [length],
          });
          return rebuilt!.data as Float32Array;
        },
      ]),
    ),
  });
  const whole = report.reconstructions[String(prefixes.at(-1))]!;
  return {
    ceRecovered: whole.ceRecovered,
    klRecovered: whole.klRecovered,
    ceClean: report.clean,
    ceReconstructed: whole.crossEntropy,
    prefixes: prefixes.map((length) => ({
      length,
      ceRecovered: report.reconstructions[String(length)]!.ceRecovered,
    })),
  };
}
