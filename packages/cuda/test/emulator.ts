import { buildEmulator } from '../scripts/buildEmulator.ts';

/** Points the package at the emulated driver; false (and the tests are skipped) where g++ is missing. */
export function useEmulator(): boolean {
  const library = buildEmulator();
  if (library === undefined) return false;
  process.env.MSAE_CUDA_EMULATE = library;
  return true;
}
