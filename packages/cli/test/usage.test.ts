import { defineCommand } from 'citty';
import { describe, expect, it } from 'vitest';
import { commands } from '../src/commands/index.ts';
import { checkUsage, UsageError } from '../src/usage.ts';

const probe = {
  probe: async () =>
    defineCommand({
      args: {
        input: { type: 'positional', required: true, description: 'what to read' },
        out: { type: 'string', required: true },
        maxRows: { type: 'string' },
        norms: { type: 'boolean' },
      },
    }),
};

describe('checkUsage', () => {
  it.each([
    [['prob', 'x'], /no command prob; did you mean probe\?/],
    [['probe', 'x', '--uot', 'y'], /no option --uot; did you mean --out\?/],
    [['probe', 'x', '--out'], /--out needs a value/],
    [['probe', '--out', 'y'], /INPUT is missing \(what to read\)/],
    [['probe', 'x'], /--out is missing/],
  ])('%j is a mistake', async (argv, message) => {
    await expect(checkUsage(argv, probe as never)).rejects.toThrow(message);
    await expect(checkUsage(argv, probe as never)).rejects.toBeInstanceOf(UsageError);
  });

  it.each([
    [['probe', 'x', '--out', 'y']],
    [['probe', 'x', '--out=y', '--max-rows', '5', '--no-norms']],
    [['probe', '-5', '--out=y', '--maxRows=5']],
    [['probe', '--help']],
    [['--help']],
    [[]],
  ])('%j is none', async (argv) => {
    await expect(checkUsage(argv, probe as never)).resolves.toBeUndefined();
  });

  it.each(Object.keys(commands))('%s: an unknown option is found', async (name) => {
    const { subCommands } = await commands[name]!();
    if (subCommands === undefined) {
      await expect(checkUsage([name, '--no-such-thing'], commands)).rejects.toThrow(/there is no option/);
    }
  });
});
