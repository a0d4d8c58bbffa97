import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { cudaRequirements } from '../src/setup/downloadWheels.ts';
import { readTensorflowWheel } from '../src/setup/tensorflowFiles.ts';
import { extractWheel, readWheel } from '../src/setup/wheel.ts';
import { writeWheel, zip } from './fixtures/writeZip.ts';

const folder = mkdtempSync(join(tmpdir(), 'msae-wheel-'));
const path = join(folder, 'tensorflow_cpu-2.99.0-py3-none-any.whl');
const library = Buffer.from(Array.from({ length: 50_000 }, (_, i) => (i * i) % 251));
const all = (name: string): string => name;

it('unpacks stored, deflated and empty entries', async () => {
  writeWheel(path, [
    { name: 'a/deflated', data: library },
    { name: 'a/stored', data: library, method: 0 },
    { name: 'a/empty', data: Buffer.alloc(0) },
  ]);
  const wheel = await readWheel(path);
  expect(wheel).toMatchObject({ name: 'tensorflow-cpu', version: '2.99.0' });
  const out = join(folder, 'out');
  expect(await extractWheel(wheel, out, (name) => (name.startsWith('a/') ? name : undefined))).toBe(3);
  expect(readFileSync(join(out, 'a/deflated')).equals(library)).toBe(true);
  expect(readFileSync(join(out, 'a/stored')).equals(library)).toBe(true);
  expect(readFileSync(join(out, 'a/empty'))).toHaveLength(0);
});

it('refuses contents that do not match RECORD, in size or in sum', async () => {
  writeWheel(path, [{ name: 'x', data: library, declaredSize: library.length - 1 }]);
  await expect(extractWheel(await readWheel(path), folder, all)).rejects.toThrow(
    /x is longer than its declared 49999/,
  );
  writeWheel(path, [{ name: 'x', data: library, declaredSize: library.length + 1 }]);
  await expect(extractWheel(await readWheel(path), folder, all)).rejects.toThrow(
    /x has 50000 of 50001 bytes/,
  );
  const info = 'tensorflow_cpu-2.99.0.dist-info';
  writeFileSync(
    path,
    zip([
      { name: 'x', data: library },
      { name: `${info}/METADATA`, data: Buffer.from('Name: t\nVersion: 1\n') },
      { name: `${info}/RECORD`, data: Buffer.from('x,sha256=AAAA,50000') },
    ]),
  );
  await expect(extractWheel(await readWheel(path), folder, all)).rejects.toThrow(
    /x does not match its checksum/,
  );
});

it('does not write outside its folder', async () => {
  writeWheel(path, [{ name: '../escaped', data: library }]);
  await expect(extractWheel(await readWheel(path), join(folder, 'deep'), all)).rejects.toThrow(
    'leaves its folder',
  );
  expect(existsSync(join(folder, 'escaped'))).toBe(false);
});

it('names the file when it is no wheel of TensorFlow for this machine', async () => {
  await expect(readWheel(join(folder, 'missing.whl'))).rejects.toThrow(/missing\.whl: cannot be read/);
  writeFileSync(path, 'hello');
  await expect(readWheel(path)).rejects.toThrow(/not a wheel, or cut off/);
  writeWheel(path, [{ name: 'numpy/core.py', data: library }]);
  await expect(readTensorflowWheel(path)).rejects.toThrow('contains no tensorflow/libtensorflow_cc.so.2');
  const files = ['tensorflow/libtensorflow_cc.so.2', 'tensorflow/libtensorflow_framework.so.2'].map(
    (name) => ({ name, data: library }),
  );
  for (const [tag, message] of [
    ['manylinux_2_17_riscv64', /built for riscv64/],
    [`manylinux_9_1_${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}`, /needs glibc 9\.1/],
  ] as const) {
    const other = join(folder, `tensorflow_cpu-2.99.0-cp312-cp312-${tag}.whl`);
    writeWheel(other, files);
    await expect(readTensorflowWheel(other)).rejects.toThrow(message);
  }
});

it('survives any damage with an error that names the file', async () => {
  writeWheel(path, [{ name: 'tensorflow/x', data: library }]);
  const good = readFileSync(path);
  const bad = join(folder, 'damaged.whl');
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 6 }),
      fc.nat(good.length),
      fc.boolean(),
      async (changes, cut, doCut) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of changes) bytes[bytes.length - 1 - (at % 400)] = value;
        writeFileSync(bad, doCut ? bytes.subarray(0, cut) : bytes);
        try {
          await extractWheel(await readWheel(bad), join(folder, 'fuzz'), (name) =>
            name === 'tensorflow/x' ? 'x' : undefined,
          );
        } catch (error) {
          expect(String(error)).toMatch(/damaged\.whl: /);
        }
      },
    ),
    { numRuns: 150 },
  );
});

it('finds the CUDA libraries in the metadata', () => {
  const metadata = [
    'Requires-Dist: numpy>=1.26.0',
    'Requires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"',
    "Requires-Dist: nvidia-cudnn-cu12 (<10.0,>=9.3.0.75) ; extra == 'and-cuda'",
    'Requires-Dist: tensorflow-io; extra == "gcs-filesystem"',
  ].join('\n');
  expect(cudaRequirements(metadata)).toEqual([
    'nvidia-cublas-cu12<13.0,>=12.5.3.2',
    'nvidia-cudnn-cu12<10.0,>=9.3.0.75',
  ]);
});
