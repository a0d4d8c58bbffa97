import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openStore } from '@msae/data';
import { fileDirectory } from '@msae/data/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const model = path('../../../examples/brown-lm/model');

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'msae-cli-harvest-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Run {
  code: number | null;
  out: string;
  err: string;
}

/** Runs the command; interrupts it once there is a shard in `interruptAt`. */
function msae(args: string[], interruptAt?: string): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', path('../src/main.ts'), 'harvest', ...args]);
    const run: Run = { code: null, out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      run.out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      run.err += chunk.toString();
    });
    const timer = setInterval(async () => {
      const files = interruptAt === undefined ? [] : await readdir(interruptAt).catch(() => []);
      if (!files.some((file) => file.endsWith('.safetensors'))) return;
      clearInterval(timer);
      if (child.exitCode === null) child.kill('SIGINT');
    }, 20);
    child.on('error', reject);
    child.on('exit', (code) => {
      clearInterval(timer);
      resolve({ ...run, code });
    });
  });
}

describe('msae harvest', () => {
  it('lists tap points', async () => {
    const { code, out } = await msae(['--model', model, '--list-taps', '--json']);
    expect(code).toBe(0);
    const points = JSON.parse(out) as { name: string }[];
    expect(points.map((point) => point.name)).toContain('blocks.2.resid_post');
  });

  it('interrupted, leaves a store that the same command completes', async () => {
    const out = join(folder, 'brown');
    const args = ['--model', model, '--brown', '--layer', '1', '--dtype', 'f32', '--out', out, '--json'];
    const rows = ['--max-tokens', '200000', '--threads', '1'];
    const first = await msae([...args, ...rows], out);
    expect(first.code, first.err).toBe(130);
    const partial = JSON.parse(first.out) as { rows: number; complete: boolean };
    expect(partial.complete).toBe(false);
    const interrupted = await openStore(fileDirectory(out));
    expect(interrupted.length).toBe(partial.rows);
    await interrupted.close();
    const second = await msae([...args, ...rows]);
    expect(second.code, second.err).toBe(0);
    expect(JSON.parse(second.out)).toMatchObject({ rows: 200000, resumedAt: partial.rows, complete: true });
    const store = await openStore(fileDirectory(out));
    await store.verify();
    expect([store.length, store.width, store.index.complete]).toEqual([200000, 128, true]);
    await store.close();
  });

  it('takes text, several taps, and says what is wrong', async () => {
    const text = join(folder, 'text.txt');
    await writeFile(text, 'The jury said it did .\nIt did not .\n');
    const out = join(folder, 'text');
    const taps = 'blocks.0.mlp_out,blocks.3.resid_post';
    const args = ['--model', model, '--text', text, '--lines', '--out', out];
    const { code, out: said } = await msae([...args, '--tap', taps]);
    expect([code, said]).toEqual([0, expect.stringContaining('complete')]);
    expect((await readdir(out)).sort()).toEqual(taps.split(','));
    const wrong = await msae([...args, '--tap', 'blocks.3.resid_pst']);
    expect(wrong.code).not.toBe(0);
    expect(wrong.err).toContain('the nearest names are blocks.3.resid_post');
  });
});
