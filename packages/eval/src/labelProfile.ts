/** What kind of token a latent fires on, given a label (part of speech, first letter, …) for every token. */
import { msaeError } from '@msae/schema';
import { type ActiveRows, checkActiveRows } from './activeRows.ts';

export interface LabelShare {
  readonly label: number;
  /** P(label | latent fires). */
  readonly share: number;
  /** P(latent fires | label). */
  readonly recall: number;
  /** share / P(label). */
  readonly lift: number;
}

export interface LabelProfileAccumulator {
  /** Adds rows with one label each; a negative label is no label and is left out everywhere. */
  add(active: ActiveRows, labels: ArrayLike<number>): void;
  /** The `top` most frequent labels of one latent, most frequent first. */
  profile(latent: number, top?: number): LabelShare[];
  /** P(label), [L]. */
  base(): Float64Array;
}

/** Counts labels for every latent: O(N · L) memory. Throws an MsaeError for a label of `nLabels` or more. */
export function labelProfiles(options: {
  readonly nLatents: number;
  readonly nLabels: number;
}): LabelProfileAccumulator {
  const { nLatents, nLabels } = options;
  const counts = new Uint32Array(nLatents * nLabels);
  const totals = new Float64Array(nLabels);
  const fired = new Float64Array(nLatents);
  let tokens = 0;
  return {
    add(active, labels) {
      checkActiveRows('labelProfiles', active, nLatents);
      if (labels.length !== active.rows) {
        throw msaeError(
          'shape',
          `labelProfiles: ${labels.length} labels for ${active.rows} rows of activations`,
        );
      }
      for (let r = 0; r < active.rows; r++) {
        const label = labels[r]!;
        if (label < 0) continue;
        if (label >= nLabels)
          throw msaeError('value', `labelProfiles: label ${label} of row ${r}; expected below ${nLabels}`);
        totals[label]! += 1;
        tokens += 1;
        for (let at = active.offsets[r]!; at < active.offsets[r + 1]!; at++) {
          counts[active.indices[at]! * nLabels + label]! += 1;
          fired[active.indices[at]!]! += 1;
        }
      }
    },
    profile(latent, top = 3) {
      if (!(fired[latent]! > 0)) return [];
      const shares = Array.from(totals, (total, label): LabelShare => {
        const count = counts[latent * nLabels + label]!;
        const share = count / fired[latent]!;
        return {
          label,
          share,
          recall: total > 0 ? count / total : 0,
          lift: total > 0 ? (share * tokens) / total : 0,
        };
      });
      return shares
        .filter((s) => s.share > 0)
        .sort((a, b) => b.share - a.share || a.label - b.label)
        .slice(0, top);
    },
    base: () => totals.map((total) => total / tokens),
  };
}
