import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRng } from '@msae/sampler';
import { afterAll, beforeAll, describe, it } from 'vitest';

const script = fileURLToPath(new URL('./support/killableRun.ts', import.meta.url));
let root = '';

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'msae-kill-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Runs the script; kills it with SIGKILL some time after it has written some checkpoints. Resolves with its exit code. */
function run(
  directory: string,
  variant: string,
  kill?: { checkpoints: number; delayMs: number },
): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', script, directory, variant], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => {
      errors += chunk;
    });
    let checkpoints = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      const before = checkpoints;
      checkpoints += chunk.toString().split('\n').length - 1;
      if (kill === undefined || before >= kill.checkpoints || checkpoints < kill.checkpoints) return;
      setTimeout(() => child.kill('SIGKILL'), kill.delayMs);
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (code !== 0 && signal !== 'SIGKILL') reject(new Error(errors));
      else resolve(code);
    });
  });
}

/** What a run left, without the fields that depend on the clock. */
function outcome(directory: string): { metrics: unknown[]; final: unknown } {
  const lines = readFileSync(join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const metrics = lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((event) => event.type === 'metrics')
    .map(({ tokensPerSecond: _, stepsPerSecond: __, ...event }) => event);
  return { metrics, final: JSON.parse(readFileSync(join(directory, 'final.json'), 'utf8')) as unknown };
}

describe.concurrent('a run killed with SIGKILL at random moments', () => {
  it.for([
    ['relu', 4],
    ['batchtopk', 1],
    ['jumprelu', 1],
  ] as const)(
    'ends with the metrics and weights of one that was not: %s, killed up to %i times',
    async ([variant, most], { expect }) => {
      const [whole, broken] = [join(root, `${variant}-whole`), join(root, `${variant}-broken`)];
      for (const directory of [whole, broken]) mkdirSync(directory);
      const undisturbed = run(whole, variant);
      const rng = createRng(variant.length);
      let kills = 0;
      for (let attempt = 0; attempt < most; attempt++) {
        if ((await run(broken, variant, { checkpoints: 1 + rng.int(5), delayMs: rng.int(25) })) === 0) break;
        kills++;
      }
      if (!existsSync(join(broken, 'final.json'))) await run(broken, variant);
      await undisturbed;
      expect(kills).toBeGreaterThan(0);
      const expected = outcome(whole);
      const actual = outcome(broken);
      expect(actual.metrics).toHaveLength(expected.metrics.length);
      expect(actual).toEqual(expected);
    },
  );
});
