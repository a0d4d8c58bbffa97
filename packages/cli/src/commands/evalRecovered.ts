/** Cross-entropy recovered in the model itself, for `msae eval --model … --text …`. */
import type { Sae } from '@msae/core';
import { spliceSaes, textDocuments } from '@msae/harvest';
import { type OpenedModel, readTextFiles } from '@msae/harvest/node';
import { brownTokens, readBrown } from '@msae/lab/node';
import type { RecoveredInput } from '@msae/report';
import { msaeError } from '@msae/schema';

export async function measureRecovered(options: {
  readonly opened: OpenedModel;
  readonly tap: string | undefined;
  readonly sae: Sae;
  readonly prefixes: readonly number[];
  /** A file or folder; undefined: the held-out documents of Brown. */
  readonly text: string | undefined;
  readonly maxTokens: number;
}): Promise<RecoveredInput> {
  const { opened, tap, sae, prefixes, text, maxTokens } = options;
  if (tap === undefined) {
    throw msaeError(
      'option',
      '--tap: name the tap the activations are of (msae harvest --list-taps lists them)',
    );
  }
  const { tokenizer } = opened;
  if (!tokenizer) {
    throw msaeError(
      'missing',
      `${opened.path}: there is no tokenizer.json beside it; put the model's own there`,
    );
  }
  const documents =
    text === undefined
      ? brownTokens(
          (await readBrown()).filter(({ heldOut }) => heldOut),
          tokenizer,
        )
      : textDocuments((await readTextFiles(text, 'file')).texts, tokenizer);
  const [recovered] = await spliceSaes(opened.model, [...documents], [sae], { tap, maxTokens, prefixes });
  return recovered!;
}
