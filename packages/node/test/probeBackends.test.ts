import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type BackendProbe, type ProbeOptions, probeBackends } from '../src/index.ts';
import { workingIndex, writeFakeBuild } from './fixtures/fakeTfjsNode.ts';

const temporary = (): string => mkdtempSync(join(tmpdir(), 'msae-probe-'));
const home = process.cwd();
afterEach(() => process.chdir(home));

async function probeFake(
  code: string,
  options: ProbeOptions & { version?: string } = {},
): Promise<BackendProbe> {
  process.env['MSAE_NATIVE_DIR'] = writeFakeBuild(temporary(), code, options.version);
  const { backends } = await probeBackends({ backends: ['tensorflow'], ...options });
  return backends[0]!;
}

describe('a broken install is a line in the report, never a crash', () => {
  it('an addon that is no library', async () => {
    const probe = await probeFake(
      `require('fs').writeFileSync(__dirname + '/broken.node', 'garbage'); require('./broken.node');`,
    );
    expect(probe).toMatchObject({ backend: 'tensorflow', usable: false });
    expect(probe.reason).toMatch(/broken\.node: (file too short|invalid ELF header|.+)/);
    expect(probe.howTo).toContain('msae setup-native --pip');
  });

  it('one that throws', async () => {
    const probe = await probeFake(`throw new Error('libcudart.so.11.0: cannot open shared object file');`);
    expect(probe.reason).toContain('libcudart.so.11.0: cannot open shared object file');
  });

  it('one that aborts the process', async () => {
    const probe = await probeFake(`process.abort();`);
    expect(probe).toMatchObject({ usable: false });
    expect(probe.reason).toContain('was ended by SIGABRT');
  });

  it('one that hangs', async () => {
    const probe = await probeFake(`for (;;);`, { timeout: 4000 });
    expect(probe.reason).toBe('it did not answer within 4 s and was stopped');
  });

  it('one of another version', async () => {
    const probe = await probeFake(workingIndex(), { version: '4.10.0' });
    expect(probe.reason).toContain('tfjs-node 4.10.0 is installed');
  });

  it('one that computes wrong numbers', async () => {
    const probe = await probeFake(
      `${workingIndex()}
const real = tf.getKernel('BatchMatMul', 'cpu').kernelFunc;
tf.unregisterKernel('BatchMatMul', 'tensorflow');
tf.registerKernel({ kernelName: 'BatchMatMul', backendName: 'tensorflow', kernelFunc: (args) => {
  const out = real(args);
  args.backend.data.get(out.dataId).values[0] += 1e4;
  return out;
} });`,
    );
    expect(probe.reason).toMatch(/^it computes wrong numbers/);
  });

  it('a webgpu package that does not load', async () => {
    const project = temporary();
    const folder = join(project, 'node_modules', 'webgpu');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"name":"webgpu","version":"0.6.2","type":"module"}');
    writeFileSync(join(folder, 'index.js'), `throw new Error('dawn.node: wrong ELF class');`);
    process.chdir(project);
    const { backends } = await probeBackends({ backends: ['webgpu'] });
    expect(backends[0]!.reason).toMatch(/does not load on .*: dawn.node: wrong ELF class/);
  });
});

it('measures what works and names what would be picked', async () => {
  process.env['MSAE_NATIVE_DIR'] = writeFakeBuild(
    temporary(),
    workingIndex(`console.log('chatter on stdout');`),
  );
  const report = await probeBackends({ backends: ['cuda', 'tensorflow', 'cpu'], threads: 1 });
  expect(report.backends.map((probe) => [probe.backend, probe.usable])).toEqual([
    ['cuda', false],
    ['tensorflow', true],
    ['cpu', true],
  ]);
  expect(report.picked).toBe('tensorflow');
  expect(report.backends[1]!.description).toMatchObject({ device: 'CPU, libtensorflow 2.99.0' });
  expect(report.backends[2]!.gflops).toBeGreaterThan(0.01);
});
