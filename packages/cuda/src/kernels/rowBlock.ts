/** Blocks that own a whole row of d columns: which variant of a kernel, and how many threads. */
import { unsupported } from '../errors.ts';

const WIDEST = 8192;

/** @throws MsaeError `unsupported` for d above 8192 */
export function rowBlock(kernel: string, d: number): { kernel: string; threads: number } {
  if (d > WIDEST)
    throw unsupported(`rows of ${d} numbers are more than the ${WIDEST} that the kernels are made for`);
  const each = d <= 1024 ? 1 : 4; // float4 a thread
  const threads = Math.max(32, Math.ceil(d / (4 * each) / 32) * 32);
  return { kernel: `${kernel}${d % 4 === 0 ? 'Wide' : ''}${each}`, threads };
}
