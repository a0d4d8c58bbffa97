import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { setupNative } from '../src/index.ts';
import { findNativeBuild } from '../src/nativeBuild.ts';
import { workingIndex, writeBinding, writeHeaders, writeTfjsNode } from './fixtures/fakeTfjsNode.ts';
import { writeWheel, type ZipFile } from './fixtures/writeZip.ts';

const compiler = process.env['CXX'] || 'c++';
const possible = process.platform === 'linux' && spawnSync(compiler, ['--version']).status === 0;
if (!possible) it.skip('no C++ compiler on Linux here', () => {});

/** A project with an installed (fake) tfjs-node without its addon, and a wheel with a mock libtensorflow. */
function makeProject(): { root: string; wheel: string; directory: string; tensorflow: string } {
  const root = mkdtempSync(join(tmpdir(), 'msae-setup-'));
  const addon = `const addon = require('./lib/napi-v8/tfjs_binding.node'); if (addon.version !== '2.99.0') throw new Error('wrong library');`;
  writeBinding(writeTfjsNode(root, workingIndex(addon)));
  const tensorflow = join(root, 'site-packages', 'tensorflow');
  mkdirSync(tensorflow, { recursive: true });
  writeHeaders(tensorflow);
  const source = join(root, 'mock.cc');
  writeFileSync(source, 'extern "C" const char* TF_Version() { return "2.99.0"; }\n');
  for (const name of ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2']) {
    execFileSync(compiler, ['-shared', '-fPIC', `-Wl,-soname,${name}`, source, '-o', join(tensorflow, name)]);
  }
  const files: ZipFile[] = [
    'libtensorflow_cc.so.2',
    'libtensorflow_framework.so.2',
    'include/tensorflow/c/c_api.h',
  ].map((name) => ({ name: `tensorflow/${name}`, data: readFileSync(join(tensorflow, name)) }));
  const wheel = join(root, 'tensorflow_cpu-2.99.0-py3-none-any.whl');
  writeWheel(wheel, files);
  return { root, wheel, directory: join(root, 'native'), tensorflow };
}

describe.skipIf(!possible)('setupNative', () => {
  const home = process.cwd();
  const { CXX, PYTHON } = process.env;
  let project: ReturnType<typeof makeProject>;
  beforeEach(() => {
    project = makeProject();
    process.chdir(project.root);
  });
  afterEach(() => {
    process.chdir(home);
    for (const [name, value] of Object.entries({ CXX, PYTHON })) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    rmSync(project.root, { recursive: true });
  });

  it('plans without writing', async () => {
    const { directory, wheel: path } = project;
    const result = await setupNative({ source: { kind: 'wheel', path }, directory, dryRun: true });
    expect(result.status).toBe('planned');
    expect(result.steps.join('\n')).toMatch(
      /copy @tensorflow\/tfjs-node from .*\nunpack libtensorflow 2\.99\.0.*\ncompile/,
    );
    expect(result.checks.map((check) => check.name)).toContain('C++ compiler');
    expect(existsSync(directory)).toBe(false);
  });

  it('builds from a wheel; a second call only tests the build; a broken one is built anew', async () => {
    const { directory, wheel: path } = project;
    const source = { kind: 'wheel', path } as const;
    const steps: string[] = [];
    const built = await setupNative({ source, directory, onStep: (step) => steps.push(step) });
    expect(built).toMatchObject({ status: 'built', manifest: { variant: 'cpu', tensorflow: '2.99.0' } });
    expect(steps).toHaveLength(5);
    expect(readdirSync(directory)).toEqual(['cpu']);
    const { packageDir } = findNativeBuild('cpu', directory)!;
    expect(existsSync(join(packageDir, 'lib/napi-v8/tfjs_binding.node'))).toBe(true);
    expect((await setupNative({ source, directory })).status).toBe('already built');
    writeFileSync(join(packageDir, 'lib/napi-v8/tfjs_binding.node'), 'garbage');
    expect((await setupNative({ source, directory })).status).toBe('built');
    expect(readdirSync(directory)).toEqual(['cpu']);
  });

  it('links an installed TensorFlow', async () => {
    const { directory, tensorflow } = project;
    const result = await setupNative({ source: { kind: 'dir', path: tensorflow }, directory });
    expect(result.manifest?.source).toContain(tensorflow);
    const empty = mkdtempSync(join(tmpdir(), 'msae-empty-'));
    await expect(setupNative({ source: { kind: 'dir', path: empty }, directory })).rejects.toThrow(
      /neither libtensorflow_cc\.so\.2 nor/,
    );
    expect(findNativeBuild('cpu', directory)).toBeDefined();
  });

  it('names every failed check in one error', async () => {
    const { directory, wheel: path } = project;
    process.env['CXX'] = '/no/such/compiler';
    await expect(setupNative({ source: { kind: 'wheel', path }, directory })).rejects.toThrow(
      /C\+\+ compiler: \/no\/such\/compiler does not run .*apt-get install g\+\+/,
    );
    process.env['PYTHON'] = '/no/such/python';
    await expect(setupNative({ source: { kind: 'pip' }, directory })).rejects.toThrow(
      /compiler: .*; pip: .*--from-wheel/,
    );
    expect(existsSync(directory)).toBe(false);
  });

  it('says so when pip reaches nothing', async () => {
    const { root, directory } = project;
    const python = join(root, 'python');
    writeFileSync(
      python,
      `#!/bin/sh\ncase "$*" in *--version*) echo "pip 23.0 from /x (python 3.11)";; *) echo "ERROR: Could not find a version that satisfies the requirement tensorflow-cpu" >&2; exit 1;; esac\n`,
    );
    chmodSync(python, 0o755);
    await expect(setupNative({ source: { kind: 'pip', python }, directory })).rejects.toThrow(
      /^pip: no wheel for tensorflow(-cpu)?==2\.21\.\*: ERROR: Could not find a version.*--from-wheel/,
    );
    expect(readdirSync(directory)).toEqual([]);
  });

  it('takes the wheel that pip downloads', async () => {
    const { root, directory, wheel } = project;
    const python = join(root, 'python');
    writeFileSync(
      python,
      `#!/bin/sh\ncase "$*" in *--version*) echo "pip 23.0";; *) while [ "$1" != --dest ]; do shift; done; cp ${wheel} "$2";; esac\n`,
    );
    chmodSync(python, 0o755);
    const result = await setupNative({ source: { kind: 'pip', python, version: '==2.99.0' }, directory });
    expect(result.manifest?.source).toMatch(/^pip tensorflow(-cpu)?==2\.99\.0$/);
    expect(readdirSync(join(directory, 'cpu'))).not.toContain('wheels');
  });

  it('does not publish a build that does not work', async () => {
    const { root, directory, wheel: path } = project;
    writeBinding(writeTfjsNode(root, `require('./lib/napi-v8/tfjs_binding.node'); process.abort();`));
    await expect(setupNative({ source: { kind: 'wheel', path }, directory })).rejects.toThrow(
      /does not work: .*SIGABRT/,
    );
    expect(readdirSync(directory)).toEqual([]);
  });

  it('leaves nothing that useNode would take when it is killed in the middle, and cleans up later', async () => {
    const { root, directory, wheel: path } = project;
    const slow = join(root, 'slow-compiler');
    writeFileSync(
      slow,
      `#!/bin/sh\nif [ "$1" = --version ]; then exec ${compiler} --version; fi\ntouch ${root}/compiling\nsleep 20\n`,
    );
    chmodSync(slow, 0o755);
    const script = `import { setupNative } from ${JSON.stringify(fileURLToPath(new URL('../src/index.ts', import.meta.url)))};
await setupNative({ source: { kind: 'wheel', path: ${JSON.stringify(path)} }, directory: ${JSON.stringify(directory)} });`;
    const child: ChildProcess = spawn(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', script],
      { env: { ...process.env, CXX: slow }, stdio: 'ignore', cwd: root },
    );
    while (!existsSync(join(root, 'compiling'))) {
      if (child.exitCode !== null) throw new Error('the build ended early');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    expect(readdirSync(directory)).toHaveLength(1);
    expect(findNativeBuild('cpu', directory)).toBeUndefined();
    expect((await setupNative({ source: { kind: 'wheel', path }, directory })).status).toBe('built');
    expect(readdirSync(directory)).toEqual(['cpu']);
  });

  it('stops when it is aborted and leaves nothing', async () => {
    const { directory, wheel: path } = project;
    const abort = new AbortController();
    const run = setupNative({
      source: { kind: 'wheel', path },
      directory,
      signal: abort.signal,
      onStep: (step) => step.startsWith('compile') && abort.abort(new Error('enough')),
    });
    await expect(run).rejects.toThrow('enough');
    expect(readdirSync(directory)).toEqual([]);
  });
});
