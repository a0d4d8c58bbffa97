import { type NativeSource, nativeDirectory, setupNative } from '@msae/node';
import { msaeError } from '@msae/schema';
import type { CommandDef } from 'citty';
import { command } from '../command.ts';

const definition: CommandDef = command({
  meta: {
    name: 'setup-native',
    description: 'Build the tensorflow backend against a current libtensorflow, taken from a Python wheel',
  },
  args: {
    pip: { type: 'boolean', description: 'download the wheel with pip (the default)' },
    'from-wheel': {
      type: 'string',
      description: 'take this wheel of tensorflow or tensorflow-cpu',
      valueHint: 'path',
    },
    'from-dir': {
      type: 'string',
      description: 'link this installed tensorflow or libtensorflow',
      valueHint: 'dir',
    },
    gpu: { type: 'boolean', description: 'build on tfjs-node-gpu with a CUDA libtensorflow' },
    version: { type: 'string', description: 'version that pip is asked for', valueHint: '==2.21.*' },
    python: { type: 'string', description: 'Python interpreter whose pip is used', valueHint: 'python3' },
    dir: {
      type: 'string',
      description: 'folder of the build; name it in MSAE_NATIVE_DIR too',
      valueHint: 'dir',
    },
    'dry-run': { type: 'boolean', description: 'check the machine and say what would be done' },
    json: { type: 'boolean', description: 'write one JSON object to stdout' },
  },
  async run({ args }) {
    const abort = new AbortController();
    const interrupt = (): void => {
      process.exitCode = 130;
      abort.abort(new Error('interrupted; nothing was left behind'));
    };
    process.once('SIGINT', interrupt);
    try {
      const result = await setupNative({
        source: sourceOf(args),
        gpu: args.gpu ?? false,
        directory: args.dir ?? nativeDirectory(),
        dryRun: args['dry-run'] ?? false,
        signal: abort.signal,
        onStep: (step) => void (args.json || process.stderr.write(`· ${step}\n`)),
      });
      if (result.checks.some((check) => !check.ok)) process.exitCode = 1;
      if (args.json) return void process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
      const lines = result.checks.map(({ ok, name, detail }) => `${ok ? 'ok  ' : 'FAIL'} ${name}: ${detail}`);
      if (result.status === 'planned') lines.push(...result.steps.map((step) => `would ${step}`));
      else lines.push(`${result.status}: TensorFlow ${result.manifest?.tensorflow} in ${result.folder}`);
      if (args.dir && result.status !== 'planned') lines.push(`use it with MSAE_NATIVE_DIR=${args.dir}`);
      process.stdout.write(`${lines.join('\n')}\n`);
    } finally {
      process.off('SIGINT', interrupt);
    }
  },
});

export default definition;

interface SourceArgs {
  pip?: boolean | undefined;
  'from-wheel'?: string | undefined;
  'from-dir'?: string | undefined;
  version?: string | undefined;
  python?: string | undefined;
}

function sourceOf(args: SourceArgs): NativeSource {
  const wheel = args['from-wheel'];
  const dir = args['from-dir'];
  if ([args.pip, wheel, dir].filter(Boolean).length > 1) {
    throw msaeError('option', '--pip, --from-wheel and --from-dir: give one of them');
  }
  if (wheel) return { kind: 'wheel', path: wheel };
  if (dir) return { kind: 'dir', path: dir };
  return { kind: 'pip', version: args.version, python: args.python };
}
