import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

/**
 * 258 MB of float16 rows, 516 MB as floats: neither writing nor shuffled reading may hold more than the same 300 MB
 * that tools/bench/store.ts shows for 10 GB. Node itself takes about 100.
 */
it('writes and shuffles a store larger than its memory', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'msae-memory-'));
  try {
    for (const phase of ['write', 'read']) {
      const script = join(import.meta.dirname, 'boundedReader.ts');
      const args = ['--import', 'tsx', script, join(directory, 'store'), phase];
      const { rows, peakBytes } = JSON.parse(execFileSync(process.execPath, args).toString()) as {
        rows: number;
        peakBytes: number;
      };
      expect(rows).toBe(251_904);
      expect(peakBytes / 1e6).toBeLessThan(300);
    }
  } finally {
    await rm(directory, { recursive: true });
  }
}, 60_000);
