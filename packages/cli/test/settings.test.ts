import {
  choice,
  flag,
  list,
  literal,
  nullable,
  number,
  object,
  optional,
  type Schema,
  switchable,
  text,
  variant,
  whole,
} from '@msae/schema';
import { describe, expect, it } from 'vitest';
import { flagArguments } from '../src/options/flagArguments.ts';
import { checkConfiguration, configurationOf, mergeSettings } from '../src/options/fromFlags.ts';
import { kebab, settingsOf } from '../src/options/settings.ts';

interface Config {
  nLatents: number;
  name?: string;
  loud?: boolean;
  clip?: number | null;
  lengths?: readonly number[];
  phases?: readonly { from: number }[];
  activation?: { kind: 'topk'; k: number } | { kind: 'jumprelu'; threshold: number; shared?: number };
  aux?: { coefficient?: number; shape?: 'round' | 'flat' } | false;
}

const schema = object<Config>({
  nLatents: whole({ min: 1, help: 'number of latents' }),
  name: optional(text({ help: 'a name' })),
  loud: optional(flag({ help: 'say it' }), false),
  clip: optional(nullable(number({ above: 0, help: 'largest norm' })), 1),
  lengths: optional(list(whole({ min: 1 }), { help: 'lengths' })),
  phases: optional(list(object<{ from: number }>({ from: number({ min: 0 }) }), { help: 'phases' })),
  activation: optional(
    variant<NonNullable<Config['activation']>>('kind', {
      topk: object<{ kind: 'topk'; k: number }>({ kind: literal('topk'), k: whole({ min: 1, help: 'k' }) }),
      jumprelu: object<{ kind: 'jumprelu'; threshold: number; shared?: number }>({
        kind: literal('jumprelu'),
        threshold: number({ help: 'first threshold' }),
        shared: optional(number()),
      }),
    }),
  ),
  aux: optional(
    switchable(
      object<{ coefficient?: number; shape?: 'round' | 'flat' }>({
        coefficient: optional(number({ above: 0, help: 'α' })),
        shape: optional(choice(['round', 'flat'], { help: 'shape' })),
      }),
    ),
    false,
  ),
}) as Schema<Config>;

const names: Record<string, string> = { nLatents: 'latents', 'activation.k': 'k' };
const settings = settingsOf(schema as Schema<unknown>, (path) => names[path] ?? kebab(path));
const read = (flags: Record<string, string>) => configurationOf(settings, flags);
const parse = (flags: Record<string, string>, base: object = {}, file?: string) =>
  checkConfiguration(schema, mergeSettings(base, read(flags)), { settings, flags, file });

describe('settings of a schema', () => {
  it('every leaf has a flag', () => {
    expect(settings.map((s) => [s.path, s.flag])).toEqual([
      ['nLatents', 'latents'],
      ['name', 'name'],
      ['loud', 'loud'],
      ['clip', 'clip'],
      ['lengths', 'lengths'],
      ['phases', 'phases'],
      ['activation.kind', 'activation'],
      ['activation.k', 'k'],
      ['activation.threshold', 'activation-threshold'],
      ['activation.shared', 'activation-shared'],
      ['aux', 'aux'],
      ['aux.coefficient', 'aux-coefficient'],
      ['aux.shape', 'aux-shape'],
    ]);
    const args = flagArguments(settings);
    expect(args.k).toMatchObject({ type: 'string', valueHint: 'n', description: 'k (topk)' });
    expect(args.clip!.description).toContain('default 1');
    for (const { description } of Object.values(args)) expect(description).toBeTruthy();
  });

  it.each([
    [
      { latents: '8', name: 'x' },
      { nLatents: 8, name: 'x' },
    ],
    [{ loud: 'true' }, { loud: true }],
    [{ clip: 'none' }, { clip: null }],
    [{ clip: '2.5' }, { clip: 2.5 }],
    [{ lengths: '2, 4,8' }, { lengths: [2, 4, 8] }],
    [{ phases: '[{"from": 0.5}]' }, { phases: [{ from: 0.5 }] }],
    [{ activation: 'topk', k: '4' }, { activation: { kind: 'topk', k: 4 } }],
    [{ aux: 'off' }, { aux: false }],
    [{ aux: 'on' }, { aux: {} }],
    [{ 'aux-coefficient': '0.1' }, { aux: { coefficient: 0.1 } }],
    [{ aux: 'on', 'aux-shape': 'flat' }, { aux: { shape: 'flat' } }],
  ])('%j', (flags, expected) => {
    expect(read(flags as Record<string, string>)).toEqual(expected);
    expect(parse({ latents: '8', ...(flags as Record<string, string>) })).toMatchObject(expected);
  });

  it.each([
    [{ latents: '2.5' }, "--latents: expected a whole number ≥ 1, got '2.5'"],
    [
      { latents: '8', activation: 'TopK', k: '3' },
      "--activation: expected one of topk, jumprelu, got 'TopK' (did you mean topk?)",
    ],
    [
      { latents: '8', activation: 'jumprelu', 'activation-threshold': '1', k: '3' },
      '--k: goes with --activation topk, not with jumprelu',
    ],
    [{ latents: '8', activation: 'topk' }, '--k: is missing'],
    [
      { latents: '8', 'aux-shape': 'flt' },
      "--aux-shape: expected one of round, flat, got 'flt' (did you mean flat?)",
    ],
    [{ latents: '8', aux: 'maybe' }, "--aux: expected on or off, got 'maybe'"],
    [{ latents: '8', phases: '[{' }, "--phases: expected JSON, got '[{'"],
    [{ latents: '8', clip: '-1' }, "--clip: expected a number > 0, got '-1'"],
    [{}, '--latents: is missing'],
  ])('%j is refused in the words of the flags', (flags, message) => {
    expect(() => parse(flags as Record<string, string>)).toThrow(message);
  });

  it('what a file says is complained about in the name of the file', () => {
    expect(() => parse({ k: '3' }, { nLatents: 0, activation: { kind: 'topk' } }, 'run.json')).toThrow(
      'run.json: nLatents: expected a whole number ≥ 1, got 0',
    );
    expect(() => parse({}, { nLatents: 3, colour: 1 }, 'run.json')).toThrow(
      'run.json: there is no option colour',
    );
    expect(() => parse({}, { nLatents: 3, aux: { coeficient: 1 } }, 'run.json')).toThrow(
      'run.json: aux: there is no option coeficient (did you mean coefficient?)',
    );
  });
});
