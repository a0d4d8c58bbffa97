import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { didYouMean, isMsaeError } from '@msae/schema';
import type { ArgsDef, CommandDef } from 'citty';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../src/commands/index.ts';
import { commandTexts } from '../src/commandTexts.ts';
import { configArgument, withConfigFile } from '../src/configFile.ts';
import { numberAbove, oneOf, wholeNumber } from '../src/flagValues.ts';
import { renderHelp } from '../src/help.ts';
import { completeArguments, parseArguments } from '../src/parseArguments.ts';

const definitions: ArgsDef = {
  input: { type: 'positional', description: 'what to read' },
  out: { type: 'string', required: true, description: 'where to write' },
  'max-rows': { type: 'string' },
  norms: { type: 'boolean', default: true },
  dtype: { type: 'string', default: 'f16' },
};
const read = (...words: string[]) => completeArguments(parseArguments(words, definitions), definitions);

describe('arguments', () => {
  it.each([
    [['x', '--out', 'y'], { out: 'y', norms: true, dtype: 'f16' }],
    [['--out=y', 'x', '--max-rows', '-1'], { out: 'y', 'max-rows': '-1' }],
    [['--no-norms', '--out', 'a', '--out', 'y', '--', 'x'], { out: 'y', norms: false }],
  ])('%j', (words, expected) => {
    expect(read(...words)).toMatchObject({ _: ['x'], input: 'x', ...expected });
  });

  it.each([
    [['x', '--uot', 'y'], 'there is no option --uot (did you mean --out?)'],
    [['x', '--maxRows=5'], 'there is no option --maxRows (did you mean --max-rows?)'],
    [['x', '-out', 'y'], 'there is no option -out (did you mean --out?)'],
    [['x', '--quite-another-thing'], 'there is no option --quite-another-thing'],
    [['x', '--out'], '--out needs a value'],
    [['x', '--out='], '--out needs a value'],
    [['x', '--out', '--no-norms'], '--out needs a value, but --no-norms follows'],
    [['x', '--norms=yes'], '--norms takes no value; --no-norms turns it off'],
    [['x', 'z', '--out', 'y'], "'z' is one argument too many"],
    [['--out', 'y'], '<input> is missing: what to read'],
    [['x'], '--out is missing: where to write'],
  ])('%j: %s', (words, message) => {
    expect(() => read(...words)).toThrow(message);
  });

  it('values say what was expected', () => {
    expect(wholeNumber('rows', '12')).toBe(12);
    expect(() => wholeNumber('rows', '1.5')).toThrow(
      "--rows: expected a whole number of at least 1, got '1.5'",
    );
    expect(() => wholeNumber('rows', ' ', 0)).toThrow(
      "--rows: expected a whole number of at least 0, got ' '",
    );
    expect(numberAbove('scale', '1e-3', 0)).toBe(0.001);
    expect(() => numberAbove('scale', 'NaN', 0)).toThrow("--scale: expected a number > 0, got 'NaN'");
    expect(() => oneOf('path', 'spares', ['sparse', 'dense'])).toThrow(
      "--path: expected one of sparse, dense; got 'spares'",
    );
  });

  it.each([
    ['evla', ['eval', 'train'], ' (did you mean eval?)'],
    ['rep', ['report', 'toy'], ' (did you mean report?)'],
    ['maxTokens', ['max-tokens', 'context'], ' (did you mean max-tokens?)'],
    ['zzzzzz', ['eval', 'train'], ''],
  ])('%s of %j%s', (wrong, known, hint) => {
    expect(didYouMean(wrong, known)).toBe(hint);
  });
});

describe('--config', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'msae-config-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const taking: ArgsDef = {
    ...definitions,
    config: configArgument,
    taps: { type: 'string', valueHint: 'name,…' },
  };
  const withFile = (content: string, ...words: string[]) => {
    const path = join(folder, 'c.json');
    writeFileSync(path, content);
    return withConfigFile(parseArguments([...words, '--config', path], taking), taking);
  };

  it('gives options; flags go over it', async () => {
    const file = '{"input": "x", "out": "a", "max-rows": 5, "norms": false, "taps": ["p", "q"]}';
    expect(await withFile(file, '--out', 'y')).toMatchObject({
      input: 'x',
      out: 'y',
      'max-rows': '5',
      norms: false,
      taps: 'p,q',
    });
  });

  it.each([
    ['{"maxrows": 5}', 'there is no option maxrows (did you mean max-rows?)'],
    ['{"norms": "yes"}', 'norms: expected true or false, got "yes"'],
    ['{"out": null}', 'out: expected text or a number, got null'],
    ['[1]', 'expected an object of options, got a list'],
    ['{', 'not valid JSON'],
  ])('%s is refused', async (content, message) => {
    await expect(withFile(content)).rejects.toThrow(message);
    await expect(withFile(content)).rejects.toSatisfy((error) => isMsaeError(error, 'option'));
  });

  it('must be there', async () => {
    const given = parseArguments(['--config', join(folder, 'none.json')], taking);
    await expect(withConfigFile(given, taking)).rejects.toThrow('none.json: there is no such file');
  });
});

describe('help', () => {
  it('wraps, marks what is required, and has no escape codes without colour', () => {
    const text = {
      name: 'msae x',
      description: 'Does x',
      args: definitions,
      commands: [],
      examples: ['msae x y --out z'],
    };
    const plain = renderHelp(text, { colour: false, columns: 60 });
    expect(plain).toContain('Usage: msae x <input> --out <out> [options]');
    expect(plain).toMatch(/--out <out> +where to write \(required\)/);
    expect(plain).toContain('--[no-]norms');
    expect(plain).toContain('(default: f16)');
    expect(plain).toContain('Examples\n  msae x y --out z');
    expect(plain).not.toContain('\u001b');
    expect(Math.max(...plain.split('\n').map((line) => line.length))).toBeLessThanOrEqual(60);
    expect(renderHelp(text, { colour: true, columns: 60 })).toContain('\u001b[1mOptions');
  });

  it.each(Object.keys(commands))('%s: options are described, examples can be parsed', async (name) => {
    const all: [string, CommandDef][] = [[name, await commands[name]!()]];
    const below = (all[0]![1].subCommands ?? {}) as Record<string, CommandDef>;
    for (const [under, command] of Object.entries(below)) all.push([`${name} ${under}`, command]);
    for (const [path, { args = {}, run }] of all) {
      for (const [option, { description }] of Object.entries(args)) expect(description, option).toBeTruthy();
      const { summary, examples } = commandTexts[path]!;
      expect(summary.length).toBeGreaterThan(0);
      expect(examples.length).toBeGreaterThan(0);
      for (const line of run === undefined ? [] : examples) {
        const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2]!);
        const after = words.slice(1 + path.split(' ').length);
        expect(() => {
          const given = parseArguments(after, args as ArgsDef);
          if (given.config === undefined) completeArguments(given, args as ArgsDef);
        }, line).not.toThrow();
      }
    }
  });
});
