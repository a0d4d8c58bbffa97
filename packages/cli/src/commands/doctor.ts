import { type BackendProbe, probeBackends } from '@msae/node';
import type { CommandDef } from 'citty';
import { command } from '../command.ts';
import { wholeNumber } from '../flagValues.ts';

const definition: CommandDef = command({
  meta: {
    name: 'doctor',
    description: 'Try every backend and tell which works, how fast it is, and how to get the others',
  },
  args: {
    json: { type: 'boolean', description: 'write one JSON object to stdout' },
    threads: { type: 'string', description: 'CPU threads to measure with', valueHint: 'n' },
    timeout: { type: 'string', description: 'seconds given to each backend', default: '60' },
  },
  async run({ args }) {
    const timeout = wholeNumber('timeout', args.timeout);
    const threads = args.threads === undefined ? undefined : wholeNumber('threads', args.threads);
    const report = await probeBackends({ timeout: timeout * 1000, ...(threads && { threads }) });
    if (args.json) return void process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    const lines = [`Node ${report.node} on ${report.platform}`, ...report.backends.map(describe)];
    lines.push(`picked: ${report.picked ?? 'none'}`);
    process.stdout.write(`${lines.join('\n')}\n`);
  },
});

export default definition;

function describe({ backend, usable, description, gflops, reason, howTo }: BackendProbe): string {
  const name = backend.padEnd(11);
  if (!usable)
    return `  no  ${name}${reason}${howTo ? `\n        ${' '.repeat(9)}get it with: ${howTo}` : ''}`;
  const facts = [description?.device, `${(gflops ?? 0).toPrecision(3)} GFLOP/s`];
  if (description && description.threads > 1) facts.push(`${description.threads} threads`);
  if (description && description.kernels.length > 0) facts.push(`kernels: ${description.kernels.join(' ')}`);
  return `  yes ${name}${facts.filter(Boolean).join(', ')}`;
}
