/**
 * The tokens around which each latent fires most: for the report. A bounded heap of windows a latent, one pass,
 * O(N · contexts · window) memory.
 */
import { msaeError } from '@msae/schema';
import { type ActiveRows, activationAt, checkActiveRows } from './activeRows.ts';

export interface ContextOptions {
  readonly nLatents: number;
  /** Contexts kept a latent. Default 10. */
  readonly count?: number;
  /** Most contexts with the same firing token, so that a latent of many tokens does not show one only. Default 3. */
  readonly perToken?: number;
  /** Tokens before and after the firing token. Default 10 and 5. */
  readonly before?: number;
  readonly after?: number;
}

/** A batch of tokens in reading order, whole sequences where possible: windows do not reach outside a batch. */
export interface TokenBatch {
  readonly active: ActiveRows;
  /** Token id of every row. */
  readonly tokens: ArrayLike<number>;
  /** Position of every row within its sequence; a window ends where it does not count up by one. Left out: one sequence. */
  readonly positions?: ArrayLike<number>;
}

export interface Context {
  /** Activation of the latent on the firing token. */
  readonly activation: number;
  /** Number of the firing token, counted over all batches. */
  readonly row: number;
  /** Where the firing token is within `tokens`. */
  readonly focus: number;
  readonly tokens: Int32Array;
  /** The latent's activation on every token of the window. */
  readonly activations: Float32Array;
}

export interface ContextCollector {
  add(batch: TokenBatch): void;
  /** Contexts of one latent, strongest (of either sign) first. */
  contexts(latent: number): Context[];
}

/** Collects the strongest contexts of every latent. Of firings whose windows overlap the stronger is kept. */
export function contextCollector(options: ContextOptions): ContextCollector {
  const { nLatents, count = 10, perToken = 3, before = 10, after = 5 } = options;
  const kept: Context[][] = Array.from({ length: nLatents }, () => []); // each a list sorted by falling activation
  let row0 = 0;
  return {
    add({ active, tokens, positions }) {
      checkActiveRows('contexts', active, nLatents);
      if (tokens.length !== active.rows || (positions && positions.length !== active.rows)) {
        throw msaeError(
          'shape',
          `contexts: ${tokens.length} tokens and ${positions?.length ?? 'no'} positions for ${active.rows} rows of activations`,
        );
      }
      for (let r = 0; r < active.rows; r++) {
        for (let at = active.offsets[r]!; at < active.offsets[r + 1]!; at++) {
          const latent = active.indices[at]!;
          const activation = active.values[at]!;
          const size = Math.abs(activation);
          const list = kept[latent]!;
          if (list.length === count && size <= Math.abs(list[count - 1]!.activation)) continue;
          const [start, end] = window(r, active.rows, positions, before, after);
          const row = row0 + r;
          const overlaps = (c: Context) =>
            c.row - c.focus < row0 + end && row0 + start < c.row - c.focus + c.tokens.length;
          const rival = list.findIndex(overlaps);
          if (rival >= 0 && Math.abs(list[rival]!.activation) >= size) continue;
          const alike = list.filter((c, k) => k !== rival && c.tokens[c.focus] === tokens[r]);
          const weakest = alike.at(-1); // lists are sorted
          if (alike.length >= perToken && Math.abs(weakest!.activation) >= size) continue;
          if (rival >= 0) list.splice(rival, 1);
          if (alike.length >= perToken) list.splice(list.indexOf(weakest!), 1);
          const context: Context = {
            activation,
            row,
            focus: r - start,
            tokens: Int32Array.from({ length: end - start }, (_, k) => tokens[start + k]!),
            activations: Float32Array.from({ length: end - start }, (_, k) =>
              activationAt(active, start + k, latent),
            ),
          };
          let place = list.length;
          while (place > 0 && Math.abs(list[place - 1]!.activation) < size) place -= 1;
          list.splice(place, 0, context);
          if (list.length > count) list.pop();
        }
      }
      row0 += active.rows;
    },
    contexts: (latent) => [...(kept[latent] ?? [])],
  };
}

/** First and one past the last row of the window around `row`, within its sequence. */
function window(
  row: number,
  rows: number,
  positions: ArrayLike<number> | undefined,
  before: number,
  after: number,
): [number, number] {
  const follows = (r: number) => !positions || positions[r]! === positions[r - 1]! + 1;
  let start = row;
  while (start > 0 && row - start < before && follows(start)) start -= 1;
  let end = row + 1;
  while (end < rows && end - row <= after && follows(end)) end += 1;
  return [start, end];
}
