import type { CommandDef } from 'citty';

/** Every command of `msae`, loaded only when it is called. One line a command, one file a command. */
export const commands: Record<string, () => Promise<CommandDef>> = {
  harvest: async () => (await import('./harvest.ts')).default,
  train: async () => (await import('./train.ts')).default,
  eval: async () => (await import('./eval.ts')).default,
  report: async () => (await import('./report.ts')).default,
  convert: async () => (await import('./convert.ts')).default,
  inspect: async () => (await import('./inspect.ts')).default,
  toy: async () => (await import('./toy.ts')).default,
  doctor: async () => (await import('./doctor.ts')).default,
  bench: async () => (await import('./bench.ts')).default,
  'setup-native': async () => (await import('./setup-native.ts')).default,
};
