/** A run's options as JSON: what a checkpoint and a trained SAE's record keep of them. */
import type { ResolvedOptions } from '../options.ts';

/** Options as plain data: a prefix scheme is its data, a part of one's own its name and options, a storage nothing. */
export function optionsJson({ checkpoints, parts, ...rest }: ResolvedOptions): Record<string, unknown> {
  const { storage: _, ...kept } = checkpoints ?? { storage: undefined };
  const plain = {
    ...rest,
    ...(checkpoints && { checkpoints: kept }),
    parts: parts.map(({ name, options }) => ({ name, ...(options !== undefined && { options }) })),
  };
  return JSON.parse(JSON.stringify(plain)) as Record<string, unknown>;
}

/** How a run is made, not what comes out of it. */
const harmless = new Set(['checkpoints', 'yieldEveryMs']);

type Json = Readonly<Record<string, unknown>>;

/** Names of options (as {@link optionsJson} writes them) that differ and matter. */
export function changedOptions(before: Json, now: Json): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(now)]);
  return [...names]
    .filter((name) => !harmless.has(name) && JSON.stringify(before[name]) !== JSON.stringify(now[name]))
    .sort();
}
