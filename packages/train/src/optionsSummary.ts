/** A run's options as JSON, for its checkpoints: a resumed run says which of them have changed. */
import { createRng, type PrefixScheme } from '@msae/sampler';
import type { ResolvedOptions } from './resolveOptions.ts';

/** Options as plain data. A prefix scheme is told by its kind and what it draws from a fixed seed. */
export function optionsSummary(options: ResolvedOptions, nLatents: number): Record<string, unknown> {
  const { checkpoints: _, yieldEveryMs: __, ...rest } = options;
  return JSON.parse(
    JSON.stringify(rest, (_key, value: unknown) => {
      if (!isScheme(value)) return value;
      const { lengths, weights } = value.sample(nLatents, createRng(0));
      const shown = Math.min(lengths.length, 64);
      return {
        kind: value.kind,
        lengths: Array.from({ length: shown }, (_, i) => lengths[i]),
        weights: Array.from({ length: shown }, (_, i) => weights[i]),
      };
    }),
  ) as Record<string, unknown>;
}

function isScheme(value: unknown): value is PrefixScheme {
  return (
    typeof value === 'object' && value !== null && 'sample' in value && typeof value.sample === 'function'
  );
}

/** Names of options that differ. */
export function changedOptions(
  before: Readonly<Record<string, unknown>>,
  now: Readonly<Record<string, unknown>>,
): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...names].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name])).sort();
}
