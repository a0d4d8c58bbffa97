import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { msae } from './msae.ts';

const empty = mkdtempSync(join(tmpdir(), 'msae-native-'));
const env = { MSAE_NATIVE_DIR: empty, TF_CPP_MIN_LOG_LEVEL: '2' };

it('doctor tells of every backend whether it works, and which would be picked', async () => {
  const { code, out } = await msae(['doctor', '--json', '--threads', '2'], { env });
  expect(code).toBe(0);
  const report = JSON.parse(out);
  const names = report.backends.map((probe: { backend: string }) => probe.backend);
  expect(names).toEqual(['cuda', 'tensorflow', 'webgpu', 'wasm', 'cpu']);
  const byName = Object.fromEntries(
    report.backends.map((probe: { backend: string }) => [probe.backend, probe]),
  );
  expect(byName.tensorflow).toMatchObject({
    usable: false,
    howTo: expect.stringContaining('msae setup-native --pip'),
  });
  expect(byName.cpu).toMatchObject({ usable: true, description: { name: 'cpu' } });
  expect(byName.wasm.gflops).toBeGreaterThan(byName.cpu.gflops);
  expect(['webgpu', 'wasm']).toContain(report.picked);
});

it('setup-native --dry-run says what it would do, and fails when the machine lacks something', async () => {
  const { code, out } = await msae(['setup-native', '--dry-run', '--json'], {
    env: { ...env, CXX: '/no/compiler' },
  });
  expect(code).toBe(1);
  const plan = JSON.parse(out);
  expect(plan.status).toBe('planned');
  expect(plan.steps.join('\n')).toMatch(/pip download tensorflow/);
  expect(plan.checks).toContainEqual(expect.objectContaining({ name: 'C++ compiler', ok: false }));
});

it('setup-native names a folder that is no TensorFlow', async () => {
  const { code, out, err } = await msae(['setup-native', '--from-dir', empty], { env });
  expect([code, out]).toEqual([1, '']);
  expect(err).toContain(`${empty}: neither libtensorflow_cc.so.2 nor`);
});
